//! Everybody who stays with a container: who started it, and whoever came later by its socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::io::log::Stream;
use runtime::op::OpError;
use runtime::sys;
use rustix::event::{PollFd, PollFlags};

use super::client::{Client, Known};
use super::protocol::{self, Message, SOCKET};
use crate::plan::stdio::Attach;

/// The clients of one container.
#[derive(Default)]
pub(super) struct Clients {
    /// Where others come in.
    listener: Option<OwnedFd>,
    all: Vec<Client>,
}

impl Clients {
    /// Who forked the monitor.
    pub(super) fn new(first: OwnedFd, streams: Attach) -> Clients {
        let mut first = Client::new(first, Known::new(Some(streams)));
        first.send(&Message::Hello(protocol::VERSION));
        Clients { listener: None, all: vec![first] }
    }

    /// In a fresh process.
    pub(super) fn resume(listener: Option<OwnedFd>, all: impl Iterator<Item = (OwnedFd, Known)>) -> Clients {
        Clients { listener, all: all.map(|(socket, known)| Client::new(socket, known)).collect() }
    }

    /// Lets others come in, at a socket in the container's run directory.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(super) fn listen(&mut self, directory: BorrowedFd<'_>) -> Result<(), OpError> {
        self.listener = Some(sys::socket::listen_in(directory, SOCKET)?);
        Ok(())
    }

    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Whoever is there: their places here, and what is known of them.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Client, BorrowedFd<'_>)> {
        let all = self.all.iter().enumerate();
        all.filter_map(|(place, client)| Some((place, client, client.descriptor()?)))
    }

    /// The one at a place.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Client> {
        self.all.get_mut(place)
    }

    /// Takes in whoever waits outside.
    pub(super) fn let_in(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok(socket) = sys::socket::accept_quietly(listener.as_fd()) {
            let mut client = Client::new(socket, Known::new(None));
            client.send(&Message::Hello(protocol::VERSION));
            self.all.push(client);
        }
    }

    /// Forgets those who have gone: their places are others' then.
    pub(super) fn forget_gone(&mut self) {
        self.all.retain(|client| client.descriptor().is_some());
    }

    /// Whether a stream may be read: everybody who stays with it can take more.
    pub(super) fn can_take(&self, stream: Stream) -> bool {
        !self.all.iter().any(|client| client.is_behind(stream))
    }

    /// Whether something is on its way to one of them.
    pub(super) fn is_busy(&self) -> bool {
        self.all.iter().any(|client| client.is_busy() || client.waits_for_input)
    }

    /// Shows what a stream said to all who stay with it.
    pub(super) fn show(&mut self, stream: Stream, bytes: &[u8]) {
        self.all.iter_mut().for_each(|client| client.show(stream, bytes));
    }

    /// Tells everybody.
    pub(super) fn tell(&mut self, message: &Message<'_>) {
        self.all.iter_mut().for_each(|client| client.send(message));
    }

    /// What was typed is in the container: those who wait may go on.
    pub(super) fn input_taken(&mut self) {
        for client in self.all.iter_mut().filter(|client| client.waits_for_input) {
            client.waits_for_input = false;
            client.send(&Message::Taken);
        }
    }

    /// The last word to everybody.
    pub(super) fn dismiss(&mut self, word: &Message<'_>) {
        self.all.iter_mut().for_each(|client| client.dismiss(word));
        self.forget_gone();
    }

    /// The last word to those who stay with this run. Whoever has come in without saying why yet may want something that counts for
    /// the next one, too.
    pub(super) fn dismiss_who_stays(&mut self, word: &Message<'_>) {
        let staying = self.all.iter_mut().filter(|client| client.known.streams.is_some());
        staying.for_each(|client| client.dismiss(word));
        self.forget_gone();
    }

    /// Waits until everybody has heard everything, or has gone; all of them have had their last word.
    pub(super) fn wait_until_heard(&mut self) {
        self.forget_gone();
        while !self.all.is_empty() {
            let mut waits: Vec<PollFd<'_>> = self
                .present()
                .map(|(_, _, socket)| PollFd::from_borrowed_fd(socket, PollFlags::OUT))
                .collect();
            // An interrupted wait is tried again by the loop.
            let _interrupted = rustix::event::poll(&mut waits, None);
            let closed: Vec<bool> =
                waits.iter().map(|wait| wait.revents().intersects(PollFlags::HUP | PollFlags::ERR)).collect();
            for (client, closed) in self.all.iter_mut().zip(closed) {
                if closed { client.gone() } else { client.flush() }
            }
            self.forget_gone();
        }
    }
}
