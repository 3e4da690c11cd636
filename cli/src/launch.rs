//! The client's side of a container: it forks the monitor, owns the user's terminal, and may be killed without harm.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use runtime::Failure;
use runtime::sys::{self, signal, terminal};
use rustix::event::{PollFd, PollFlags};

use crate::detach::{Keys, Typed};
use crate::exit_code::ExitCode;
use crate::explain::Story;
use crate::supervise::protocol::{LONGEST, Message, VERSION};
use crate::supervise::{self, Charge, Start};

/// Signals that go to the container instead of ending the client; all that end or stop a process by default.
pub(crate) const FORWARDED: [i32; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGWINCH,
    libc::SIGVTALRM,
];

/// What came of a container that was launched.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It runs, and nobody waits for it: by `-d`, or by the keys.
    Detached,
    /// It ended.
    Ended {
        /// Its exit code.
        code: i32,
        /// Why, where more is known.
        reason: Option<String>,
    },
}

/// Forks the monitor and stays with the container as long as it is not detached.
///
/// # Errors
/// The failure of the container's start; a monitor that died.
pub(crate) fn launch(charge: Charge, start: Start, mut story: Option<Story>) -> Result<Outcome> {
    let (interactive, terminal, detached) =
        (start.plan.stdio.interactive, start.plan.stdio.terminal, start.plan.lifecycle.detached);
    sys::process::assert_single_threaded()?;
    let (ours, theirs) = sys::socket::pair()?;
    // Blocked before the fork, so that none is lost; the monitor is not to be ended by a key either.
    let signals = signal::as_descriptor(&FORWARDED)?;
    if birth(&start)?.is_none() {
        drop((ours, signals, story));
        supervise::run(charge, start, theirs);
    }
    drop((charge, start, theirs));
    let mut client = Client {
        socket: ours,
        signals,
        interactive: interactive && !detached,
        terminal,
        detached,
        started: false,
        may_send: true,
        raw: None,
        keys: Keys::default(),
    };
    let outcome = client.stay(&mut story);
    drop(client);
    if let Some(story) = story {
        if detached { story.tell_what_is_there() } else { story.tell_to_the_end() }
    }
    outcome
}

/// The monitor; `None` in it. A detached one is born outside its caller's group of version 2, and moves out of the others.
fn birth(start: &Start) -> Result<Option<rustix::process::Pid>> {
    runtime::op::step("Fork the monitor: it stays with the container, we stay with the terminal");
    let place = match start.plan.lifecycle.detached {
        // Where no group can be made it stays in its caller's: less safe from a service manager, not wrong.
        true => start.layout.birthplace(&start.monitor_group).ok().flatten(),
        false => None,
    };
    let Some(place) = place else { return Ok(sys::ns::fork()?) };
    Ok(match sys::ns::clone3(sys::ns::Kinds::empty(), Some(place.as_fd()))? {
        sys::ns::Cloned::Child => None,
        sys::ns::Cloned::Parent { pid, .. } => Some(pid),
    })
}

struct Client {
    socket: OwnedFd,
    signals: OwnedFd,
    /// The user's input goes to the container.
    interactive: bool,
    terminal: bool,
    detached: bool,
    started: bool,
    /// The monitor has taken the last portion of input.
    may_send: bool,
    /// The user's terminal, to be put back as it was.
    raw: Option<terminal::Raw>,
    keys: Keys,
}

impl Client {
    fn stay(&mut self, story: &mut Option<Story>) -> Result<Outcome> {
        loop {
            let [socket, signals, input, told] = self.wait(story.as_ref());
            if told && !story.as_mut().is_some_and(Story::tell) {
                *story = None;
            }
            if signals {
                self.forward_signals();
            }
            if input && self.send_input() {
                self.raw = None;
                return Ok(Outcome::Detached);
            }
            if socket && let Some(outcome) = self.hear()? {
                return Ok(outcome);
            }
        }
    }

    /// Waits until something happens: [socket, signals, input, story].
    fn wait(&self, story: Option<&Story>) -> [bool; 4] {
        let input = self.interactive && self.started && self.may_send;
        let stdin = rustix::stdio::stdin();
        let awaited: [Option<BorrowedFd<'_>>; 4] = [
            Some(self.socket.as_fd()),
            Some(self.signals.as_fd()),
            input.then_some(stdin),
            story.map(Story::descriptor),
        ];
        let mut polled: Vec<PollFd<'_>> =
            awaited.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        // An interrupted wait is tried again by the loop.
        let _interrupted = rustix::event::poll(&mut polled, None);
        let mut happened = polled.iter().map(|poll| !poll.revents().is_empty());
        awaited.map(|awaited| awaited.is_some() && happened.next().unwrap_or(false))
    }

    /// One message of the monitor; an outcome where it was the last.
    fn hear(&mut self) -> Result<Option<Outcome>> {
        let mut packet = vec![0u8; LONGEST + 4096];
        let length = match rustix::io::read(&self.socket, &mut packet) {
            // The monitor hung up before it had read our last word; what it said before that is still to be read (unix(7)).
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => return Ok(None),
            other => other.context("cannot hear the monitor")?,
        };
        if length == 0 {
            anyhow::bail!("the container's monitor died; mini ps -a says what is left");
        }
        match Message::decode(&packet[..length]) {
            Some(Message::Hello(version)) => {
                anyhow::ensure!(
                    version <= VERSION,
                    "the monitor speaks version {version}, this mini {VERSION}"
                );
            }
            Some(Message::Started) => {
                if self.detached {
                    return Ok(Some(Outcome::Detached));
                }
                self.started = true;
                self.take_terminal()?;
            }
            Some(Message::Failed(failure)) => return Err(failure.into()),
            Some(Message::Output(bytes)) => write(&mut io::stdout().lock(), &bytes),
            Some(Message::Error(bytes)) => write(&mut io::stderr().lock(), &bytes),
            Some(Message::Taken) => self.may_send = true,
            Some(Message::Exit(exit)) => {
                self.raw = None;
                for left in &exit.left {
                    crate::output::warn(&format!("could not clean up: {left}"));
                }
                return Ok(Some(Outcome::Ended { code: exit.code, reason: exit.reason }));
            }
            _ => {}
        }
        Ok(None)
    }

    fn take_terminal(&mut self) -> Result<()> {
        if self.terminal && self.interactive {
            self.raw = Some(terminal::Raw::enter(rustix::stdio::stdin())?);
        }
        if self.terminal {
            self.send_size();
        }
        Ok(())
    }

    fn send(&self, message: &Message<'_>) {
        // A monitor that is gone is noticed where it is heard.
        let _gone = sys::socket::send_quietly(self.socket.as_fd(), &message.encode(), &[]);
    }

    /// True where the user has typed the keys that leave the container alone.
    fn send_input(&mut self) -> bool {
        let mut portion = vec![0u8; LONGEST];
        match rustix::io::read(rustix::stdio::stdin(), &mut portion) {
            Ok(length) if length > 0 => {
                let typed = match self.terminal {
                    true => self.keys.take(&portion[..length]),
                    false => Typed::Input(portion[..length].to_vec()),
                };
                let (input, detach) = match typed {
                    Typed::Input(input) => (input, false),
                    Typed::Detach(input) => (input, true),
                };
                if !input.is_empty() {
                    self.may_send = false;
                    self.send(&Message::Input(input.into()));
                }
                return detach;
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // A terminal has no end of input: its window was closed.
            Ok(_) | Err(_) if self.terminal => signal::die_of(libc::SIGHUP),
            Ok(_) | Err(_) => {
                self.interactive = false;
                self.send(&Message::InputEnd);
            }
        }
        false
    }

    fn forward_signals(&self) {
        while let Some(number) = signal::next(self.signals.as_fd()) {
            match number {
                libc::SIGWINCH if self.terminal => self.send_size(),
                // The window was closed: the container has a terminal of its own and goes on, as docker's does.
                libc::SIGHUP if self.terminal => signal::die_of(libc::SIGHUP),
                number => self.send(&Message::Signal(number)),
            }
        }
    }

    fn send_size(&self) {
        if let Some((rows, columns)) = window() {
            self.send(&Message::Resize { rows, columns });
        }
    }
}

/// The size of the user's terminal: (rows, columns), whichever stream is one.
pub(crate) fn window() -> Option<(u16, u16)> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let size = streams.into_iter().find_map(|stream| terminal::size(stream).ok())?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Writes to a stream of ours. Who does not read any more ends us, as every program that writes to a closed pipe.
pub(crate) fn write(stream: &mut dyn Write, bytes: &[u8]) {
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        signal::die_of(libc::SIGPIPE);
    }
}

/// The failure of a start, as an exit code.
pub(crate) fn failure_code(error: &anyhow::Error) -> ExitCode {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map_or(ExitCode::Mini, |failure| failure.kind.into())
}
