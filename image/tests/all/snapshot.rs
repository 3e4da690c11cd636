//! Everything about a tree of files, for comparing two.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use image::Digest;

/// One object of a tree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// The first name, in order, of the same file.
    pub(crate) same_as: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File { size: u64, digest: Digest },
    Symlink(Vec<u8>),
    Character(u64),
    Block(u64),
    Fifo,
    Socket,
}

impl fmt::Debug for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, mode, uid, gid, mtime, xattrs, same_as } = self;
        write!(out, "{kind:?} {mode:o} {uid}:{gid} {}.{:09}", mtime.0, mtime.1)?;
        if !xattrs.is_empty() {
            write!(out, " {xattrs:?}")?;
        }
        same_as.iter().try_for_each(|name| write!(out, " = {name}"))
    }
}

pub(crate) type Snapshot = BTreeMap<String, Object>;

/// The tree at `root`, its own attributes under the name ``.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut objects = Snapshot::new();
    add(root, root, &mut objects);
    let mut first: BTreeMap<(u64, u64), String> = BTreeMap::new();
    for (name, object) in &mut objects {
        let stat = root.join(name).symlink_metadata().unwrap();
        if stat.nlink() > 1 && !stat.is_dir() {
            let known = first.entry((stat.dev(), stat.ino())).or_insert_with(|| name.clone());
            object.same_as = (known != name).then(|| known.clone());
        }
    }
    objects
}

/// The lines in which two trees differ.
pub(crate) fn differences(ours: &Snapshot, theirs: &Snapshot) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name));
    differing.map(|name| format!("{name:?}:\n  {:?}\n  {:?}", ours.get(name), theirs.get(name))).collect()
}

fn add(root: &Path, path: &Path, objects: &mut Snapshot) {
    let stat = path.symlink_metadata().unwrap();
    let kind = stat.file_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(std::fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec())
    } else if kind.is_char_device() {
        Kind::Character(stat.rdev())
    } else if kind.is_block_device() {
        Kind::Block(stat.rdev())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_socket() {
        Kind::Socket
    } else {
        Kind::File { size: stat.size(), digest: Digest::of(&std::fs::read(path).unwrap()) }
    };
    let is_directory = kind == Kind::Directory;
    let object = Object {
        kind,
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        mtime: (stat.mtime(), stat.mtime_nsec()),
        xattrs: xattrs(path),
        same_as: None,
    };
    let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    objects.insert(name, object);
    if is_directory {
        for entry in std::fs::read_dir(path).unwrap() {
            add(root, &entry.unwrap().path(), objects);
        }
    }
}

pub(crate) fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut buffer = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, buffer.as_mut_slice()).unwrap_or(0);
    let names = String::from_utf8(buffer[..length].to_vec()).unwrap();
    let value = |name: &str| {
        let mut buffer = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, name, buffer.as_mut_slice()).unwrap();
        buffer.truncate(length);
        buffer
    };
    names.split('\0').filter(|name| !name.is_empty()).map(|name| (name.to_owned(), value(name))).collect()
}
