//! A container's files as they are seen from outside: its root, by descriptor. What is looked up from there is looked up by
//! openat2(2), as if that root were `/`.
//!
//! | the container | what is seen | ids |
//! |---|---|---|
//! | runs | what its first process sees, mounts and all | the host's |
//! | runs, for `export` | its root alone, without what is mounted in it | the host's |
//! | does not run | its layers, stacked for this process alone, and its volumes | 0-based, as on disk |
//! | does not run, and has a copy of its image | that, and its volumes | those of the copy |
//!
//! Nothing of a container is executed, and nothing of it is entered by this process: where its mount namespace must be entered,
//! a child does it and sends a descriptor back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::helper::{Helper, VisitError};
use crate::layers;
use crate::op::{OpError, step};
use crate::plan::{COPY, InitPlan, MountSource};
use crate::rootfs;
use crate::sys::{self, mount, ns, pidfd};

/// The root of a running container, with everything that is mounted in it.
///
/// `init` is its first process and `pid` its number.
///
/// # Errors
/// See [`VisitError`].
pub fn of_running(init: BorrowedFd<'_>, pid: i32) -> Result<OwnedFd, VisitError> {
    step("Take hold of the container's root, as its first process sees it");
    let root = pidfd::open_root_of(pid);
    // Asked after it is held: from here on the number was this process's.
    if pidfd::has_ended(init) {
        return Err(VisitError::Ended);
    }
    Ok(root?)
}

/// The root of a running container without what is mounted in it: a clone that nobody else sees.
///
/// ```text
/// client                         child
///   │ fork ────────────────────► │ setns(init's pidfd, mount namespace)
///   │                            │ open_tree("/", CLONE)
///   │ ◄─ socket: [the clone] ─── │
///   │ ◄─ report: a Failure ───── │ or this
/// ```
///
/// # Errors
/// See [`VisitError`].
pub fn root_of_running(init: BorrowedFd<'_>) -> Result<OwnedFd, VisitError> {
    sys::process::assert_single_threaded()?;
    let (ours, theirs) = sys::socket::pair()?;
    step("Let a child look at the container's mounts, so that we stay out");
    let child = Helper::send(|| {
        ns::join_process(init, ns::Kinds::MOUNT)?;
        let clone = mount::clone_tree(rustix::fs::CWD, Path::new("/"), false)?;
        Ok(sys::socket::send(theirs.as_fd(), b"r", &[clone.as_fd()])?)
    })?;
    drop(theirs);
    let mut word = [0u8; 1];
    let received = sys::socket::receive(ours.as_fd(), &mut word);
    child.wait()?;
    match received?.1.pop() {
        Some(root) => Ok(root),
        None => {
            child.failure()?;
            Err(VisitError::Ended)
        }
    }
}

/// The root of a container that does not run: its layers, stacked and mounted nowhere. The caller holds its lock, or something
/// could start it meanwhile.
///
/// Nothing is shifted: what is seen is as it is on disk.
///
/// # Errors
/// What the kernel answered.
pub fn root_of_stopped(plan: &InitPlan) -> Result<OwnedFd, OpError> {
    let mut root = plan.root.clone();
    // Its mark would have to be removed again.
    root.volatile = false;
    layers::stack(&root, None, (0, 0))
}

/// The files of an image, as a container of it would begin with them; nothing can be written.
///
/// # Errors
/// What the kernel answered.
pub fn of_image(layers: &[std::path::PathBuf]) -> Result<OwnedFd, OpError> {
    step("Stack the image's layers, to look at its files");
    layers::stack_read_only(layers)
}

/// As [`root_of_stopped`], with what is bound into it, where `seen` says of a source that it is there; in a mount namespace that this process
/// has to itself from now on.
///
/// # Errors
/// What the kernel answered.
pub fn of_stopped(plan: &InitPlan, seen: &mut dyn FnMut(&Path) -> bool) -> Result<OwnedFd, OpError> {
    let root = root_of_stopped(plan)?;
    let binds = plan.mounts.iter().filter(|mount| matches!(mount.source, MountSource::Bind { .. }));
    let binds: Vec<_> = binds.collect();
    if !binds.is_empty() {
        step("Bind its volumes into it, where nobody else looks");
        ns::unshare_mount()?;
        mount::make_private()?;
        // Nobody looks for this directory by its name; it is a mount point in this process alone.
        let path = plan.root.scratch.join(if plan.root.copied { COPY } else { "upper" });
        mount::place(root.as_fd(), sys::fs::open_dir(&path)?.as_fd(), &path)?;
        for bind in binds {
            let MountSource::Bind { source, beneath, recursive, .. } = &bind.source else { continue };
            if !seen(source) {
                continue;
            }
            let tree = match beneath {
                Some(beneath) => layers::bind_beneath(source, beneath, None)?,
                None => layers::bind(source, *recursive, None)?,
            };
            rootfs::bind(root.as_fd(), tree, bind)?;
        }
    }
    if plan.root.read_only {
        mount::set_attributes(root.as_fd(), mount::Attr::MOUNT_ATTR_RDONLY, false, Path::new("/"))?;
    }
    Ok(root)
}
