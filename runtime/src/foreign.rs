//! A file system that another container has mounted, cloned out of its mount namespace: the /dev/shm of a shared IPC.
//!
//! open_tree(2) clones what is mounted in the caller's own mount namespace, so somebody must go there: a helper, which looks
//! at one place by descriptor, following no link, and sends back what it finds. What lies there is that container's to
//! choose: only a tmpfs's own root is taken.
//!
//! ```text
//! monitor                 helper
//!   │ fork ─────────────► │ setns(mount namespace), open, check, clone
//!   │ ◄─ [tree] ───────── │ exits
//!   │ ◄─ report ───────── │ a Failure, where it is not what it should be
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::gate::{Failure, FailureKind};
use crate::helper::Helper;
use crate::op::{OpError, step};
use crate::sys::confined::{self, Links};
use crate::sys::{self, mount, ns};

/// Clones the tmpfs at `path` of that mount namespace, detached.
///
/// # Errors
/// Where that place is no tmpfs, or the kernel refuses.
pub(crate) fn clone_tmpfs(mounts: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failure> {
    step("Send a helper for the file system that the other container has mounted there");
    let (ours, theirs) = sys::socket::pair()?;
    let helper = Helper::send(|| {
        let tree = fetch(mounts, path)?;
        // A monitor that has died needs nothing any more.
        let _told = sys::socket::send(theirs.as_fd(), b"t", &[tree.as_fd()]);
        Ok(())
    })?;
    drop(theirs);
    let mut word = [0u8; 1];
    let received = sys::socket::receive(ours.as_fd(), &mut word);
    helper.wait()?;
    helper.failure()?;
    received?.1.pop().ok_or_else(|| Failure::said(FailureKind::Other, vec!["the helper died".to_owned()]))
}

fn fetch(mounts: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Failure> {
    ns::join_namespace(mounts, ns::Kinds::MOUNT, Path::new("/proc/PID/ns/mnt"))?;
    let root = sys::fs::open_dir(Path::new("/"))?;
    let place = confined::open_path(root.as_fd(), path, Links::Refused)?;
    if !confined::is_tmpfs_root(place.as_fd())
        .map_err(|source| OpError { call: format!("statx({path:?})"), source })?
    {
        let what = format!("{} of the container that shares it is no tmpfs of its own", path.display());
        return Err(Failure::said(FailureKind::Other, vec![what]));
    }
    Ok(mount::clone_tree(place.as_fd(), Path::new(""), false)?)
}
