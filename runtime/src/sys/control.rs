//! Kernel files: one value a write, into files that the kernel made (cgroups(7), proc(5)); and descriptors of namespaces.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Result, op};

/// Opens a kernel file for writing and leaves it open: who opened it is what the kernel will judge.
///
/// # Errors
/// What openat(2) answered.
pub fn open_control_file(path: &Path) -> Result<OwnedFd> {
    op!(("open({path:?}, O_WRONLY)"), ("exec 3>{}", path.display()), || rustix::fs::open(
        path,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty()
    ))
}

/// A descriptor of one of a process's namespaces (namespaces(7)).
///
/// # Errors
/// What open(2) answered: `ENOENT` where there is no such process.
pub fn open_namespace(pid: rustix::process::Pid, kind: &str) -> Result<OwnedFd> {
    let pid = pid.as_raw_nonzero();
    op!(("open(\"/proc/{pid}/ns/{kind}\")"), ("exec 3</proc/{pid}/ns/{kind}"), || rustix::fs::open(
        format!("/proc/{pid}/ns/{kind}"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty()
    ))
}

/// Writes one value to a kernel file (cgroup, /proc): one write(2), no creation.
///
/// # Errors
/// What open(2) or write(2) answered.
pub fn write_control(path: &Path, value: &str) -> Result<()> {
    op!(("write({path:?}, {value:?})"), ("echo '{value}' >{}", path.display()), || {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, value.as_bytes()).map(drop)
    })
}

/// Writes one value to an open kernel file; `path` is how the narrator calls it.
///
/// # Errors
/// What write(2) answered.
pub fn write_open_control(file: BorrowedFd<'_>, value: &str, path: &Path) -> Result<()> {
    op!(("write({path:?}, {value:?})"), ("echo '{value}' >{}", path.display()), || rustix::io::write(
        file,
        value.as_bytes()
    )
    .map(drop))
}
