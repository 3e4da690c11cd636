//! One command line, carried out with a deadline, and what it answered.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::terminal::Terminal;
use crate::{processes, wait};

pub use crate::output::Output;

/// A `mini` command line that has not started: made by [`Host::mini`](crate::Host::mini).
#[derive(Debug)]
pub struct Mini {
    command: Command,
    stdin: Option<Vec<u8>>,
    patience: Duration,
}

impl Mini {
    /// Wraps a command that is complete but for its standard streams.
    pub fn new(command: Command) -> Self {
        Self { command, stdin: None, patience: wait::PATIENCE }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// One more variable in the otherwise cleared environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// One variable less.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(key);
        self
    }

    /// The working directory.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What standard input holds, up to its end; without this it is `/dev/null`.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Waits this many times longer than usual before it counts as hung.
    pub fn patient(mut self, times: u32) -> Self {
        self.patience *= times;
        self
    }

    /// Carries it out to its end, and to the end of both its streams.
    ///
    /// # Panics
    /// When that takes longer than [`wait::PATIENCE`]: with the kernel stacks of what hangs.
    #[track_caller]
    pub fn run(mut self) -> Output {
        let stdin = self.stdin.take();
        let mut running = self.launch(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let writer = stdin.map(|bytes| {
            let mut pipe = running.stdin.take().expect("stdin is a pipe");
            std::thread::spawn(move || {
                // A command that reads no further than it must is its own affair.
                let _ = pipe.write_all(&bytes);
            })
        });
        let output = running.wait();
        if let Some(writer) = writer {
            writer.join().expect("the writer does not panic");
        }
        output
    }

    /// Starts it, with standard input an open pipe that holds what was given, which must fit into one.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let stdin = self.stdin.take().unwrap_or_default();
        assert!(stdin.len() <= 1 << 16, "{} bytes fit into no pipe (pipe(7))", stdin.len());
        let mut running = self.launch(Stdio::piped());
        if let Some(pipe) = &mut running.stdin {
            // A command that has ended already is its own affair.
            let _ = pipe.write_all(&stdin);
        }
        running
    }

    /// Starts it on a terminal of its own.
    #[track_caller]
    pub fn terminal(self, rows: u16, columns: u16) -> Terminal {
        Terminal::start(&self.command, rows, columns)
    }

    /// The command itself, for what needs other standard streams.
    pub fn into_command(self) -> Command {
        self.command
    }

    #[track_caller]
    fn launch(mut self, stdin: Stdio) -> Running {
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let line = describe(&self.command);
        let is_looked_up = !self.command.get_program().as_bytes().contains(&b'/');
        let mut child = self.command.spawn().unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound if is_looked_up => {
                panic!("start {line}: it is not installed; `cargo xtask test` does that")
            }
            _ => panic!("start {line}: {error}"),
        });
        let pid = child.id().cast_signed();
        Running {
            line,
            pidfd: processes::open(pid).expect("a child that nobody has reaped has a pidfd"),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            out: Vec::new(),
            err: Vec::new(),
            line_at: 0,
            patience: self.patience,
        }
    }
}

/// The command line as a person would type it.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let name = |word: &OsStr| word.to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
    let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words[0] = name(command.get_program());
    words.join(" ")
}

/// A command that runs; ended with the value.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// Where the next line of standard output begins.
    line_at: usize,
    patience: Duration,
}

impl Running {
    /// The client's process.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Writes to its standard input.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        let pipe = self.stdin.as_mut().expect("standard input is still open");
        pipe.write_all(text.as_bytes()).expect("write to standard input");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes our end of its standard output: its next write breaks the pipe.
    pub fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Sends a signal to the client.
    pub fn signal(&self, signal: Signal) {
        processes::signal(&self.pidfd, signal);
    }

    /// The next line of standard output, without its end.
    ///
    /// # Panics
    /// When none comes before the deadline or the stream's end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(end) = self.out[self.line_at..].iter().position(|byte| *byte == b'\n') {
                let line = &self.out[self.line_at..self.line_at + end];
                let line = String::from_utf8_lossy(line).into_owned();
                self.line_at += end + 1;
                return line;
            }
            assert!(
                self.stdout.is_some(),
                "{}: standard output ended before another line\n{}",
                self.line,
                self.said()
            );
            self.pump(deadline);
        }
    }

    /// Waits until standard error holds `text`.
    #[track_caller]
    pub fn stderr_has(&mut self, text: &str) {
        let deadline = Instant::now() + self.patience;
        while !String::from_utf8_lossy(&self.err).contains(text) {
            assert!(
                self.stderr.is_some(),
                "{}: standard error ended without {text:?}\n{}",
                self.line,
                self.said()
            );
            self.pump(deadline);
        }
    }

    /// Waits for its end and the end of both its streams.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        self.stdin = None;
        let deadline = Instant::now() + self.patience;
        while self.stdout.is_some() || self.stderr.is_some() {
            self.pump(deadline);
        }
        let status = self.wait_for_end(deadline);
        let (stdout, stderr) = (std::mem::take(&mut self.out), std::mem::take(&mut self.err));
        Output { command: self.line.clone(), status, stdout, stderr }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waitpid").is_none()
    }

    /// The streams and the process, for one who waits for more than this: to be polled, then [`Running::pump_ready`].
    pub fn descriptors(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        let streams = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
        let streams: Vec<_> = streams.into_iter().flatten().collect();
        if streams.is_empty() { vec![self.pidfd.as_fd()] } else { streams }
    }

    /// Takes in what the streams hold now. Whether both streams and the process have ended.
    pub fn pump_ready(&mut self) -> bool {
        self.take_in(Instant::now());
        self.stdout.is_none() && self.stderr.is_none() && !self.is_running()
    }

    #[track_caller]
    fn wait_for_end(&mut self, deadline: Instant) -> ExitStatus {
        if !wait::is_ready(&self.pidfd, deadline) {
            self.hung();
        }
        self.child.wait().expect("waitpid")
    }

    #[track_caller]
    fn pump(&mut self, deadline: Instant) {
        if !self.take_in(deadline) {
            self.hung();
        }
    }

    /// Waits for either stream and reads it. False at the deadline.
    fn take_in(&mut self, deadline: Instant) -> bool {
        let mut any = false;
        let fds: Vec<_> = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)]
            .into_iter()
            .flatten()
            .collect();
        let ready = wait::ready(&fds, deadline);
        let out_ready = self.stdout.is_some() && ready[0];
        let err_ready = self.stderr.is_some() && ready.last().copied().unwrap_or(false);
        if out_ready {
            any = true;
            read_some(&mut self.stdout, &mut self.out);
        }
        if err_ready {
            any = true;
            read_some(&mut self.stderr, &mut self.err);
        }
        any
    }

    fn said(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("--- stdout\n{}\n--- stderr\n{}", text(&self.out), text(&self.err))
    }

    #[track_caller]
    fn hung(&mut self) -> ! {
        let net = processes::namespace(self.pid(), "net");
        let ours =
            |pid: &i32| *pid != std::process::id().cast_signed() && processes::namespace(*pid, "net") == net;
        let stacks: Vec<_> = processes::all().into_iter().filter(ours).map(processes::describe).collect();
        self.signal(Signal::KILL);
        panic!("{}: hung for {:?}\n{}\n{}", self.line, self.patience, self.said(), stacks.join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // It is dead or dying: the wait only reaps it.
        let _ = self.child.wait();
    }
}

fn read_some(stream: &mut Option<impl Read>, into: &mut Vec<u8>) {
    let mut buffer = vec![0; 1 << 16];
    match stream.as_mut().map_or(Ok(0), |stream| stream.read(&mut buffer)) {
        Ok(0) => *stream = None,
        Ok(length) => into.extend_from_slice(&buffer[..length]),
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Err(error) => panic!("read a stream: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(
        expected = "start podman-of-nowhere load: it is not installed; `cargo xtask test` does that"
    )]
    fn a_tool_that_is_not_here_is_named_with_the_remedy() {
        Mini::new(Command::new("podman-of-nowhere")).arg("load").run();
    }
}
