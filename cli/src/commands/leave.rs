//! An exec on a terminal that its user can leave: two processes, since a program ends with the process that made it.
//!
//! ```text
//! front: what the user's shell waits for          holder: makes the program, passes its streams
//!    │ ◄─ the holder's exit code ────────────────────── │  the program has ended
//!    │ ◄─ one byte ──────────────────────────────────── │  the keys were typed: the front ends, the holder stays
//!    │ ── SIGKILL, by the kernel ─────────────────────► │  the front has died otherwise
//! ```

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use runtime::op::{enter_process, step};
use runtime::sys::pidfd::{self, Ending};
use runtime::sys::{self, signal, terminal};
use rustix::event::{PollFd, PollFlags};

use crate::exit_code::ExitCode;
use crate::relay::Relay;
use crate::session::FORWARDED;

/// Where the holder says that its user has left.
pub(crate) struct Exit(OwnedFd);

/// Makes the holder. In the front this waits, and returns how it ended.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn split() -> Result<Result<Exit, ExitCode>> {
    step("Make a second process, which holds the program when its user leaves it");
    sys::process::assert_single_threaded()?;
    let signals = signal::as_descriptor(&FORWARDED)?;
    let (read, write) = sys::socket::pipe()?;
    let front = rustix::process::getpid();
    terminal::remember(rustix::stdio::stdin());
    // Both would tell it.
    crate::explain::finish();
    match sys::ns::fork()? {
        None => {
            enter_process("client");
            sys::process::die_with_parent()?;
            if rustix::process::getppid() != Some(front) {
                sys::process::exit(ExitCode::Failure.number());
            }
            Ok(Ok(Exit(write)))
        }
        Some(holder) => {
            drop(write);
            let held = pidfd::open(holder)?;
            Ok(Err(wait(&held, holder.as_raw_nonzero().get(), &read, &signals)?))
        }
    }
}

/// The front's whole work.
fn wait(holder: &OwnedFd, pid: i32, left: &OwnedFd, signals: &OwnedFd) -> Result<ExitCode> {
    loop {
        let mut waits = [
            PollFd::new(holder, PollFlags::IN),
            PollFd::new(left, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        // An interrupted wait is tried again by the loop.
        let _interrupted = rustix::event::poll(&mut waits, None);
        while let Some(number) = signal::next(signals.as_fd()) {
            // The terminal tells both of its size.
            if number != libc::SIGWINCH {
                let _ended = pidfd::send_signal(holder.as_fd(), pid, number);
            }
        }
        if waits[1].revents().contains(PollFlags::IN) {
            return Ok(ExitCode::Success);
        }
        if waits[0].revents().contains(PollFlags::IN) {
            let ending = pidfd::wait(holder.as_fd())?;
            terminal::restore();
            return Ok(match ending {
                Ending::Exited(code) => ExitCode::Program(code),
                Ending::Signaled(number) => signal::die_of(number),
            });
        }
    }
}

impl Exit {
    /// The user has left: the front ends, and this process stays with the program until that ends.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn leave(self, relay: Relay) -> Result<ExitCode> {
        step("Let go of the terminal and of the one who waits for us");
        sys::process::outlive_parent()?;
        sys::process::new_session()?;
        let null = terminal::open_null()?;
        sys::process::set_stdio([null.as_fd(); 3])?;
        sys::fs::write_all(self.0.as_fd(), b"l")?;
        drop(self);
        relay.go_on_alone()?;
        Ok(ExitCode::Success)
    }
}
