//! What a container has changed in its files: its writable layer, held against those below (overlayfs.rst, "whiteouts and
//! opaque directories").
//!
//! Everything in the layers is hostile, and a running container goes on changing its own: nothing is opened by a path with
//! links in it.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::op::{OpError, step};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added,
    /// It was there; its content, its attributes or, of a directory, its entries are others.
    Changed,
    /// It was there, and is not any more.
    Deleted,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What became of it.
    pub kind: Kind,
    /// In the container, absolute.
    pub path: PathBuf,
}

/// Directories in directories deeper than this are not looked into: a container could make any number.
const DEPTH_MAX: usize = 512;

/// All changes below the root, a directory before its entries, by name.
///
/// `upper` is the writable layer, `lowers` are those below, topmost first.
///
/// # Errors
/// Where a layer cannot be read.
pub fn changes(upper: &Path, lowers: &[PathBuf]) -> Result<Vec<Change>, OpError> {
    step("Walk through the container's own layer, and look each file up in those below");
    let lowers = lowers.iter().map(|path| open_root(path)).collect::<Result<Vec<_>, _>>()?;
    let top = match open_root(upper) {
        // Nothing was ever written.
        Err(error) if error.errno() == libc::ENOENT => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    let mut judge = |path: &Path, stat: &Stat| {
        let kind = if is_whiteout(stat) {
            Kind::Deleted
        } else if is_below(&lowers, path) {
            Kind::Changed
        } else {
            Kind::Added
        };
        found.push(Change { kind, path: path.to_owned() });
    };
    walk(top.as_fd(), &mut PathBuf::from("/"), &mut judge).map_err(|errno| OpError {
        call: format!("getdents64({upper:?} and all below)"),
        source: errno.into(),
    })?;
    Ok(found)
}

/// Bytes of the files below a directory, each counted once however many names it has, as docker counts them; what cannot be
/// read counts nothing.
pub fn usage(directory: &Path) -> u64 {
    let mut bytes: u64 = 0;
    let mut linked = HashSet::new();
    let mut count = |_: &Path, stat: &Stat| {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_directory && (stat.st_nlink < 2 || linked.insert((stat.st_dev, stat.st_ino))) {
            bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        }
    };
    if let Ok(top) = open_root(directory) {
        let _partly = walk(top.as_fd(), &mut PathBuf::from("/"), &mut count);
    }
    bytes
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_root(path: &Path) -> Result<OwnedFd, OpError> {
    rustix::fs::open(path, DIRECTORY, Mode::empty())
        .map_err(|errno| OpError { call: format!("open({path:?}, O_DIRECTORY)"), source: errno.into() })
}

/// Names in a directory, sorted, with what each is.
fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<(std::ffi::CString, Stat)>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() == c"." || name.as_c_str() == c".." {
            continue;
        }
        match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            stat => all.push((name, stat?)),
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

/// Shows everything below a directory, each before what is in it; `path` is the directory's own, and is so again afterwards.
fn walk(
    directory: BorrowedFd<'_>,
    path: &mut PathBuf,
    seen: &mut dyn FnMut(&Path, &Stat),
) -> rustix::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    for (name, stat) in entries(directory)? {
        path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
        seen(path, &stat);
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_directory && path.components().count() < DEPTH_MAX {
            match rustix::fs::openat(directory, &name, DIRECTORY, Mode::empty()) {
                // Replaced or removed meanwhile: then that is the truth.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                below => walk(below?.as_fd(), path, seen)?,
            }
        }
        path.pop();
    }
    Ok(())
}

/// A character device 0:0 stands for nothing.
fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether the container saw this path before it wrote anything: the first layer that knows decides.
fn is_below(lowers: &[OwnedFd], path: &Path) -> bool {
    let relative = path.strip_prefix("/").unwrap_or(path);
    for lower in lowers {
        match look(lower.as_fd(), relative) {
            Ok(file) => return rustix::fs::fstat(&file).is_ok_and(|stat| !is_whiteout(&stat)),
            Err(Errno::NOENT) if !hides(lower.as_fd(), relative) => {}
            // Hidden by a whiteout, an opaque directory, a link or a file in the place of a directory.
            Err(_) => return false,
        }
    }
    false
}

fn look(layer: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(layer, path, flags, Mode::empty(), resolve) {
        // The last part may be a link: then it is there all the same.
        Err(Errno::LOOP) => {
            let (parent, name) =
                (path.parent().unwrap_or(Path::new("")), path.file_name().ok_or(Errno::INVAL)?);
            if parent.as_os_str().is_empty() {
                return rustix::fs::openat(layer, name, flags, Mode::empty());
            }
            let parent =
                rustix::fs::openat2(layer, parent, flags | OFlags::DIRECTORY, Mode::empty(), resolve)?;
            rustix::fs::openat(&parent, name, flags, Mode::empty())
        }
        other => other,
    }
}

/// Whether a directory on the way is opaque in this layer: then nothing below it in lower layers is seen.
fn hides(layer: BorrowedFd<'_>, path: &Path) -> bool {
    path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).any(|above| {
        let Ok(directory) = look(layer, above) else { return false };
        let is_whiteout = rustix::fs::fstat(&directory).is_ok_and(|stat| is_whiteout(&stat));
        let mut value = [0u8; 4];
        // A descriptor that only names a file has no attributes; its name in /proc has.
        let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&directory));
        let opaque = rustix::fs::getxattr(name, "trusted.overlay.opaque", &mut value[..]);
        is_whiteout || opaque.is_ok_and(|length| value.get(..length) == Some(b"y"))
    })
}

impl From<Kind> for char {
    fn from(kind: Kind) -> char {
        match kind {
            Kind::Added => 'A',
            Kind::Changed => 'C',
            Kind::Deleted => 'D',
        }
    }
}
