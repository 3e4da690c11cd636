//! The monitor's ends of a container's streams: read to the log and to clients, written with what clients say.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::create::{Running, Stdio};
use runtime::io::log::{Log, Stream};
use runtime::sys::terminal;
use rustix::io::Errno;
use rustix::termios::Winsize;
use serde::{Deserialize, Serialize};

use super::Words;
use super::clients::Clients;
use super::handover::{Kept, Role};
use crate::clock;
use crate::plan::logging::LogPlan;

/// The most that is read at once, bytes.
const PORTION: usize = 32 << 10;

/// Both streams that a container writes to.
pub(super) const BOTH: [Stream; 2] = [Stream::Output, Stream::Error];

/// The streams of a running container.
pub(super) struct Streams {
    /// `None`: nothing is kept.
    log: Option<Log>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    input: Option<OwnedFd>,
    /// With a terminal: its slave, held so that a container may close and reopen it without a hang-up.
    slave: Option<OwnedFd>,
    /// Bytes on their way into the container.
    waiting: Vec<u8>,
    /// Nobody will say any more.
    input_ended: bool,
    /// The first client that ends its input ends the container's.
    input_once: bool,
}

/// What a fresh process must know of the streams, beside their descriptors.
#[derive(Serialize, Deserialize)]
pub(super) struct Unfinished {
    input_ended: bool,
    /// Lines of the log that have not ended yet.
    lines: [Vec<u8>; 2],
}

impl Streams {
    pub(super) fn new(words: &Words, stdio: Stdio) -> Streams {
        let (output, error, input, slave) = match stdio {
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
        Streams {
            log: log(words, Default::default()),
            output,
            error,
            input,
            slave,
            waiting: Vec::new(),
            input_ended: false,
            input_once: words.input_once,
        }
    }

    /// In a fresh process.
    pub(super) fn resume(words: &Words, unfinished: &Unfinished, kept: &mut Kept) -> Streams {
        Streams {
            log: log(words, unfinished.lines.clone()),
            output: kept.take(Role::Output),
            error: kept.take(Role::Error),
            input: kept.take(Role::Input),
            slave: kept.take(Role::Slave),
            waiting: Vec::new(),
            input_ended: unfinished.input_ended,
            input_once: words.input_once,
        }
    }

    pub(super) fn unfinished(&self) -> Unfinished {
        let lines = self.log.as_ref().map(|log| log.unfinished().clone()).unwrap_or_default();
        Unfinished { input_ended: self.input_ended, lines }
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = (Role, BorrowedFd<'_>)> {
        let streams = [
            (Role::Output, &self.output),
            (Role::Error, &self.error),
            (Role::Input, &self.input),
            (Role::Slave, &self.slave),
        ];
        streams.into_iter().filter_map(|(role, fd)| Some((role, fd.as_ref()?.as_fd())))
    }

    /// Where a stream is read.
    pub(super) fn readable(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        let place = if stream == Stream::Output { &self.output } else { &self.error };
        place.as_ref().map(AsFd::as_fd)
    }

    /// Where what waits is written.
    pub(super) fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }

    /// Whether something is on its way in, or a child of ours packs the log.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.packer().is_some()
    }

    /// Who packs the log.
    pub(super) fn packer(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().and_then(Log::packer)
    }

    /// It has ended.
    pub(super) fn bury_packer(&mut self) {
        if let Some(log) = &mut self.log {
            log.wait_for_packer();
        }
    }

    /// Passes on what the container wrote; false at the end or where nothing is there.
    pub(super) fn read(&mut self, stream: Stream, clients: &mut Clients) -> bool {
        let place = if stream == Stream::Output { &mut self.output } else { &mut self.error };
        let Some(descriptor) = place else { return false };
        let mut portion = vec![0u8; PORTION];
        match rustix::io::read(&*descriptor, &mut portion) {
            Ok(length) if length > 0 => {
                let bytes = &portion[..length];
                // A full disk must not stop the container: what cannot be logged is still shown.
                let _unlogged = self.log.as_mut().map(|log| log.take(stream, bytes, &clock::log_time));
                clients.show(stream, bytes);
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

    /// Takes what a client said.
    pub(super) fn take_input(&mut self, bytes: &[u8], clients: &mut Clients) {
        self.waiting.extend_from_slice(bytes);
        self.write_input(clients);
    }

    /// Writes what waits, as far as it goes.
    pub(super) fn write_input(&mut self, clients: &mut Clients) {
        match self.input.as_ref().map(|input| rustix::io::write(input, &self.waiting)) {
            Some(Ok(length)) => {
                self.waiting.drain(..length);
            }
            Some(Err(Errno::AGAIN | Errno::INTR)) => return,
            // The container reads no more, or never did; who writes to it is not told, as with a pipe to a process that has
            // closed it.
            Some(Err(_)) | None => {
                self.input = None;
                self.waiting.clear();
            }
        }
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
            clients.input_taken();
            self.close_ended_input();
        }
    }

    /// A client has said everything it will: as docker's StdinOnce, a container that was made with one has nothing more to read.
    pub(super) fn end_input(&mut self) {
        self.input_ended |= self.input_once;
        self.close_ended_input();
    }

    /// A pipe is closed. A terminal is not: its end of input is a key.
    fn close_ended_input(&mut self) {
        if self.input_ended && self.waiting.is_empty() && self.slave.is_none() {
            self.input = None;
        }
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if let (Some(master), Some(_)) = (&self.output, &self.slave) {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that is gone has no size.
            let _gone = terminal::set_size(master.as_fd(), size);
        }
    }

    /// Passes on what is left in the pipes: at most what they hold, for nobody writes any more.
    pub(super) fn end(mut self, clients: &mut Clients) {
        self.slave = None;
        for stream in BOTH {
            while self.read(stream, clients) {}
        }
        let _unlogged = self.log.as_mut().map(|log| log.finish(&clock::log_time));
    }
}

fn log(words: &Words, unfinished: [Vec<u8>; 2]) -> Option<Log> {
    let LogPlan { bounds, attributes } = &words.log;
    let path = words.dirs.disk.join("container.log");
    bounds.map(|bounds| Log::resume(path, bounds, unfinished).with_attributes(attributes.clone()))
}

/// What a start gave, but for the streams.
pub(super) fn apart(running: Running) -> (i32, OwnedFd, Stdio) {
    (running.pid.as_raw_nonzero().get(), running.pidfd, running.stdio)
}
