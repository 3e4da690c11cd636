//! Init's half of a root: take what the monitor made, pivot into it, and put the kernel's file systems in their places.
//!
//! The order is the kernel's, each step with what the other order gives:
//! - proc and sysfs are made before the old root goes: the kernel grants them only where others of their kind are in sight
//!   (EPERM after);
//! - nothing of the image is looked up by name before the old root has gone: a link in it, or `..`, would lead into the
//!   host's tree;
//! - every place is found by openat2 and every mount goes onto that descriptor: what lies there may be anything.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::cgroup::{Layout, Limits};
use crate::gate::Handover;
use crate::op::{OpError, step};
use crate::plan::{InitPlan, MountPlan, MountSource};
use crate::secrets;
use crate::sys::confined::{self, Links, Target};
use crate::sys::{self, mount};

/// What the new root holds that later steps need.
#[derive(Debug)]
pub(crate) struct Entered {
    /// `/` of the container.
    pub(crate) root: OwnedFd,
    /// The terminal, where the plan has one: (master, slave).
    pub(crate) terminal: Option<(OwnedFd, OwnedFd)>,
    /// Where the plan has no terminal: standard output, error and perhaps input.
    pub(crate) streams: Vec<OwnedFd>,
}

/// Enters the root: afterwards this process sees the container's files and nothing else.
pub(crate) fn enter(plan: &InitPlan, layout: &Layout, handover: Handover) -> Result<Entered, OpError> {
    // Where the container has no proc of its own, its kernel parameters are the host's proc's too: which namespace a file there
    // means is decided by who opens it.
    let own_proc =
        |mount: &MountPlan| matches!(&mount.source, MountSource::New { kind, .. } if kind == "proc");
    let hosts_proc = match plan.sysctls.is_empty() || plan.mounts.iter().any(own_proc) {
        true => None,
        false => Some(sys::fs::open_dir(Path::new("/proc"))?),
    };
    step("Put the image's stack on top of our root");
    mount::place_on_root(handover.root.as_fd())?;
    sys::process::change_dir_to(handover.root.as_fd(), Path::new("/"))?;

    step("Make proc and sysfs of our own namespaces, while the host's are still in sight");
    let mut made: Vec<Option<OwnedFd>> = Vec::with_capacity(plan.mounts.len());
    for mount in &plan.mounts {
        made.push(match &mount.source {
            MountSource::New { kind, options } if is_early(kind) => Some(new(kind, options, mount)?),
            _ => None,
        });
    }

    step("Make that stack our root, and let go of the host's");
    mount::pivot_root()?;
    mount::detach_old_root()?;
    sys::process::change_dir(Path::new("/"))?;
    let root = sys::fs::open_dir(Path::new("/"))?;

    step("Put every mount in its place");
    let mut dev = handover.dev;
    let mut binds = handover.binds.into_iter();
    let mut proc = None;
    for (mount, made) in plan.mounts.iter().zip(made) {
        match (&mount.source, made) {
            (MountSource::New { kind, .. }, Some(made)) => {
                place(root.as_fd(), &made, mount, Target::Directory)?;
                if kind == "proc" {
                    proc = Some(made);
                }
            }
            (MountSource::New { kind, options }, None) => {
                let made = new(kind, options, mount)?;
                place(root.as_fd(), &made, mount, Target::Directory)?;
            }
            (MountSource::Dev { .. }, _) => {
                let made = dev.take().expect("the monitor sends /dev where the plan has it");
                place(root.as_fd(), &made, mount, Target::Directory)?;
            }
            (MountSource::Cgroup, _) => cgroup(root.as_fd(), mount, layout, &plan.cgroup.limits)?,
            (MountSource::Bind { .. } | MountSource::Foreign { .. }, _) => {
                let tree = binds.next().expect("the monitor sends every bind of the plan");
                bind(root.as_fd(), tree, mount)?;
            }
        }
    }
    if let Some(made) = &handover.secrets {
        secrets::place(root.as_fd(), made, plan)?;
    }
    let terminal = if plan.process.terminal { Some(console(root.as_fd())?) } else { None };
    if let Some(proc) = proc.or(hosts_proc) {
        sysctls(plan, proc.as_fd())?;
    }
    hide(plan, root.as_fd())?;
    if plan.root.read_only {
        step("Nothing in the root can be written");
        mount::set_attributes(root.as_fd(), mount::Attr::MOUNT_ATTR_RDONLY, false, Path::new("/"))?;
    }
    Ok(Entered { root, terminal, streams: handover.streams })
}

fn is_early(kind: &str) -> bool {
    kind == "proc" || kind == "sysfs"
}

fn new(kind: &str, options: &[(String, String)], mount: &MountPlan) -> Result<OwnedFd, OpError> {
    let options: Vec<(&str, &str)> =
        options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    mount::new_filesystem(kind, &options, mount.attr)
}

fn place(root: BorrowedFd<'_>, made: &OwnedFd, mount: &MountPlan, target: Target) -> Result<(), OpError> {
    let point = confined::mount_point(root, &mount.target, target, mount.links())?;
    mount::place(made.as_fd(), point.as_fd(), &mount.target)?;
    match mount.propagation {
        Some((kind, recursive)) => mount::set_propagation(made.as_fd(), kind, recursive, &mount.target),
        None => Ok(()),
    }
}

/// A bind mount: the target itself, then what the host had mounted below it.
pub(crate) fn bind(
    root: BorrowedFd<'_>,
    tree: Vec<(PathBuf, OwnedFd)>,
    plan: &MountPlan,
) -> Result<(), OpError> {
    for (below, made) in tree {
        let is_top = below.as_os_str().is_empty();
        let target = if is_top { plan.target.clone() } else { plan.target.join(&below) };
        let kind = if sys::fs::is_directory(made.as_fd())? { Target::Directory } else { Target::File };
        if !plan.attr_tree.is_empty() {
            mount::set_attributes(made.as_fd(), plan.attr_tree, true, &target)?;
        }
        if is_top && !plan.attr.is_empty() {
            mount::set_attributes(made.as_fd(), plan.attr, false, &target)?;
        }
        let links = if is_top { plan.links() } else { Links::Refused };
        let point = confined::mount_point(root, &target, kind, links)?;
        mount::place(made.as_fd(), point.as_fd(), &target)?;
        if let Some((propagation, recursive)) = plan.propagation {
            mount::set_propagation(made.as_fd(), propagation, recursive, &target)?;
        }
    }
    Ok(())
}

/// The container's own groups, and nothing above them: the cgroup namespace cuts the view.
fn cgroup(root: BorrowedFd<'_>, plan: &MountPlan, layout: &Layout, limits: &Limits) -> Result<(), OpError> {
    if let Layout::V2(_) = layout {
        let made = mount::new_filesystem("cgroup2", &[], plan.attr)?;
        return place(root, &made, plan, Target::Directory);
    }
    // Of the others its view would begin at its caller's group.
    let hierarchies = layout.entered(limits);
    let without_read_only = plan.attr - mount::Attr::MOUNT_ATTR_RDONLY;
    let tmpfs = mount::new_filesystem("tmpfs", &[("mode", "755")], without_read_only)?;
    for hierarchy in &hierarchies {
        let name =
            Path::new(hierarchy.root.file_name().expect("a hierarchy is mounted below /sys/fs/cgroup"));
        sys::fs::make_dir_at(tmpfs.as_fd(), name, 0o755)?;
        for controller in hierarchy.controllers.iter().filter(|controller| Path::new(controller) != name) {
            sys::nodes::make_link_at(tmpfs.as_fd(), Path::new(controller), name)?;
        }
    }
    place(root, &tmpfs, plan, Target::Directory)?;
    for hierarchy in hierarchies {
        let options: Vec<(&str, &str)> =
            hierarchy.controllers.iter().map(|controller| (*controller, "")).collect();
        let made = mount::new_filesystem("cgroup", &options, plan.attr)?;
        let name = hierarchy.root.file_name().expect("a hierarchy is mounted below /sys/fs/cgroup");
        let point = sys::fs::open_path_at(tmpfs.as_fd(), Path::new(name))?;
        mount::place(made.as_fd(), point.as_fd(), &plan.target.join(name))?;
    }
    if plan.attr.contains(mount::Attr::MOUNT_ATTR_RDONLY) {
        mount::set_attributes(tmpfs.as_fd(), mount::Attr::MOUNT_ATTR_RDONLY, false, &plan.target)?;
    }
    Ok(())
}

/// The container's own terminal, and /dev/console bound to it.
fn console(root: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), OpError> {
    step("Open a terminal of the container's own");
    let (master, slave) = open_terminal(root)?;
    let path = Path::new("/dev/console");
    let point = confined::open_path(root, path, Links::Refused)?;
    let made = mount::clone_tree(slave.as_fd(), Path::new(""), false)?;
    mount::place(made.as_fd(), point.as_fd(), path)?;
    Ok((master, slave))
}

/// A pseudo-terminal of the devpts that is mounted in the container.
pub(crate) fn open_terminal(root: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), OpError> {
    let devpts = confined::open_path(root, Path::new("/dev/pts"), Links::Refused)?;
    sys::terminal::open_pair(devpts.as_fd())
}

/// Written through a procfs of our own, not through whatever lies at /proc.
fn sysctls(plan: &InitPlan, proc: BorrowedFd<'_>) -> Result<(), OpError> {
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    step("Set the kernel parameters of the container's own namespaces");
    for (path, value) in &plan.sysctls {
        confined::write_proc(proc, &Path::new("sys").join(path), value)?;
    }
    Ok(())
}

/// Masks and write-protects what proc and sysfs tell about the host.
fn hide(plan: &InitPlan, root: BorrowedFd<'_>) -> Result<(), OpError> {
    step("Hide what proc and sysfs tell about the host");
    let null = own_null(root)?;
    let mut empty: Option<OwnedFd> = None;
    for path in &plan.masked {
        let Some(point) = present(root, path)? else { continue };
        let made = if sys::fs::is_directory(point.as_fd())? {
            let attr = mount::Attr::MOUNT_ATTR_RDONLY | NO_SPECIAL;
            // One empty directory serves all: the first is mounted, the others are clones of it.
            match &empty {
                Some(empty) => mount::clone_tree(empty.as_fd(), Path::new(""), false)?,
                None => mount::new_filesystem(
                    "tmpfs",
                    &[("size", "0"), ("nr_inodes", "2"), ("mode", "755")],
                    attr,
                )?,
            }
        } else {
            mount::clone_tree(null.as_fd(), Path::new(""), false)?
        };
        mount::place(made.as_fd(), point.as_fd(), path)?;
        if empty.is_none() && sys::fs::is_directory(made.as_fd())? {
            empty = Some(made);
        }
    }
    for path in &plan.read_only {
        let Some(point) = present(root, path)? else { continue };
        let made = mount::clone_tree(point.as_fd(), Path::new(""), true)?;
        let attr = mount::Attr::MOUNT_ATTR_RDONLY | NO_SPECIAL;
        mount::set_attributes(made.as_fd(), attr, true, path)?;
        mount::place(made.as_fd(), point.as_fd(), path)?;
    }
    Ok(())
}

const NO_SPECIAL: mount::Attr =
    mount::Attr::MOUNT_ATTR_NOSUID.union(mount::Attr::MOUNT_ATTR_NODEV).union(mount::Attr::MOUNT_ATTR_NOEXEC);

/// The container's /dev/null, and nothing else that may lie there: it is what masked files read as.
pub(crate) fn own_null(root: BorrowedFd<'_>) -> Result<OwnedFd, OpError> {
    let null = confined::open_path(root, Path::new("/dev/null"), Links::Refused)?;
    match confined::is_char_device(null.as_fd(), 1, 3) {
        Ok(true) => Ok(null),
        Ok(false) => Err(OpError {
            call: "open(\"/dev/null\")".to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "not the character device 1:3"),
        }),
        Err(source) => Err(OpError { call: "fstat(\"/dev/null\")".to_owned(), source }),
    }
}

/// The container's /dev/null, opened to be read: what a container without input reads.
pub(crate) fn open_null(root: BorrowedFd<'_>) -> Result<OwnedFd, OpError> {
    sys::fs::reopen(own_null(root)?.as_fd())
}

/// What this kernel does not have needs no hiding.
fn present(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, OpError> {
    match confined::open_path(root, path, Links::Inside) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.errno(), libc::ENOENT | libc::ENOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}
