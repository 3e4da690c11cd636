//! A push that somebody has had enough of: it ends in between, and tells the registry.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::unix::pipe::Receiver;

use super::{PushError, PushOptions};

/// Asks a push to end: a pipe that can be read from then on. It is not read here.
#[derive(Debug, Clone)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    /// Asks as soon as `pipe` can be read.
    pub fn new(pipe: OwnedFd) -> Self {
        Self(Arc::new(pipe))
    }

    fn is_asked(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        matches!(poll(&mut polled, Some(&Timespec::default())), Ok(ready) if ready > 0)
    }

    async fn asked(&self) {
        let watched = self.0.try_clone().and_then(Receiver::from_owned_fd);
        match watched {
            Ok(pipe) if pipe.readable().await.is_ok() => {}
            // What cannot be watched never asks.
            _ => std::future::pending().await,
        }
    }
}

impl PushOptions {
    /// Does a part of the push, unless it is asked to end before that is done.
    pub(super) async fn unless_stopped<T>(
        &self,
        part: impl Future<Output = Result<T, PushError>>,
    ) -> Result<T, PushError> {
        let Some(stop) = &self.stop else { return part.await };
        tokio::select! {
            done = part => done,
            () = stop.asked() => Err(PushError::Stopped),
        }
    }

    /// Whether to end, for what is no future.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_asked)
    }
}
