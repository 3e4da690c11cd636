//! Another program that is asked a question: docker's credential helpers, and nobody else.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use super::{Result, op};

/// What a program answered.
#[derive(Debug)]
pub struct Answer {
    /// Whether it ended with 0.
    pub is_success: bool,
    /// What it wrote to standard output.
    pub out: Vec<u8>,
    /// What it wrote to standard error.
    pub err: Vec<u8>,
}

/// Runs a program of PATH with one argument and this input, which is told to nobody; waits for its end.
///
/// # Errors
/// It is not there, or cannot be executed.
pub fn ask(program: &str, argument: &str, input: &[u8]) -> Result<Answer> {
    op!(("execve({program:?}, {argument:?})"), ("{program} {argument}"), || {
        let piped = || Stdio::piped();
        let mut child =
            Command::new(program).arg(argument).stdin(piped()).stdout(piped()).stderr(piped()).spawn()?;
        let mut stdin = child.stdin.take().expect("it is a pipe");
        // A program that reads nothing has its reasons, and says them by its end.
        let _unread = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output()?;
        Ok::<_, io::Error>(Answer {
            is_success: output.status.success(),
            out: output.stdout,
            err: output.stderr,
        })
    })
}
