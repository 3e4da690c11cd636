//! What fills a new directory by descriptor: device nodes, links, empty files.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::{Result, op};

/// Makes a device node below an open directory.
///
/// # Errors
/// What mknodat(2) answered.
pub fn make_device_at(
    dir: BorrowedFd<'_>,
    name: &Path,
    kind: char,
    major: u32,
    minor: u32,
    mode: u32,
) -> Result<()> {
    let file_type = if kind == 'b' { FileType::BlockDevice } else { FileType::CharacterDevice };
    op!(
        ("mknodat(DEV, {name:?}, {kind} {major}:{minor}, {mode:#o})"),
        ("mknod -m {mode:o} {} {kind} {major} {minor}", name.display()),
        || rustix::fs::mknodat(
            dir,
            name,
            file_type,
            Mode::from_raw_mode(mode),
            rustix::fs::makedev(major, minor)
        )
    )
}

/// Makes a symbolic link below an open directory.
///
/// # Errors
/// What symlinkat(2) answered.
pub fn make_link_at(dir: BorrowedFd<'_>, name: &Path, target: &Path) -> Result<()> {
    op!(("symlinkat({target:?}, DEV, {name:?})"), ("ln -s {} {}", target.display(), name.display()), || {
        rustix::fs::symlinkat(target, dir, name)
    })
}

/// Makes an empty file below an open directory.
///
/// # Errors
/// What openat(2) answered.
pub fn make_file_at(dir: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    op!(("openat(DIR, {name:?}, O_CREAT)"), ("touch {}", name.display()), || rustix::fs::openat(
        dir,
        name,
        flags,
        Mode::from_raw_mode(mode)
    )
    .map(drop))
}

/// Makes a file below an open directory, with its content, for somebody; nothing is told of what it says.
///
/// # Errors
/// What openat(2), write(2), fchown(2) or fchmod(2) answered: `EEXIST` where there is one.
pub fn make_file_for(
    dir: BorrowedFd<'_>,
    name: &Path,
    content: &[u8],
    mode: u32,
    uid: u32,
    gid: u32,
) -> Result<()> {
    let length = content.len();
    op!(
        ("openat(DIR, {name:?}, O_CREAT|O_EXCL), write({length} bytes), fchown({uid}, {gid}), fchmod({mode:#o})"),
        ("install -m {mode:o} -o {uid} -g {gid} … {}", name.display()),
        || {
            use std::os::fd::AsFd;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?;
            super::fs::write_all(file.as_fd(), content)?;
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            Ok::<_, std::io::Error>(())
        }
    )
}
