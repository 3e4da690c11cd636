//! The monitor's half of a root: layers idmapped, stacked by overlay, detached. Nothing is copied, nothing chowned; but where layers
//! lie on an overlay themselves, a copy that was made before.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::op::{OpError, step};
use crate::plan::{COPY, RootPlan};
use crate::sys::confined::{self, Links};
use crate::sys::mount::{Attr, Layer, LayerForm, Writable};
use crate::sys::{self, idmapped};

/// Stacks the image's layers under one writable layer; returns the overlay, mounted nowhere yet.
///
/// `userns` is the container's user namespace, whose map shifts the view; `root_ids` are the host's ids of its root.
///
/// # Errors
/// What the kernel answered; `EINVAL` from the idmap where the file system of a layer cannot be idmapped.
pub(crate) fn stack(
    root: &RootPlan,
    userns: Option<BorrowedFd<'_>>,
    root_ids: (u32, u32),
) -> Result<OwnedFd, OpError> {
    if root.copied {
        return copied(&root.scratch.join(COPY));
    }
    make_scratch(&root.scratch)?;
    let form = layer_form();
    if form == LayerForm::Classic || userns.is_some() && form == LayerForm::String {
        // Such a kernel takes attached mounts only: attach them where nobody else looks.
        step(
            "Attach the layers in a mount namespace of the monitor's own: overlay takes detached ones from Linux 6.15 on",
        );
        sys::ns::unshare_mount()?;
        sys::mount::make_slave()?;
    }
    let overlay = stack_as(form, root, userns, root_ids);
    if userns.is_some() && form != LayerForm::Descriptor {
        step("Take our own mounts away again: a directory that is a mount point here could not be removed");
        for path in root.layers.iter().chain([&root.scratch]) {
            let detached = sys::mount::detach(path);
            // What has failed may not have come to this one, and is told.
            if overlay.is_ok() {
                detached?;
            }
        }
    }
    overlay
}

/// A root that was copied: its files have the container's ids already, and no overlay comes between.
fn copied(tree: &Path) -> Result<OwnedFd, OpError> {
    step("Show the container's copy of its image: overlay cannot stack layers that lie on an overlay");
    let root = sys::mount::clone_tree(rustix::fs::CWD, tree, false)?;
    sys::mount::set_attributes(root.as_fd(), Attr::MOUNT_ATTR_NODEV, false, tree)?;
    Ok(root)
}

fn stack_as(
    form: LayerForm,
    root: &RootPlan,
    userns: Option<BorrowedFd<'_>>,
    root_ids: (u32, u32),
) -> Result<OwnedFd, OpError> {
    step(
        "Show the image's layers and the writable one with the container's ids: the view is shifted, the files stay",
    );
    let mut lowers = Vec::with_capacity(root.layers.len());
    for layer in &root.layers {
        lowers.push(view(layer, userns, form)?);
    }
    let scratch = view(&root.scratch, userns, form)?;
    let upper = sys::fs::open_layer_at(scratch.as_fd(), Path::new("upper"))?;
    let work = sys::fs::open_layer_at(scratch.as_fd(), Path::new("work"))?;
    let layer = |fd, path| Layer { fd, path };
    let lowers: Vec<Layer<'_>> =
        lowers.iter().zip(&root.layers).map(|(fd, path)| layer(fd.as_fd(), path)).collect();
    let (upper_path, work_path) = (root.scratch.join("upper"), root.scratch.join("work"));
    step("Stack the image's layers, read-only, under one writable layer");
    let (upper, work) = (layer(upper.as_fd(), &upper_path), layer(work.as_fd(), &work_path));
    let writable = Some(Writable { upper, work, volatile: root.volatile });
    idmapped::as_container_root(root_ids.0, root_ids.1, || match form {
        LayerForm::Classic => sys::mount::overlay_classic(&lowers, writable, &root.scratch),
        _ => sys::mount::overlay(&lowers, writable, form),
    })
}

/// Stacks layers without anything that could be written; mounted nowhere, ids as on disk.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn stack_read_only(layers: &[PathBuf]) -> Result<OwnedFd, OpError> {
    let form = layer_form();
    let opened = layers.iter().map(|layer| sys::fs::open_dir(layer)).collect::<Result<Vec<_>, _>>()?;
    let lowers: Vec<Layer<'_>> =
        opened.iter().zip(layers).map(|(fd, path)| Layer { fd: fd.as_fd(), path }).collect();
    match (opened.len(), form) {
        // Overlay would not take one alone.
        (1, _) => Ok(opened.into_iter().next().expect("there is one")),
        (_, LayerForm::Classic) => {
            sys::ns::unshare_mount()?;
            sys::mount::make_slave()?;
            sys::mount::overlay_classic(&lowers, None, Path::new(&layers[0]))
        }
        _ => sys::mount::overlay(&lowers, None, form),
    }
}

/// `upper` takes what the container writes, `work` is overlay's own; both on one file system.
fn make_scratch(scratch: &Path) -> Result<(), OpError> {
    step("Make the container's writable layer");
    for (name, mode) in [("upper", 0o755), ("work", 0o700)] {
        match sys::fs::make_dir(&scratch.join(name), mode) {
            Err(error) if error.errno() == libc::EEXIST => {}
            other => other?,
        }
    }
    // A volatile overlay leaves this mark and refuses the directory from then on (overlayfs.rst, "Volatile mount").
    sys::fs::remove_volatile_mark(&scratch.join("work/work/incompat"))
}

/// A directory as the container will see it.
fn view(path: &Path, userns: Option<BorrowedFd<'_>>, form: LayerForm) -> Result<OwnedFd, OpError> {
    let Some(userns) = userns else {
        return sys::fs::open_dir(path);
    };
    let mount = sys::mount::clone_tree(rustix::fs::CWD, path, false)?;
    idmapped::idmap(mount.as_fd(), userns, false, path)?;
    if form != LayerForm::Descriptor {
        let place = sys::fs::open_dir(path)?;
        sys::mount::place(mount.as_fd(), place.as_fd(), path)?;
    }
    Ok(mount)
}

/// Overlay takes detached mounts and `O_PATH` descriptors from Linux 6.15 on, one layer at a time from 6.5.
fn layer_form() -> LayerForm {
    match running_kernel() {
        version if version >= (6, 15) => LayerForm::Descriptor,
        version if version >= (6, 5) => LayerForm::String,
        _ => LayerForm::Classic,
    }
}

/// The version of the kernel that runs: (6, 12).
pub fn running_kernel() -> (u32, u32) {
    kernel_version(&rustix::system::uname().release().to_string_lossy())
}

/// `6.12.48+deb13-cloud-amd64` → (6, 12). PURE.
fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What is placed where below a bind mount's target (first: the target itself).
pub(crate) type Tree = Vec<(PathBuf, OwnedFd)>;

/// Clones a file or directory of the host for a bind mount, with the container's ids where `userns` is given.
///
/// A tree that contains something that cannot be idmapped (a proc, a sysfs) cannot be idmapped as a whole: it is rebuilt
/// mount by mount, idmapped where the file system allows, plain elsewhere.
///
/// # Errors
/// What open_tree(2) or mount_setattr(2) answered.
pub(crate) fn bind(source: &Path, recursive: bool, userns: Option<BorrowedFd<'_>>) -> Result<Tree, OpError> {
    let tree = sys::mount::clone_tree(rustix::fs::CWD, source, recursive)?;
    let Some(userns) = userns else {
        return Ok(vec![(PathBuf::new(), tree)]);
    };
    match idmapped::idmap(tree.as_fd(), userns, recursive, source) {
        Ok(()) => return Ok(vec![(PathBuf::new(), tree)]),
        Err(error) if recursive && is_not_idmappable(&error) => {}
        Err(error) => return Err(error),
    }
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|source| OpError { call: "read(\"/proc/self/mountinfo\")".to_owned(), source })?;
    let mut mounts = Vec::new();
    for below in std::iter::once(PathBuf::new()).chain(mounts_below(&mountinfo, source)) {
        let path = if below.as_os_str().is_empty() { source.to_owned() } else { source.join(&below) };
        let mount = sys::mount::clone_tree(rustix::fs::CWD, &path, false)?;
        match idmapped::idmap(mount.as_fd(), userns, false, &path) {
            Err(error) if !is_not_idmappable(&error) => return Err(error),
            _ => mounts.push((below, mount)),
        }
    }
    Ok(mounts)
}

/// Clones what `beneath` leads to inside `source`, and nothing outside, whatever links lie there; what is mounted below stays.
///
/// # Errors
/// What openat2(2), open_tree(2) or mount_setattr(2) answered.
pub(crate) fn bind_beneath(
    source: &Path,
    beneath: &Path,
    userns: Option<BorrowedFd<'_>>,
) -> Result<Tree, OpError> {
    let top = sys::fs::open_dir(source)?;
    let found = confined::open_path(top.as_fd(), beneath, Links::Inside)?;
    let tree = sys::mount::clone_tree(found.as_fd(), Path::new(""), false)?;
    if let Some(userns) = userns {
        idmapped::idmap(tree.as_fd(), userns, false, &source.join(beneath))?;
    }
    Ok(vec![(PathBuf::new(), tree)])
}

fn is_not_idmappable(error: &OpError) -> bool {
    matches!(error.errno(), libc::EINVAL | libc::EPERM)
}

/// Mount points below `root`, each before those below it; only the topmost of several on one place counts. PURE.
fn mounts_below(mountinfo: &str, root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in mountinfo.lines() {
        let Some(point) = line.split(' ').nth(4) else { continue };
        if let Ok(below) = Path::new(&unescaped(point)).strip_prefix(root)
            && !below.as_os_str().is_empty()
            && !found.iter().any(|path| path == below)
        {
            found.push(below.to_owned());
        }
    }
    found.sort();
    found
}

/// `\040` is a space, and so on (proc_pid_mountinfo(5)).
fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_compared_as_numbers() {
        for (release, expected) in [
            ("6.18.44-fc-v669", (6, 18)),
            ("6.12.48+deb13-cloud-amd64", (6, 12)),
            ("7.0", (7, 0)),
            ("odd", (0, 0)),
        ] {
            assert_eq!(kernel_version(release), expected);
        }
    }

    #[test]
    fn mounts_below_a_directory_come_parents_first_and_once() {
        let mountinfo = "22 27 0:21 / / rw - ext4 /dev/vda rw\n\
                         23 22 0:22 / /data/b rw - tmpfs x rw\n\
                         24 22 0:23 / /data/a\\040b/c rw - tmpfs x rw\n\
                         25 22 0:24 / /data/b/sub rw - proc x rw\n\
                         26 22 0:25 / /data/b rw - tmpfs y rw\n\
                         27 22 0:26 / /database rw - tmpfs x rw\n";
        let expected: Vec<PathBuf> = ["a b/c", "b", "b/sub"].map(PathBuf::from).into();
        assert_eq!(mounts_below(mountinfo, Path::new("/data")), expected);
    }
}
