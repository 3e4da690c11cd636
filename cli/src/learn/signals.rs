//! Signals as data: what ends the learner is taken when there is time to clean up, and whatever waits is woken by it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use runtime::sys::signal;
use rustix::event::{PollFd, PollFlags};

use crate::clock::Moment;

/// A signal that ends the lesson.
#[derive(Debug, thiserror::Error)]
#[error("ended by a signal")]
pub(crate) struct Interrupted(pub(crate) i32);

/// Signals that are held.
#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Begins to hold them.
    ///
    /// # Errors
    /// What signalfd(2) answered.
    pub(crate) fn hold() -> Result<Signals> {
        const HELD: [i32; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTTOU];
        Ok(Signals(signal::as_descriptor(&HELD)?))
    }

    /// Fails where a signal has arrived that ends us.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub(crate) fn check(&self) -> Result<()> {
        match signal::next(self.0.as_fd()) {
            None | Some(libc::SIGTTOU) => Ok(()),
            Some(signal) => Err(Interrupted(signal).into()),
        }
    }

    /// Forgets a ctrl-C that was meant for what ran in front.
    pub(crate) fn forget(&self) {
        while signal::next(self.0.as_fd()).is_some() {}
    }

    /// Waits until something can be read, or has ended, or until a moment has come; whether it can. Without a moment it waits
    /// for ever.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub(crate) fn wait(&self, awaited: Option<BorrowedFd<'_>>, limit: Option<Moment>) -> Result<bool> {
        loop {
            let mut polled = vec![PollFd::new(&self.0, PollFlags::IN)];
            polled.extend(awaited.map(|awaited| PollFd::from_borrowed_fd(awaited, PollFlags::IN)));
            // Interrupted, it asks again.
            let _early = rustix::event::poll(&mut polled, limit.map(Moment::left).as_ref());
            let ready = polled.get(1).is_some_and(|awaited| !awaited.revents().is_empty());
            self.check()?;
            if ready || limit.is_some_and(Moment::is_past) {
                return Ok(ready);
            }
        }
    }
}
