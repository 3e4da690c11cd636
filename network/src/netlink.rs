//! The door to the kernel's network: a netlink socket that sends whole batches and reads what the kernel answered.
//!
//! The kernel works through everything that one `send` carries before `send` returns, so its answers are there already:
//! reading never waits, and an answer that is missing is an error instead of a hang.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use crate::message::{Answer, Batch, answers};

/// Room for one datagram of answers: the kernel fills at most 32 KiB of a list at a time (`netlink_dump`).
const DATAGRAM: usize = 32 * 1024;

/// A netlink socket. It belongs to the network namespace that it was opened in, wherever its user goes.
#[derive(Debug)]
pub(crate) struct Socket(netlink_sys::Socket);

impl Socket {
    /// For links, addresses and routes.
    pub(crate) fn route() -> io::Result<Self> {
        let socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        // Lists then honour the index and the master that are asked for (Linux 4.20).
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self(socket))
    }

    /// For nf_tables and connection tracking.
    ///
    /// # Errors
    /// EPROTONOSUPPORT where the kernel has no nfnetlink.
    pub(crate) fn netfilter() -> io::Result<Self> {
        netlink_sys::Socket::new(NETLINK_NETFILTER).map(Self)
    }

    /// Sends a batch and reads all of its acknowledgements.
    ///
    /// # Errors
    /// The first message that the kernel refused. rtnetlink carries the others out all the same, nf_tables none of them.
    pub(crate) fn send(&self, batch: &Batch) -> Result<(), Refusal> {
        let everything = |source| Refusal { message: 0, source };
        self.0.send(&batch.bytes, 0).map_err(everything)?;
        let mut refusal: Option<Refusal> = None;
        let mut acknowledged = 0;
        loop {
            let datagram = match self.receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                other => other.map_err(everything)?,
            };
            for answer in answers(&datagram) {
                match answer.map_err(everything)? {
                    (_, Answer::Body(_)) => {}
                    (_, Answer::Status(0)) => acknowledged += 1,
                    (message, Answer::Status(code)) => {
                        refusal
                            .get_or_insert(Refusal { message, source: io::Error::from_raw_os_error(code) });
                    }
                }
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None if acknowledged < batch.acks => Err(everything(io::ErrorKind::WouldBlock.into())),
            None => Ok(()),
        }
    }

    /// Asks; each answer is a message without netlink's header. The question must end in an acknowledgement or be a list.
    ///
    /// # Errors
    /// The kernel's: ENODEV or ENOENT for what does not exist.
    pub(crate) fn ask(&self, question: &Batch) -> io::Result<Vec<Vec<u8>>> {
        self.0.send(&question.bytes, 0)?;
        let mut bodies = Vec::new();
        loop {
            let datagram = self.receive()?;
            for answer in answers(&datagram) {
                match answer?.1 {
                    Answer::Body(body) => bodies.push(body.to_vec()),
                    Answer::Status(0) => return Ok(bodies),
                    Answer::Status(code) => return Err(io::Error::from_raw_os_error(code)),
                }
            }
        }
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        loop {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            let (_, sender) = self.0.recv_from(&mut datagram, libc::MSG_DONTWAIT)?;
            // Port 0 is the kernel. A process may send to our port too (netlink(7)), and is not believed.
            if sender.port_number() == 0 {
                return Ok(datagram);
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A message that the kernel refused: its number in the batch, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) message: usize,
    pub(crate) source: io::Error,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.source
    }
}
