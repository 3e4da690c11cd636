//! The client's side of a container that somebody stays with: it owns the user's terminal, and may be killed without harm.

mod outlet;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use runtime::io::log::Stream;
use runtime::sys::{self, signal, terminal};
use rustix::event::{PollFd, PollFlags};

use crate::detach::{Keys, Typed};
use crate::explain::Story;
use crate::plan::stdio::Attach;
use crate::supervise::protocol::{LONGEST, Message, VERSION};
use outlet::{Outlets, Passed};

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

/// What came of a container that somebody stayed with.
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

/// How somebody stays with a container.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    /// With which of its streams; with none of them, only until it has started.
    pub(crate) streams: Attach,
    /// They are a terminal.
    pub(crate) terminal: bool,
    /// What ends us goes to the container instead.
    pub(crate) passes_signals: bool,
    /// What leaves it alone.
    pub(crate) keys: Keys,
}

impl Stay {
    /// Only until it has started.
    pub(crate) fn no_longer(terminal: bool) -> Stay {
        Stay { streams: Attach::NONE, terminal, passes_signals: true, keys: Keys::default() }
    }
}

/// A client with a container.
pub(crate) struct Session {
    socket: OwnedFd,
    signals: OwnedFd,
    stay: Stay,
    started: bool,
    /// The window is set twice, to two sizes: what draws a whole screen draws it anew (docker's rule for who comes later).
    redraws: bool,
    /// The monitor has taken the last portion of input.
    may_send: bool,
    /// The user's input may still come.
    reads: bool,
    /// The user's terminal, to be put back as it was.
    raw: Option<terminal::Raw>,
    outlets: Outlets,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Told,
    Signaled,
    Typed,
    /// What waits in a queue can be written.
    Writable(usize),
    /// The monitor has said something.
    Said,
}

impl Session {
    /// With the monitor at the other end of `socket`; `signals` are [`FORWARDED`], blocked.
    pub(crate) fn new(socket: OwnedFd, signals: OwnedFd, stay: Stay) -> Session {
        let reads = stay.streams.input;
        let outlets = Outlets::new();
        Session {
            socket,
            signals,
            stay,
            started: false,
            redraws: false,
            may_send: true,
            reads,
            raw: None,
            outlets,
        }
    }

    /// Comes later, to a container that runs.
    ///
    /// # Errors
    /// Where nobody listens at its socket, or no signal can be waited for.
    pub(crate) fn attach(directory: &std::path::Path, stay: Stay) -> Result<Session> {
        let socket = connect(directory)?;
        let signals = signal::as_descriptor(&FORWARDED)?;
        let session = Session { redraws: true, ..Session::new(socket, signals, stay) };
        session.send(&Message::Attach(session.stay.streams));
        Ok(session)
    }

    /// Stays until the container has ended or the user leaves it.
    ///
    /// # Errors
    /// The failure of the container's start; a monitor that died.
    pub(crate) fn stay(mut self, story: &mut Option<Story>) -> Result<Outcome> {
        loop {
            for event in self.wait(story.as_ref()) {
                match event {
                    Event::Told => {
                        if !story.as_mut().is_some_and(Story::tell) {
                            *story = None;
                        }
                    }
                    Event::Signaled => self.take_signals(),
                    Event::Typed => {
                        if self.send_input() {
                            self.raw = None;
                            return Ok(Outcome::Detached);
                        }
                    }
                    Event::Writable(queue) => {
                        let passed = self.outlets.flush(queue);
                        self.acknowledge(&passed);
                    }
                    Event::Said => {
                        if let Some(outcome) = self.hear()? {
                            return Ok(outcome);
                        }
                    }
                }
            }
        }
    }

    /// Waits until something happens; what the monitor says comes last.
    fn wait(&self, story: Option<&Story>) -> Vec<Event> {
        let input = self.reads && self.started && self.may_send;
        let mut awaited: Vec<(BorrowedFd<'_>, PollFlags, Event)> = Vec::with_capacity(6);
        awaited.extend(story.map(|story| (story.descriptor(), PollFlags::IN, Event::Told)));
        awaited.push((self.signals.as_fd(), PollFlags::IN, Event::Signaled));
        if input {
            awaited.push((rustix::stdio::stdin(), PollFlags::IN, Event::Typed));
        }
        for queue in 0..2 {
            let waits = self.outlets.awaited(queue);
            awaited.extend(waits.map(|fd| (fd, PollFlags::OUT, Event::Writable(queue))));
        }
        awaited.push((self.socket.as_fd(), PollFlags::IN, Event::Said));
        let mut polled: Vec<PollFd<'_>> =
            awaited.iter().map(|(fd, flags, _)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        // An interrupted wait is tried again by the loop.
        let _interrupted = rustix::event::poll(&mut polled, None);
        let happened = polled.iter().zip(&awaited).filter(|(poll, _)| !poll.revents().is_empty());
        happened.map(|(_, (.., event))| *event).collect()
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
            self.outlets.finish();
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
                if self.stay.streams == Attach::NONE {
                    return Ok(Some(Outcome::Detached));
                }
                if !self.started {
                    crate::notify::ready(None);
                }
                self.started = true;
                self.take_terminal()?;
            }
            Some(Message::Failed(failure)) => return Err(failure.into()),
            Some(Message::Output(bytes)) => self.show(Stream::Output, bytes.into_owned()),
            Some(Message::Error(bytes)) => self.show(Stream::Error, bytes.into_owned()),
            Some(Message::Taken) => self.may_send = true,
            Some(Message::Exit(exit)) => {
                self.outlets.finish();
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

    fn show(&mut self, stream: Stream, bytes: Vec<u8>) {
        let passed = self.outlets.take(stream, bytes);
        self.acknowledge(&passed);
    }

    fn acknowledge(&self, passed: &[Passed]) {
        for (stream, bytes) in passed {
            self.send(&Message::Got(*stream, *bytes));
        }
    }

    fn take_terminal(&mut self) -> Result<()> {
        if !self.stay.terminal {
            return Ok(());
        }
        if self.stay.streams.input {
            self.raw = Some(terminal::Raw::enter(rustix::stdio::stdin())?);
        }
        if let Some((rows, columns)) = window().filter(|_| self.redraws) {
            self.send(&Message::Resize { rows: rows.saturating_add(1), columns });
        }
        self.send_size();
        Ok(())
    }

    fn send(&self, message: &Message<'_>) {
        // A monitor that is gone is noticed where it is heard.
        let _gone = sys::socket::send_quietly(self.socket.as_fd(), &message.encode(), &[]);
    }

    /// True where the user has typed the keys that leave the container alone, or has nothing more to do with it.
    fn send_input(&mut self) -> bool {
        let mut portion = vec![0u8; LONGEST];
        match rustix::io::read(rustix::stdio::stdin(), &mut portion) {
            Ok(length) if length > 0 => {
                let typed = match self.stay.terminal {
                    true => self.stay.keys.take(&portion[..length]),
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
            Ok(_) | Err(_) if self.stay.terminal => signal::die_of(libc::SIGHUP),
            Ok(_) | Err(_) => {
                self.reads = false;
                self.send(&Message::InputEnd);
                // Whoever only passes something in is done.
                return !self.stay.streams.output && !self.stay.streams.error;
            }
        }
        false
    }

    fn take_signals(&self) {
        while let Some(number) = signal::next(self.signals.as_fd()) {
            match number {
                libc::SIGWINCH if self.stay.terminal => self.send_size(),
                // The window was closed: the container has a terminal of its own and goes on, as docker's does.
                libc::SIGHUP if self.stay.terminal => signal::die_of(libc::SIGHUP),
                number if self.stay.passes_signals => self.send(&Message::Signal(number)),
                number => signal::take(number),
            }
        }
    }

    fn send_size(&self) {
        if let Some((rows, columns)) = window() {
            self.send(&Message::Resize { rows, columns });
        }
    }
}

/// A connection to a container's monitor.
///
/// # Errors
/// Where nobody listens.
pub(crate) fn connect(directory: &std::path::Path) -> Result<OwnedFd> {
    let directory = sys::fs::open_dir(directory).context("cannot reach the container's monitor")?;
    let name = crate::supervise::protocol::SOCKET;
    sys::socket::connect_in(directory.as_fd(), name).context("cannot reach the container's monitor")
}

/// The size of the user's terminal: (rows, columns), whichever stream is one.
pub(crate) fn window() -> Option<(u16, u16)> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let size = streams.into_iter().find_map(|stream| terminal::size(stream).ok())?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
