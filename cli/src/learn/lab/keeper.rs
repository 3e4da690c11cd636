//! Process 1 of the lab: furnishes it, buries orphans, and ends it when the learner is gone.
//!
//! ```text
//! keeper                     learner
//!   enter groups, unshare
//!   ── "entered" ──────────►
//!                              id maps, delegation, lo
//!   ◄────────── "furnish" ──
//!   ids, mounts, name
//!   ── "ready" ────────────►   errands go in
//!   ◄──────── end of file ──   closed, or killed
//!   thaw what is frozen, end
//! ```

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use runtime::cgroup::Cgroup;
use runtime::op::enter_process;
use runtime::sys;
use runtime::sys::mount::Attr;

use crate::plan::ids::IdLease;

/// Said when it is in its groups.
pub(super) const ENTERED: &str = "entered";
/// Said when everything is there.
pub(super) const READY: &str = "ready";

/// Waits for the keeper's word.
pub(super) fn hear(gate: &OwnedFd, word: &str) -> Result<()> {
    let mut buffer = [0u8; 1024];
    let (length, _) = sys::socket::receive(gate.as_fd(), &mut buffer)?;
    match std::str::from_utf8(&buffer[..length]) {
        Ok(said) if said == word => Ok(()),
        Ok("") => bail!("its first process has ended"),
        Ok(said) => bail!("{said}"),
        Err(error) => Err(error.into()),
    }
}

/// The life of the keeper. It holds the lease of the lab's ids as long as it lives, whatever becomes of the learner.
pub(super) fn keep(
    gate: &OwnedFd,
    groups: &Cgroup,
    binds: &[(PathBuf, PathBuf)],
    ids: Option<&IdLease>,
) -> ! {
    enter_process("keeper");
    let said = match furnish(gate, groups, binds) {
        Ok(()) => READY.to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let said = &said.as_bytes()[..said.len().min(1024)];
    sys::process::set_name(c"lab");
    // The lab's root may look at it, and is to find nothing else of the learner's there.
    let locks = ids.into_iter().flat_map(IdLease::ranges).map(|(.., lock)| lock.as_raw_fd());
    let kept: Vec<_> = locks.chain([gate.as_raw_fd()]).collect();
    let _open = sys::process::close_descriptors(&kept, false);
    let _hidden = sys::process::show_memory();
    if sys::socket::send(gate.as_fd(), said, &[]).is_ok() {
        let mut nothing = [0u8; 1];
        // Nobody says anything any more: this is the end of the learner, or of the lesson.
        let _end = sys::socket::receive(gate.as_fd(), &mut nothing);
    }
    thaw(Path::new(super::GROUPS));
    sys::process::exit(0)
}

fn furnish(gate: &OwnedFd, groups: &Cgroup, binds: &[(PathBuf, PathBuf)]) -> Result<()> {
    groups.enter()?;
    sys::ns::unshare_cgroup()?;
    sys::process::new_session()?;
    // Whatever ends in the lab and was left by its parent is buried by the kernel (wait(2), "NOTES").
    sys::signal::ignore(libc::SIGCHLD)?;
    sys::socket::send(gate.as_fd(), ENTERED.as_bytes(), &[])?;
    let mut word = [0u8; 16];
    sys::socket::receive(gate.as_fd(), &mut word)?;
    sys::process::become_user(0, 0, &[])?;
    sys::mount::make_private()?;
    // A mount keeps what it covers from being looked up: directories first.
    let directories: Vec<OwnedFd> = binds
        .iter()
        .map(|(directory, _)| sys::fs::open_path_following(directory))
        .collect::<Result<_, _>>()?;
    let nothing = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV;
    mount("proc", &[], nothing, Path::new("/proc"))?;
    mount("tmpfs", &[("mode", "1777"), ("size", "64m")], nothing, Path::new("/tmp"))?;
    for (directory, (_, place)) in directories.iter().zip(binds) {
        sys::fs::make_dirs_public(place)?;
        let tree = sys::mount::clone_tree(directory.as_fd(), Path::new(""), false)?;
        sys::mount::place(tree.as_fd(), sys::fs::open_path_following(place)?.as_fd(), place)?;
    }
    sys::process::change_dir(Path::new("/tmp"))?;
    Ok(sys::ns::set_hostname(super::OUTSIDE)?)
}

/// Mounts a new file system at a place of this mount namespace.
pub(crate) fn mount(kind: &str, options: &[(&str, &str)], attr: Attr, place: &Path) -> Result<()> {
    let mount = sys::mount::new_filesystem(kind, options, attr)?;
    Ok(sys::mount::place(mount.as_fd(), sys::fs::open_path_following(place)?.as_fd(), place)?)
}

/// Lets frozen processes go on: on version 1 they ignore SIGKILL, and the lab could not end.
fn thaw(directory: &Path) {
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        // Only groups that can be frozen have the file.
        let _absent = sys::control::write_control(&directory.join(file), word);
    }
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            thaw(&entry.path());
        }
    }
}
