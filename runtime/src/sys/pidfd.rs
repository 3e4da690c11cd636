//! Processes by descriptor: a pid can be given to somebody else, a pidfd cannot (pidfd_open(2), Linux 5.3).
#![expect(unsafe_code, reason = "PIDFD_GET_INFO has no safe wrapper")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::{Result, op};

/// A descriptor of a process.
///
/// # Errors
/// What pidfd_open(2) answered: `ESRCH` where there is no such process.
pub fn open(pid: Pid) -> Result<OwnedFd> {
    let number = pid.as_raw_nonzero();
    op!(("pidfd_open({number})"), ("# the process {number}, held"), || rustix::process::pidfd_open(
        pid,
        PidfdFlags::empty()
    ))
}

/// Sends a signal. `pid` is how the narrator calls the process.
///
/// # Errors
/// What pidfd_send_signal(2) answered: `ESRCH` where the process has ended.
pub fn send_signal(pidfd: BorrowedFd<'_>, pid: i32, signal: i32) -> Result<()> {
    let name = super::signal::name(signal);
    op!(("pidfd_send_signal(PIDFD of {pid}, {name})"), ("kill -{signal} {pid}"), || {
        match Signal::from_named_raw(signal) {
            Some(signal) => rustix::process::pidfd_send_signal(pidfd, signal),
            None => super::signal::send_realtime(pidfd, signal),
        }
    })
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By exit(2).
    Exited(i32),
    /// By a signal.
    Signaled(i32),
}

impl Ending {
    /// What a shell makes of it: 128+n for a signal.
    pub fn code(self) -> i32 {
        match self {
            Ending::Exited(code) => code,
            Ending::Signaled(signal) => 128 + signal,
        }
    }
}

/// How a process ended, child or not, that was held before it ended; `None` while it runs, and before Linux 6.15
/// (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, linux/pidfd.h).
pub fn ending(pidfd: BorrowedFd<'_>) -> Option<Ending> {
    /// `struct pidfd_info` as it was first, 64 bytes.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const INFO_EXIT: u64 = 1 << 3;
    const GET_INFO: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<Info>(0xff, 11);
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel writes at most the 64 bytes that the request's number says, into a structure of that size.
    let asked = unsafe {
        let request = rustix::ioctl::Updater::<GET_INFO, Info>::new(&mut info);
        rustix::ioctl::ioctl(pidfd, request)
    };
    if asked.is_err() || info.mask & INFO_EXIT == 0 {
        return None;
    }
    let signal = info.exit_code & 0x7f;
    Some(if signal == 0 { Ending::Exited((info.exit_code >> 8) & 0xff) } else { Ending::Signaled(signal) })
}

/// Waits for a child's end and reaps it.
///
/// # Errors
/// What waitid(2) answered: `ECHILD` where it is not our child.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Ending> {
    op!(("waitid(P_PIDFD, WEXITED)"), ("wait PID"), || loop {
        match rustix::process::waitid(
            WaitId::PidFd(pidfd.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(0x4000_0000),
        ) {
            Ok(Some(status)) => {
                let signal = status.terminating_signal();
                let code = status.exit_status();
                return Ok(signal.map_or_else(|| Ending::Exited(code.unwrap_or(0)), Ending::Signaled));
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    })
}

/// Whether the process has ended, reaped or not.
pub fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polled = [rustix::event::PollFd::from_borrowed_fd(pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&now)) != Ok(0)
}

/// Refers to a process's root directory (proc_pid_root(5)), with that process's mounts.
///
/// # Errors
/// What open(2) answered: `ENOENT` where the process has ended.
pub fn open_root_of(pid: i32) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    op!(("open(\"/proc/{pid}/root\", O_PATH)"), ("exec 3</proc/{pid}/root"), || rustix::fs::open(
        format!("/proc/{pid}/root"),
        flags,
        Mode::empty()
    ))
}
