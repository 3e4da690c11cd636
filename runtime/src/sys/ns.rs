//! Namespaces: made by one clone3(2), joined by setns(2), mapped by writing `uid_map` and `gid_map`.
#![expect(unsafe_code, reason = "clone3 has no safe wrapper: the child is a copy of this process")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};

use super::{Result, op};

/// The kinds of namespaces (`CLONE_NEW*`, namespaces(7)).
pub type Kinds = ThreadNameSpaceType;

/// What [`clone3`] returned, and to whom.
#[derive(Debug)]
pub enum Cloned {
    /// In the child.
    Child,
    /// In the parent: the child's pid in the parent's pid namespace, and a pidfd.
    Parent {
        /// The child.
        pid: Pid,
        /// A descriptor of the child: no pid can be mistaken.
        pidfd: OwnedFd,
    },
}

/// Makes a child in new namespaces of the given kinds, and in the cgroup v2 directory `cgroup` where one is given.
///
/// # Errors
/// What clone3(2) (Linux 5.3; `CLONE_INTO_CGROUP` 5.7) answered.
pub fn clone3(kinds: Kinds, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    let into = if cgroup.is_some() { "|CLONE_INTO_CGROUP" } else { "" };
    op!(("clone3(CLONE_PIDFD{}{into})", Names(kinds, "|")), ("unshare --fork{} …", Flags(kinds)), || {
        let mut pidfd: libc::c_int = -1;
        // SAFETY: all-zero is a valid clone_args (no stack: the child gets a copy of ours, as with fork).
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = u64::from(kinds.bits()) | libc::CLONE_PIDFD as u64;
        args.pidfd = (&raw mut pidfd) as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        into_cgroup(&mut args, cgroup);
        match raw_clone3(&args)? {
            None => Ok::<_, io::Error>(Cloned::Child),
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
            Some(pid) => Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        }
    })
}

/// Makes a sibling in new namespaces of the given kinds, and in the cgroup v2 directory `cgroup` where one is given: the
/// child's parent is this process's parent (`CLONE_PARENT`). Returns `None` in the child.
///
/// The exit signal must be 0 in that call (EINVAL otherwise): the caller's own is inherited.
///
/// # Errors
/// What clone3(2) answered.
pub fn clone3_sibling(kinds: Kinds, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<Pid>> {
    let into = if cgroup.is_some() { "|CLONE_INTO_CGROUP" } else { "" };
    op!(
        ("clone3(CLONE_PARENT{}{into})", Names(kinds, "|")),
        ("unshare --fork{} …  # a child of our own parent's", Flags(kinds)),
        || {
            // SAFETY: all-zero is a valid clone_args.
            let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
            args.flags = libc::CLONE_PARENT as u64 | u64::from(kinds.bits());
            into_cgroup(&mut args, cgroup);
            raw_clone3(&args)
        }
    )
}

/// Has the child born into a cgroup v2 directory.
fn into_cgroup(args: &mut libc::clone_args, cgroup: Option<BorrowedFd<'_>>) {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000; // linux/sched.h; libc's constant is too narrow
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).expect("an open descriptor is not negative");
    }
}

fn raw_clone3(args: &libc::clone_args) -> io::Result<Option<Pid>> {
    // SAFETY: `args` is a clone_args of the size given. Without CLONE_VM the child has its own copy of all memory; the
    // callers are single-threaded, so no lock is held by a thread that the child lacks.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_ref(args), size_of::<libc::clone_args>()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Pid::from_raw(i32::try_from(pid).expect("a pid fits an int")))
}

/// Forks. Returns `None` in the child.
///
/// # Errors
/// What fork(2) answered.
pub fn fork() -> Result<Option<Pid>> {
    op!(("fork()"), ("( … ) &"), || {
        // SAFETY: callers are single-threaded (asserted by `single_threaded`), so the child may do anything.
        match unsafe { nix::unistd::fork() }? {
            nix::unistd::ForkResult::Child => Ok::<_, io::Error>(None),
            nix::unistd::ForkResult::Parent { child } => Ok(Pid::from_raw(child.as_raw())),
        }
    })
}

/// Moves this process into the namespaces of the process behind `pidfd` (setns(2), pidfds since Linux 5.8).
///
/// # Errors
/// What setns(2) answered.
pub fn join_process(pidfd: BorrowedFd<'_>, kinds: Kinds) -> Result<()> {
    op!(("setns(PIDFD, {})", Names(kinds, "")), ("nsenter --target PID{} …", Flags(kinds)), || {
        rustix::thread::move_into_thread_name_spaces(pidfd, kinds)
    })
}

/// Moves this thread into one namespace.
///
/// # Errors
/// What setns(2) answered.
pub fn join_network(netns: BorrowedFd<'_>) -> Result<()> {
    op!(("setns(NETNS, CLONE_NEWNET)"), ("nsenter --net=NETNS …"), || {
        rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
    })
}

/// Moves this process into one namespace of a kind that is known; `path` is how the narrator calls it. A pid namespace is
/// its later children's (setns(2)).
///
/// # Errors
/// What setns(2) answered: `EINVAL` where the descriptor is of another kind.
pub fn join_namespace(namespace: BorrowedFd<'_>, kind: Kinds, path: &Path) -> Result<()> {
    let name = path.display();
    op!(("setns({path:?}, {})", Names(kind, "")), ("nsenter{}={name} …", Flags(kind)), || {
        // SAFETY: setns reads two integers.
        match unsafe { libc::setns(namespace.as_raw_fd(), kind.bits().cast_signed()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// Opens a namespace by the path of its file (namespaces(7)); nothing but a namespace.
///
/// # Errors
/// What open(2) answered; `EINVAL` for any other file.
pub fn open(path: &Path) -> Result<OwnedFd> {
    op!(("open({path:?}, O_RDONLY)"), ("exec 3<{}", path.display()), || {
        const NSFS_MAGIC: i64 = 0x6e73_6673; // linux/magic.h
        // Not to wait for a fifo's writer, and not to make a terminal ours.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        if rustix::fs::fstatfs(&file)?.f_type == NSFS_MAGIC {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a namespace"))
        }
    })
}

/// Which kind of namespace a descriptor is of (ioctl_ns(2), `NS_GET_NSTYPE`, Linux 4.11).
///
/// # Errors
/// What ioctl(2) answered.
pub fn kind_of(namespace: BorrowedFd<'_>) -> Result<Kinds> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    op!(("ioctl(NS, NS_GET_NSTYPE)"), ("lsns --output NS,TYPE"), || {
        // SAFETY: this request takes no argument and returns a number.
        match unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) } {
            kind if kind > 0 => Ok(Kinds::from_bits_retain(kind.cast_unsigned())),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// Makes the cgroups of this moment the root of what this process sees (cgroup_namespaces(7)).
///
/// # Errors
/// What unshare(2) answered.
pub fn unshare_cgroup() -> Result<()> {
    op!(("unshare(CLONE_NEWCGROUP)"), ("unshare --cgroup …"), || unshare(UnshareFlags::NEWCGROUP))
}

/// Makes a mount namespace of this process's own.
///
/// # Errors
/// What unshare(2) answered.
pub fn unshare_mount() -> Result<()> {
    op!(("unshare(CLONE_NEWNS)"), ("unshare --mount …"), || unshare(UnshareFlags::NEWNS))
}

/// Makes a network namespace of this process's own.
///
/// # Errors
/// What unshare(2) answered.
pub fn unshare_network() -> Result<()> {
    op!(("unshare(CLONE_NEWNET)"), ("unshare --net …"), || unshare(UnshareFlags::NEWNET))
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: `CLONE_FILES`, the flag that makes this unsafe, is not among them.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Sets the host name of this process's UTS namespace.
///
/// # Errors
/// What sethostname(2) answered.
pub fn set_hostname(name: &str) -> Result<()> {
    op!(("sethostname({name:?})"), ("hostname {name}"), || rustix::system::sethostname(name.as_bytes()))
}

/// Sets the NIS domain name of this process's UTS namespace.
///
/// # Errors
/// What setdomainname(2) answered.
pub fn set_domainname(name: &str) -> Result<()> {
    op!(("setdomainname({name:?})"), ("domainname {name}"), || rustix::system::setdomainname(name.as_bytes()))
}

const FLAGS: [(Kinds, &str, &str); 7] = [
    (Kinds::USER, "CLONE_NEWUSER", " --user"),
    (Kinds::MOUNT, "CLONE_NEWNS", " --mount"),
    (Kinds::PROCESS_ID, "CLONE_NEWPID", " --pid"),
    (Kinds::NETWORK, "CLONE_NEWNET", " --net"),
    (Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME, "CLONE_NEWUTS", " --uts"),
    (Kinds::INTER_PROCESS_COMMUNICATION, "CLONE_NEWIPC", " --ipc"),
    (Kinds::CONTROL_GROUP, "CLONE_NEWCGROUP", " --cgroup"),
];

/// Their flags, as C joins them, and what stands before the first.
struct Names(Kinds, &'static str);
impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut before = self.1;
        FLAGS.iter().filter(|(kind, ..)| self.0.contains(*kind)).try_for_each(|(_, name, _)| {
            write!(f, "{before}{name}")?;
            before = "|";
            Ok(())
        })
    }
}

struct Flags(Kinds);
impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        FLAGS.iter().filter(|(kind, ..)| self.0.contains(*kind)).try_for_each(|(.., flag)| f.write_str(flag))
    }
}

/// The names of the namespaces of a process below /proc/PID/ns.
pub const KINDS_IN_PROC: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Those of them that containers have, as [`Kinds`].
pub const KINDS: [(&str, Kinds); 7] = [
    ("user", Kinds::USER),
    ("mnt", Kinds::MOUNT),
    ("pid", Kinds::PROCESS_ID),
    ("net", Kinds::NETWORK),
    ("uts", Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME),
    ("ipc", Kinds::INTER_PROCESS_COMMUNICATION),
    ("cgroup", Kinds::CONTROL_GROUP),
];

/// The kinds of namespaces that a process does not share with this one: setns(2) refuses a user namespace that one is in already.
/// One that cannot be looked at is another.
pub fn foreign(pid: i32) -> Kinds {
    let of = |process: &str, kind: &str| std::fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
    let differs = |kind: &str| of(&pid.to_string(), kind) != of("self", kind);
    KINDS.iter().filter(|(name, _)| differs(name)).fold(Kinds::empty(), |all, (_, kind)| all | *kind)
}

/// A descriptor of the user namespace that owns a namespace (ioctl_ns(2), `NS_GET_USERNS`, Linux 4.9).
///
/// # Errors
/// What ioctl(2) answered: `EPERM` where that namespace cannot be seen from here.
pub fn owner_of(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    op!(("ioctl(NS, NS_GET_USERNS)"), ("lsns --output NS,ONS"), || relative(namespace, NS_GET_USERNS))
}

/// A descriptor of the parent of a user or pid namespace (ioctl_ns(2), `NS_GET_PARENT`, Linux 4.9).
///
/// # Errors
/// What ioctl(2) answered: `EPERM` where there is none, or none that can be seen from here; `EINVAL` for one of another kind.
pub fn parent_of(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_PARENT: libc::c_ulong = 0xb702;
    op!(("ioctl(NS, NS_GET_PARENT)"), ("lsns --output NS,PNS"), || relative(namespace, NS_GET_PARENT))
}

fn relative(namespace: BorrowedFd<'_>, request: libc::c_ulong) -> io::Result<OwnedFd> {
    // SAFETY: both requests take no argument and return a new descriptor.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), request) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
