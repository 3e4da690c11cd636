//! What a lesson is: data, and functions that do, look and judge. The flow is the same for all ([`super::course`]).

use anyhow::Result;

use super::lab::{Lab, View};

/// A lesson. Its words are in the message files, below its key.
pub(crate) struct Lesson {
    /// As it is typed, and as its messages are found.
    pub(crate) key: &'static str,
    /// What makes the thing that is taught, one after the other.
    pub(crate) acts: &'static [Act],
    /// What is seen from outside and from inside, after each act.
    pub(crate) looks: &'static [Look],
    /// The same without what is taught: what leaks.
    pub(crate) broken: Act,
    /// Undoes the damage, and makes it right again.
    pub(crate) fixed: Act,
    /// Whose eyes "outside" is: the lab's keeper, or a process of the machine itself.
    pub(crate) outside: fn(&Lab) -> i32,
    /// Whose eyes "inside" is.
    pub(crate) inside: fn(&Lab) -> Option<i32>,
    /// Reads the kernel's state and judges it.
    pub(crate) check: fn(&Lab) -> Result<Verdict>,
    /// Reads the machine's own state, which nothing here may change; empty where there is nothing to show.
    pub(crate) machine: fn() -> String,
}

/// Something to do: by the student, who types it, or by mini.
pub(crate) struct Act {
    /// What a student would type, line by line.
    pub(crate) lines: fn(&Lab) -> Vec<String>,
    /// The same through the operations that mini makes containers of.
    pub(crate) perform: fn(&Lab) -> Result<()>,
    /// Whether it has been done; `None` where the check says it.
    pub(crate) done: Option<fn(&Lab) -> Result<bool>>,
}

/// Something to look at.
pub(crate) struct Look {
    /// What shows it in a shell.
    pub(crate) command: &'static str,
    /// Reads it where it is sent: outside and inside.
    pub(crate) read: fn(&View) -> String,
}

/// What the kernel's state comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    /// Which sentence says it: below the lesson's `check`.
    pub(crate) word: &'static str,
    /// What was read, for the sentence's places.
    pub(crate) values: Vec<(&'static str, String)>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing has been done yet.
    Nothing,
    /// Something has, without what is taught.
    Leaks,
    /// It is isolated.
    Holds,
}

impl Verdict {
    pub(crate) fn nothing() -> Verdict {
        Verdict { state: State::Nothing, word: "nothing", values: Vec::new() }
    }

    pub(crate) fn leaks(values: Vec<(&'static str, String)>) -> Verdict {
        Verdict { state: State::Leaks, word: "leaks", values }
    }

    pub(crate) fn holds(values: Vec<(&'static str, String)>) -> Verdict {
        Verdict { state: State::Holds, word: "holds", values }
    }

    /// Only what is isolated passes.
    pub(crate) fn passes(&self) -> bool {
        self.state == State::Holds
    }
}

/// Nothing of the machine's own to show.
pub(crate) fn no_machine() -> String {
    String::new()
}
