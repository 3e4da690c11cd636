//! The door to everything that is not netlink: network namespaces, sysctls, and the files that hold leases and locks.
//!
//! Every lock is an flock: it belongs to the open file, so it passes through a fork, needs no clean-up, and vanishes with
//! the last process that holds it (flock(2)).
#![expect(unsafe_code, reason = "two socket options and an interface's flags, which no crate knows")]
#![expect(clippy::disallowed_methods, reason = "this is the door: each of its operations is narrated")]

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use rustix::fs::FlockOperation;

use crate::netlink::Socket;
use crate::op::{Op, OpError};

/// Opens an rtnetlink socket inside another network namespace, and does there what else has to be done from inside.
///
/// The calling thread goes in and comes back; the socket stays. `home` is a socket of the namespace that the thread is in: threads
/// have namespaces of their own (setns(2)).
///
/// # Errors
/// `Abroad`: the thread could not return, and is no use any more.
pub(crate) fn route_socket_inside(
    home: &Socket,
    netns: BorrowedFd<'_>,
    inside: impl FnOnce() -> Result<(), OpError>,
) -> Result<Socket, Trip> {
    let home = netns_of(home)?;
    enter(netns)?;
    let socket = Op {
        call: format_args!("socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)"),
        shell: format_args!("# no shell keeps a netlink socket"),
    }
    .perform(Socket::route);
    let result = socket.and_then(|socket| inside().map(|()| socket));
    enter(home.as_fd()).map_err(Trip::Abroad)?;
    Ok(result?)
}

/// How a visit to another network namespace failed.
#[derive(Debug)]
pub(crate) enum Trip {
    Failed(OpError),
    Abroad(OpError),
}

impl From<OpError> for Trip {
    fn from(error: OpError) -> Self {
        Self::Failed(error)
    }
}

/// The network namespace that a socket is of; faster by 20 µs than /proc/thread-self/ns/net.
fn netns_of(socket: &Socket) -> Result<OwnedFd, OpError> {
    /// linux/sockios.h; `libc` does not have it.
    const SIOCGSKNS: libc::Ioctl = 0x894C;
    Op { call: format_args!("ioctl(SIOCGSKNS)"), shell: format_args!("exec 3< /proc/self/ns/net") }.perform(
        || {
            // SAFETY: the descriptor is a live socket's, and this request takes no argument.
            match unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCGSKNS) } {
                -1 => Err(io::Error::last_os_error()),
                // SAFETY: the kernel has just made this descriptor for us, close-on-exec.
                fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            }
        },
    )
}

fn enter(netns: BorrowedFd<'_>) -> Result<(), OpError> {
    let call = format_args!("setns({}, CLONE_NEWNET)", netns.as_raw_fd());
    Op { call, shell: format_args!("# nsenter --net=NETNS goes in for one command") }
        .perform(|| setns(netns, CloneFlags::CLONE_NEWNET))
}

/// What names this network namespace for as long as the machine runs: unlike an inode number it is never used again.
pub(crate) fn netns_cookie(socket: &Socket) -> Result<u64, OpError> {
    /// Linux 5.14 (asm-generic/socket.h); `libc` does not have it yet.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    Op { call: format_args!("getsockopt(SOL_SOCKET, SO_NETNS_COOKIE)"), shell: format_args!("lsns -t net") }
        .perform(|| {
            let mut cookie = 0_u64;
            let mut length = size_of::<u64>() as libc::socklen_t;
            // SAFETY: the descriptor is borrowed from a live socket; value and length are ours, and the length is the value's.
            let result = unsafe {
                libc::getsockopt(
                    socket.as_fd().as_raw_fd(),
                    libc::SOL_SOCKET,
                    SO_NETNS_COOKIE,
                    (&raw mut cookie).cast(),
                    &raw mut length,
                )
            };
            if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
        })
}

/// The index of a link, if there is one of that name and it is up. Unlike RTM_GETLINK this waits for nobody: the lock of all
/// network configuration is held for milliseconds while namespaces die.
pub(crate) fn index_if_up(socket: &Socket, name: &str) -> Result<Option<u32>, OpError> {
    Op {
        call: format_args!("ioctl(SIOCGIFFLAGS, {name:?})"),
        shell: format_args!("ip link show up dev {name}"),
    }
    .perform(|| {
        // SAFETY: all zeros is a value of this plain struct.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let room = request.ifr_name.len() - 1;
        for (to, from) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: the descriptor is a live socket's; the request is ours, holds a terminated name, and outlives the call.
        if unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ENODEV) { Ok(None) } else { Err(error) };
        }
        // SAFETY: the kernel has filled in this member.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        if libc::c_int::from(flags) & libc::IFF_UP == 0 {
            return Ok(None);
        }
        rustix::net::netdevice::name_to_index(socket.as_fd(), name).map(Some).map_err(io::Error::from)
    })
}

/// The index of the link with this name, if there is one. Nothing is told: it is asked again and again.
pub(crate) fn index_of(socket: &Socket, name: &str) -> Option<u32> {
    rustix::net::netdevice::name_to_index(socket.as_fd(), name).ok()
}

/// A sysctl's value, by its path below /proc/sys; `None` where the kernel has no such.
pub(crate) fn sysctl(name: &str) -> Result<Option<String>, OpError> {
    let path = format!("/proc/sys/{name}");
    Op { call: format_args!("read({path:?})"), shell: format_args!("cat {path}") }.perform(|| {
        let mut value = [0; 64];
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(mut file) => {
                let length = file.read(&mut value)?;
                Ok(Some(String::from_utf8_lossy(&value[..length]).trim().to_owned()))
            }
        }
    })
}

/// Sets a sysctl; one that the kernel does not have (IPv6 switched off) needs no setting.
pub(crate) fn set_sysctl(name: &str, value: &str) -> Result<(), OpError> {
    let path = format!("/proc/sys/{name}");
    Op { call: format_args!("write({path:?}, {value:?})"), shell: format_args!("echo {value} > {path}") }
        .perform(|| write_sysctl(&path, value))
}

/// The same by a thread that visits the container's network namespace: /proc/sys/net is that of who opens it.
pub(crate) fn set_sysctl_inside(name: &str, value: &str) -> Result<(), OpError> {
    let path = format!("/proc/sys/{name}");
    let shell = format_args!("nsenter --net=NETNS sh -c 'echo {value} > {path}'");
    Op { call: format_args!("write({path:?}, {value:?})"), shell }.perform(|| write_sysctl(&path, value))
}

fn write_sysctl(path: &str, value: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => file?.write_all_at(value.as_bytes(), 0),
    }
}

/// The names of a directory's entries; none where there is no directory.
pub(crate) fn entries(directory: &Path) -> Result<Vec<String>, OpError> {
    Op { call: format_args!("readdir({directory:?})"), shell: format_args!("ls -A {}", directory.display()) }
        .perform(|| match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?
                .map(|entry| Ok::<_, io::Error>(entry?.file_name().to_string_lossy().into_owned()))
                .collect(),
        })
}

/// How a lock is held: by one, or by many who only need that it is not by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    Alone,
}

/// Waits for a lock on a file, which is made where it is missing, its directory too.
pub(crate) fn lock(path: &Path, hold: Hold) -> Result<File, OpError> {
    let (operation, name, flag) = match hold {
        Hold::Shared => (FlockOperation::LockShared, "LOCK_SH", "-s"),
        Hold::Alone => (FlockOperation::LockExclusive, "LOCK_EX", "-x"),
    };
    let path_text = path.display();
    Op {
        call: format_args!("flock({path:?}, {name})"),
        shell: format_args!("exec 9>> {path_text}; flock {flag} 9"),
    }
    .perform(|| {
        loop {
            let file = open_or_make(path)?;
            rustix::fs::flock(&file, operation)?;
            // Who waits may get the lock of a file that its holder has removed meanwhile: then there is another one.
            if file.metadata()?.nlink() > 0 {
                return Ok::<_, io::Error>(file);
            }
        }
    })
}

/// Takes a lock that nobody holds, on a file that is made where it is missing, and says what is in it; `None` where somebody
/// holds it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<(File, String)>, OpError> {
    let path_text = path.display();
    let call = format_args!("flock({path:?}, LOCK_EX | LOCK_NB)");
    Op { call, shell: format_args!("exec 8>> {path_text}; flock -n 8") }.perform(|| {
        loop {
            match lock_at_once(open_or_make(path)?)? {
                Locked::Gone => {}
                Locked::Held => return Ok::<_, io::Error>(None),
                Locked::Now(file, text) => return Ok(Some((file, text))),
            }
        }
    })
}

/// The same of a file that is there; making one would leave it behind where its holder has just removed it.
pub(crate) fn try_lock_existing(path: &Path) -> Result<Locked, OpError> {
    let path_text = path.display();
    let call = format_args!("flock({path:?}, LOCK_EX | LOCK_NB)");
    Op { call, shell: format_args!("exec 8< {path_text} && flock -n 8") }.perform(|| match OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Locked::Gone),
        file => lock_at_once(file?),
    })
}

/// What came of it.
pub(crate) enum Locked {
    /// There is no such file, or no longer.
    Gone,
    /// Somebody has it.
    Held,
    /// Held by this file from now on; and what is in it.
    Now(File, String),
}

fn lock_at_once(file: File) -> io::Result<Locked> {
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Locked::Held),
        result => result?,
    }
    let about = file.metadata()?;
    if about.nlink() == 0 {
        return Ok(Locked::Gone);
    }
    let mut text = String::new();
    if about.len() > 0 {
        (&file).read_to_string(&mut text)?;
    }
    Ok(Locked::Now(file, text))
}

fn open_or_make(path: &Path) -> io::Result<File> {
    let open =
        || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    // Somebody may take the network away, directories and all, between one call and the next.
    loop {
        match (open(), path.parent()) {
            (Err(error), Some(directory)) if error.kind() == io::ErrorKind::NotFound => {
                match fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    made => made?,
                }
            }
            (result, _) => return result,
        }
    }
}

/// What the file at a path holds; `None` where there is none.
pub(crate) fn read_path(path: &Path) -> Result<Option<String>, OpError> {
    Op { call: format_args!("read({path:?})"), shell: format_args!("cat {}", path.display()) }.perform(|| {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        }
    })
}

/// Makes `text` all that a file holds.
pub(crate) fn write(file: &File, path: &Path, text: &str) -> Result<(), OpError> {
    let (told, path_text) = (Told(text), path.display());
    Op { call: format_args!("write({path:?}, {told})"), shell: format_args!("printf {told} > {path_text}") }
        .perform(|| {
            file.write_all_at(text.as_bytes(), 0)?;
            file.set_len(text.len() as u64)
        })
}

/// The text of a file that always holds as much, and how to write the next; the file is made where it is missing.
pub(crate) fn open_cursor(path: &Path) -> Result<(File, String), OpError> {
    Op { call: format_args!("read({path:?})"), shell: format_args!("cat {}", path.display()) }.perform(|| {
        let mut file = open_or_make(path)?;
        let mut text = [0; 32];
        let length = file.read(&mut text)?;
        Ok::<_, io::Error>((file, String::from_utf8_lossy(&text[..length]).into_owned()))
    })
}

/// Writes over a text of the same length.
pub(crate) fn write_cursor(file: &File, path: &Path, text: &str) -> Result<(), OpError> {
    let (told, path_text) = (Told(text), path.display());
    Op { call: format_args!("write({path:?}, {told})"), shell: format_args!("printf {told} > {path_text}") }
        .perform(|| file.write_all_at(text.as_bytes(), 0))
}

/// Makes a file with this text, whole or not at all: it has another name until it is.
pub(crate) fn write_whole(unfinished: &Path, path: &Path, text: &str) -> Result<(), OpError> {
    let (told, new, whole) = (Told(text), unfinished.display(), path.display());
    let call = format_args!("rename({unfinished:?}, {path:?}), {told} in it");
    Op { call, shell: format_args!("printf {told} > {new}; mv {new} {whole}") }.perform(|| {
        fs::write(unfinished, text)?;
        fs::rename(unfinished, path)
    })
}

/// The beginning of a text, quoted: an event is one short line.
struct Told<'a>(&'a str);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.len() <= 512;
        let beginning = if whole { self.0 } else { &self.0[..self.0.floor_char_boundary(512)] };
        write!(f, "{beginning:?}{}", if whole { "" } else { "…" })
    }
}

/// Removes a file; one that is gone already is as good.
pub(crate) fn remove_file(path: &Path) -> Result<(), OpError> {
    Op { call: format_args!("unlink({path:?})"), shell: format_args!("rm {}", path.display()) }
        .perform(|| gone(fs::remove_file(path)))
}

/// Removes an empty directory; one that is gone already is as good.
pub(crate) fn remove_directory(path: &Path) -> Result<(), OpError> {
    Op { call: format_args!("rmdir({path:?})"), shell: format_args!("rmdir {}", path.display()) }
        .perform(|| gone(fs::remove_dir(path)))
}

/// Removes a directory, if nothing is in it.
pub(crate) fn remove_directory_if_empty(path: &Path) -> Result<(), OpError> {
    let shell = format_args!("rmdir --ignore-fail-on-non-empty {}", path.display());
    Op { call: format_args!("rmdir({path:?})"), shell }.perform(|| match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => gone(result),
    })
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
