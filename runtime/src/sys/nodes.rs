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
