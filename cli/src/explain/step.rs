//! Somebody who holds an operation up: before each one the process asks and waits.
//!
//! `MINI_STEP_FD` names an inherited SOCK_SEQPACKET socket, or a parent has [`offer`]ed one. Each question is one JSON message
//! with the write end of a pipe; the process goes on when that end is closed. Where `s` is written into it first, an operation
//! that returns nothing is skipped. Whoever receives learns the sender's pid, may look, or kill it, in between. Tests kill at
//! every operation through this, and `mini step` stops at each.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a process is about to do. A promise: fields are added, never renamed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    /// `client`, `monitor`, `init`, `helper`, `exec`, `pull`.
    pub(crate) role: String,
    /// Counts the questions of a process and those that it was a copy of.
    pub(crate) seq: u64,
    /// The call with its real arguments, or the path of a file that is about to be written.
    pub(crate) call: String,
    /// As the host numbers it.
    pub(crate) pid: i32,
    /// Whether it is in the container's namespaces.
    pub(crate) inside: bool,
    /// The sentence that says why.
    pub(crate) why: String,
    /// What does the same in a shell.
    pub(crate) shell: String,
    /// It returns nothing, and may be skipped.
    pub(crate) skippable: bool,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    Skip,
}

/// The asking side.
pub(crate) struct Stepper {
    socket: OwnedFd,
    asked: AtomicU64,
    /// It is also asked about single files of an image.
    pub(super) files: bool,
}

/// What a parent in this program has offered.
static OFFERED: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// From now on, whatever this process and its copies narrate is asked about here first.
pub(crate) fn offer(socket: OwnedFd) {
    *OFFERED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(socket);
}

impl Stepper {
    /// Takes the socket that the environment names or that was offered, where there is one.
    pub(crate) fn find() -> Option<Stepper> {
        let offered = OFFERED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(socket) = offered {
            return Some(Stepper { socket, asked: AtomicU64::new(0), files: false });
        }
        let number = std::env::var("MINI_STEP_FD").ok()?.parse().ok()?;
        let socket = runtime::sys::socket::inherited(number)?;
        Some(Stepper { socket, asked: AtomicU64::new(0), files: true })
    }

    /// Asks, and waits for the answer. Nobody there is an answer too.
    pub(crate) fn ask(&self, mut question: Question) -> Verdict {
        question.seq = self.asked.fetch_add(1, Ordering::Relaxed);
        let text = serde_json::to_vec(&question).expect("a question can be written as JSON");
        let Ok((read, write)) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) else {
            return Verdict::GoOn;
        };
        if runtime::sys::socket::send_quietly(self.socket.as_fd(), &text, &[write.as_fd()]).is_err() {
            return Verdict::GoOn;
        }
        drop(write);
        let mut answer = [0u8];
        loop {
            match rustix::io::read(&read, &mut answer) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(1) if answer == *b"s" && question.skippable => return Verdict::Skip,
                _ => return Verdict::GoOn,
            }
        }
    }
}
