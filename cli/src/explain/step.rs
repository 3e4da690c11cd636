//! Somebody who holds an operation up: before each one the process asks and waits.
//!
//! `MINI_STEP_FD` names an inherited SOCK_SEQPACKET socket, or a parent has [`offer`]ed one. Each question is one JSON message
//! with the write end of a pipe; the process goes on when that end is closed. Where `s` is written into it first, an operation
//! that returns nothing is skipped. Whoever receives learns the sender's pid, may look, or kill it, in between. Tests kill at
//! every operation through this, and `mini step` stops at each.
//!
//! A parent that has offered its socket writes `g` for "go on". An end that is closed without a word is its death then, and
//! what is being made ends: the container's first process and a pull at once, so that the others clean up behind them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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

/// Answered: do it.
pub(crate) const GO_ON: u8 = b'g';
/// Answered: leave it out.
pub(crate) const SKIP: u8 = b's';

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    Skip,
    /// Whoever held it up has died.
    Abandoned,
}

/// The asking side.
pub(crate) struct Stepper {
    socket: OwnedFd,
    asked: AtomicU64,
    /// A parent in this program has it: it answers every question, and its silence is its death. It asks nothing about single
    /// files of an image.
    pub(super) offered: bool,
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
            return Some(Stepper { socket, asked: AtomicU64::new(0), offered: true });
        }
        let number = std::env::var("MINI_STEP_FD").ok()?.parse().ok()?;
        let socket = runtime::sys::socket::inherited(number)?;
        Some(Stepper { socket, asked: AtomicU64::new(0), offered: false })
    }

    /// Becomes readable when the parent that has offered it has ended: nobody writes to it.
    pub(crate) fn overseer(&self) -> Option<BorrowedFd<'_>> {
        self.offered.then(|| self.socket.as_fd())
    }

    /// Asks, and waits for the answer. Nobody there is an answer too.
    pub(crate) fn ask(&self, mut question: Question) -> Verdict {
        question.seq = self.asked.fetch_add(1, Ordering::Relaxed);
        let text = serde_json::to_vec(&question).expect("a question can be written as JSON");
        let Ok((read, write)) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) else {
            return Verdict::GoOn;
        };
        if runtime::sys::socket::send_quietly(self.socket.as_fd(), &text, &[write.as_fd()]).is_err() {
            return self.silence();
        }
        drop(write);
        let mut answer = [0u8];
        loop {
            match rustix::io::read(&read, &mut answer) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(1) if answer == [SKIP] && question.skippable => return Verdict::Skip,
                Ok(1) => return Verdict::GoOn,
                _ => return self.silence(),
            }
        }
    }

    fn silence(&self) -> Verdict {
        if self.offered { Verdict::Abandoned } else { Verdict::GoOn }
    }
}
