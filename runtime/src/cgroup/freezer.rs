//! The freezer: all processes of a container stand still, and go on (cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst,
//! "cgroup.freeze", Linux 5.2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Layout;
use crate::op::OpError;
use crate::sys::control::write_control;

/// How long processes may take to stand still: one in an uninterruptible wait comes late. In steps of a millisecond.
const PATIENCE: u32 = 10_000;

impl Layout {
    /// Lets no process of the container's group run any more, and waits until none does.
    ///
    /// # Errors
    /// What write(2) or read(2) answered; `ETIMEDOUT` where a process does not stand still, and all go on then; `ECANCELED`
    /// where somebody let them go on meanwhile.
    pub fn freeze(&self, path: &Path) -> Result<(), OpError> {
        let Some((file, frozen, thawed)) = self.switch(path) else {
            let source = io::Error::from_raw_os_error(libc::ENOTSUP);
            return Err(OpError { call: "write(\"freezer.state\", \"FROZEN\")".to_owned(), source });
        };
        let failed = |source| OpError { call: format!("write({file:?}, {frozen:?})"), source };
        write_control(&file, frozen)?;
        for _ in 0..PATIENCE {
            if self.stands_still(path) {
                return Ok(());
            }
            // A group goes with its container, and what somebody else has written nobody waits for any more.
            if fs::read_to_string(&file).map_err(failed)?.trim() == thawed {
                return Err(failed(io::Error::from_raw_os_error(libc::ECANCELED)));
            }
            // An interrupted pause is a shorter pause.
            let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let _interrupted = rustix::thread::nanosleep(&pause);
        }
        write_control(&file, thawed)?;
        Err(failed(io::Error::from_raw_os_error(libc::ETIMEDOUT)))
    }

    /// Lets processes of the container's group go on where they were frozen: a frozen one ignores SIGKILL on version 1.
    ///
    /// # Errors
    /// What write(2) answered.
    pub fn thaw(&self, path: &Path) -> Result<(), OpError> {
        match self.switch(path) {
            Some((file, _, thawed)) if self.is_frozen(path) => write_control(&file, thawed),
            _ => Ok(()),
        }
    }

    /// Whether a group may be frozen whose first process stands so (proc_pid_stat(5)): on version 1 what is held by the freezer is
    /// seen as waiting for a disk, or has been stopped before.
    pub fn may_be_frozen(&self, state: char) -> bool {
        match self {
            Layout::V1(_) => matches!(state, 'D' | 'T' | 't'),
            Layout::V2(_) => true,
        }
    }

    /// Whether the group is frozen, or about to be.
    pub fn is_frozen(&self, path: &Path) -> bool {
        let Some((file, _, thawed)) = self.switch(path) else { return false };
        fs::read_to_string(file).is_ok_and(|state| state.trim() != thawed)
    }

    /// Whether every process of the group has been frozen.
    pub fn stands_still(&self, path: &Path) -> bool {
        let Some((file, frozen, _)) = self.switch(path) else { return false };
        match self {
            Layout::V1(_) => fs::read_to_string(file).is_ok_and(|state| state.trim() == frozen),
            Layout::V2(root) => fs::read_to_string(root.join(path).join("cgroup.events"))
                .is_ok_and(|events| events.lines().any(|line| line == "frozen 1")),
        }
    }

    /// The file, and what it says of a frozen and of a running group.
    fn switch(&self, path: &Path) -> Option<(PathBuf, &'static str, &'static str)> {
        match self {
            Layout::V1(_) => {
                let file = self.directory("freezer", path)?.join("freezer.state");
                Some((file, "FROZEN", "THAWED"))
            }
            Layout::V2(root) => Some((root.join(path).join("cgroup.freeze"), "1", "0")),
        }
    }
}
