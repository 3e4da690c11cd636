//! Paths of an image, resolved inside the container's root: by descriptor, by openat2(2), never by name from outside.
//!
//! Everything in an image is hostile: its `/etc` may be a link to `/proc/self/fd/7`, its `/proc` a link to `/etc`. Callers
//! get a descriptor of the very thing that was found, and mount on that.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::{Result, op};

/// How links on the way are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Followed, inside the root.
    Inside,
    /// Refused (`ELOOP`): for the places the kernel's own file systems go to.
    Refused,
}

impl Links {
    fn flags(self) -> ResolveFlags {
        match self {
            Links::Inside => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            Links::Refused => ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
        }
    }
}

/// Refers to `path` inside `root` without opening it.
///
/// # Errors
/// What openat2(2) (Linux 5.6) answered.
pub fn open_path(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<OwnedFd> {
    op!(("openat2(ROOT, {path:?}, O_PATH, {})", Name(links)), ("exec 3<ROOT{}", path.display()), || openat2(
        root,
        path,
        OFlags::PATH,
        links
    ))
}

/// Opens a regular file inside `root` to read it; nothing but a regular file, and without waiting for a fifo's writer.
///
/// # Errors
/// What openat2(2) answered; `EINVAL` for anything but a regular file.
pub fn open_file(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    op!(("openat2(ROOT, {path:?}, O_RDONLY, IN_ROOT)"), ("exec 3<ROOT{}", path.display()), || {
        let file = openat2(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Links::Inside)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if kind == FileType::RegularFile {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    })
}

/// What a mount is placed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A directory; made (0755) where missing.
    Directory,
    /// Anything but a directory; an empty file is made where missing.
    File,
}

/// Refers to the place of a mount inside `root`, made where missing, with the directories above it.
///
/// # Errors
/// What openat2(2), mkdirat(2) answered; `ENOTDIR` or `EISDIR` where something of the other kind is there.
pub fn mount_point(root: BorrowedFd<'_>, path: &Path, target: Target, links: Links) -> Result<OwnedFd> {
    op!(
        ("openat2(ROOT, {path:?}, O_PATH, {}), made where missing", Name(links)),
        ("mkdir -p ROOT{}", path.display()),
        || {
            let found = match openat2(root, path, OFlags::PATH, links) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => make(root, path, target, links)?,
                other => other?,
            };
            let directory =
                FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Directory;
            match (target, directory) {
                (Target::Directory, false) => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
                (Target::File, true) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
                _ => Ok(found),
            }
        }
    )
}

/// Makes a directory inside `root` and those above it, where missing: mode 0755, owned by who asks.
///
/// # Errors
/// What openat2(2) or mkdirat(2) answered.
pub fn make_dirs(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    mount_point(root, path, Target::Directory, Links::Inside)
}

fn make(root: BorrowedFd<'_>, path: &Path, target: Target, links: Links) -> io::Result<OwnedFd> {
    let names: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let Some((last, parents)) = names.split_last() else {
        return openat2(root, Path::new("/"), OFlags::PATH, links);
    };
    // One directory at a time, each resolved from the root again, so that a link in the middle leads inside.
    let mut walked = std::path::PathBuf::from("/");
    for name in parents {
        let parent = openat2(root, &walked, OFlags::PATH | OFlags::DIRECTORY, links)?;
        walked.push(name);
        if openat2(root, &walked, OFlags::PATH, links).is_err() {
            exists_already(rustix::fs::mkdirat(&parent, *name, Mode::from_raw_mode(0o755)))?;
        }
    }
    let parent = openat2(root, &walked, OFlags::PATH | OFlags::DIRECTORY, links)?;
    match target {
        Target::Directory => exists_already(rustix::fs::mkdirat(&parent, *last, Mode::from_raw_mode(0o755)))?,
        Target::File => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            exists_already(rustix::fs::openat(&parent, *last, flags, Mode::from_raw_mode(0o644)).map(drop))?;
        }
    }
    openat2(root, path, OFlags::PATH, links)
}

fn exists_already(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if result == Err(rustix::io::Errno::EXIST) { Ok(()) } else { result }
}

/// Opens a file below a mount of procfs that we made ourselves, crossing into nothing else, and checks that it is procfs:
/// a redirected write would end in a file of the image's choice.
///
/// # Errors
/// What openat2(2) answered; `EXDEV` where the file is not procfs's.
pub fn write_proc(proc: BorrowedFd<'_>, path: &Path, value: &str) -> Result<()> {
    op!(
        ("write(PROC/{}, {value:?})", path.display()),
        ("echo '{}' >/proc/{}", value.trim_end(), path.display()),
        || {
            const PROC_SUPER_MAGIC: i64 = 0x9fa0; // linux/magic.h
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let file =
                rustix::fs::openat2(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)?;
            if rustix::fs::fstatfs(&file)?.f_type != PROC_SUPER_MAGIC {
                return Err(io::Error::from_raw_os_error(libc::EXDEV));
            }
            rustix::io::write(&file, value.as_bytes())?;
            Ok(())
        }
    )
}

/// Whether the file that `fd` refers to is the character device `major`:`minor`.
///
/// # Errors
/// What fstat(2) answered.
pub fn is_char_device(fd: BorrowedFd<'_>, major: u32, minor: u32) -> io::Result<bool> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(major, minor))
}

/// Whether `fd` refers to the root of a mounted tmpfs (statx(2), `STATX_ATTR_MOUNT_ROOT`, Linux 5.8).
///
/// # Errors
/// What fstatfs(2) or statx(2) answered.
pub fn is_tmpfs_root(fd: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::fs::{StatxAttributes, StatxFlags};
    const TMPFS_MAGIC: i64 = 0x0102_1994; // linux/magic.h
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    Ok(rustix::fs::fstatfs(fd)?.f_type == TMPFS_MAGIC
        && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn openat2(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    // The kernel answers EAGAIN where a rename went on elsewhere while it resolved (openat2(2)).
    for _ in 0..64 {
        match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), links.flags()) {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

struct Name(Links);
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Links::Inside => "RESOLVE_IN_ROOT",
            Links::Refused => "RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS",
        })
    }
}
