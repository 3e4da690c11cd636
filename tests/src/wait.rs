//! Waiting for an event, with a deadline. Nothing in the tests sleeps for a guessed time.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long anything may take before the test calls it hung. Generous: it costs only where something hangs, and the same
/// tests run in an emulated machine that is twenty times slower.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until one of `fds` is readable, hung up or (a pidfd) ended: says which, in order; none at the deadline.
pub fn ready(fds: &[BorrowedFd<'_>], deadline: Instant) -> Vec<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) => return polled.iter().map(|fd| !fd.revents().is_empty()).collect(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// Whether `fd` becomes readable, hung up or ended before the deadline.
pub fn is_ready(fd: impl AsFd, deadline: Instant) -> bool {
    ready(&[fd.as_fd()], deadline)[0]
}

/// Asks until `probe` answers: for kernel state that sends no event (a counter in a cgroup file, a field in `/proc`).
///
/// # Panics
/// At the deadline, naming `what`.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let caller = std::panic::Location::caller();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(pause(deadline), "{caller}: still waiting for {what} after {PATIENCE:?}");
    }
}

/// A moment between two looks at what sends no event. False at the deadline.
pub fn pause(deadline: Instant) -> bool {
    ready(&[], Instant::now() + Duration::from_millis(2));
    Instant::now() < deadline
}
