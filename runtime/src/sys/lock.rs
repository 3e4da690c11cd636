//! Locks that several may hold (flock(2)): taken along with others, or made one's own again.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::{Result, op};

/// Takes a shared flock(2) on a file, held until the descriptor is dropped; `None` where somebody holds it alone.
///
/// # Errors
/// What open(2) or flock(2) answered.
pub fn try_lock_shared(path: &Path) -> Result<Option<OwnedFd>> {
    op!(("flock({path:?}, LOCK_SH|LOCK_NB)"), ("flock --shared --nonblock {} …", path.display()), || {
        let file =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno),
        }
    })
}

/// Makes a lock that is held another one, shared or exclusive; false where somebody else was faster or holds it too, and the
/// lock is lost then (flock(2): a conversion is not atomic).
///
/// # Errors
/// What flock(2) answered.
pub fn change_lock(file: BorrowedFd<'_>, exclusive: bool) -> Result<bool> {
    let (name, operation) = if exclusive {
        ("LOCK_EX", FlockOperation::NonBlockingLockExclusive)
    } else {
        ("LOCK_SH", FlockOperation::NonBlockingLockShared)
    };
    op!(("flock(FD, {name}|LOCK_NB)"), ("flock --nonblock 3"), || match rustix::fs::flock(file, operation) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        other => other.map(|()| true),
    })
}
