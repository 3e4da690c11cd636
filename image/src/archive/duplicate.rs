//! One object made once more, with everything that belongs to it: owner, mode, attributes, times, holes. Its ids may be others
//! in the tree into which it is copied.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::confined::{self, Dir};
use super::entry::{Node, Xattr};
use super::error::{Call, UnpackError};
use super::ids::{IdMap, same_id, translate};
use super::record::IdKind;
use super::stored::sparse_map;

/// Whose a copy is.
#[derive(Clone, Copy)]
pub struct Shift<'a> {
    /// What an id of the tree that is read is to the container.
    pub inside: IdMap<'a>,
    /// What an id of the container's is in the tree that is made.
    pub outside: IdMap<'a>,
}

impl Shift<'_> {
    /// The same attributes of a file of the copy, as they are.
    pub(super) fn xattrs_of_copy(&self, file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
        let mut kept = confined::xattrs(file)?;
        let is_files = |name: &[u8]| {
            matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
                || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
        };
        kept.retain(|(name, _)| is_files(name));
        kept.sort_unstable();
        Ok(kept)
    }

    /// Everything stays whose it is.
    pub(super) const NONE: Shift<'static> = Shift { inside: &same_id, outside: &same_id };

    /// Whom something belongs to that belongs to `id`; nobody where that has no counterpart, as the kernel shows it.
    pub(super) fn owner(&self, kind: IdKind, id: u32) -> u32 {
        const NOBODY: u32 = 65534;
        let inside = (self.inside)(kind, id).unwrap_or(NOBODY);
        let nobody = || (self.outside)(kind, NOBODY).unwrap_or(NOBODY);
        (self.outside)(kind, inside).unwrap_or_else(nobody)
    }

    /// The attributes that belong to the file, and not to overlay or to the host's security module, as the copy has them.
    pub(super) fn xattrs(&self, file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
        let mut kept = Vec::new();
        for (name, value) in confined::xattrs(file)? {
            let inside = translate(&name, &value, self.inside);
            let Some(Ok(Some(value))) = inside.map(|value| super::entry::xattr(&name, &value)) else {
                continue;
            };
            kept.extend(translate(&name, &value, self.outside).map(|value| (name, value)));
        }
        kept.sort_unstable();
        Ok(kept)
    }
}

/// Copies anything but a directory, with all its attributes; returns the bytes of a regular file. `path` is its name in errors.
pub(super) fn copy_file(
    (from, name): (&Dir, &[u8]),
    (to, new_name): (&Dir, &[u8]),
    path: &[u8],
    shift: &Shift<'_>,
) -> Result<u64, UnpackError> {
    let stat = from.stat_of(name).map_err(UnpackError::kernel(Call::Stat, path))?;
    let mode = stat.st_mode & 0o7777;
    let node = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let source = from.open_file(name).map_err(UnpackError::kernel(Call::Open, path))?;
            let file = to.make_file(new_name, 0o600).map_err(UnpackError::kernel(Call::MakeFile, path))?;
            let size = copy_data(&source, &file, &stat).map_err(UnpackError::kernel(Call::Copy, path))?;
            copy_open_attributes(&source, &file, &stat, path, shift)?;
            return Ok(size);
        }
        FileType::Symlink => None,
        FileType::CharacterDevice => Some(Node::Character),
        FileType::BlockDevice => Some(Node::Block),
        _ => Some(Node::Fifo),
    };
    match node {
        None => {
            let target = from.read_link(name).map_err(UnpackError::kernel(Call::Open, path))?;
            to.make_symlink(new_name, &target).map_err(UnpackError::kernel(Call::Symlink, path))?;
        }
        Some(node) => {
            let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            to.make_node(new_name, node, 0o600, device).map_err(UnpackError::kernel(Call::MakeNode, path))?;
        }
    }
    let (uid, gid) = (shift.owner(IdKind::Uid, stat.st_uid), shift.owner(IdKind::Gid, stat.st_gid));
    to.change_owner(new_name, uid, gid).map_err(UnpackError::kernel(Call::SetOwner, path))?;
    if node.is_some() {
        to.change_mode(new_name, mode).map_err(UnpackError::kernel(Call::SetMode, path))?;
    }
    to.change_time(new_name, confined::modified(&stat)).map_err(UnpackError::kernel(Call::SetTime, path))?;
    Ok(0)
}

/// A file's bytes, and not its holes where they are worth it.
fn copy_data(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> Result<u64, Errno> {
    let size = u64::try_from(stat.st_size).expect("no file has a negative size");
    match sparse_map(from, stat)? {
        None => {
            confined::seek_to(from, 0)?;
            confined::copy(from, to, size)?;
        }
        Some(map) => {
            for segment in &map.segments {
                confined::seek_to(from, segment.offset)?;
                confined::seek_to(to, segment.offset)?;
                confined::copy(from, to, segment.length)?;
            }
            confined::set_size(to, size)?;
        }
    }
    Ok(size)
}

/// Gives a directory what another one has.
pub(super) fn copy_attributes(
    from: &Dir,
    to: &Dir,
    path: &[u8],
    shift: &Shift<'_>,
) -> Result<(), UnpackError> {
    let stat = from.stat().map_err(UnpackError::kernel(Call::Stat, path))?;
    copy_open_attributes(from, to, &stat, path, shift)
}

/// Owner, then mode, then attributes, then time: each could undo those after it.
fn copy_open_attributes(
    from: impl AsFd,
    to: impl AsFd,
    stat: &Stat,
    path: &[u8],
    shift: &Shift<'_>,
) -> Result<(), UnpackError> {
    let (uid, gid) = (shift.owner(IdKind::Uid, stat.st_uid), shift.owner(IdKind::Gid, stat.st_gid));
    confined::set_owner(&to, uid, gid).map_err(UnpackError::kernel(Call::SetOwner, path))?;
    confined::set_mode(&to, stat.st_mode & 0o7777).map_err(UnpackError::kernel(Call::SetMode, path))?;
    for (name, value) in shift.xattrs(from).map_err(UnpackError::kernel(Call::GetXattr, path))? {
        confined::set_xattr(&to, &name, &value).map_err(UnpackError::kernel(Call::SetXattr, path))?;
    }
    confined::set_time(to, confined::modified(stat)).map_err(UnpackError::kernel(Call::SetTime, path))
}

/// The attributes that belong to the file, and not to overlay or to the host's security module.
pub(super) fn visible_xattrs(file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    Shift::NONE.xattrs(file)
}
