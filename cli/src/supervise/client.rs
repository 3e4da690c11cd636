//! The monitor's end of the socket to a client that may read slowly, or go away.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::sys;
use rustix::event::{PollFd, PollFlags};

use super::protocol::{LONGEST, Message};

/// The other end of the socket, as long as somebody is there.
pub(super) struct Client {
    socket: Option<OwnedFd>,
    /// Packets that did not fit yet.
    waiting: VecDeque<Vec<u8>>,
}

impl Client {
    pub(super) fn new(socket: OwnedFd) -> Client {
        // A socket that stays blocking would only make the monitor wait for its client.
        let _blocking = rustix::io::ioctl_fionbio(&socket, true);
        Client { socket: Some(socket), waiting: VecDeque::new() }
    }

    /// One that nobody is at the other end of.
    pub(super) fn gone_away() -> Client {
        Client { socket: None, waiting: VecDeque::new() }
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Whether packets wait: nothing more should be read for this client then.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends, or keeps what does not fit now.
    pub(super) fn send(&mut self, message: &Message<'_>) {
        if self.socket.is_some() {
            self.waiting.push_back(message.encode());
            self.flush();
        }
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
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new(); // no memory for what may never come again
        }
    }

    /// The next packet, if one is there; an empty one where the client has gone.
    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let socket = self.socket.as_ref()?;
        let mut packet = vec![0u8; LONGEST + 16];
        match rustix::io::read(socket, &mut packet) {
            Ok(0) => {
                self.gone();
                Some(Vec::new())
            }
            Ok(length) => {
                packet.truncate(length);
                Some(packet)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Err(_) => {
                self.gone();
                Some(Vec::new())
            }
        }
    }

    /// Sends everything, waiting for the client where it must, and hangs up.
    pub(super) fn close(&mut self) {
        while let (false, Some(socket)) = (self.waiting.is_empty(), &self.socket) {
            let mut wait = [PollFd::new(socket, PollFlags::OUT)];
            // An interrupted wait is tried again by the loop.
            let _interrupted = rustix::event::poll(&mut wait, None);
            if wait[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
                self.gone();
            } else {
                self.flush();
            }
        }
        self.gone();
    }

    fn gone(&mut self) {
        self.socket = None;
        self.waiting = VecDeque::new();
    }
}
