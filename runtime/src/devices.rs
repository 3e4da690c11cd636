//! The monitor's half of /dev: a detached tmpfs with device nodes, links and directories, owned by the container's root.
//!
//! mknod(2) is refused inside a user namespace and the host's nodes would belong to nobody there, so the parent makes them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::op::{OpError, step};
use crate::plan::{DeviceNode, InitPlan, MountPlan, MountSource};
use crate::sys::{self, idmapped};

/// Nodes that every container has: name, major, minor (config-linux.md, "Default Devices").
pub const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links that every container has (runtime-linux.md, "Dev symbolic links").
pub const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the tmpfs for `mount` and fills it.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn build(mount: &MountPlan, plan: &InitPlan) -> Result<OwnedFd, OpError> {
    step("Make /dev from outside: inside, no device node can be made");
    let (uid, gid) = plan.root_ids();
    let MountSource::Dev { options } = &mount.source else {
        unreachable!("only the mount of /dev is built here");
    };
    let (uid_text, gid_text) = (uid.to_string(), gid.to_string());
    let mut all = vec![("uid", uid_text.as_str()), ("gid", gid_text.as_str())];
    all.extend(options.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let dev = sys::mount::new_filesystem("tmpfs", &all, mount.attr)?;
    // What was asked for under such a name takes its place: a device, or a file of the host's, where no node can be made.
    let bound = |name: &str| {
        let target = Path::new("/dev").join(name);
        plan.mounts
            .iter()
            .any(|mount| mount.target == target && matches!(mount.source, MountSource::Bind { .. }))
    };
    let asked = |name: &str| plan.devices.iter().any(|device| device.name == Path::new(name)) || bound(name);
    idmapped::as_container_root(uid, gid, || {
        for (name, major, minor) in NODES.into_iter().filter(|(name, ..)| !asked(name)) {
            sys::nodes::make_device_at(dev.as_fd(), Path::new(name), 'c', major, minor, 0o666)?;
        }
        for DeviceNode { name, kind, major, minor, mode } in &plan.devices {
            make_parents(&dev, name)?;
            sys::nodes::make_device_at(dev.as_fd(), name, *kind, *major, *minor, *mode)?;
        }
        for (name, target) in LINKS.into_iter().filter(|(name, _)| !asked(name)) {
            sys::nodes::make_link_at(dev.as_fd(), Path::new(name), Path::new(target))?;
        }
        for below in plan.mounts.iter().filter_map(|mount| mount.target.strip_prefix("/dev").ok()) {
            if !below.as_os_str().is_empty() && is_directory(plan, below) {
                make_parents(&dev, below)?;
                already(sys::fs::make_dir_at(dev.as_fd(), below, 0o755))?;
            }
        }
        if plan.process.terminal && !asked("console") {
            sys::nodes::make_file_at(dev.as_fd(), Path::new("console"), 0o620)?;
        }
        Ok(())
    })?;
    Ok(dev)
}

/// Binds of single files make their own place later.
fn is_directory(plan: &InitPlan, below: &Path) -> bool {
    let target = Path::new("/dev").join(below);
    plan.mounts
        .iter()
        .any(|mount| mount.target == target && !matches!(mount.source, MountSource::Bind { .. }))
}

fn make_parents(dev: &OwnedFd, name: &Path) -> Result<(), OpError> {
    let parents: Vec<&Path> = name.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
    parents.into_iter().rev().try_for_each(|parent| already(sys::fs::make_dir_at(dev.as_fd(), parent, 0o755)))
}

fn already(result: Result<(), OpError>) -> Result<(), OpError> {
    match result {
        Err(error) if error.errno() == libc::EEXIST => Ok(()),
        other => other,
    }
}
