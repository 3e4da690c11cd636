//! Somebody who holds an operation up: before each one the process asks and waits.
//!
//! `MINI_STEP_FD` names an inherited SOCK_SEQPACKET socket. Each question is one JSON message with the write end of a pipe;
//! the process goes on when that end is closed. Whoever receives learns the sender's pid from SCM_CREDENTIALS, and may
//! look, or kill it, in between. Tests kill at every operation through this.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// The asking side.
pub(crate) struct Stepper {
    socket: OwnedFd,
    asked: AtomicU64,
}

impl Stepper {
    /// Takes the socket that the environment names, where it does.
    pub(crate) fn from_environment() -> Option<Stepper> {
        let number = std::env::var("MINI_STEP_FD").ok()?.parse().ok()?;
        let socket = runtime::sys::socket::inherited(number)?;
        Some(Stepper { socket, asked: AtomicU64::new(0) })
    }

    /// Asks, and waits for the answer. Nobody there is an answer too.
    pub(crate) fn ask(&self, role: &str, call: &str) {
        let seq = self.asked.fetch_add(1, Ordering::Relaxed);
        let question = serde_json::json!({ "role": role, "seq": seq, "call": call }).to_string();
        let Ok((read, write)) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) else { return };
        if runtime::sys::socket::send_quietly(self.socket.as_fd(), question.as_bytes(), &[write.as_fd()])
            .is_ok()
        {
            drop(write);
            while rustix::io::read(&read, &mut [0u8]) == Err(rustix::io::Errno::INTR) {}
        }
    }
}
