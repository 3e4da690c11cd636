//! Removing whole directories, whatever a container has made of them.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::{Result, op};

/// Removes a file or a whole directory, following no links; what is gone already is no error.
///
/// # Errors
/// The first answer of the kernel that was an error; the rest is removed all the same.
pub fn remove_tree(path: &Path) -> Result<()> {
    op!(("unlinkat({path:?} and all below)"), ("rm -rf {}", path.display()), || {
        remove_entry(CWD, path.as_os_str())
    })
}

/// What is gone already is as good as removed.
pub(super) fn gone(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if result == Err(rustix::io::Errno::NOENT) { Ok(()) } else { result }
}

/// Directories this deep are moved up before they are removed: a container can make any number of them in each other, and each
/// costs two descriptors here.
const DEPTH_MAX: usize = 64;

fn remove_entry(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) => return gone(rustix::fs::unlinkat(dir, name, AtFlags::empty())),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let mut moved = 0;
    loop {
        let before = moved;
        let emptied = empty(top.as_fd(), top.as_fd(), 1, &mut moved);
        // What was moved up is there now, and is next.
        if emptied.is_err() || moved == before {
            return emptied.and(gone(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)));
        }
    }
}

/// Removes everything in a directory, which is `depth` directories below `top`'s parent.
fn empty(
    directory: BorrowedFd<'_>,
    top: BorrowedFd<'_>,
    depth: usize,
    moved: &mut usize,
) -> rustix::io::Result<()> {
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut first = Ok(());
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = entry.file_type();
        let is_directory = match kind {
            FileType::Directory => true,
            FileType::Unknown => rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            _ => false,
        };
        let removed = if !is_directory {
            gone(rustix::fs::unlinkat(directory, name, AtFlags::empty()))
        } else if depth < DEPTH_MAX {
            match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    rustix::fs::openat(directory, name, flags, Mode::empty())
                        .and_then(|below| empty(below.as_fd(), top, depth + 1, moved))
                        .and_then(|()| gone(rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)))
                }
                other => gone(other),
            }
        } else {
            *moved += 1;
            move_up(directory, name, top, *moved)
        };
        first = first.and(removed);
    }
    first
}

/// Gives a directory a name in `top` that nothing there has.
fn move_up(
    directory: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    number: usize,
) -> rustix::io::Result<()> {
    for attempt in 0..u32::MAX {
        let fresh = format!("deep.{number}.{attempt}");
        match rustix::fs::renameat_with(directory, name, top, &fresh, rustix::fs::RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            other => return other,
        }
    }
    Err(rustix::io::Errno::EXIST)
}
