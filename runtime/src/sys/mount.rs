//! Mounts by the new mount API (fsopen(2) and kin, Linux 5.2): made detached, then placed on a descriptor.
//!
//! A detached mount is in nobody's mount table until it is placed, so the host's never shows a container's.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::{Result, op};

/// Attributes of one mount (`MOUNT_ATTR_*`, mount_setattr(2)).
pub type Attr = MountAttrFlags;

/// Makes a detached mount of a new instance of the file system `kind`.
///
/// `options` are fsconfig(2) strings; an empty value sets a flag.
///
/// # Errors
/// What fsopen, fsconfig or fsmount answered, with the kernel's own explanation where it gave one.
pub fn new_filesystem(kind: &str, options: &[(&str, &str)], attr: Attr) -> Result<OwnedFd> {
    op!(
        ("fsopen({kind:?}), fsconfig({}), fsmount({})", Options(options), Attributes(attr)),
        ("mount -t {kind}{} {kind} TARGET", Words(options, attr)),
        || {
            let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
            rustix::mount::fsconfig_set_string(&context, "source", kind)?;
            for (key, value) in options {
                let set = if value.is_empty() {
                    rustix::mount::fsconfig_set_flag(&context, *key)
                } else {
                    rustix::mount::fsconfig_set_string(&context, *key, *value)
                };
                set.map_err(|errno| explained(&context, errno))?;
            }
            rustix::mount::fsconfig_create(&context).map_err(|errno| explained(&context, errno))?;
            Ok::<_, io::Error>(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attr)?)
        }
    )
}

/// A directory that overlay(5) stacks, with the path by which the narrator calls it.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The directory.
    pub fd: BorrowedFd<'a>,
    /// Its name in what is told and in errors.
    pub path: &'a Path,
}

/// How overlay takes its layers, by the kernel's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerForm {
    /// By descriptor (Linux 6.15 and later accept detached mounts and `O_PATH`).
    Descriptor,
    /// Each as the string `/proc/self/fd/N` of an attached mount (`lowerdir+`, Linux 6.5).
    String,
    /// All in one string of mount(2).
    Classic,
}

/// The two directories of overlay that can be written.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a> {
    /// What is written ends up there.
    pub upper: Layer<'a>,
    /// Overlay's own, on the same file system.
    pub work: Layer<'a>,
    /// No sync ever: for containers whose files nobody wants after a crash.
    pub volatile: bool,
}

/// Mounts overlay, detached: `lowers` (topmost first) under what can be written; without that there must be two of them.
///
/// # Errors
/// What fsopen, fsconfig or fsmount answered, with overlay's own explanation where it gave one.
pub fn overlay(lowers: &[Layer<'_>], writable: Option<Writable<'_>>, form: LayerForm) -> Result<OwnedFd> {
    let shown = Shown(lowers, writable);
    op!(
        ("fsopen(\"overlay\"), fsconfig({shown:+}), fsmount(NODEV)"),
        ("mount -t overlay -o nodev,{shown} overlay MERGED"),
        || {
            let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            rustix::mount::fsconfig_set_string(&context, "source", "overlay")?;
            let set = |key: &str, layer: &Layer<'_>| match form {
                LayerForm::Descriptor => rustix::mount::fsconfig_set_fd(&context, key, layer.fd),
                LayerForm::String | LayerForm::Classic => {
                    rustix::mount::fsconfig_set_string(&context, key, own_name(layer))
                }
            };
            for lower in lowers {
                set("lowerdir+", lower).map_err(|errno| explained(&context, errno))?;
            }
            if let Some(Writable { upper, work, volatile }) = &writable {
                set("upperdir", upper).map_err(|errno| explained(&context, errno))?;
                set("workdir", work).map_err(|errno| explained(&context, errno))?;
                if *volatile {
                    rustix::mount::fsconfig_set_flag(&context, "volatile")
                        .map_err(|errno| explained(&context, errno))?;
                }
            }
            rustix::mount::fsconfig_create(&context).map_err(|errno| explained(&context, errno))?;
            Ok::<_, io::Error>(rustix::mount::fsmount(
                &context,
                FsMountFlags::FSMOUNT_CLOEXEC,
                MountAttrFlags::MOUNT_ATTR_NODEV,
            )?)
        }
    )
}

/// Mounts overlay by mount(2) on `place`, and takes it from there, detached: for kernels before Linux 6.5.
///
/// The caller is in a mount namespace of its own.
///
/// # Errors
/// What mount(2) or open_tree(2) answered: `EINVAL` for more layers than a page of text names (about 230).
pub fn overlay_classic(
    lowers: &[Layer<'_>],
    writable: Option<Writable<'_>>,
    place: &Path,
) -> Result<OwnedFd> {
    let shown = Shown(lowers, writable);
    let stack = lowers.iter().map(own_name).collect::<Vec<_>>().join(":");
    let mut options = format!("lowerdir={stack}");
    if let Some(Writable { upper, work, volatile }) = &writable {
        let flag = if *volatile { ",volatile" } else { "" };
        options += &format!(",upperdir={},workdir={}{flag}", own_name(upper), own_name(work));
    }
    op!(
        ("mount(\"overlay\", {place:?}, MS_NODEV, {shown}), open_tree(CLONE), umount2(MNT_DETACH)"),
        ("mount -t overlay -o nodev,{shown} overlay {}", place.display()),
        || {
            let options = std::ffi::CString::new(options.as_str())?;
            let flags = rustix::mount::MountFlags::NODEV;
            rustix::mount::mount("overlay", place, "overlay", flags, Some(options.as_c_str()))?;
            let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let mount = rustix::mount::open_tree(rustix::fs::CWD, place, clone)?;
            rustix::mount::unmount(place, UnmountFlags::DETACH)?;
            Ok::<_, io::Error>(mount)
        }
    )
}

/// A layer's name in this process.
fn own_name(layer: &Layer<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", layer.fd.as_raw_fd())
}

/// Clones the mount below `path` (relative to `dir`), detached; with everything mounted below it when `recursive`.
///
/// # Errors
/// What open_tree(2) answered.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let (word, option) = if recursive { ("|AT_RECURSIVE", "rbind") } else { ("", "bind") };
    op!(
        ("open_tree({}, OPEN_TREE_CLONE{word})", Name(path)),
        ("mount -o {option} {} TARGET", Name(path)),
        || rustix::mount::open_tree(dir, path, flags)
    )
}

/// Places a detached mount on the file or directory `target`; `path` is how the narrator calls that place.
///
/// # Errors
/// What move_mount(2) answered.
pub fn place(mount: BorrowedFd<'_>, target: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    op!(("move_mount(MOUNT, {:?})", path), ("mount --move MOUNT {}", path.display()), || {
        rustix::mount::move_mount(mount, "", target, "", flags)
    })
}

/// Places a detached mount on top of `/` itself: no mount point, so no path of the host is searched.
///
/// # Errors
/// What move_mount(2) answered.
pub fn place_on_root(mount: BorrowedFd<'_>) -> Result<()> {
    op!(("move_mount(MOUNT, \"/\")"), ("mount --move MOUNT /"), || rustix::mount::move_mount(
        mount,
        "",
        rustix::fs::CWD,
        "/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
    ))
}

/// Changes nothing of the host any more: every mount of this namespace becomes private.
///
/// # Errors
/// What mount(2) answered.
pub fn make_private() -> Result<()> {
    op!(("mount(\"/\", MS_REC|MS_PRIVATE)"), ("mount --make-rprivate /"), || rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC
    ))
}

/// What the host mounts and unmounts still arrives here; nothing goes back (`MS_SLAVE`).
///
/// # Errors
/// What mount(2) answered.
pub fn make_slave() -> Result<()> {
    op!(("mount(\"/\", MS_REC|MS_SLAVE)"), ("mount --make-rslave /"), || rustix::mount::mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC
    ))
}

/// Makes the working directory the root; the old root is stacked on the same place until [`detach_old_root`].
///
/// # Errors
/// What pivot_root(2) answered.
pub fn pivot_root() -> Result<()> {
    op!(("pivot_root(\".\", \".\")"), ("pivot_root . ."), || rustix::process::pivot_root(".", "."))
}

/// Makes a directory the root of this process's path names, and nothing more: its working directory, its open files and its
/// mount namespace stay as they are (chroot(2)). Containers are not made by it; `mini learn` shows why.
///
/// # Errors
/// What chroot(2) answered.
pub fn change_root(path: &Path) -> Result<()> {
    op!(("chroot({path:?})"), ("chroot {}", path.display()), || rustix::process::chroot(path))
}

/// Takes a mount away from this namespace; who uses it keeps it.
///
/// # Errors
/// What umount2(2) answered.
pub fn detach(path: &Path) -> Result<()> {
    op!(("umount2({path:?}, MNT_DETACH)"), ("umount -l {}", path.display()), || {
        rustix::mount::unmount(path, UnmountFlags::DETACH)
    })
}

/// Lets go of the old root that [`pivot_root`] left below the new one.
///
/// # Errors
/// What umount2(2) answered.
pub fn detach_old_root() -> Result<()> {
    op!(("umount2(\".\", MNT_DETACH)"), ("umount -l ."), || rustix::mount::unmount(".", UnmountFlags::DETACH))
}

/// Adds `attr` to a mount, or to the whole tree below it.
///
/// # Errors
/// What mount_setattr(2) (Linux 5.12) answered.
pub fn set_attributes(mount: BorrowedFd<'_>, attr: Attr, recursive: bool, path: &Path) -> Result<()> {
    op!(
        ("mount_setattr({:?}, {})", path, Attributes(attr)),
        ("mount -o remount,bind{} {}", AttributeWords(attr), path.display()),
        || super::idmapped::mount_setattr(mount, recursive, u64::from(attr.bits()), 0, None)
    )
}

/// Sets the propagation type of a mount (`MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, mount_namespaces(7)).
///
/// # Errors
/// What mount_setattr(2) answered.
pub fn set_propagation(mount: BorrowedFd<'_>, propagation: u64, recursive: bool, path: &Path) -> Result<()> {
    op!(
        ("mount_setattr({path:?}, propagation={propagation:#x})"),
        ("mount --make-private {}", path.display()),
        || super::idmapped::mount_setattr(mount, recursive, 0, propagation, None)
    )
}

/// The kernel writes what displeased it into the context (fsopen(2)): better than a bare `EINVAL`.
fn explained(context: &OwnedFd, errno: rustix::io::Errno) -> io::Error {
    let mut line = [0u8; 512];
    let mut said = Vec::new();
    while let Ok(length) = rustix::io::read(context.as_fd(), &mut line) {
        if length == 0 {
            break;
        }
        said.push(String::from_utf8_lossy(&line[..length]).trim_end().trim_start_matches("e ").to_owned());
    }
    let error = io::Error::from(errno);
    if said.is_empty() {
        error
    } else {
        io::Error::new(error.kind(), format!("{}: {error}", said.join("; ")))
    }
}

struct Name<'a>(&'a Path);
impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.as_os_str() == OsStr::new("") { f.write_str("FD") } else { write!(f, "{:?}", self.0) }
    }
}

/// Overlay's options; in the form of fsconfig(2), a layer at a time, with `+`.
struct Shown<'a>(&'a [Layer<'a>], Option<Writable<'a>>);
impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if f.sign_plus() { "lowerdir+=" } else { "lowerdir=" })?;
        for (index, layer) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ":" }, layer.path.display())?;
        }
        let Some(Writable { upper, work, volatile }) = &self.1 else { return Ok(()) };
        let (upper, work) = (upper.path.display(), work.path.display());
        let (space, flag) = (if f.sign_plus() { " " } else { "" }, if *volatile { ",volatile" } else { "" });
        write!(f, ",{space}upperdir={upper},{space}workdir={work}{flag}")
    }
}

struct Options<'a>(&'a [(&'a str, &'a str)]);
impl std::fmt::Display for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let equals = if value.is_empty() { "" } else { "=" };
            write!(f, "{comma}{key}{equals}{value}")?;
        }
        Ok(())
    }
}

const WORDS: [(Attr, &str, &str); 5] = [
    (Attr::MOUNT_ATTR_RDONLY, "RDONLY", "ro"),
    (Attr::MOUNT_ATTR_NOSUID, "NOSUID", "nosuid"),
    (Attr::MOUNT_ATTR_NODEV, "NODEV", "nodev"),
    (Attr::MOUNT_ATTR_NOEXEC, "NOEXEC", "noexec"),
    (Attr::MOUNT_ATTR_NOATIME, "NOATIME", "noatime"),
];

struct Attributes(Attr);
impl std::fmt::Display for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bar = "";
        for (attr, word, _) in WORDS {
            if self.0.contains(attr) {
                write!(f, "{bar}{word}")?;
                bar = "|";
            }
        }
        if bar.is_empty() { f.write_str("0") } else { Ok(()) }
    }
}

/// What mount(8) is told after `-o`, where it is told anything.
struct Words<'a>(&'a [(&'a str, &'a str)], Attr);
impl std::fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = format!("{}{}", Options(self.0), AttributeWords(self.1));
        let all = all.trim_start_matches(',');
        if all.is_empty() { Ok(()) } else { write!(f, " -o {all}") }
    }
}

struct AttributeWords(Attr);
impl std::fmt::Display for AttributeWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        WORDS
            .iter()
            .filter(|(attr, _, _)| self.0.contains(*attr))
            .try_for_each(|(_, _, word)| write!(f, ",{word}"))
    }
}
