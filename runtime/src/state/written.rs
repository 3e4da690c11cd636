//! Record, config and what runs, as files: written whole, and by one writer at a time.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Dirs, Entry, FindError, State, StateError, make_with_parents};
use crate::op::{OpError, step};
use crate::record::{LastRun, Live, Opaque, Record};
use crate::sys;
use crate::sys::fs::Durability;

/// A record that cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// There is no such container any more.
    #[error(transparent)]
    Find(#[from] FindError),
}

/// A container whose record nobody else writes as long as this is held.
#[derive(Debug)]
pub struct Held {
    /// The container, as it is now.
    pub entry: Entry,
    _lock: OwnedFd,
}

impl State {
    /// Waits until nobody else writes the record of a container, running or not. A monitor that has not written down the end yet
    /// waits for this too, and keeps the settings that it finds then: until that, its container's groups stay.
    ///
    /// # Errors
    /// [`FindError::NotFound`] where it is gone; what the kernel answered.
    pub fn hold(&self, id: &str) -> Result<Held, HoldError> {
        let gone = || FindError::NotFound(id.to_owned());
        let lock = self.write_alone(&self.dirs(id))?.ok_or_else(gone)?;
        let entry = self.load(id)?.ok_or_else(gone)?;
        Ok(Held { entry, _lock: lock })
    }

    /// Writes config and record of a container anew, whatever it does.
    ///
    /// # Errors
    /// What the kernel answered; both files are then as they were.
    pub fn amend(&self, held: &Held, record: &Record, config: &[u8]) -> Result<(), OpError> {
        step("Write down what it is from now on");
        let Held { entry, .. } = held;
        let old = entry.config()?;
        self.write_both(&entry.dirs, record, config).inspect_err(|_| {
            // The first cause is told; the next start writes it anew.
            let _stays = self.write_config(&entry.dirs, &entry.record, &old);
        })
    }

    /// Writes config and record of a container anew, for another start, under the name that it has by now. The caller holds its
    /// lock. `planned` are the settings that config and record were made from.
    ///
    /// # Errors
    /// [`StateError::Changed`] where its settings are others by now; what the kernel answered: each of the two files is then as
    /// it was, or whole.
    pub fn rewrite(
        &self,
        dirs: &Dirs,
        record: &mut Record,
        planned: &Opaque,
        config: &[u8],
    ) -> Result<(), StateError> {
        step("Write down what it is this time");
        make_with_parents(&dirs.run)?;
        let _alone = self.write_alone(dirs)?;
        if let Some(written) = read(dirs) {
            if written.settings != *planned {
                return Err(StateError::Changed(record.id.clone()));
            }
            record.name = written.name;
        }
        Ok(self.write_both(dirs, record, config)?)
    }

    /// What is kept with a container by now.
    pub fn settings(&self, dirs: &Dirs) -> Option<Opaque> {
        read(dirs).map(|record| record.settings)
    }

    /// Writes config and record, the record last.
    fn write_both(&self, dirs: &Dirs, record: &Record, config: &[u8]) -> Result<(), OpError> {
        self.write_config(dirs, record, config)?;
        self.save(dirs, record)
    }

    fn write_config(&self, dirs: &Dirs, record: &Record, config: &[u8]) -> Result<(), OpError> {
        let durability = if record.auto_remove { Durability::Cached } else { Durability::Synced };
        sys::fs::write_whole(&home(dirs, record.auto_remove).join("config.json"), config, durability)
    }

    /// Writes down that a container is about to be removed: how it ends is not worth a sync to the disk any more.
    ///
    /// # Errors
    /// What open(2) answered.
    pub fn give_up(&self, dirs: &Dirs) -> Result<(), OpError> {
        match sys::fs::create_new(&unwanted(dirs), b"", 0o600) {
            Err(error) if error.errno() == libc::EEXIST => Ok(()),
            other => other,
        }
    }

    /// Writes down how a container ended, under the name and with the settings that it has by now; or forgets one that nobody
    /// wants any more.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn finish(&self, dirs: &Dirs, record: &mut Record) -> Result<(), OpError> {
        let _alone = self.write_alone(dirs)?;
        if let Some(written) = read(dirs) {
            (record.name, record.settings) = (written.name, written.settings);
        }
        match record.auto_remove {
            true => self.forget(&record.id, &record.name),
            false if unwanted(dirs).exists() => self.save_with(dirs, record, Durability::Cached),
            false => self.save(dirs, record),
        }
    }

    /// Waits until nobody else writes the record of a container, running or not, and keeps others from it until the lock is
    /// dropped; `None` where the container is gone. It is for as long as it takes to read, change and write: the monitor waits
    /// for it too.
    pub(super) fn write_alone(&self, dirs: &Dirs) -> Result<Option<OwnedFd>, OpError> {
        match sys::fs::lock(&dirs.disk) {
            Ok(lock) if sys::fs::is_unlinked(&lock) => Ok(None),
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.errno() == libc::ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record, whole; on the disk for sure where the container outlives its run.
    ///
    /// # Errors
    /// What the kernel answered; the record is then as it was.
    pub fn save(&self, dirs: &Dirs, record: &Record) -> Result<(), OpError> {
        self.save_with(dirs, record, if record.auto_remove { Durability::Cached } else { Durability::Synced })
    }

    pub(super) fn save_with(
        &self,
        dirs: &Dirs,
        record: &Record,
        durability: Durability,
    ) -> Result<(), OpError> {
        let text = serde_json::to_vec(record).expect("a record can be written as JSON");
        sys::fs::write_whole(&home(dirs, record.auto_remove).join("record.json"), &text, durability)
    }

    /// Brings a record that was only written to the disk, while other things happen; one that is gone by now is no error.
    ///
    /// # Errors
    /// What open(2) or fsync(2) answered.
    pub fn sync(&self, dirs: &Dirs) -> Result<(), OpError> {
        match sys::fs::sync(&dirs.disk.join("record.json")) {
            Err(error) if error.errno() == libc::ENOENT => Ok(()),
            other => other,
        }
    }

    /// Writes down what runs.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn save_live(&self, dirs: &Dirs, live: &Live) -> Result<(), OpError> {
        let text = serde_json::to_vec(live).expect("a live record can be written as JSON");
        sys::fs::write_whole(&dirs.run.join("live.json"), &text, Durability::Cached)
    }

    /// Writes down that what ran has ended, and that its monitor will start it again.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn save_between(&self, dirs: &Dirs, last: LastRun) -> Result<(), OpError> {
        match read_live(dirs) {
            Some(live) => self.save_live(dirs, &Live { between: Some(last), ..live }),
            None => Ok(()),
        }
    }
}

impl Entry {
    /// The container's OCI spec as it was made.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn config(&self) -> Result<Vec<u8>, OpError> {
        let path = home(&self.dirs, self.record.auto_remove).join("config.json");
        fs::read(&path).map_err(|source| OpError { call: format!("read({path:?})"), source })
    }
}

/// There where somebody is about to remove the container.
fn unwanted(dirs: &Dirs) -> PathBuf {
    dirs.run.join("unwanted")
}

/// Where record and config lie.
pub(super) fn home(dirs: &Dirs, auto_remove: bool) -> &Path {
    if auto_remove { &dirs.run } else { &dirs.disk }
}

pub(super) fn read_live(dirs: &Dirs) -> Option<Live> {
    serde_json::from_slice(&whole(&dirs.run.join("live.json"))?).ok()
}

/// Wherever it lies: on the disk mostly, which is looked at first.
pub(super) fn read(dirs: &Dirs) -> Option<Record> {
    read_record(&dirs.disk).or_else(|| read_record(&dirs.run))
}

pub(super) fn read_record(directory: &Path) -> Option<Record> {
    serde_json::from_slice(&whole(&directory.join("record.json"))?).ok()
}

/// Wherever it lies, with what is read of its settings in the same go; those that cannot be read are as if they were not there.
pub(super) fn read_as<S: DeserializeOwned + Default>(dirs: &Dirs) -> Option<Record<S>> {
    [&dirs.disk, &dirs.run].into_iter().find_map(|directory| {
        let text = whole(&directory.join("record.json"))?;
        let unread = || serde_json::from_slice::<Record<IgnoredAny>>(&text).ok();
        serde_json::from_slice(&text).ok().or_else(|| Some(unread()?.exchange(S::default()).0))
    })
}

/// The content of one of our own files, which is mostly one read: who lists containers reads two of each.
fn whole(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut content = Vec::with_capacity(8 << 10);
    loop {
        let room = content.capacity() - content.len();
        // Of a file that nobody changes, less than there is room for is all that there is left.
        match rustix::io::read(&file, spare_capacity(&mut content)) {
            Ok(length) if length < room => return Some(content),
            Ok(_) => content.reserve(content.len()),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
