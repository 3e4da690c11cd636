//! Starts commands one after the other and times each, in a process of its own per place.
//!
//! A place is a mount namespace: crun refuses the machine's hybrid cgroups and needs one that shows the v1 hierarchies only.
//! Entering it must not be part of what is measured, so a runner stands there and waits. All rows are timed by the same code:
//! from before the fork to the exit status, with nothing on stdin and the output thrown away.
//!
//! ```text
//!   bench ── {"words": ["crun", "run", …], "shown": false} ──► runner
//!         ◄── {"micros": 9500, "failure": null}
//! ```

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// One command.
#[derive(Serialize, Deserialize)]
struct Request {
    words: Vec<String>,
    /// Whether what it prints is shown (on our stderr): while things are prepared, not while they are measured.
    shown: bool,
}

/// What came of one command.
#[derive(Serialize, Deserialize)]
struct Answer {
    micros: u64,
    /// Why it is not to be counted: it could not be started, or it failed.
    failure: Option<String>,
}

/// A runner, as seen from the bench.
pub(super) struct Runner {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    /// Starts a runner; `enter` is a shell command that prepares its place, in a mount namespace of its own.
    pub(super) fn start(enter: &str) -> Result<Runner> {
        let own = std::env::current_exe().context("looking for our own program")?;
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "slave",
            "sh",
            "-c",
            &format!("{enter}; exec \"$@\""),
            "sh",
        ]);
        command.arg(own).args(["bench", "runner"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting a runner in a mount namespace of its own")?;
        let requests = child.stdin.take().expect("its stdin is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("its stdout is a pipe"));
        Ok(Runner { child, requests, answers })
    }

    /// Runs a command there; its time in milliseconds.
    pub(super) fn time(&mut self, words: &[String]) -> Result<f64> {
        self.ask(&Request { words: words.to_vec(), shown: false })
    }

    /// Runs a command there that prepares what is measured later.
    pub(super) fn run(&mut self, words: &[&str]) -> Result<()> {
        eprintln!("$ {}", words.join(" "));
        self.ask(&Request { words: words.iter().map(|word| (*word).to_owned()).collect(), shown: true })
            .map(drop)
    }

    fn ask(&mut self, request: &Request) -> Result<f64> {
        serde_json::to_writer(&mut self.requests, request).context("asking a runner")?;
        self.requests.write_all(b"\n").context("asking a runner")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("listening to a runner")?;
        let answer: Answer = serde_json::from_str(&line).context("a runner has ended")?;
        match answer.failure {
            Some(failure) => bail!("`{}` {failure}", request.words.join(" ")),
            None => Ok(answer.micros as f64 / 1000.0),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // It ends at the end of its input; if it has already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The runner's side: answers every line of stdin until there are no more.
pub(super) fn main() -> Result<ExitCode> {
    for line in std::io::stdin().lines() {
        let request: Request =
            serde_json::from_str(&line.context("reading a request")?).context("reading a request")?;
        let answer = serde_json::to_string(&carry_out(&request)).context("writing an answer")?;
        println!("{answer}");
    }
    Ok(ExitCode::SUCCESS)
}

fn carry_out(request: &Request) -> Answer {
    let Some((program, args)) = request.words.split_first() else {
        return Answer { micros: 0, failure: Some("names no program".to_owned()) };
    };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    if request.shown {
        // Our stdout carries the answers.
        command.stdout(std::io::stderr());
    } else {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let begin = Instant::now();
    let ended = command.status();
    let micros = u64::try_from(begin.elapsed().as_micros()).expect("nobody waits for 600 000 years");
    let failure = match ended {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("ended with {status}")),
        Err(error) => Some(format!("could not be started: {error}")),
    };
    Answer { micros, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_counts() {
        let run = |line: &str| {
            carry_out(&Request { words: line.split_whitespace().map(str::to_owned).collect(), shown: false })
        };
        let answer = run("sh -c :");
        assert!(answer.failure.is_none() && answer.micros > 0);
        assert_eq!(run("false").failure.unwrap(), "ended with exit status: 1");
        assert!(run("/no/such/program").failure.unwrap().starts_with("could not be started: "));
        assert!(run("").failure.is_some());
    }
}
