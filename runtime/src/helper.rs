//! A process that goes where we do not want to be, does one thing there, and ends.
//!
//! ```text
//! we                      helper
//!   │ fork ─────────────► │ goes there, sends what it finds
//!   │ ◄─ report ───────── │ a Failure, where it could not
//! ```

use std::os::fd::{AsFd, OwnedFd};

use crate::gate::{self, Failure};
use crate::op::{OpError, enter_process};
use crate::sys::{self, ns, pidfd};

/// A visit to a container that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// An operation of the helper failed.
    #[error(transparent)]
    Helper(#[from] Failure),
    /// The container ended meanwhile.
    #[error("the container has ended")]
    Ended,
}

/// One that was sent.
pub(crate) struct Helper {
    process: OwnedFd,
    report: OwnedFd,
}

impl Helper {
    /// Sends one that does this. What it sends its answer by is the caller's, who closes the helper's end afterwards.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn send(work: impl FnOnce() -> Result<(), Failure>) -> Result<Helper, OpError> {
        let (report, theirs) = sys::socket::pipe()?;
        let Some(process) = ns::fork()? else {
            drop(report);
            enter_process("helper");
            match work() {
                Ok(()) => sys::process::exit(0),
                Err(failure) => gate::report(theirs.as_fd(), &failure),
            }
            sys::process::exit(125)
        };
        drop(theirs);
        Ok(Helper { process: pidfd::open(process)?, report })
    }

    /// Waits for its end; its answer has been read before, or it could wait for us.
    ///
    /// # Errors
    /// What waitid(2) answered.
    pub(crate) fn wait(&self) -> Result<(), OpError> {
        pidfd::wait(self.process.as_fd()).map(drop)
    }

    /// What kept it from doing what it was sent for.
    ///
    /// # Errors
    /// That; nothing where it did it, or died.
    pub(crate) fn failure(&self) -> Result<(), Failure> {
        gate::read_report(&self.report)
    }
}
