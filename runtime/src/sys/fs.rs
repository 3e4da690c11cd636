//! Files that mini itself writes: whole or not at all, locked by flock(2), removed without following anything.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};

use super::removal::gone;
use super::{Result, op};

/// Makes a directory.
///
/// # Errors
/// What mkdir(2) answered.
pub fn make_dir(path: &Path, mode: u32) -> Result<()> {
    op!(("mkdir({path:?}, {mode:#o})"), ("mkdir -m {mode:o} {}", path.display()), || rustix::fs::mkdirat(
        CWD,
        path,
        Mode::from_raw_mode(mode)
    ))
}

/// Makes a directory below an open one.
///
/// # Errors
/// What mkdirat(2) answered.
pub fn make_dir_at(dir: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<()> {
    op!(("mkdirat(DIR, {name:?}, {mode:#o})"), ("mkdir -m {mode:o} {}", name.display()), || {
        rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))
    })
}

/// Makes a directory and those above it, where missing; they are private to root (0700).
///
/// # Errors
/// What mkdir(2) answered.
pub fn make_dirs(path: &Path) -> Result<()> {
    match make_dir(path, 0o700) {
        Err(error) if error.errno() == libc::ENOENT => {
            if let Some(parent) = path.parent() {
                make_dirs(parent)?;
            }
            match make_dir(path, 0o700) {
                Err(error) if error.errno() == libc::EEXIST => Ok(()),
                other => other,
            }
        }
        Err(error) if error.errno() == libc::EEXIST && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Makes a directory and those above it, where missing, for everybody to enter (0755).
///
/// # Errors
/// What mkdir(2) answered.
pub fn make_dirs_public(path: &Path) -> Result<()> {
    op!(("mkdir({path:?}, 0o755), and those above it"), ("mkdir -p {}", path.display()), || {
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o755)
            .create(path)?;
        Ok::<_, io::Error>(())
    })
}

/// Lets everybody enter a directory that was made private (0755).
///
/// # Errors
/// What chmod(2) answered.
pub fn make_public(path: &Path) -> Result<()> {
    op!(("chmod({path:?}, 0o755)"), ("chmod 755 {}", path.display()), || {
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(0o755), AtFlags::empty())
    })
}

/// Opens a directory; nothing but a directory.
///
/// # Errors
/// What openat(2) answered.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    op!(("open({path:?}, O_DIRECTORY)"), ("exec 3<{}", path.display()), || rustix::fs::open(
        path,
        flags,
        Mode::empty()
    ))
}

/// Refers to a file or directory without opening it (`O_PATH`), following no last link.
///
/// # Errors
/// What openat(2) answered.
pub fn open_path_at(dir: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    op!(("openat(DIR, {path:?}, O_PATH|O_NOFOLLOW)"), ("exec 3<{}", path.display()), || rustix::fs::openat(
        dir,
        path,
        flags,
        Mode::empty()
    ))
}

/// Refers to a file or directory without opening it, following links.
///
/// # Errors
/// What openat(2) answered.
pub fn open_path_following(path: &Path) -> Result<OwnedFd> {
    op!(("open({path:?}, O_PATH)"), ("exec 3<{}", path.display()), || rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty()
    ))
}

/// Opens a directory below an idmapped one, as a layer for overlay: nothing but a directory, following no link.
///
/// # Errors
/// What openat(2) answered.
pub fn open_layer_at(dir: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::RDONLY;
    op!(("openat(SCRATCH, {name:?}, O_DIRECTORY)"), ("exec 3<{}", name.display()), || rustix::fs::openat(
        dir,
        name,
        flags,
        Mode::empty()
    ))
}

/// Opens what an `O_PATH` descriptor refers to, for reading and writing, through this process's own descriptor table.
///
/// # Errors
/// What open(2) answered.
pub fn reopen(descriptor: BorrowedFd<'_>) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    op!(("open({path:?}, O_RDWR)"), ("exec 3<>{path}"), || rustix::fs::open(
        path.as_str(),
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty()
    ))
}

/// Makes descriptor `taken` refer to what `file` refers to; what it referred to is closed (dup3(2)).
///
/// # Errors
/// What dup3(2) answered.
pub fn replace(file: &OwnedFd, taken: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::{AsRawFd, FromRawFd};
    #[expect(unsafe_code, reason = "the descriptor keeps its owner; dup3 only changes what it refers to")]
    // SAFETY: ManuallyDrop never closes it, so its owner stays the only one who does.
    let mut target = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(taken.as_raw_fd()) });
    rustix::io::dup3(file, &mut target, rustix::io::DupFlags::CLOEXEC)?;
    Ok(())
}

/// Removes the mark that a volatile overlay leaves in its work directory, where there is one.
///
/// # Errors
/// What the kernel answered.
pub fn remove_volatile_mark(mark: &Path) -> Result<()> {
    if rustix::fs::access(mark, rustix::fs::Access::EXISTS).is_ok() {
        super::removal::remove_tree(mark)
    } else {
        Ok(())
    }
}

/// How sure a written file is when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the page cache: survives the process, not a power loss.
    Cached,
    /// On the disk, with everything that the file system's journal held before it (fsync(2)).
    Synced,
}

/// Writes a file whole: to a temporary name beside it, then rename(2) over it.
///
/// # Errors
/// What open, write, fsync or rename answered; the file is then as it was.
pub fn write_whole(path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let sync = if durability == Durability::Synced { ", fsync" } else { "" };
    op!(
        ("write({path:?}.new, {} bytes){sync}, rename({path:?}.new, {path:?})", content.len()),
        ("cat >{0}.new && mv {0}.new {0}", path.display()),
        || {
            let mut temporary = path.as_os_str().to_owned();
            temporary.push(".new");
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::open(Path::new(&temporary), flags, Mode::from_raw_mode(0o600))?;
            let written = write_all(file.as_fd(), content).and_then(|()| {
                if durability == Durability::Synced {
                    rustix::fs::fsync(&file)?;
                }
                Ok(rustix::fs::renameat(CWD, Path::new(&temporary), CWD, path)?)
            });
            written.inspect_err(|_| {
                // Where there is no room it takes none either.
                let _left = rustix::fs::unlink(Path::new(&temporary));
            })
        }
    )
}

/// Brings a file to the disk, with everything that the file system's journal held before (fsync(2)).
///
/// # Errors
/// What open or fsync answered.
pub fn sync(path: &Path) -> Result<()> {
    op!(("fsync({path:?})"), ("sync {}", path.display()), || {
        let file =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        rustix::fs::fsync(&file)
    })
}

/// Makes a file that must not exist yet, with its content.
///
/// # Errors
/// What open (`EEXIST` where it exists) or write answered.
pub fn create_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    op!(
        ("open({path:?}, O_CREAT|O_EXCL, {mode:#o}), write({} bytes)", content.len()),
        ("set -C; cat >{}", path.display()),
        || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))?;
            write_all(file.as_fd(), content).inspect_err(|_| {
                // Half a file is none: there may be no room for more.
                let _left = rustix::fs::unlink(path);
            })
        }
    )
}

/// Writes a file with its content for somebody; where there is one, it is written anew.
///
/// # Errors
/// What open, fchown or write answered.
pub fn write_for(path: &Path, content: &[u8], mode: u32, uid: u32, gid: u32) -> Result<()> {
    op!(
        ("open({path:?}, O_CREAT|O_TRUNC, {mode:#o}), fchown({uid}, {gid}), write({} bytes)", content.len()),
        ("cat >{0}; chown {uid}:{gid} {0}", path.display()),
        || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))?;
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
            write_all(file.as_fd(), content)
        }
    )
}

/// Renames.
///
/// # Errors
/// What rename(2) answered.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    op!(("rename({from:?}, {to:?})"), ("mv {} {}", from.display(), to.display()), || rustix::fs::renameat(
        CWD, from, CWD, to
    ))
}

/// Removes a file; one that is gone already is no error.
///
/// # Errors
/// What unlink(2) answered.
pub fn remove_file(path: &Path) -> Result<()> {
    op!(("unlink({path:?})"), ("rm -f {}", path.display()), || gone(rustix::fs::unlinkat(
        CWD,
        path,
        AtFlags::empty()
    )))
}

/// Removes an empty directory; one that is gone already is no error.
///
/// # Errors
/// What rmdir(2) answered.
pub fn remove_dir(path: &Path) -> Result<()> {
    op!(("rmdir({path:?})"), ("rmdir {}", path.display()), || gone(rustix::fs::unlinkat(
        CWD,
        path,
        AtFlags::REMOVEDIR
    )))
}

/// Takes an flock(2) on a directory or file, held until the descriptor is dropped; `None` where somebody else holds it.
///
/// # Errors
/// What open(2) or flock(2) answered.
pub fn try_lock(path: &Path) -> Result<Option<OwnedFd>> {
    op!(("flock({path:?}, LOCK_EX|LOCK_NB)"), ("flock --nonblock {} …", path.display()), || {
        let file =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno),
        }
    })
}

/// Waits for an flock(2) on a file or directory that is there; held until the descriptor is dropped.
///
/// # Errors
/// What open(2) or flock(2) answered.
pub fn lock(path: &Path) -> Result<OwnedFd> {
    op!(("flock({path:?}, LOCK_EX)"), ("flock {} …", path.display()), || {
        let file =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map(|()| file)
    })
}

/// Gives a file another name, on the same file system: both are the same file.
///
/// # Errors
/// What link(2) answered: `EEXIST` where there is such a name.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    op!(("link({from:?}, {to:?})"), ("ln {} {}", from.display(), to.display()), || rustix::fs::linkat(
        CWD,
        from,
        CWD,
        to,
        AtFlags::empty()
    ))
}

/// Waits for an flock(2) on a lock file, made where missing; held until the descriptor is dropped.
///
/// # Errors
/// What open(2) or flock(2) answered.
pub fn lock_file(path: &Path, exclusive: bool) -> Result<OwnedFd> {
    let (name, operation) = if exclusive {
        ("LOCK_EX", FlockOperation::LockExclusive)
    } else {
        ("LOCK_SH", FlockOperation::LockShared)
    };
    op!(("flock({path:?}, {name})"), ("flock {} …", path.display()), || {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
        rustix::fs::flock(&file, operation)?;
        Ok::<_, io::Error>(file)
    })
}

/// Writes all of it.
///
/// # Errors
/// What write(2) answered.
pub fn write_all(file: BorrowedFd<'_>, mut content: &[u8]) -> io::Result<()> {
    while !content.is_empty() {
        match rustix::io::write(file, content) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => content = &content[length..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Whether a descriptor refers to a directory.
///
/// # Errors
/// What fstat(2) answered.
pub fn is_directory(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH);
    stat.map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        .map_err(|errno| super::OpError { call: "fstat(FD)".to_owned(), source: errno.into() })
}

/// Gives an open file to a user of this user namespace.
///
/// # Errors
/// What fchown(2) answered: `EPERM` where its present owner is not mapped here.
pub fn change_owner(fd: BorrowedFd<'_>, uid: u32, gid: Option<u32>) -> Result<()> {
    op!(("fchown(FD, {uid}, {gid:?})"), ("chown {uid} FILE"), || rustix::fs::fchown(
        fd,
        Some(rustix::fs::Uid::from_raw(uid)),
        gid.map(rustix::fs::Gid::from_raw)
    ))
}

/// Whether an open file has no name any more.
pub fn is_unlinked(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}
