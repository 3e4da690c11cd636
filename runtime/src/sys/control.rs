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
    op!(("write({path:?}, {value:?})"), ("echo '{}' >{}", value.trim_end(), path.display()), || {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, value.as_bytes()).map(drop)
    })
}

/// Writes one value to an open kernel file; `path` is how the narrator calls it.
///
/// # Errors
/// What write(2) answered.
pub fn write_open_control(file: BorrowedFd<'_>, value: &str, path: &Path) -> Result<()> {
    op!(("write({path:?}, {value:?})"), ("echo '{}' >{}", value.trim_end(), path.display()), || {
        rustix::io::write(file, value.as_bytes()).map(drop)
    })
}

/// Removes a control group that nothing is in; one that is gone already is no error.
///
/// # Errors
/// What rmdir(2) answered: `EBUSY` where tasks or groups are in it.
pub fn remove_idle_group(path: &Path) -> Result<()> {
    op!(("rmdir({path:?})"), ("rmdir {}", path.display()), || {
        super::removal::gone(rustix::fs::unlinkat(rustix::fs::CWD, path, rustix::fs::AtFlags::REMOVEDIR))
    })
}

/// Removes a control group, waiting for its last task to be buried; one that is gone already is no error.
///
/// # Errors
/// What rmdir(2) answered: `EBUSY` where tasks live in it.
pub fn remove_group(path: &Path) -> Result<()> {
    const MOST_ATTEMPTS: u32 = 200;
    op!(("rmdir({path:?}), again while EBUSY"), ("rmdir {}", path.display()), || {
        for attempt in 0.. {
            match rustix::fs::unlinkat(rustix::fs::CWD, path, rustix::fs::AtFlags::REMOVEDIR) {
                Err(rustix::io::Errno::NOENT) => break,
                Err(rustix::io::Errno::BUSY) if attempt < MOST_ATTEMPTS => {
                    // 50 µs at first, 3 ms at last: half a second in all.
                    let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000 << (attempt / 32) };
                    // An interrupted pause is a shorter pause.
                    let _interrupted = rustix::thread::nanosleep(&pause);
                }
                other => return other,
            }
        }
        Ok(())
    })
}
