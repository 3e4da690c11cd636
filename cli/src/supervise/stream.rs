//! The loop: container streams to log and client, client to container, until init has ended.
//!
//! One poll(2), one match. A client that does not read stalls the container's output, as docker's does; one that goes away
//! does not: the log goes on alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::create::{Running, Stdio};
use runtime::io::log::{Bounds, Log, Stream};
use runtime::sys::memory::Spare;
use runtime::sys::pidfd::{self, Ending};
use runtime::sys::{signal, terminal};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::termios::Winsize;
use serde::{Deserialize, Serialize};

use super::Words;
use super::client::Client;
use super::handover::{Kept, Role};
use super::protocol::Message;
use crate::clock;

/// How long a container may take to end when its monitor is told to, ns.
const PATIENCE: u64 = 10_000_000_000;

/// How long nothing must happen before memory is given back, ns: a short container never pays for that.
const REST_AFTER: u64 = 250_000_000;

/// The most that is read at once, bytes.
const PORTION: usize = 32 << 10;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The container has written.
    Readable(Stream),
    /// The container can take input.
    InputPossible,
    /// The client has said something, or gone away.
    ClientReadable,
    /// The client can take more.
    ClientWritable,
    /// The monitor was told to stop its container (SIGTERM).
    Told,
    /// Patience is at its end.
    Late,
    /// Init has ended.
    Ended,
}

/// The streams of a running container.
pub(super) struct Pump<'a> {
    client: &'a mut Client,
    log: Log,
    pidfd: OwnedFd,
    pid: i32,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    input: Option<OwnedFd>,
    /// With a terminal: its slave, held so that a container may close and reopen it without a hang-up.
    slave: Option<OwnedFd>,
    /// Bytes on their way into the container.
    waiting: Vec<u8>,
    /// The client has said everything it will.
    input_ended: bool,
    stop_signal: i32,
    kill_at: Option<u64>,
}

/// What a fresh process must know of the streams, beside their descriptors.
#[derive(Serialize, Deserialize)]
pub(super) struct Streams {
    pid: i32,
    input_ended: bool,
    /// Lines of the log that have not ended yet.
    unfinished: [Vec<u8>; 2],
}

impl<'a> Pump<'a> {
    pub(super) fn new(words: &Words, client: &'a mut Client, running: Running) -> Pump<'a> {
        let log = log(words, Default::default());
        let (output, error, input, slave) = match running.stdio {
            Stdio::Pipes { input, output, error } => (Some(output), Some(error), input, None),
            Stdio::Terminal(master) => {
                let input = master.try_clone().ok();
                let slave = terminal::peer(master.as_fd()).ok();
                (Some(master), None, input, slave)
            }
            Stdio::None => (None, None, None, None),
        };
        for descriptor in [&output, &error, &input].into_iter().flatten() {
            // Only our own ends: what the container holds is another open file.
            let _blocking = rustix::io::ioctl_fionbio(descriptor, true);
        }
        Pump {
            client,
            log,
            pidfd: running.pidfd,
            pid: running.pid.as_raw_nonzero().get(),
            output,
            error,
            input,
            slave,
            waiting: Vec::new(),
            input_ended: false,
            stop_signal: words.stop_signal,
            kill_at: None,
        }
    }

    /// In a fresh process; `None` where the container's own descriptor is missing.
    pub(super) fn resume(
        words: &Words,
        client: &'a mut Client,
        streams: &Streams,
        kept: &mut Kept,
    ) -> Option<Pump<'a>> {
        Some(Pump {
            client,
            log: log(words, streams.unfinished.clone()),
            pidfd: kept.take(Role::Init)?,
            pid: streams.pid,
            output: kept.take(Role::Output),
            error: kept.take(Role::Error),
            input: kept.take(Role::Input),
            slave: kept.take(Role::Slave),
            waiting: Vec::new(),
            input_ended: streams.input_ended,
            stop_signal: words.stop_signal,
            kill_at: None,
        })
    }

    /// Whether something is on its way.
    pub(super) fn is_in_the_middle(&self) -> bool {
        self.client.is_busy() || !self.waiting.is_empty() || self.kill_at.is_some()
    }

    pub(super) fn streams(&self) -> Streams {
        Streams { pid: self.pid, input_ended: self.input_ended, unfinished: self.log.unfinished().clone() }
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = (Role, BorrowedFd<'_>)> {
        let streams = [
            (Role::Output, &self.output),
            (Role::Error, &self.error),
            (Role::Input, &self.input),
            (Role::Slave, &self.slave),
        ];
        let streams = streams.into_iter().filter_map(|(role, fd)| Some((role, fd.as_ref()?.as_fd())));
        let client = self.client.descriptor().map(|socket| (Role::Client, socket));
        streams.chain(client).chain([(Role::Init, self.pidfd.as_fd())])
    }

    /// Drives the loop until init has ended and everything it wrote is in the log and on its way to the client.
    ///
    /// `at_rest` is called when nothing has happened for a moment, and may become another process.
    pub(super) fn run(mut self, at_rest: impl Fn(&Self)) -> Ending {
        let signals = signal::as_descriptor(&[libc::SIGTERM]).ok();
        let mut spare = None;
        loop {
            for event in self.wait(signals.as_ref().map(AsFd::as_fd), &mut spare, &at_rest) {
                match event {
                    Event::Readable(stream) => {
                        self.read(stream);
                    }
                    Event::InputPossible => self.write_input(),
                    Event::ClientReadable => self.hear(),
                    Event::ClientWritable => self.client.flush(),
                    Event::Told => {
                        while signals.as_ref().and_then(|signals| signal::next(signals.as_fd())).is_some() {}
                        self.signal(self.stop_signal);
                        self.kill_at = Some(clock::now() + PATIENCE);
                    }
                    Event::Late => {
                        self.signal(libc::SIGKILL);
                        self.kill_at = None;
                    }
                    Event::Ended => return self.end(),
                }
            }
        }
    }

    /// Waits until something happens, and says what; init's end comes last.
    fn wait(
        &self,
        signals: Option<BorrowedFd<'_>>,
        spare: &mut Option<Spare>,
        at_rest: &impl Fn(&Self),
    ) -> Vec<Event> {
        let mut awaited: Vec<(BorrowedFd<'_>, PollFlags, Event)> = Vec::with_capacity(8);
        if !self.client.is_busy() {
            for (descriptor, stream) in [(&self.output, Stream::Output), (&self.error, Stream::Error)] {
                awaited.extend(
                    descriptor.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN, Event::Readable(stream))),
                );
            }
        }
        if let (Some(input), false) = (&self.input, self.waiting.is_empty()) {
            awaited.push((input.as_fd(), PollFlags::OUT, Event::InputPossible));
        }
        if let Some(client) = self.client.descriptor() {
            awaited.push((client, PollFlags::IN, Event::ClientReadable));
            if self.client.is_busy() {
                awaited.push((client, PollFlags::OUT, Event::ClientWritable));
            }
        }
        awaited.extend(signals.map(|signals| (signals, PollFlags::IN, Event::Told)));
        awaited.push((self.pidfd.as_fd(), PollFlags::IN, Event::Ended));

        let mut polled: Vec<PollFd<'_>> = awaited
            .iter()
            .map(|(descriptor, flags, _)| PollFd::from_borrowed_fd(*descriptor, *flags))
            .collect();
        let left = self.kill_at.map_or(REST_AFTER, |at| at.saturating_sub(clock::now()));
        let timeout = Timespec {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_nsec: (left % 1_000_000_000).cast_signed(),
        };
        let mut polled_events = rustix::event::poll(&mut polled, Some(&timeout));
        if polled_events == Ok(0) && self.kill_at.is_none() {
            // The monitor sleeps for most of its life, on as little memory as can be.
            at_rest(self);
            polled_events = spare.get_or_insert_with(Spare::find).sleep(&mut polled);
        }
        match polled_events {
            Ok(0) => vec![Event::Late],
            Ok(_) => {
                let happened = polled.iter().zip(&awaited).filter(|(poll, _)| !poll.revents().is_empty());
                happened.map(|(_, (.., event))| *event).collect()
            }
            Err(_) => Vec::new(), // interrupted
        }
    }

    /// Passes on what the container wrote; false at the end or where nothing is there.
    fn read(&mut self, stream: Stream) -> bool {
        let place = if stream == Stream::Output { &mut self.output } else { &mut self.error };
        let Some(descriptor) = place else { return false };
        let mut portion = vec![0u8; PORTION];
        match rustix::io::read(&*descriptor, &mut portion) {
            Ok(length) if length > 0 => {
                let bytes = &portion[..length];
                // A full disk must not stop the container: what cannot be logged is still shown.
                let _unlogged = self.log.take(stream, bytes, &clock::log_time);
                self.client.send(&match stream {
                    Stream::Output => Message::Output(bytes.into()),
                    Stream::Error => Message::Error(bytes.into()),
                });
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // The end; a terminal says it with EIO.
            Ok(_) | Err(_) => {
                *place = None;
                false
            }
        }
    }

    fn write_input(&mut self) {
        let Some(input) = &self.input else {
            self.waiting = Vec::new();
            return;
        };
        match rustix::io::write(input, &self.waiting) {
            Ok(length) => {
                self.waiting.drain(..length);
            }
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => {
                // The container reads no more; who writes to it is not told, as with a pipe to a process that has closed it.
                self.input = None;
                self.waiting.clear();
            }
        }
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
            if self.input_ended {
                self.close_input();
            } else {
                self.client.send(&Message::Taken);
            }
        }
    }

    fn hear(&mut self) {
        let Some(packet) = self.client.receive() else { return };
        if packet.is_empty() {
            // As docker's StdinOnce: without its client a container has nothing more to read.
            self.input_ended = true;
        }
        match Message::decode(&packet) {
            Some(Message::Input(bytes)) => {
                self.waiting.extend_from_slice(&bytes);
                self.write_input();
            }
            Some(Message::InputEnd) => self.input_ended = true,
            Some(Message::Resize { rows, columns }) => self.resize(rows, columns),
            Some(Message::Signal(number)) => self.signal(number),
            _ => {}
        }
        if self.input_ended && self.waiting.is_empty() {
            self.close_input();
        }
    }

    /// A pipe is closed. A terminal is not: its end of input is a key.
    fn close_input(&mut self) {
        if self.slave.is_none() {
            self.input = None;
        }
    }

    fn resize(&self, rows: u16, columns: u16) {
        if let (Some(master), Some(_)) = (&self.output, &self.slave) {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that is gone has no size.
            let _gone = terminal::set_size(master.as_fd(), size);
        }
    }

    fn signal(&self, number: i32) {
        // A process that has ended is told by the next event.
        let _ended = pidfd::send_signal(self.pidfd.as_fd(), self.pid, number);
    }

    /// Reaps init and passes on what it left in the pipes: at most what they hold, for nobody writes any more.
    fn end(mut self) -> Ending {
        let ending = pidfd::wait(self.pidfd.as_fd()).unwrap_or(Ending::Signaled(libc::SIGKILL));
        self.slave = None;
        for stream in [Stream::Output, Stream::Error] {
            while self.read(stream) {}
        }
        let _unlogged = self.log.finish(&clock::log_time);
        ending
    }
}

fn log(words: &Words, unfinished: [Vec<u8>; 2]) -> Log {
    Log::resume(words.dirs.disk.join("container.log"), Bounds::default(), unfinished)
}
