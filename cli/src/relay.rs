//! The streams of an exec: the client's own, passed to and from a process in the container that is its child.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use runtime::create::{Running, Stdio};
use runtime::sys::pidfd::{self, Ending};
use runtime::sys::{signal, terminal};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::detach::{Keys, Typed};
use crate::{launch, session};

/// The most that is read at once, bytes.
const PORTION: usize = 64 << 10;

/// A process that somebody stays with.
pub(crate) struct Relay {
    pidfd: OwnedFd,
    pid: i32,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    input: Option<OwnedFd>,
    terminal: bool,
    /// The user still has something to say.
    reads: bool,
    /// Bytes on their way in.
    waiting: Vec<u8>,
    /// What leaves it alone.
    keys: Keys,
    raw: Option<terminal::Raw>,
}

/// What came of it.
pub(crate) enum Relayed {
    /// It ended.
    Ended(Ending),
    /// The user typed the keys: it goes on.
    Left(Relay),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Output,
    Error,
    Input,
    InputPossible,
    Signal,
    Ended,
}

/// Passes bytes and signals until the process has ended, or the user leaves it alone.
///
/// # Errors
/// Where the user's terminal cannot be put in raw mode.
pub(crate) fn relay(running: Running, signals: &OwnedFd, reads: bool, keys: Keys) -> Result<Relayed> {
    let mut relay = Relay::new(running, reads, keys);
    if relay.terminal && reads {
        relay.raw = Some(terminal::Raw::enter(rustix::stdio::stdin())?);
    }
    if relay.terminal {
        relay.send_size();
    }
    loop {
        for event in relay.wait(Some(signals.as_fd())) {
            match event {
                Event::Output | Event::Error => drop(relay.pass_output(event)),
                Event::Input => {
                    if relay.take_input() {
                        relay.raw = None;
                        return Ok(Relayed::Left(relay));
                    }
                }
                Event::InputPossible => relay.write_input(),
                Event::Signal => relay.forward(signals),
                Event::Ended => return relay.end().map(Relayed::Ended),
            }
        }
    }
}

impl Relay {
    fn new(running: Running, reads: bool, keys: Keys) -> Relay {
        let (output, error, input, terminal) = match running.stdio {
            Stdio::Pipes { input, output, error } => (Some(output), Some(error), input, false),
            Stdio::Terminal(master) => {
                let input = master.try_clone().ok();
                (Some(master), None, input, true)
            }
            Stdio::None => (None, None, None, false),
        };
        for descriptor in [&output, &error, &input].into_iter().flatten() {
            // Only our own ends: what the container holds is another open file.
            let _blocking = rustix::io::ioctl_fionbio(descriptor, true);
        }
        Relay {
            pidfd: running.pidfd,
            pid: running.pid.as_raw_nonzero().get(),
            output,
            error,
            input,
            terminal,
            reads,
            waiting: Vec::new(),
            keys,
            raw: None,
        }
    }

    /// Takes what it still writes, so that it need not wait for anybody, until it ends.
    ///
    /// # Errors
    /// What waitid(2) answered.
    pub(crate) fn go_on_alone(mut self) -> Result<()> {
        self.reads = false;
        loop {
            for event in self.wait(None) {
                match event {
                    Event::Output | Event::Error => drop(self.pass_output(event)),
                    Event::InputPossible => self.write_input(),
                    Event::Ended => return self.end().map(drop),
                    Event::Input | Event::Signal => {}
                }
            }
        }
    }

    fn wait(&self, signals: Option<BorrowedFd<'_>>) -> Vec<Event> {
        let mut awaited: Vec<(BorrowedFd<'_>, PollFlags, Event)> = Vec::with_capacity(6);
        awaited.extend(self.output.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN, Event::Output)));
        awaited.extend(self.error.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN, Event::Error)));
        if self.reads && self.waiting.is_empty() {
            awaited.push((rustix::stdio::stdin(), PollFlags::IN, Event::Input));
        }
        if let (Some(input), false) = (&self.input, self.waiting.is_empty()) {
            awaited.push((input.as_fd(), PollFlags::OUT, Event::InputPossible));
        }
        awaited.extend(signals.map(|signals| (signals, PollFlags::IN, Event::Signal)));
        awaited.push((self.pidfd.as_fd(), PollFlags::IN, Event::Ended));
        let mut polled: Vec<PollFd<'_>> =
            awaited.iter().map(|(fd, flags, _)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        // An interrupted wait is tried again by the loop.
        let _interrupted = rustix::event::poll(&mut polled, None);
        let happened = polled.iter().zip(&awaited).filter(|(poll, _)| !poll.revents().is_empty());
        happened.map(|(_, (.., event))| *event).collect()
    }

    /// False at the end, or where nothing is there now.
    fn pass_output(&mut self, event: Event) -> bool {
        let place = if event == Event::Output { &mut self.output } else { &mut self.error };
        let Some(descriptor) = place else { return false };
        let mut portion = vec![0u8; PORTION];
        match rustix::io::read(&*descriptor, &mut portion) {
            Ok(length) if length > 0 => {
                if event == Event::Output {
                    launch::write(&mut io::stdout().lock(), &portion[..length]);
                } else {
                    launch::write(&mut io::stderr().lock(), &portion[..length]);
                }
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(_) | Err(_) => {
                *place = None;
                false
            }
        }
    }

    /// True where the user has typed the keys that leave it alone.
    fn take_input(&mut self) -> bool {
        let mut portion = vec![0u8; PORTION];
        match rustix::io::read(rustix::stdio::stdin(), &mut portion) {
            Ok(length) if length > 0 => {
                let (input, leaves) = match self.terminal.then(|| self.keys.take(&portion[..length])) {
                    None => (portion[..length].to_vec(), false),
                    Some(Typed::Input(input)) => (input, false),
                    Some(Typed::Detach(input)) => (input, true),
                };
                self.waiting.extend(input);
                self.write_input();
                return leaves;
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) | Err(_) => {
                self.reads = false;
                if !self.terminal {
                    self.input = None;
                }
            }
        }
        false
    }

    fn write_input(&mut self) {
        match self.input.as_ref().map(|input| rustix::io::write(input, &self.waiting)) {
            Some(Ok(length)) => drop(self.waiting.drain(..length)),
            Some(Err(Errno::AGAIN | Errno::INTR)) => {}
            Some(Err(_)) | None => {
                self.input = None;
                self.reads = false;
                self.waiting.clear();
            }
        }
    }

    fn forward(&self, signals: &OwnedFd) {
        while let Some(number) = signal::next(signals.as_fd()) {
            if number == libc::SIGWINCH && self.terminal {
                self.send_size();
            } else {
                // A process that has ended is told by the next event.
                let _ended = pidfd::send_signal(self.pidfd.as_fd(), self.pid, number);
            }
        }
    }

    fn send_size(&self) {
        if let (Some(master), Some((ws_row, ws_col))) = (&self.output, session::window()) {
            let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that is gone has no size.
            let _gone = terminal::set_size(master.as_fd(), size);
        }
    }

    /// What it left in the pipes; children of its own may still hold them, and are not waited for.
    fn end(mut self) -> Result<Ending> {
        let ending = pidfd::wait(self.pidfd.as_fd())?;
        for event in [Event::Output, Event::Error] {
            while self.pass_output(event) {}
        }
        Ok(ending)
    }
}
