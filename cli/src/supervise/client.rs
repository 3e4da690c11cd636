//! The monitor's end of the socket to one client, that may read slowly, or go away.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::io::log::Stream;
use runtime::sys;
use serde::{Deserialize, Serialize};

use super::protocol::{AHEAD, LONGEST, Message};
use crate::plan::stdio::Attach;

/// What is known of a client, beside its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// What it stays with; `None` before it has said so.
    pub(super) streams: Option<Attach>,
    /// What it was sent of each stream and has not passed on yet, bytes.
    ahead: [usize; 2],
    /// It was told how the container ended: it has nothing more to say or to hear.
    is_leaving: bool,
}

impl Known {
    /// A client with these streams.
    pub(super) fn new(streams: Option<Attach>) -> Known {
        Known { streams, ahead: [0; 2], is_leaving: false }
    }
}

/// A client.
pub(super) struct Client {
    /// `None` once it has gone.
    socket: Option<OwnedFd>,
    pub(super) known: Known,
    /// Its last portion of input is not in the container yet.
    pub(super) waits_for_input: bool,
    /// Packets that did not fit yet.
    waiting: VecDeque<Vec<u8>>,
}

impl Client {
    pub(super) fn new(socket: OwnedFd, known: Known) -> Client {
        // A socket that stays blocking would only make the monitor wait for its client.
        let _blocking = rustix::io::ioctl_fionbio(&socket, true);
        Client { socket: Some(socket), known, waits_for_input: false, waiting: VecDeque::new() }
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Whether packets wait.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing more of a stream should be read for it now.
    pub(super) fn is_behind(&self, stream: Stream) -> bool {
        self.wants(stream) && self.known.ahead[stream as usize] >= AHEAD
    }

    fn wants(&self, stream: Stream) -> bool {
        !self.known.is_leaving && self.known.streams.is_some_and(|streams| streams.wants(stream))
    }

    /// Sends, or keeps what does not fit now.
    pub(super) fn send(&mut self, message: &Message<'_>) {
        if self.socket.is_some() {
            self.waiting.push_back(message.encode());
            self.flush();
        }
    }

    /// Sends what a stream said, where this client stays with it.
    pub(super) fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if self.wants(stream) {
            self.known.ahead[stream as usize] += bytes.len();
            self.send(&Message::said(stream, bytes));
        }
    }

    /// It has passed so much on.
    pub(super) fn got(&mut self, stream: Stream, bytes: u32) {
        let ahead = &mut self.known.ahead[stream as usize];
        *ahead = ahead.saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Sends the last word; it goes away when it has heard it.
    pub(super) fn dismiss(&mut self, word: &Message<'_>) {
        self.send(word);
        self.known.is_leaving = true;
        self.flush();
    }

    /// Sends what waits, as far as it goes without waiting.
    pub(super) fn flush(&mut self) {
        while let (Some(packet), Some(socket)) = (self.waiting.front(), &self.socket) {
            match sys::socket::send_quietly(socket.as_fd(), packet, &[]) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return,
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => self.gone(),
            }
        }
        self.waiting = VecDeque::new(); // no memory for what may never come again
        if self.known.is_leaving {
            self.gone();
        }
    }

    /// The next packet, if one is there; an empty one where the client has gone.
    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let socket = self.socket.as_ref()?;
        let mut packet = vec![0u8; LONGEST + 16];
        match rustix::io::read(socket, &mut packet) {
            Ok(length) if length > 0 => {
                packet.truncate(length);
                Some(packet)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Ok(_) | Err(_) => {
                self.gone();
                Some(Vec::new())
            }
        }
    }

    pub(super) fn gone(&mut self) {
        self.socket = None;
        self.waiting = VecDeque::new();
    }
}
