//! Channels between mini's own processes: pipes, and socket pairs that also carry descriptors (unix(7), SCM_RIGHTS).

use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

use super::{Result, op};

/// A pipe: (read end, write end), closed on exec.
///
/// # Errors
/// What pipe2(2) answered.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    op!(("pipe2(O_CLOEXEC)"), ("mkfifo …"), || rustix::pipe::pipe_with(PipeFlags::CLOEXEC))
}

/// Two connected sockets that keep message boundaries, closed on exec.
///
/// # Errors
/// What socketpair(2) answered.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    op!(("socketpair(AF_UNIX, SOCK_SEQPACKET)"), ("# a pair of sockets"), || rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None
    ))
}

/// Listens at `name` in an open directory, whatever was there before; closed on exec, and never waits.
///
/// The directory is named by descriptor, since a socket's own address has room for 107 bytes (unix(7)).
///
/// # Errors
/// What unlinkat(2), socket(2), bind(2) or listen(2) answered.
pub fn listen_in(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    op!(("socket(AF_UNIX, SOCK_SEQPACKET), bind({name:?}), listen()"), ("# a socket at {name}"), || {
        super::removal::gone(rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&socket, &address(directory, name)?)?;
        rustix::net::listen(&socket, 16)?;
        Ok::<_, io::Error>(socket)
    })
}

/// Connects to who listens at `name` in an open directory.
///
/// # Errors
/// What connect(2) answered: `ENOENT` or `ECONNREFUSED` where nobody listens.
pub fn connect_in(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    op!(("socket(AF_UNIX, SOCK_SEQPACKET), connect({name:?})"), ("# connected to {name}"), || {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &address(directory, name)?)?;
        Ok::<_, io::Error>(socket)
    })
}

/// Sends one datagram to who is bound to `name`: a path, or an abstract name after an `@`.
///
/// # Errors
/// What socket(2) or sendto(2) answered; a name that is no address (unix(7)).
pub fn send_to(name: &OsStr, data: &[u8]) -> Result<()> {
    op!(("sendto({name:?}, {} bytes)", data.len()), ("# sent to {}", name.display()), || {
        let address = match name.as_bytes().split_first() {
            Some((b'@', rest)) => rustix::net::SocketAddrUnix::new_abstract_name(rest)?,
            _ => rustix::net::SocketAddrUnix::new(name)?,
        };
        let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::sendto(&socket, data, rustix::net::SendFlags::NOSIGNAL, &address)?;
        Ok::<_, io::Error>(())
    })
}

/// Who connects next, if anybody does now; closed on exec, and never waits. Untold: it is no operation of the container's.
///
/// # Errors
/// What accept4(2) answered: `EAGAIN` where nobody does.
pub fn accept_quietly(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

fn address(directory: BorrowedFd<'_>, name: &str) -> rustix::io::Result<rustix::net::SocketAddrUnix> {
    rustix::net::SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Sends one message with descriptors.
///
/// # Errors
/// What sendmsg(2) answered.
pub fn send(socket: BorrowedFd<'_>, data: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    op!(
        ("sendmsg({} bytes, SCM_RIGHTS: {} descriptors)", data.len(), descriptors.len()),
        ("# handed over"),
        || { send_quietly(socket, data, descriptors) }
    )
}

/// As [`send`], untold: for the narrator itself, and for the streams of a running container.
///
/// # Errors
/// What sendmsg(2) answered.
pub fn send_quietly(socket: BorrowedFd<'_>, data: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let parts = [IoSlice::new(data)];
    nix::sys::socket::sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// A socket that this process was started with, by its number; `None` where that is none. It is closed on exec from now on.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    #![expect(unsafe_code, reason = "an inherited descriptor is a bare number")]
    // SAFETY: fcntl only looks at the number.
    if number <= 2 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    Some(owned(number))
}

/// Receives one message of at most `buffer` bytes with at most 253 descriptors (unix(7)); (0, none) at the end.
///
/// # Errors
/// What recvmsg(2) answered; a message that did not fit.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    op!(("recvmsg(SCM_RIGHTS)"), ("# taken over"), || receive_now(socket, buffer))
}

fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    const DESCRIPTORS: usize = 253; // SCM_MAX_FD
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match nix::sys::socket::recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
        {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            received.extend(raw.into_iter().map(owned));
        }
    }
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message did not fit"));
    }
    Ok((message.bytes, received))
}

#[expect(unsafe_code, reason = "the kernel hands received descriptors over as bare integers")]
fn owned(raw: RawFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the kernel has just installed this descriptor in our table, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
