//! Secrets: files in a tmpfs of their own, made by the monitor and placed by init. They are in no spec and on no disk, and go
//! with the container's mounts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::op::{OpError, step};
use crate::plan::{InitPlan, SECRETS};
use crate::sys::confined::{self, Links, Target};
use crate::sys::{self, mount};

/// The monitor's half: the tmpfs, filled and detached. It is not swapped out where the kernel can be told so (Linux 6.4).
///
/// # Errors
/// What the kernel answered; `EINVAL` for an owner that the container does not have.
pub(crate) fn build(plan: &InitPlan) -> Result<OwnedFd, OpError> {
    step("Make the container's secrets in memory: they are on no disk, and in no specification");
    const PAGE: usize = 4096;
    let pages = plan.secrets.iter().map(|secret| secret.content.0.len().div_ceil(PAGE) + 1).sum::<usize>();
    let size = ((pages + 16) * PAGE).to_string();
    let (uid, gid) = plan.root_ids();
    let (uid, gid) = (uid.to_string(), gid.to_string());
    let options = [("mode", "755"), ("size", &size), ("uid", &uid), ("gid", &gid)];
    let in_memory = [&options[..], &[("noswap", "")]].concat();
    let made = match mount::new_filesystem("tmpfs", &in_memory, mount::Attr::empty()) {
        Err(_) => mount::new_filesystem("tmpfs", &options, mount::Attr::empty())?,
        made => made?,
    };
    for secret in &plan.secrets {
        for above in secret.name.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
            match sys::fs::make_dir_at(made.as_fd(), above, 0o755) {
                Err(error) if error.errno() == libc::EEXIST => {}
                other => other?,
            }
        }
        let missing = |id| OpError {
            call: format!("fchown({:?}, {id})", secret.name),
            source: std::io::Error::from_raw_os_error(libc::EINVAL),
        };
        let uid = plan.host_uid(secret.uid).ok_or_else(|| missing(secret.uid))?;
        let gid = plan.host_gid(secret.gid).ok_or_else(|| missing(secret.gid))?;
        let content = &secret.content.0;
        sys::nodes::make_file_for(made.as_fd(), &secret.name, content, secret.mode, uid, gid)?;
    }
    Ok(made)
}

/// Init's half: the directory in its place, and in other places those that are wanted there.
pub(crate) fn place(root: BorrowedFd<'_>, made: &OwnedFd, plan: &InitPlan) -> Result<(), OpError> {
    step("Put the secrets in their place");
    let attr = mount::Attr::MOUNT_ATTR_RDONLY
        | mount::Attr::MOUNT_ATTR_NOSUID
        | mount::Attr::MOUNT_ATTR_NODEV
        | mount::Attr::MOUNT_ATTR_NOEXEC;
    let directory = Path::new(SECRETS);
    mount::set_attributes(made.as_fd(), attr, false, directory)?;
    let point = confined::mount_point(root, directory, Target::Directory, Links::Inside)?;
    mount::place(made.as_fd(), point.as_fd(), directory)?;
    for secret in &plan.secrets {
        let Some(target) = &secret.target else { continue };
        // A clone has the attributes of what it was cloned from.
        let file = mount::clone_tree(made.as_fd(), &secret.name, false)?;
        let point = confined::mount_point(root, target, Target::File, Links::Inside)?;
        mount::place(file.as_fd(), point.as_fd(), target)?;
    }
    Ok(())
}
