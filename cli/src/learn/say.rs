//! What is said, in three forms: pages on a terminal, lines for a script, an object a line for a program.

use anyhow::Result;
use serde::Serialize;

use super::screen::{Screen, print};

/// Where in a lesson something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    Why,
    Predict,
    Before,
    Do,
    Look,
    Check,
    Break,
    Fix,
    Done,
}

impl Step {
    /// As its message is found.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Step::Why => "step.why",
            Step::Predict => "step.predict",
            Step::Before => "step.before",
            Step::Do => "step.do",
            Step::Look => "step.look",
            Step::Check => "step.check",
            Step::Break => "step.break",
            Step::Fix => "step.fix",
            Step::Done => "step.done",
        }
    }
}

/// What is said: an object of `--json`, whose fields are a promise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Said<'a> {
    pub(crate) lesson: &'a str,
    pub(crate) step: Step,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// Which kind of thing.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum What {
    /// A sentence or several.
    Text { text: String },
    /// A line that a student would type.
    Command { text: String },
    /// Why an operation of mini's happens.
    Reason { text: String },
    /// An operation that mini carried out: the call, and what does the same in a shell.
    Op { text: String, shell: String, micros: u64, errno: i64, process: String },
    /// The same question asked in two places.
    Look { text: String, host: String, inside: String },
    /// What the kernel's state comes to.
    Check { text: String, check: Checked },
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Checked {
    /// What is taught is there, and works.
    pub(crate) passed: bool,
    /// What the lesson expects at this moment.
    pub(crate) expected: bool,
}

/// Who is told.
#[derive(Debug)]
pub(crate) enum Form {
    /// A person at a terminal.
    Screen(Screen),
    /// A script, or a file.
    Plain { outside: String, inside: String },
    /// A program.
    Json,
}

impl Form {
    /// Says something.
    ///
    /// # Errors
    /// A signal that arrived meanwhile.
    pub(crate) fn say(&mut self, said: &Said<'_>) -> Result<()> {
        match self {
            Form::Screen(screen) => screen.say(&said.what),
            Form::Json => print(&format!("{}\n", serde_json::to_string(said)?)),
            Form::Plain { outside, inside } => print(&format!("{}\n", plain(&said.what, outside, inside))),
        }
    }

    /// Begins a step under its name.
    ///
    /// # Errors
    /// A signal that arrived meanwhile.
    pub(crate) fn begin(&mut self, lesson: &str, step: &str) -> Result<()> {
        match self {
            Form::Screen(screen) => screen.begin(lesson, step),
            Form::Plain { .. } => print(&format!("\n== {lesson}: {step} ==\n")),
            Form::Json => Ok(()),
        }
    }
}

/// As text, for whoever reads lines. PURE.
fn plain(what: &What, outside: &str, inside: &str) -> String {
    match what {
        What::Text { text } => text.clone(),
        What::Command { text } => format!("  $ {text}"),
        What::Reason { text } => format!("  # {text}"),
        What::Op { text, shell, micros, errno, .. } => {
            format!("  {micros:>7} µs  {text}{}\n{:14}$ {shell}", failed(*errno), "")
        }
        What::Look { text, host, inside: within } => {
            let indented = |text: &str| text.replace('\n', "\n      ");
            format!(
                "  {text}\n    {outside}:\n      {}\n    {inside}:\n      {}",
                indented(host),
                indented(within)
            )
        }
        What::Check { text, check } => format!("  {} {text}", mark(check.passed)),
    }
}

/// How an operation was answered, where it failed.
pub(crate) fn failed(errno: i64) -> String {
    match i32::try_from(errno) {
        Ok(0) | Err(_) => String::new(),
        Ok(errno) => format!(" = {}", std::io::Error::from_raw_os_error(errno)),
    }
}

/// What stands before the outcome of a check.
pub(crate) fn mark(passed: bool) -> &'static str {
    if passed { "[✓]" } else { "[✗]" }
}
