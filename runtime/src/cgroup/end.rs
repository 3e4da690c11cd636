//! The end of all processes of a group: where they share a pid namespace with others, nothing ends them with the first one.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::process::Pid;

use super::Layout;
use crate::op::OpError;
use crate::sys::control::write_control;
use crate::sys::pidfd;

/// How long processes may take to end: one in an uninterruptible wait comes late. In steps of a millisecond.
const PATIENCE: u32 = 10_000;

impl Layout {
    /// Kills every process in the container's groups, and waits until none is left.
    ///
    /// # Errors
    /// What write(2) or pidfd_send_signal(2) answered; `ETIMEDOUT` where a process does not end.
    pub fn end_processes(&self, path: &Path) -> Result<(), OpError> {
        for _ in 0..PATIENCE {
            let pids: Vec<i32> = self.directories(path).iter().flat_map(|top| members(top)).collect();
            if pids.is_empty() {
                return Ok(());
            }
            self.kill(path, &pids)?;
            // An interrupted pause is a shorter pause.
            let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let _interrupted = rustix::thread::nanosleep(&pause);
        }
        let source = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        Err(OpError { call: format!("kill(everything in {path:?})"), source })
    }

    fn kill(&self, path: &Path, pids: &[i32]) -> Result<(), OpError> {
        if let Layout::V2(root) = self {
            let all = root.join(path).join("cgroup.kill"); // Linux 5.14
            if all.exists() {
                return write_control(&all, "1");
            }
        }
        // A frozen process ignores SIGKILL on version 1.
        self.thaw(path)?;
        for number in pids {
            let Some(held) = Pid::from_raw(*number).and_then(|pid| pidfd::open(pid).ok()) else { continue };
            // Asked after it is held: from here on the number is this process's.
            if !is_member(*number, path) {
                continue;
            }
            match pidfd::send_signal(held.as_fd(), *number, libc::SIGKILL) {
                Err(error) if error.errno() != libc::ESRCH => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Processes of a group, and of those that the container made below it.
fn members(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let own = text.lines().filter_map(|line| line.trim().parse().ok());
    own.chain(super::subdirectories(directory).iter().flat_map(|below| members(below))).collect()
}

/// Whether a process is in that group, or below it, of any hierarchy.
fn is_member(pid: i32, path: &Path) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let group = Path::new("/").join(path);
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|of| Path::new(of).starts_with(&group))
}
