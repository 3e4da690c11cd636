//! Files of lines that are appended to, by several processes and after any of them was killed.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Result, op};

/// Opens a file to append to it, and to see how it ends; made where missing.
///
/// # Errors
/// What open(2) answered.
pub fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    op!(("open({path:?}, O_APPEND|O_CREAT)"), ("exec 3>>{}", path.display()), || rustix::fs::open(
        path,
        flags,
        Mode::from_raw_mode(0o640)
    ))
}

/// Whether a file of lines ends with the end of one, or has none: what was killed or had no more room leaves half a line.
pub fn ends_a_line(file: BorrowedFd<'_>) -> bool {
    let mut last = [0];
    let size = rustix::fs::fstat(file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
    // What cannot be read is taken as it should be.
    size == 0 || !matches!(rustix::io::pread(file, &mut last, size - 1), Ok(1)) || last == *b"\n"
}
