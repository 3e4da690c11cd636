//! Starting other programs: every one is shown before it starts, and a failure says which one it was.

use std::borrow::BorrowMut;
use std::ffi::OsStr;
use std::fmt::Write;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

/// A command that runs `program` with `args`.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Shows and runs a command, and fails where it fails. What it prints goes to our stderr: our stdout is for results.
pub(crate) fn run(mut command: impl BorrowMut<Command>) -> Result<()> {
    let command = command.borrow_mut();
    let status = status(command.stdout(std::io::stderr()))?;
    ensure!(status.success(), "`{}` ended with {status}", words(command));
    Ok(())
}

/// Shows and runs a command with our own stdout; its failure is the caller's to judge.
pub(crate) fn status(mut command: impl BorrowMut<Command>) -> Result<ExitStatus> {
    let command = command.borrow_mut();
    eprintln!("$ {}", words(command));
    command.status().with_context(|| format!("starting `{}`", words(command)))
}

/// Runs a command without showing it, and returns its stdout; its stderr passes through.
pub(crate) fn read(mut command: impl BorrowMut<Command>) -> Result<String> {
    let command = command.borrow_mut();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting `{}`", words(command)))?;
    ensure!(output.status.success(), "`{}` ended with {}", words(command), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("reading what `{}` printed", words(command)))
}

/// Whether a command can be started and succeeds; what it prints is thrown away.
pub(crate) fn succeeds(mut command: impl BorrowMut<Command>) -> bool {
    let command = command.borrow_mut().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The command as a person would type it: the variables it sets, then its words, quoted where a shell needs it.
fn words(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _infallible = write!(line, "{}={} ", name.to_string_lossy(), quote(value));
        }
    }
    line += &quote(command.get_program());
    for arg in command.get_args() {
        line.push(' ');
        line += &quote(arg);
    }
    line
}

/// One word, in single quotes where a shell would read it as anything but itself.
fn quote(word: &OsStr) -> String {
    // The separator of CARGO_ENCODED_RUSTFLAGS, which no terminal shows.
    let word = word.to_string_lossy().replace('\x1f', " ");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_would_take_them() {
        let mut shown = command("cargo", ["build", "-p", "mini", "a b", "it's", ""]);
        assert_eq!(words(&shown), r"cargo build -p mini 'a b' 'it'\''s' ''");
        shown.env("FLAGS", "-C\x1fx=y").env_remove("GONE");
        assert_eq!(words(&shown), r"FLAGS='-C x=y' cargo build -p mini 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_failure_names_the_command_and_its_status() {
        let error = run(command("false", ["x"])).expect_err("false fails");
        assert_eq!(error.to_string(), "`false x` ended with exit status: 1");
        let error = read(command("/no/such/program", [""; 0])).expect_err("nothing there");
        assert_eq!(error.to_string(), "starting `/no/such/program`");
    }
}
