//! What a command answered, and what a test says about it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::Value;

/// The end of a command: its status and everything it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: Vec<u8>,
    /// Everything on standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// It exited with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// It exited with `expected`; a signal that ended it is no exit.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.status.code(), Some(expected), "{self}");
        self
    }

    /// It failed as `mini` does: with this code, `mini: …` on standard error holding every one of `texts`.
    #[track_caller]
    pub fn error(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        assert!(self.err().lines().any(|line| line.starts_with("mini: ")), "no `mini: ` line: {self}");
        assert!(!self.err().contains("panicked at"), "{self}");
        texts.iter().fold(self, |output, text| output.stderr_has(text))
    }

    /// An error that says what to do about it.
    #[track_caller]
    pub fn hints(self, text: &str) -> Self {
        let hinted = self.err().lines().any(|line| line.starts_with("hint: ") && line.contains(text));
        assert!(hinted, "no `hint: ` line with {text:?}: {self}");
        self
    }

    /// Standard output is exactly this.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Self {
        assert_eq!(self.text(), expected, "{self}");
        self
    }

    /// Standard output holds this.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Self {
        assert!(self.text().contains(text), "no {text:?} on standard output: {self}");
        self
    }

    /// Standard output does not hold this.
    #[track_caller]
    pub fn stdout_lacks(self, text: &str) -> Self {
        assert!(!self.text().contains(text), "{text:?} on standard output: {self}");
        self
    }

    /// Standard error is exactly this.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        assert_eq!(self.err(), expected, "{self}");
        self
    }

    /// Standard error holds this.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Self {
        assert!(self.err().contains(text), "no {text:?} on standard error: {self}");
        self
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output without white space at its ends.
    pub fn line(&self) -> String {
        self.text().trim().to_owned()
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &String| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("no JSON line ({error}): {line}\n{self}"))
        };
        self.lines().iter().map(parse).collect()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => writeln!(f, "exited with {code}")?,
            (None, signal) => writeln!(f, "ended by signal {}", signal.unwrap_or_default())?,
        }
        write!(f, "--- stdout\n{}\n--- stderr\n{}", self.text(), self.err())
    }
}
