//! Starts commands one after the other and times each, in a process of its own per place.
//!
//! A place is a mount namespace: crun refuses the machine's hybrid cgroups and needs one that shows the v1 hierarchies only.
//! Entering it must not be part of what is measured, so a runner stands there and waits. All rows are timed by the same code:
//! from before the fork to the exit status, with nothing on stdin and the output thrown away; of several commands from before the
//! first fork to the last status, so many at a time.
//!
//! ```text
//!   bench ── {"commands": [["crun", "run", …]], "at_once": 1, "shown": false} ──► runner
//!         ◄── {"micros": 9500, "failure": null}
//! ```

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Commands.
#[derive(Serialize, Deserialize)]
struct Request {
    commands: Vec<Vec<String>>,
    /// How many run at the same time.
    at_once: usize,
    /// Whether what it prints is shown (on our stderr): while things are prepared, not while they are measured.
    shown: bool,
}

/// What came of them.
#[derive(Serialize, Deserialize)]
struct Answer {
    micros: u64,
    /// Why it is not to be counted: one could not be started, or it failed.
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

    /// The process that starts the commands and waits for them.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command there; its time in milliseconds.
    pub(super) fn time(&mut self, words: &[String]) -> Result<f64> {
        self.time_all(&[words.to_vec()], 1)
    }

    /// Runs commands there, so many at the same time; the time of all of them together in milliseconds.
    pub(super) fn time_all(&mut self, commands: &[Vec<String>], at_once: usize) -> Result<f64> {
        self.ask(&Request { commands: commands.to_vec(), at_once, shown: false })
    }

    /// Runs a command there that prepares what is measured later.
    pub(super) fn run(&mut self, words: &[&str]) -> Result<()> {
        eprintln!("$ {}", words.join(" "));
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.ask(&Request { commands: vec![words], at_once: 1, shown: true }).map(drop)
    }

    fn ask(&mut self, request: &Request) -> Result<f64> {
        serde_json::to_writer(&mut self.requests, request).context("asking a runner")?;
        self.requests.write_all(b"\n").context("asking a runner")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("listening to a runner")?;
        let answer: Answer = serde_json::from_str(&line).context("a runner has ended")?;
        match answer.failure {
            Some(failure) => bail!("{failure}"),
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
    let begin = Instant::now();
    let failure = match request.at_once {
        0 | 1 => request.commands.iter().find_map(|words| run(words, request.shown)),
        at_once => side_by_side(&request.commands, at_once),
    };
    let micros = u64::try_from(begin.elapsed().as_micros()).expect("nobody waits for 600 000 years");
    Answer { micros, failure }
}

/// Each of some threads takes the next command as long as there is one.
fn side_by_side(commands: &[Vec<String>], at_once: usize) -> Option<String> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut first = None;
        while let Some(words) = commands.get(next.fetch_add(1, Ordering::Relaxed)) {
            first = first.or(run(words, false));
        }
        first
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("a worker does not panic")).next()
    })
}

/// Runs one to its end; why it failed.
fn run(words: &[String], shown: bool) -> Option<String> {
    let line = words.join(" ");
    let Some((program, args)) = words.split_first() else {
        return Some("a command names no program".to_owned());
    };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    if shown {
        // Our stdout carries the answers.
        command.stdout(std::io::stderr());
    } else {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    match command.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("`{line}` ended with {status}")),
        Err(error) => Some(format!("`{line}` could not be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str], at_once: usize) -> Answer {
        let words = |line: &&str| line.split_whitespace().map(str::to_owned).collect();
        carry_out(&Request { commands: lines.iter().map(words).collect(), at_once, shown: false })
    }

    #[test]
    fn only_a_success_counts() {
        let good = answer(&["sh -c :"], 1);
        assert!(good.failure.is_none() && good.micros > 0);
        assert_eq!(answer(&["false"], 1).failure.unwrap(), "`false` ended with exit status: 1");
        assert!(answer(&["/no/such/program"], 1).failure.unwrap().contains("could not be started: "));
        assert!(answer(&[""], 1).failure.is_some());
    }

    #[test]
    fn several_run_at_the_same_time_and_each_counts() {
        // Each waits for the other: one after the other they would never end.
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        assert!(run(&["mkfifo".to_owned(), fifo.display().to_string()], false).is_none());
        let (reader, writer) =
            (format!("cp {} /dev/null", fifo.display()), format!("cp /dev/null {}", fifo.display()));
        assert!(answer(&[&reader, &writer], 2).failure.is_none());
        assert!(answer(&["true", "true", "false"], 2).failure.is_some());
    }
}
