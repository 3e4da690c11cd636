//! Where containers are written down: made whole, found by name or id, removed without a trace.
//!
//! ```text
//! ROOT/containers/ID/   config.json record.json upper/ work/ log…     as long as the container
//! RUN/containers/ID/    live.json hosts hostname resolv.conf; locked by its monitor    as long as the boot
//! ROOT/mount-points/    the lowest layer of every container: empty files and directories for mounts
//! RUN/names/NAME        the ID that has the name; a hint: a name whose container is gone is free
//! RUN/cgroup-parents/   a directory for each group in which a container asked for its own
//! ```
//!
//! A container with `--rm` has its record and config in the run directory too: nothing of it is worth a sync.

mod names;
mod parents;
mod probe;
mod written;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::op::{OpError, step};
use crate::record::{self, Live, Opaque, Probe, Record, Status, VERSION};
use crate::sys;

use crate::sys::fs::Durability;

use written::{home, read, read_as, read_live, read_record};

pub use written::{Held, HoldError};

pub use probe::{boot_id, identify, is_alive};

/// The two directories below which containers live.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    root: PathBuf,
    run: PathBuf,
}

/// The directories of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirs {
    /// On disk: upper, work, log; record and config where it outlives its run.
    pub disk: PathBuf,
    /// In the run directory.
    pub run: PathBuf,
}

/// A container that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What is written down.
    pub record: Record,
    /// What runs.
    pub live: Option<Live>,
    /// What it does, asked of the kernel.
    pub status: Status,
    /// How its first process stands, as proc_pid_stat(5) says it; `None` where there is none.
    pub init_state: Option<char>,
    /// Where it is.
    pub dirs: Dirs,
}

/// A container that was made, and its lock: held by this process and its copies until all have dropped it.
#[derive(Debug)]
pub struct Claim {
    /// Where it is.
    pub dirs: Dirs,
    /// The lock.
    pub lock: OwnedFd,
}

/// A container that cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The name is taken.
    #[error("the container name {name:?} is already in use by container {holder}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        holder: String,
    },
    /// Another process is at it.
    #[error("container {0} is being changed by another process")]
    Busy(String),
    /// There is no such container any more.
    #[error("container {0} was removed meanwhile")]
    Gone(String),
    /// Its settings are others than those that somebody read before.
    #[error("container {0} was changed meanwhile")]
    Changed(String),
}

/// A container that was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No such name, id or prefix.
    #[error("no such container: {0}")]
    NotFound(String),
    /// A prefix of several ids.
    #[error("{word:?} is the beginning of several container ids: {}", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        word: String,
        /// Some that it could be.
        ids: Vec<String>,
    },
    /// A record of a newer mini.
    #[error("the record of container {id} has version {version}; this mini knows version {VERSION}")]
    TooNew {
        /// The container.
        id: String,
        /// Its record's version.
        version: u32,
    },
}

impl State {
    /// Containers below `root` (on disk) and `run` (until the next boot).
    pub fn new(root: &Path, run: &Path) -> State {
        State { root: root.to_owned(), run: run.to_owned() }
    }

    /// Where containers, images and volumes are kept.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directories of a container.
    pub fn dirs(&self, id: &str) -> Dirs {
        Dirs { disk: self.root.join("containers").join(id), run: self.run.join("containers").join(id) }
    }

    /// A layer with the places that every container's mounts go to, for the bottom of the stack: what the image has of them
    /// covers it, what the image lacks need not be made in every container again.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn mount_points(&self) -> Result<PathBuf, OpError> {
        let layer = self.root.join("mount-points");
        if layer.is_dir() {
            return Ok(layer);
        }
        step("Make, once, a layer with the places that every container's mounts go to");
        let fresh = self.root.join(format!("mount-points.{}", rustix::process::getpid().as_raw_nonzero()));
        sys::removal::remove_tree(&fresh)?;
        make_with_parents(&fresh)?;
        for directory in ["dev", "proc", "sys", "etc"] {
            sys::fs::make_dir(&fresh.join(directory), 0o755)?;
        }
        for file in ["hosts", "hostname", "resolv.conf"] {
            sys::fs::create_new(&fresh.join("etc").join(file), b"", 0o644)?;
        }
        sys::fs::make_public(&fresh)?;
        match sys::fs::rename(&fresh, &layer) {
            // Another command was faster: one is as good as the other.
            Err(_) if layer.is_dir() => sys::removal::remove_tree(&fresh)?,
            other => other?,
        }
        Ok(layer)
    }

    /// Makes the container's directories, takes its name, writes its config and, last, its record. That of one that is started at
    /// once is on the disk for sure only after [`State::sync`], which can be called while it starts.
    ///
    /// # Errors
    /// See [`StateError`]; nothing is left then.
    pub fn create(&self, record: &Record, config: &[u8]) -> Result<Claim, StateError> {
        step("Write the container down: from here on it can be found, and removed");
        let dirs = self.dirs(&record.id);
        make_with_parents(&dirs.run)?;
        let lock = sys::fs::try_lock(&dirs.run)?.ok_or_else(|| StateError::Busy(record.id.clone()))?;
        let claim = Claim { dirs, lock };
        match self.write_down(&claim.dirs, record, config) {
            Ok(()) => Ok(claim),
            Err(error) => {
                // The first cause is told; what cannot be removed now is found by the next check.
                let _first_cause_counts = self.remove(&record.id, &record.name);
                Err(error)
            }
        }
    }

    fn write_down(&self, dirs: &Dirs, record: &Record, config: &[u8]) -> Result<(), StateError> {
        make_with_parents(&dirs.disk)?;
        self.claim_name(&record.name, &record.id)?;
        let home = home(dirs, record.auto_remove);
        sys::fs::create_new(&home.join("config.json"), config, 0o600)?;
        let at_once = !record.boot.is_empty();
        Ok(if at_once { self.save_with(dirs, record, Durability::Cached) } else { self.save(dirs, record) }?)
    }

    /// Finds a container: exact id, exact name, unique beginning of an id, in this order.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn find(&self, word: &str) -> Result<Entry, FindError> {
        let not_found = || FindError::NotFound(word.to_owned());
        if word.is_empty() || word.contains('/') || word.starts_with('.') {
            return Err(not_found());
        }
        if let Some(entry) = self.load(word)? {
            return Ok(entry);
        }
        if let Ok(id) = fs::read_to_string(self.run.join("names").join(word))
            && let Some(entry) = self.load(&id)?.filter(|entry| entry.record.name == word)
        {
            return Ok(entry);
        }
        let mut ids = self.ids();
        if !self.run.join("names").is_dir() {
            let named =
                |id: &&String| read_record(&self.dirs(id).disk).is_some_and(|record| record.name == word);
            if let Some(id) = ids.iter().find(named) {
                return self.load(id)?.ok_or_else(not_found);
            }
        }
        ids.retain(|id| id.starts_with(word));
        match ids.as_slice() {
            [] => Err(not_found()),
            [id] => self.load(id)?.ok_or_else(not_found),
            _ => Err(FindError::Ambiguous { word: word.to_owned(), ids: ids.into_iter().take(5).collect() }),
        }
    }

    /// Every container, in no order.
    ///
    /// # Errors
    /// [`FindError::TooNew`].
    pub fn list(&self) -> Result<Vec<Entry>, FindError> {
        self.ids().iter().filter_map(|id| self.load(id).transpose()).collect()
    }

    /// Ids of everything that has a directory, written down or not.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = ids_in(&self.root.join("containers"));
        ids.extend(ids_in(&self.run.join("containers")));
        ids.sort();
        ids.dedup();
        ids
    }

    /// Reads one container; `None` where nothing is written down.
    ///
    /// # Errors
    /// [`FindError::TooNew`].
    pub fn load(&self, id: &str) -> Result<Option<Entry>, FindError> {
        let whole = |(mut entry, settings): (Entry, Opaque)| {
            entry.record.settings = settings;
            entry
        };
        Ok(self.load_as(id)?.map(whole))
    }

    /// Every container, in no order, each with what is read of what the command line keeps: that is left out of the entry. What
    /// cannot be read is as if it were not there.
    ///
    /// # Errors
    /// [`FindError::TooNew`].
    pub fn list_as<S: DeserializeOwned + Default>(&self) -> Result<Vec<(Entry, S)>, FindError> {
        self.ids().iter().filter_map(|id| self.load_as(id).transpose()).collect()
    }

    fn load_as<S: DeserializeOwned + Default>(&self, id: &str) -> Result<Option<(Entry, S)>, FindError> {
        let dirs = self.dirs(id);
        let mut live = read_live(&dirs);
        let (init, monitor, record) = loop {
            // What runs first, the record last: a monitor writes its record before it ends, so one that is seen dead has written it.
            let init = live.as_ref().and_then(|live| probe::look(live.init));
            let monitor = live.as_ref().is_some_and(|live| {
                // A child of a process that has ended would have another parent by now.
                init.is_some_and(|init| init.parent == live.monitor.pid) || is_alive(live.monitor)
            });
            let record: Option<Record<S>> = read_as(&dirs);
            if init.is_some() || !monitor {
                break (init, monitor, record);
            }
            // Between two runs, or at the end: only what was not changed meanwhile belongs together.
            let now = read_live(&dirs);
            if now == live {
                break (init, monitor, record);
            }
            live = now;
        };
        let Some(mut record) = record else {
            return Ok(None);
        };
        if init.is_none() && !monitor && record.last.is_none() {
            // Its monitor could not write into the record how it ended, or was killed before the next run.
            record.last = live.as_ref().and_then(|live| live.between.clone());
        }
        if record.version > VERSION {
            return Err(FindError::TooNew { id: id.to_owned(), version: record.version });
        }
        let probe = Probe { init: init.is_some(), monitor, same_boot: record.boot == boot_id() };
        let status = record::status(&record, live.as_ref(), probe);
        let (record, settings) = record.exchange(Opaque::default());
        let init_state = init.map(|init| init.state);
        Ok(Some((Entry { record, live, status, init_state, dirs }, settings)))
    }

    /// Takes the lock of a container: nobody makes, runs or removes it meanwhile.
    ///
    /// # Errors
    /// [`StateError::Busy`] where its monitor, or another command, holds it; [`StateError::Gone`] where it was removed.
    pub fn lock(&self, id: &str) -> Result<OwnedFd, StateError> {
        let dirs = self.dirs(id);
        loop {
            // After a boot its directory of the last one is gone, and it is still there.
            let is_there = dirs.disk.exists();
            if is_there {
                make_with_parents(&dirs.run)?;
            }
            match sys::fs::try_lock(&dirs.run) {
                Ok(None) => return Err(StateError::Busy(id.to_owned())),
                Ok(Some(lock)) if !sys::fs::is_unlinked(&lock) => return Ok(lock),
                Err(error) if error.errno() != libc::ENOENT => return Err(error.into()),
                // Whoever had it has removed the directory: with the container, or at the end of its run.
                Ok(Some(_)) | Err(_) if is_there => {}
                Ok(Some(_)) | Err(_) => return Err(StateError::Gone(id.to_owned())),
            }
        }
    }

    /// Forgets a container: after this it is not found, and its name is free. The caller holds its lock.
    ///
    /// # Errors
    /// The answer of the kernel; a record that cannot be removed keeps its name.
    pub fn forget(&self, id: &str, name: &str) -> Result<(), OpError> {
        let dirs = self.dirs(id);
        sys::fs::remove_file(&dirs.run.join("record.json"))?;
        if dirs.disk.join("record.json").exists() {
            sys::fs::remove_file(&dirs.disk.join("record.json"))?;
        }
        self.release_name(name, id)
    }

    /// Forgets a container and removes its directories. The caller holds its lock.
    ///
    /// # Errors
    /// The first answer of the kernel that was an error; of one that is forgotten the rest is removed all the same.
    pub fn remove(&self, id: &str, name: &str) -> Result<(), OpError> {
        let dirs = self.dirs(id);
        self.forget(id, name)?;
        sys::removal::remove_tree(&dirs.disk).and(sys::removal::remove_tree(&dirs.run))
    }
}

fn ids_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn make_with_parents(directory: &Path) -> Result<(), OpError> {
    match sys::fs::make_dir(directory, 0o700) {
        Err(error) if error.errno() == libc::ENOENT => sys::fs::make_dirs(directory),
        Err(error) if error.errno() == libc::EEXIST => Ok(()),
        other => other,
    }
}
