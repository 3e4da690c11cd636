//! What a tree says that it hides of those below it, in two forms.
//!
//! | | overlay's own (Documentation/filesystems/overlayfs.rst) | on an overlay, which lets nobody make those |
//! |---|---|---|
//! | a whiteout | a character device 0:0 | a socket of that name |
//! | an opaque directory | `trusted.overlay.opaque` | a socket `.wh..wh..opq` in it |
//!
//! No layer can forge the second form: an archive has no way to say socket. Reading knows both forms.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::confined::{Dir, has_xattr, set_xattr};
use super::entry::{Node, OPAQUE};

/// The form in which a tree's marks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// The kernel's, for a tree that overlay stacks.
    Overlay,
    /// Sockets, for a tree that is copied.
    Sockets,
}

impl Marks {
    /// The form that can be made in a tree: mknod(2) of 0:0 is `EPERM` on an overlay.
    pub(crate) fn of(tree: &Dir) -> Result<Self, Errno> {
        Ok(if is_on_overlay(tree)? { Self::Sockets } else { Self::Overlay })
    }

    /// Hides a name of the trees below.
    pub(crate) fn make_whiteout(self, directory: &Dir, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Overlay => directory.make_node(name, Node::Character, 0, (0, 0)),
            Self::Sockets => directory.make_socket(name),
        }
    }

    /// Marks a directory: nothing of the same name in lower layers shows through it. Tells whether a file was made for that.
    pub(crate) fn set_opaque(self, directory: &Dir) -> Result<bool, Errno> {
        match self {
            Self::Overlay => set_xattr(directory, ATTRIBUTE.as_bytes(), b"y").map(|()| false),
            Self::Sockets => match directory.make_socket(OPAQUE) {
                Err(Errno::EXIST) => Ok(false),
                made => made.map(|()| true),
            },
        }
    }
}

const ATTRIBUTE: &str = "trusted.overlay.opaque";

/// Whether it hides a name, in a layer; in a container's own files a socket is a socket.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket || is_overlays_whiteout(stat)
}

/// Whether it hides a name for overlay.
pub(crate) fn is_overlays_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether nothing of lower layers shows through a directory of a layer.
pub(crate) fn is_opaque(directory: &Dir) -> Result<bool, Errno> {
    if is_overlays_opaque(directory)? {
        return Ok(true);
    }
    match directory.stat_of(OPAQUE) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Socket),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether overlay shows nothing of lower layers through a directory.
pub(crate) fn is_overlays_opaque(directory: &Dir) -> Result<bool, Errno> {
    has_xattr(directory, ATTRIBUTE, b"y")
}

/// Whether a directory lies on an overlay.
///
/// # Errors
/// What open(2) or fstatfs(2) answered.
pub fn lies_on_overlay(directory: &Path) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(is_on_overlay(rustix::fs::open(directory, flags, Mode::empty())?)?)
}

/// The same of one that is open (statfs(2), linux/magic.h).
pub(crate) fn is_on_overlay(directory: impl std::os::fd::AsFd) -> Result<bool, Errno> {
    const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
    Ok(u64::try_from(rustix::fs::fstatfs(directory)?.f_type) == Ok(OVERLAYFS_SUPER_MAGIC))
}
