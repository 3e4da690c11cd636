//! The loop: container streams to log and clients, clients to container, until init has ended.
//!
//! One poll(2), one match. A client that does not read stalls the stream that it stays with, as docker's does, and no other; one
//! that goes away stalls nothing: the log goes on alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::create::Running;
use runtime::io::log::Stream;
use runtime::sys::memory::Spare;
use runtime::sys::pidfd::{self, Ending};
use runtime::sys::signal;
use rustix::event::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};

use super::Words;
use super::client;
use super::clients::Clients;
use super::handover::{Kept, Role};
use super::health::{CheckEvent, Known, Watch};
use super::protocol::{End, Message};
use super::stream::{self, BOTH, Streams, Unfinished};
use crate::clock::Moment;

/// How long nothing must happen before memory is given back, ns: a short container never pays for that.
const REST_AFTER: u64 = 500_000_000;
/// The same for a fresh process, which has nothing to give back but what it began with, ns.
const FRESH_REST_AFTER: u64 = 20_000_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The container has written.
    Readable(Stream),
    /// The container can take input.
    InputPossible,
    /// A client has said something, or gone away.
    ClientReadable(usize),
    /// A client can take more.
    ClientWritable(usize),
    /// Somebody wants to come in.
    Knocked,
    /// The debugger that has its container made has ended.
    Abandoned,
    /// The monitor was told to stop its container (SIGTERM).
    Told,
    /// An older file of the log has been packed.
    Packed,
    /// A moment that was waited for has come.
    Late,
    /// Something happened to a health check.
    Check(CheckEvent),
    /// Init has ended.
    Ended,
}

/// A running container.
pub(super) struct Pump<'a> {
    words: &'a Words,
    clients: &'a mut Clients,
    streams: Streams,
    pidfd: OwnedFd,
    pid: i32,
    /// When it must have ended that was told to.
    kill_at: Option<Moment>,
    /// When it must have ended in any case (`--timeout`).
    limit_at: Option<Moment>,
    watch: Option<Watch<'a>>,
    /// Of `mini step`: the container does not outlive it.
    overseer: Option<BorrowedFd<'static>>,
    /// Since this process began it has done more than to pass bytes on.
    worked: bool,
    told: Told,
}

/// What a container was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// To end: it is not started again.
    pub(super) is_last: bool,
    /// By a user, not by whoever runs this host.
    pub(super) by_user: bool,
    /// It was killed because its time was over.
    pub(super) timed_out: bool,
}

/// What a fresh process must know of it, beside the descriptors.
#[derive(Serialize, Deserialize)]
pub(super) struct Carried {
    pid: i32,
    unfinished: Unfinished,
    clients: Vec<client::Known>,
    limit_at: Option<Moment>,
    health: Option<Known>,
    told: Told,
}

impl<'a> Pump<'a> {
    pub(super) fn new(words: &'a Words, clients: &'a mut Clients, running: Running) -> Pump<'a> {
        let (pid, pidfd, stdio) = stream::apart(running);
        let streams = Streams::new(words, stdio);
        let limit_at = words.life.timeout.map(|seconds| Moment::after(seconds.saturating_mul(1_000_000_000)));
        let watch = Watch::begin(words);
        let overseer = crate::explain::overseer();
        let (kill_at, worked, told) = (None, true, Told::default());
        Pump { words, clients, streams, pidfd, pid, kill_at, limit_at, watch, overseer, worked, told }
    }

    /// In a fresh process; `None` where the container's own descriptor is missing.
    pub(super) fn resume(
        words: &'a Words,
        clients: &'a mut Clients,
        carried: &Carried,
        kept: &mut Kept,
    ) -> Option<Pump<'a>> {
        *clients = Clients::resume(
            kept.take(Role::Listener),
            carried.clients.iter().map_while(|known| Some((kept.take(Role::Client)?, *known))),
        );
        Some(Pump {
            words,
            clients,
            streams: Streams::resume(words, &carried.unfinished, kept),
            pidfd: kept.take(Role::Init)?,
            pid: carried.pid,
            kill_at: None,
            limit_at: carried.limit_at,
            watch: Watch::resume(words, carried.health.as_ref()),
            overseer: None,
            worked: false,
            told: carried.told,
        })
    }

    /// Whether something is on its way.
    pub(super) fn is_in_the_middle(&self) -> bool {
        let checks = self.watch.as_ref().is_some_and(Watch::is_checking);
        self.clients.is_busy() || self.streams.is_busy() || self.kill_at.is_some() || checks
    }

    /// Whether a fresh process would be smaller than this one.
    pub(super) fn has_worked(&self) -> bool {
        self.worked
    }

    pub(super) fn carried(&self) -> Carried {
        Carried {
            pid: self.pid,
            unfinished: self.streams.unfinished(),
            clients: self.clients.present().map(|(_, client, _)| client.known).collect(),
            limit_at: self.limit_at,
            health: self.watch.as_ref().map(Watch::known),
            told: self.told,
        }
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = (Role, BorrowedFd<'_>)> {
        let clients = self.clients.present().map(|(_, _, socket)| (Role::Client, socket));
        let listener = self.clients.listener().map(|listener| (Role::Listener, listener));
        let init = (Role::Init, self.pidfd.as_fd());
        self.streams.descriptors().chain(clients).chain(listener).chain([init])
    }

    /// Drives the loop until init has ended and everything it wrote is in the log and on its way to the clients.
    ///
    /// `at_rest` is called when nothing has happened for a moment, and may become another process.
    pub(super) fn run(mut self, at_rest: impl Fn(&Self)) -> (Ending, Told) {
        let signals = signal::as_descriptor(&[libc::SIGTERM]).ok();
        let mut spare = None;
        loop {
            for event in self.wait(signals.as_ref().map(AsFd::as_fd), &mut spare, &at_rest) {
                match event {
                    Event::Readable(stream) => {
                        self.streams.read(stream, self.clients);
                    }
                    Event::InputPossible => self.streams.write_input(self.clients),
                    Event::ClientReadable(place) => self.hear(place),
                    Event::ClientWritable(place) => {
                        if let Some(client) = self.clients.at(place) {
                            client.flush();
                        }
                    }
                    Event::Knocked => {
                        self.clients.let_in();
                        self.worked = true;
                    }
                    Event::Told => {
                        while signals.as_ref().and_then(|signals| signal::next(signals.as_fd())).is_some() {}
                        let (signal, patience) = (self.words.stop_signal, self.words.stop_patience);
                        self.end(End { signal, patience, last: true }, false);
                    }
                    Event::Abandoned => {
                        self.overseer = None;
                        self.end(End { signal: libc::SIGKILL, patience: None, last: true }, false);
                    }
                    Event::Packed => self.streams.bury_packer(),
                    Event::Late => self.too_late(),
                    Event::Check(event) => {
                        if let Some(watch) = &mut self.watch {
                            watch.hear(event);
                        }
                    }
                    Event::Ended => return self.finish(),
                }
            }
            self.clients.forget_gone();
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
        for stream in BOTH.into_iter().filter(|stream| self.clients.can_take(*stream)) {
            let readable = self.streams.readable(stream);
            awaited.extend(readable.map(|fd| (fd, PollFlags::IN, Event::Readable(stream))));
        }
        awaited.extend(self.streams.writable().map(|fd| (fd, PollFlags::OUT, Event::InputPossible)));
        for (place, client, socket) in self.clients.present() {
            awaited.push((socket, PollFlags::IN, Event::ClientReadable(place)));
            if client.is_busy() {
                awaited.push((socket, PollFlags::OUT, Event::ClientWritable(place)));
            }
        }
        awaited.extend(self.clients.listener().map(|fd| (fd, PollFlags::IN, Event::Knocked)));
        awaited.extend(signals.map(|signals| (signals, PollFlags::IN, Event::Told)));
        awaited.extend(self.overseer.map(|overseer| (overseer, PollFlags::IN, Event::Abandoned)));
        awaited.extend(self.streams.packer().map(|packer| (packer, PollFlags::IN, Event::Packed)));
        let checks = self.watch.iter().flat_map(Watch::awaited);
        awaited.extend(checks.map(|(fd, flags, event)| (fd, flags, Event::Check(event))));
        awaited.push((self.pidfd.as_fd(), PollFlags::IN, Event::Ended));

        let mut polled: Vec<PollFd<'_>> = awaited
            .iter()
            .map(|(descriptor, flags, _)| PollFd::from_borrowed_fd(*descriptor, *flags))
            .collect();
        let rest = Moment::after(if self.worked { REST_AFTER } else { FRESH_REST_AFTER });
        let check = self.watch.as_ref().and_then(Watch::timer);
        let timer = [self.kill_at, self.limit_at, check].into_iter().flatten().min();
        let first = timer.map_or(rest, |timer| timer.min(rest));
        let mut happened = rustix::event::poll(&mut polled, Some(&first.left()));
        if happened == Ok(0) && timer.is_none_or(|timer| !timer.is_past()) {
            // The monitor sleeps for most of its life, on as little memory as can be.
            at_rest(self);
            let left = timer.map(Moment::left);
            happened = spare.get_or_insert_with(Spare::find).sleep(&mut polled, left.as_ref());
        }
        match happened {
            Ok(0) => vec![Event::Late],
            Ok(_) => {
                let happened = polled.iter().zip(&awaited).filter(|(poll, _)| !poll.revents().is_empty());
                happened.map(|(_, (.., event))| *event).collect()
            }
            Err(_) => Vec::new(), // interrupted
        }
    }

    fn hear(&mut self, place: usize) {
        let Some(client) = self.clients.at(place) else { return };
        let Some(packet) = client.receive() else { return };
        let streams = client.known.streams;
        if packet.is_empty() {
            if streams.is_some_and(|streams| streams.input) {
                self.streams.end_input();
            }
            return;
        }
        match Message::decode(&packet) {
            Some(Message::Attach(wanted)) if streams.is_none() => {
                client.known.streams = Some(wanted);
                client.send(&Message::Started);
            }
            Some(Message::End(end)) => {
                client.send(&Message::Taken);
                self.end(end, true);
            }
            Some(Message::Input(bytes)) => {
                client.waits_for_input = true;
                self.streams.take_input(&bytes, self.clients);
            }
            Some(Message::InputEnd) => self.streams.end_input(),
            Some(Message::Got(stream, bytes)) => client.got(stream, bytes),
            Some(Message::Resize { rows, columns }) => {
                self.streams.resize(rows, columns);
                let Words { context, record, .. } = self.words;
                let event = crate::events::Event::container("resize", record);
                context.journal().record(&[event.with("height", rows).with("width", columns)]);
            }
            Some(Message::Signal(number)) => self.signal(number),
            _ => {}
        }
    }

    fn end(&mut self, end: End, by_user: bool) {
        self.told.is_last |= end.last;
        self.told.by_user |= by_user;
        self.signal(end.signal);
        if end.last {
            self.kill_at = end.patience.map(Moment::after).or(self.kill_at);
        }
    }

    fn too_late(&mut self) {
        let over = |at: &mut Option<Moment>| at.take_if(|at| at.is_past()).is_some();
        self.told.timed_out |= over(&mut self.limit_at);
        if over(&mut self.kill_at) || self.told.timed_out {
            self.signal(libc::SIGKILL);
        }
        if let Some(watch) = &mut self.watch {
            watch.tick(self.pidfd.as_fd(), self.pid);
            self.worked = true;
        }
    }

    fn signal(&self, number: i32) {
        // A process that has ended is told by the next event.
        let _ended = pidfd::send_signal(self.pidfd.as_fd(), self.pid, number);
    }

    /// Reaps init and passes on what it left.
    fn finish(mut self) -> (Ending, Told) {
        let ending = pidfd::wait(self.pidfd.as_fd()).unwrap_or(Ending::Signaled(libc::SIGKILL));
        if let Some(watch) = &mut self.watch {
            watch.finish();
        }
        self.streams.end(self.clients);
        (ending, self.told)
    }
}
