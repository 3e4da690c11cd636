//! A container's end of a copy. Its paths are its own, and so is everything that lies there: they are looked up inside its
//! root, by descriptor, and it may change them meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use image::IdKind;
use oci_spec::runtime::Spec;
use runtime::files;
use runtime::plan::{IdMap, InitPlan, RootPlan, container_id, host_id};
use runtime::record::{Live, Record, Status};
use runtime::state::Entry;
use runtime::sys;
use runtime::sys::confined::{self, Links};
use runtime::sys::ns::Kinds;
use rustix::fs::{FileType, StatVfsMountFlags};

use super::path::{End, Typed};
use crate::context::Context;
use crate::output;
use crate::own_root::{self, Ids};
use crate::plan::values::normal;
use crate::settings::Settings;

/// A container whose files can be looked at.
pub(crate) struct Opened {
    name: String,
    record: Record,
    root: OwnedFd,
    /// What its users and groups are on the host, where they are others there.
    maps: Option<(Vec<IdMap>, Vec<IdMap>)>,
    is_running: bool,
    /// Nobody starts or removes it meanwhile, and its image stays.
    _held: Option<(OwnedFd, image::Pin)>,
}

/// Something that was found, and is held.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) held: OwnedFd,
    pub(super) is_directory: bool,
}

/// Opens a container's files with everything that is mounted there: for `cp`.
///
/// # Errors
/// Where there is no such container, or it changes too fast; what the kernel answered.
pub(crate) fn open(context: &Context, word: &str) -> Result<Opened> {
    let running = |entry: &Entry, live: &Live| {
        let init = crate::commands::open_init(entry, live.init)?;
        Ok(files::of_running(init.as_fd(), live.init.pid)?)
    };
    let stopped = |entry: &Entry, plan: &InitPlan| {
        let mut seen = |source: &Path| {
            let own = source.starts_with(&entry.dirs.run);
            let there = source.exists();
            if !there && !own {
                output::warn(&format!(
                    "{} is not there: what was bound from it is not seen",
                    source.display()
                ));
            }
            there && !own
        };
        Ok(files::of_stopped(plan, &mut seen)?)
    };
    open_by(context, word, &running, &stopped)
}

/// Opens a container's own files, without what is mounted there: for `export`.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_alone(context: &Context, word: &str) -> Result<Opened> {
    let running = |entry: &Entry, live: &Live| {
        let init = crate::commands::open_init(entry, live.init)?;
        Ok(files::root_of_running(init.as_fd())?)
    };
    open_by(context, word, &running, &|_, plan| Ok(files::root_of_stopped(plan)?))
}

type Running<'a> = &'a dyn Fn(&Entry, &Live) -> Result<OwnedFd>;
type Stopped<'a> = &'a dyn Fn(&Entry, &InitPlan) -> Result<OwnedFd>;

fn open_by(context: &Context, word: &str, running: Running<'_>, stopped: Stopped<'_>) -> Result<Opened> {
    // It may start or end between the question and the look.
    const ATTEMPTS: usize = 5;
    let state = context.state();
    for _ in 0..ATTEMPTS {
        let entry = state.find(word)?;
        let spec: Spec =
            serde_json::from_slice(&entry.config()?).context("the container's config is damaged")?;
        let name = word.to_owned();
        if let (Status::Running { .. }, Some(live)) = (&entry.status, &entry.live) {
            let root = match running(&entry, live) {
                Err(_) if ends(&entry) => continue,
                root => root?,
            };
            let (namespaces, uids, gids) = runtime::plan::world_of(&spec);
            let maps = namespaces.contains(Kinds::USER).then_some((uids, gids));
            return Ok(Opened { name, record: entry.record, root, maps, is_running: true, _held: None });
        }
        let Some(lock) = crate::commands::lock_at_rest(&state, &entry.record.id)? else { continue };
        let Some(entry) = state.load(&entry.record.id)? else { continue };
        if matches!(entry.status, Status::Running { .. }) {
            continue;
        }
        let (image, pin) = context.image_of(&entry.record)?;
        let ids = own_root::ids(&entry.dirs.disk)?;
        ensure!(
            ids.is_some() || !own_root::is_wanted(context)?,
            "container {word} has no copy of its image yet: mini start makes one"
        );
        let plan = plan(context, &entry, &spec, &image)?;
        let root = stopped(&entry, &plan)?;
        return Ok(Opened {
            name,
            record: entry.record,
            root,
            maps: ids.filter(|ids| *ids != Ids::default()).map(|Ids { users, groups }| (users, groups)),
            is_running: false,
            _held: Some((lock, pin)),
        });
    }
    bail!("container {word} is being started again: try again when it runs")
}

/// Whether it ends within a moment: a process loses its root before it can be seen to have ended.
fn ends(entry: &Entry) -> bool {
    for _ in 0..100 {
        if !crate::commands::still_runs(entry) {
            return true;
        }
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let _interrupted = rustix::thread::nanosleep(&pause);
    }
    false
}

/// A container that does not run, as it would be made.
fn plan(context: &Context, entry: &Entry, spec: &Spec, image: &image::Image) -> Result<InitPlan> {
    let read_only = spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
    let layers = crate::prepare::layers(&context.state(), image)?;
    let scratch = entry.dirs.disk.clone();
    let copied = own_root::is_there(&scratch);
    let root = RootPlan { layers, scratch, copied, volatile: false, read_only };
    let mut plan = runtime::plan::plan(spec, root)?;
    if let Some(request) = Settings::of(&entry.record).request {
        crate::prepare::storage::look_inside(&mut plan, &request);
    }
    Ok(plan)
}

impl Opened {
    /// What is written down of it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Its root.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// What a host's id is inside.
    pub(crate) fn id_inside(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.map(kind).map_or(Some(id), |map| container_id(map, id))
    }

    fn map(&self, kind: IdKind) -> Option<&[IdMap]> {
        let (uids, gids) = self.maps.as_ref()?;
        Some(if kind == IdKind::Uid { uids } else { gids })
    }

    /// What a container's id is on the host.
    pub(super) fn id_outside(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.map(kind).map_or(Some(id), |map| host_id(map, id))
    }

    /// Whether both ids of the host's are some inside.
    pub(super) fn knows(&self, uid: u32, gid: u32) -> bool {
        self.id_inside(IdKind::Uid, uid).is_some() && self.id_inside(IdKind::Gid, gid).is_some()
    }

    /// The host's ids of its root.
    pub(super) fn root_ids(&self) -> (u32, u32) {
        // Every user namespace of ours has them.
        let root = |kind| self.id_outside(kind, 0).unwrap_or(0);
        (root(IdKind::Uid), root(IdKind::Gid))
    }

    /// `CONTAINER:PATH`.
    pub(super) fn shown(&self, path: &Path) -> String {
        format!("{}:{}", self.name, path.display())
    }

    /// What is no content of the container's: its `/dev`.
    pub(super) fn left_empty(&self) -> Vec<(u64, u64)> {
        if !self.is_running {
            return Vec::new();
        }
        let dev = confined::open_path(self.root(), Path::new("/dev"), Links::Refused);
        let stat = dev.ok().and_then(|dev| rustix::fs::fstat(&dev).ok());
        stat.map(|stat| (stat.st_dev, stat.st_ino)).into_iter().collect()
    }

    fn missing(&self, path: &Path) -> anyhow::Error {
        anyhow::anyhow!("could not find the file {} in container {}", path.display(), self.name)
    }

    /// What is to be copied: a link itself, unless what was typed goes through it.
    ///
    /// # Errors
    /// Where it is not there, or no directory and typed as one.
    pub(super) fn find(&self, typed: &Typed, follow: bool) -> Result<Found> {
        let held = match follow || typed.is_directory {
            true => confined::open_path(self.root(), &typed.path, Links::Inside),
            false => self.hold(&typed.path),
        };
        let held = match held {
            Err(error) if error.errno() == libc::ENOENT => return Err(self.missing(&typed.path)),
            held => held?,
        };
        let is_directory = sys::fs::is_directory(held.as_fd())?;
        ensure!(is_directory || !typed.is_directory, "{} is not a directory", self.shown(&typed.path));
        Ok(Found { held, is_directory })
    }

    /// Holds what a path names; a link at its end itself, those on the way followed inside.
    fn hold(&self, path: &Path) -> Result<OwnedFd, runtime::op::OpError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return confined::open_path(self.root(), path, Links::Inside);
        };
        let parent = confined::open_path(self.root(), parent, Links::Inside)?;
        sys::fs::open_path_at(parent.as_fd(), Path::new(name))
    }

    /// Where something goes. A link stands for what it leads to inside, whether that is there or not.
    ///
    /// # Errors
    /// Something that is neither a file nor a directory; links that lead in a circle.
    pub(super) fn destination(&self, typed: &Typed) -> Result<End> {
        let end = |path: PathBuf, exists, is_directory| End {
            path,
            exists,
            is_directory,
            wants_directory: typed.is_directory,
            is_content: typed.is_content,
        };
        let mut path = typed.path.clone();
        // As many as Linux follows (path_resolution(7)).
        for _ in 0..40 {
            let held = match self.hold(&path) {
                // Whether its parent is there is seen when something is put into it.
                Err(error) if matches!(error.errno(), libc::ENOENT | libc::ENOTDIR) => {
                    return Ok(end(path, false, false));
                }
                held => held?,
            };
            let stat = rustix::fs::fstat(&held).context("fstat")?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(&held, "", Vec::new()).context("readlinkat")?;
                    let target =
                        <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(target.to_bytes());
                    path = normal(&path.parent().unwrap_or(Path::new("/")).join(target));
                }
                FileType::Directory => return Ok(end(path, true, true)),
                FileType::RegularFile => return Ok(end(path, true, false)),
                _ => bail!("destination {:?} must be a directory or a regular file", self.shown(&typed.path)),
            }
        }
        bail!("too many symbolic links in {}", self.shown(&typed.path))
    }

    /// The directory into which something is put; where nothing can be, that is said before anything is tried.
    ///
    /// # Errors
    /// Where it is not there, no directory, or read-only.
    pub(super) fn open_destination(&self, path: &Path) -> Result<OwnedFd> {
        let held = match confined::open_path(self.root(), path, Links::Inside) {
            Err(error) if error.errno() == libc::ENOENT => return Err(self.missing(path)),
            held => held?,
        };
        ensure!(
            sys::fs::is_directory(held.as_fd())?,
            "extraction point is not a directory: {}",
            self.shown(path)
        );
        let opened = sys::fs::open_layer_at(held.as_fd(), Path::new("."))?;
        let is_read_only = |fd: BorrowedFd<'_>| {
            rustix::fs::fstatvfs(fd).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
        };
        if is_read_only(opened.as_fd()) {
            let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
            match device(opened.as_fd()) == device(self.root()) {
                true => bail!("container rootfs is marked read-only"),
                false => bail!("mounted volume is marked read-only: {}", self.shown(path)),
            }
        }
        Ok(opened)
    }
}
