//! One line of the story: as JSON between processes and for programs; [`super::text`] is for people.

use serde::{Deserialize, Serialize};

use super::visit::Fields;

/// The longest text of a field: the whole line stays below PIPE_BUF (4096), where a write is not torn (pipe(7)).
const LONGEST: usize = 1200;

/// One event. A promise to programs: fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How long this run of it took, µs; of a step, from its beginning to the end of its last operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) micros: Option<u64>,
    /// What the kernel answered, 0 for success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errno: Option<i64>,
    /// How many operations a step had, where only steps are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<u64>,
    /// Its manual pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) man: Option<String>,
    /// What the OCI specifications say of it: `FILE#SECTION` of the runtime's, or of the one that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spec: Option<String>,
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
            ..Line::default()
        }
    }

    /// For programs, and between processes; no newline.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a line can be written as JSON")
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
    fn a_line_says_who_what_how_long_and_what_came_of_it() {
        let line = line("mkdir(\"/x\", 0755)".to_owned());
        assert_eq!(
            line.json(),
            r#"{"at":1000,"process":"init","pid":42,"ns":"container","call":"mkdir(\"/x\", 0755)","shell":"mkdir(\"/x\", 0755)","micros":7,"errno":2}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&line.json()).unwrap(), line);
    }
}
