//! Network and mount namespaces of a thread: left, remembered, entered again.
//!
//! Both belong to a thread, not to the process, so tests in one process have hosts of their own; the processes and
//! threads that a thread makes inherit them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};

/// The network and the mount namespace of one thread, held open.
#[derive(Debug)]
pub struct Namespaces {
    net: File,
    mnt: File,
}

impl Namespaces {
    /// Those of the calling thread.
    pub fn current() -> Self {
        let open = |kind: &str| {
            let path = format!("/proc/thread-self/ns/{kind}");
            File::open(&path).unwrap_or_else(|error| panic!("open {path}: {error}"))
        };
        Self { net: open("net"), mnt: open("mnt") }
    }

    /// Takes the calling thread into both. Its working directory becomes the root (setns(2)).
    pub fn enter(&self) {
        // Threads share their working directory, and who shares it may not change mount namespaces (setns(2)).
        unshare(CloneFlags::CLONE_FS).expect("unshare the working directory");
        setns(&self.mnt, CloneFlags::CLONE_NEWNS).expect("setns into a mount namespace");
        setns(&self.net, CloneFlags::CLONE_NEWNET).expect("setns into a network namespace");
    }

    /// The network namespace's inode number, by which `/proc` names it.
    pub fn net_inode(&self) -> u64 {
        rustix::fs::fstat(&self.net).expect("fstat of a namespace").st_ino
    }

    /// The mount namespace's inode number.
    pub fn mnt_inode(&self) -> u64 {
        rustix::fs::fstat(&self.mnt).expect("fstat of a namespace").st_ino
    }
}

/// The machine's own namespaces: those of the first thread that asked, before it left them.
pub fn machine() -> &'static Namespaces {
    static MACHINE: OnceLock<Namespaces> = OnceLock::new();
    MACHINE.get_or_init(Namespaces::current)
}

/// Runs `work` on a thread in the machine's own namespaces: where there is a package mirror, and the shared cache.
pub fn on_the_machine<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        machine().enter();
        work()
    };
    std::thread::scope(|scope| match scope.spawn(enter).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Gives the calling thread a network and a mount namespace of its own; nothing mounted in it is seen outside.
pub fn leave_the_machine() {
    machine();
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .expect("a network and a mount namespace (are you root?)");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .expect("make every mount private");
}

/// A fresh network namespace with no thread in it.
pub fn fresh_net() -> OwnedFd {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
                Namespaces::current().net.into()
            })
            .join()
            .expect("the thread only unshares")
    })
}

/// Runs `work` on a thread of its own in another network namespace; the mounts stay the caller's.
pub fn in_net<T: Send>(net: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        setns(net.as_fd(), CloneFlags::CLONE_NEWNET).expect("setns into a network namespace");
        work()
    };
    std::thread::scope(|scope| match scope.spawn(enter).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The inode number of a namespace file such as `/proc/1/ns/net`; none where the process has gone.
pub fn inode(path: impl AsRef<Path>) -> Option<u64> {
    rustix::fs::stat(path.as_ref()).ok().map(|stat| stat.st_ino)
}
