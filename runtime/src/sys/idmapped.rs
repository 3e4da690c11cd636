//! Idmapped mounts and the credentials overlay is mounted with: how 0-based files on disk become a container's own.
//!
//! An idmapped mount (mount_setattr(2), Linux 5.12) shifts ids in the view alone: nothing is chowned, nothing copied.
#![expect(unsafe_code, reason = "mount_setattr and prctl have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::thread::CapabilitiesSecureBits;

use super::{Result, op};

/// Shifts the ids of a detached mount by the map of the user namespace `userns`.
///
/// # Errors
/// What mount_setattr(2) answered: `EINVAL` where the file system cannot be idmapped (proc, sysfs, overlay, devpts),
/// `EPERM` where the mount is idmapped already.
pub fn idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>, recursive: bool, path: &Path) -> Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    op!(
        ("mount_setattr({path:?}, IDMAP, userns of init)"),
        ("mount -o bind,X-mount.idmap=/proc/INIT/ns/user {} TARGET", path.display()),
        || mount_setattr(mount, recursive, MOUNT_ATTR_IDMAP, 0, Some(userns))
    )
}

/// mount_setattr(2) on the mount that `mount` refers to.
pub(super) fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    attr_set: u64,
    propagation: u64,
    userns: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let userns_fd =
        userns.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).expect("an open descriptor is not negative"));
    let attr = MountAttr { attr_set, attr_clr: 0, propagation, userns_fd };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated string, `attr` a mount_attr of the size given; the kernel reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Carries `act` out with the file system ids of the container's root.
///
/// Overlay keeps its mounter's credentials for what it does later, and files made here belong to the container's root:
/// host root's ids have no place on an idmapped mount. `SECBIT_NO_SETUID_FIXUP` keeps the capabilities that setfsuid(2)
/// would otherwise take away (capabilities(7)).
///
/// # Errors
/// What prctl(2) answered, or `act`.
pub fn as_container_root<T>(uid: u32, gid: u32, act: impl FnOnce() -> Result<T>) -> Result<T> {
    if uid == 0 && gid == 0 {
        return act();
    }
    op!(
        ("prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP), setfsgid({gid}), setfsuid({uid})"),
        ("# no tool sets fsuid: file operations that follow are made as uid {uid}"),
        || {
            rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
            nix::unistd::setfsgid(gid.into());
            nix::unistd::setfsuid(uid.into());
            Ok::<_, io::Error>(())
        }
    )?;
    let result = act();
    op!(("setfsuid(0), setfsgid(0), prctl(PR_SET_SECUREBITS, 0)"), ("# back to uid 0 for files"), || {
        nix::unistd::setfsuid(0.into());
        nix::unistd::setfsgid(0.into());
        rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())
    })?;
    result
}
