//! One line of the story: as JSON between processes and for programs, as text for people.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::visit::Fields;

/// How the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The longest text of a field: the whole line stays below PIPE_BUF (4096), where a write is not torn (pipe(7)).
const LONGEST: usize = 1200;

/// One event. A promise to programs: fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// µs since the command began.
    pub(crate) at: u64,
    /// `client`, `monitor`, `init`, `helper`, `exec`, `pull`.
    pub(crate) process: String,
    /// As the host numbers it.
    pub(crate) pid: i32,
    /// Whose namespaces it is in: `host` or `container`.
    pub(crate) ns: String,
    /// Why the operations that follow happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    /// An operation: the call with its real arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<String>,
    /// What does the same in a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shell: Option<String>,
    /// How long this run of it took, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) micros: Option<u64>,
    /// What the kernel answered, 0 for success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errno: Option<i64>,
}

impl Line {
    pub(super) fn new(fields: Fields, process: &str, pid: i32, inside: bool, at: u64) -> Line {
        let text = |text: String| (!text.is_empty()).then(|| shortened(text));
        let operation = !fields.call.is_empty();
        Line {
            at,
            process: process.to_owned(),
            pid,
            ns: if inside { "container" } else { "host" }.to_owned(),
            step: text(fields.why),
            call: text(fields.call),
            shell: text(fields.shell),
            micros: operation.then_some(fields.micros),
            errno: operation.then_some(fields.errno),
        }
    }

    /// For programs, and between processes; no newline.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a line can be written as JSON")
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(step) = &self.step {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "\n{} {} ({}): {step}", self.process, self.pid, self.ns);
        }
        if let Some(call) = &self.call {
            let answer = match self.errno {
                Some(0) | None => String::new(),
                Some(errno) => format!("  = {}", errno_text(errno)),
            };
            let micros = self.micros.unwrap_or(0);
            let _infallible = writeln!(text, "  {:<7} {micros:>7} µs  {call}{answer}", self.process);
            if let Some(shell) = &self.shell {
                let _infallible = writeln!(text, "  {:18}  $ {shell}", "");
            }
        }
        text
    }
}

fn errno_text(errno: i64) -> String {
    match i32::try_from(errno) {
        Ok(errno) if errno > 0 => {
            let text = std::io::Error::from_raw_os_error(errno).to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
        _ => "refused".to_owned(),
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(call: String) -> Line {
        let shell = call.clone();
        Line::new(Fields { call, shell, micros: 7, errno: 2, ..Fields::default() }, "init", 42, true, 1000)
    }

    #[test]
    fn a_line_is_never_torn() {
        for text in ["x".repeat(100_000), "한".repeat(100_000), "\u{1}".repeat(100)] {
            assert!(line(text).json().len() < 4095);
        }
    }

    #[test]
    fn both_forms_say_who_what_how_long_and_what_came_of_it() {
        let line = line("mkdir(\"/x\", 0755)".to_owned());
        assert_eq!(
            line.json(),
            r#"{"at":1000,"process":"init","pid":42,"ns":"container","call":"mkdir(\"/x\", 0755)","shell":"mkdir(\"/x\", 0755)","micros":7,"errno":2}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&line.json()).unwrap(), line);
        let text = line.text();
        for part in ["init", "7 µs", "mkdir(\"/x\", 0755)", "no such file or directory", "$ mkdir"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
