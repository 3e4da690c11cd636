//! Processes by descriptor: a pid can be given to somebody else, a pidfd cannot (pidfd_open(2), Linux 5.3).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
