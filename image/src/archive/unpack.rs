//! Unpacks one layer into its own directory, in overlay's on-disk form, without knowing the layers below it.
//!
//! Whiteouts become character devices 0:0, opaque directories get `trusted.overlay.opaque`, or both become sockets where the tree
//! lies on an overlay itself ([`super::marks`]). Ids stay as the archive has them, 0-based: only a container's
//! view of them is mapped. What the layers below decide is written into the [`LayerRecord`].
//!
//! Whatever an entry finds at its name is replaced and never written through: an existing link could lead
//! elsewhere, and an existing file could be another name of a file that must not change.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::sync::Arc;

use rustix::io::Errno;

use super::confined::{self, Dir, Found, ZeroUmask};
use super::dirs::{Directories, Inheritable, join};
use super::entry::{Attributes, Entry, Kind, Node, Time, split};
use super::error::{Call, TarError, UnpackError};
use super::record::{HighId, IdKind, LayerRecord, PathText, RECORD_VERSION, escape};
use super::tar::Archive;

/// What unpacking is allowed to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnpackOptions {
    /// Make block and character devices. Where no devices cgroup can guard them they are left out.
    pub(crate) devices: bool,
    /// The most entries that a layer may have.
    pub(crate) entries_max: u64,
}

/// What was made, for the narrator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) directories: u64,
    pub(crate) files: u64,
    pub(crate) links: u64,
    pub(crate) nodes: u64,
    pub(crate) whiteouts: u64,
    /// Bytes of data written.
    pub(crate) bytes: u64,
    /// Extended attributes and device nodes that layers are not given.
    pub(crate) dropped: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directories, files, links, nodes, whiteouts, bytes, dropped } = self;
        write!(out, "{files} files, {directories} directories, {links} links, {bytes} bytes")?;
        for (count, what) in
            [(nodes, "special files"), (whiteouts, "whiteouts"), (dropped, "things left out")]
        {
            if *count > 0 {
                write!(out, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// A layer's id of which a container usually has none.
const HIGH_ID: u32 = 65536;
/// How many different ones are remembered: the kernel's id maps have 340 lines, so more cannot be mapped
/// anyway.
const HIGH_IDS_MAX: usize = 1024;

/// From which file on a second thread is worth its start.
const SHARED_FROM: u64 = 256;

/// Unpacks the archive in `input` into `root`, an empty directory; reads `input` to its end.
///
/// # Errors
/// The archive is malformed or malicious, or the kernel refused something. What was made so far stays.
pub(crate) fn unpack<R: BufRead>(
    input: R,
    root: Dir,
    umask: ZeroUmask,
    options: UnpackOptions,
) -> Result<(LayerRecord, Counts), UnpackError> {
    unpack_sharing(SHARED_FROM, input, root, umask, options)
}

/// As [`unpack`]; after so many files a second thread makes some of them.
pub(crate) fn unpack_sharing<R: BufRead>(
    shared_from: u64,
    input: R,
    root: Dir,
    umask: ZeroUmask,
    options: UnpackOptions,
) -> Result<(LayerRecord, Counts), UnpackError> {
    let mut archive = Archive::new(input);
    let mut unpacker = Unpacker::new(root, umask, options, shared_from)?;
    while let Some(member) = archive.next_member()? {
        unpacker.entries += 1;
        if unpacker.entries > options.entries_max {
            return Err(UnpackError::TooManyEntries(options.entries_max));
        }
        let refused = |source| UnpackError::Entry { path: escape(&member.path), source };
        let Some(entry) = Entry::interpret(&member).map_err(refused)? else { continue };
        if tracing::enabled!(target: "mini::file", tracing::Level::TRACE) {
            tracing::trace!(target: "mini::file", path = escape(&entry.path));
        }
        unpacker.size += member.size;
        unpacker.counts.dropped += (member.xattrs.len() - entry.attributes.xattrs.len()) as u64;
        unpacker.apply(&entry, &mut archive)?;
    }
    let position = archive.position();
    archive.drain().map_err(|error| TarError::reading(position, error))?;
    if !unpacker.is_dated {
        // With nothing in it: a time that is the same whenever it is unpacked.
        unpacker.date(Time::default())?;
    }
    unpacker.finish()
}

/// A layer that is being unpacked.
pub(super) struct Unpacker {
    pub(super) directories: Directories,
    options: UnpackOptions,
    pub(super) counts: Counts,
    entries: u64,
    size: u64,
    is_dated: bool,
    pub(super) opaque: bool,
    high_ids: BTreeMap<(IdKind, u32), String>,
    /// From which file on a second thread makes some; `None` once that is so.
    pub(super) shared_from: Option<u64>,
    pub(super) umask: ZeroUmask,
}

impl Unpacker {
    fn new(
        root: Dir,
        umask: ZeroUmask,
        options: UnpackOptions,
        shared_from: u64,
    ) -> Result<Self, UnpackError> {
        Ok(Self {
            directories: Directories::new(root)?,
            options,
            counts: Counts::default(),
            entries: 0,
            size: 0,
            is_dated: false,
            opaque: false,
            high_ids: BTreeMap::new(),
            shared_from: Some(shared_from),
            umask,
        })
    }

    /// Gives the root its time, until an entry of its own says another.
    fn date(&mut self, time: Time) -> Result<(), UnpackError> {
        self.is_dated = true;
        self.directories.open_resolved(b"")?;
        self.directories.set_time(b"", time);
        Ok(())
    }

    fn apply<R: BufRead>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), UnpackError> {
        if !self.is_dated {
            // A root without an entry of its own is as old as the first thing in it.
            self.date(entry.attributes.mtime)?;
        }
        match &entry.kind {
            Kind::Directory => self.directory(entry),
            Kind::File { sparse } => self.file(entry, sparse.as_ref(), archive),
            Kind::Symlink { target } => self.symlink(entry, target),
            Kind::HardLink { target } => self.hard_link(entry, target),
            Kind::Node { node: Node::Character | Node::Block, .. } if !self.options.devices => {
                self.counts.dropped += 1;
                Ok(())
            }
            Kind::Node { node, major, minor } => self.node(entry, *node, (*major, *minor)),
            Kind::Whiteout => self.whiteout(entry),
            Kind::Opaque => self.make_opaque(entry),
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let attributes = &entry.attributes;
        self.counts.directories += 1;
        let (path, is_new) = if entry.path.is_empty() {
            (Vec::new(), false)
        } else {
            let (parent, at) = self.directories.parent_of(&entry.path, attributes.mtime)?;
            let name = split(&entry.path).1;
            let path = join(&parent, name);
            self.directories.clear(&path)?;
            match at.look(name).map_err(UnpackError::kernel(Call::Stat, &path))? {
                Found::Directory => (path, false),
                _ => (self.directories.make(&parent, name, attributes.mtime)?.0, true),
            }
        };
        let dir = self.directories.open_resolved(&path)?;
        self.directories.set_time(&path, attributes.mtime);
        self.note_ids(attributes, &path);
        let mode = attributes.mode & !0o2000;
        let is_roots = is_new && attributes.uid == 0 && attributes.gid == 0;
        if !is_roots {
            confined::set_owner(&*dir, attributes.uid, attributes.gid)
                .map_err(UnpackError::kernel(Call::SetOwner, &path))?;
        }
        if !is_roots || mode != 0o755 {
            confined::set_mode(&*dir, mode).map_err(UnpackError::kernel(Call::SetMode, &path))?;
        }
        let key = PathText(path);
        self.directories.record.implicit.remove(&key);
        let mut inheritable =
            Inheritable { mode: (mode != attributes.mode).then_some(attributes.mode), xattr: None };
        for (name, value) in &attributes.xattrs {
            match name.as_slice() {
                b"system.posix_acl_default" => inheritable.xattr = Some(value.clone()),
                _ => self.set_xattr(&*dir, &key.0, name, value)?,
            }
        }
        if inheritable.mode.is_some() || inheritable.xattr.is_some() {
            self.directories.note(&key.0)?;
            self.directories.record.inheritable.insert(key, inheritable);
        } else {
            self.directories.record.inheritable.remove(&key);
        }
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), UnpackError> {
        let (path, at) = self.replace(entry, Call::Symlink, |at, name| {
            at.make_symlink(name, target)?;
            Ok(Arc::clone(at))
        })?;
        self.counts.links += 1;
        self.finish_named(entry, &path, &at)
    }

    fn node(&mut self, entry: &Entry, node: Node, device: (u32, u32)) -> Result<(), UnpackError> {
        let (path, at) = self.replace(entry, Call::MakeNode, |at, name| {
            at.make_node(name, node, 0o600, device)?;
            Ok(Arc::clone(at))
        })?;
        self.counts.nodes += 1;
        self.finish_named(entry, &path, &at)?;
        // After the owner, as for files.
        let name = split(&path).1;
        at.change_mode(name, entry.attributes.mode).map_err(UnpackError::kernel(Call::SetMode, &path))
    }

    /// Owner and time of what cannot be opened. Links and special files get no extended attributes: the
    /// kernel keeps none of the kinds that a layer may have on them (xattr(7)).
    fn finish_named(&mut self, entry: &Entry, path: &[u8], at: &Dir) -> Result<(), UnpackError> {
        let name = split(path).1;
        let attributes = &entry.attributes;
        if attributes.uid != 0 || attributes.gid != 0 {
            at.change_owner(name, attributes.uid, attributes.gid)
                .map_err(UnpackError::kernel(Call::SetOwner, path))?;
        }
        self.counts.dropped += attributes.xattrs.len() as u64;
        self.note_ids(attributes, path);
        at.change_time(name, attributes.mtime).map_err(UnpackError::kernel(Call::SetTime, path))
    }

    /// Makes something at the entry's path with `make`, after removing what is there; returns its path
    /// without links.
    fn replace<T>(
        &mut self,
        entry: &Entry,
        call: Call,
        make: impl Fn(&Arc<Dir>, &[u8]) -> Result<T, Errno>,
    ) -> Result<(Vec<u8>, T), UnpackError> {
        let (parent, at) = self.directories.parent_of(&entry.path, entry.attributes.mtime)?;
        let path = join(&parent, split(&entry.path).1);
        let made = self.put(&parent, &at, &path, call, make)?;
        Ok((path, made))
    }

    /// As [`Unpacker::replace`], at a path without links in the directory `at`, which has the path `parent`.
    pub(super) fn put<T>(
        &mut self,
        parent: &[u8],
        at: &Arc<Dir>,
        path: &[u8],
        call: Call,
        make: impl Fn(&Arc<Dir>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let name = split(path).1;
        self.directories.clear(path)?;
        self.note_new(path);
        let mut made = make(at, name);
        if matches!(made, Err(Errno::EXIST)) {
            self.directories.displace(parent, name)?;
            made = make(at, name);
        }
        made.map_err(UnpackError::kernel(call, path))
    }

    /// One more thing in the tree, in place of whatever was to be at its path.
    pub(super) fn note_new(&mut self, path: &[u8]) {
        let record = &mut self.directories.record;
        if !record.links.is_empty() {
            record.links.remove(&PathText(path.to_vec()));
        }
        record.inodes += 1;
    }

    /// A filesystem without `user.*` attributes or access lists loses them, as with docker; losing a
    /// capability is an error.
    pub(super) fn set_xattr(
        &mut self,
        file: impl std::os::fd::AsFd,
        path: &[u8],
        name: &[u8],
        value: &[u8],
    ) -> Result<(), UnpackError> {
        match confined::set_xattr(file, name, value) {
            Err(Errno::OPNOTSUPP) if !name.starts_with(b"security.") => {
                self.counts.dropped += 1;
                Ok(())
            }
            set => set.map_err(UnpackError::kernel(Call::SetXattr, path)),
        }
    }

    pub(super) fn note_ids(&mut self, attributes: &Attributes, path: &[u8]) {
        for (kind, id) in [(IdKind::Uid, attributes.uid), (IdKind::Gid, attributes.gid)] {
            if id >= HIGH_ID && self.high_ids.len() < HIGH_IDS_MAX {
                self.high_ids.entry((kind, id)).or_insert_with(|| escape(path));
            }
        }
    }

    fn finish(mut self) -> Result<(LayerRecord, Counts), UnpackError> {
        self.directories.settle()?;
        for (path, inheritable) in std::mem::take(&mut self.directories.record.inheritable) {
            let dir = self.directories.open_resolved(&path.0)?;
            if let Some(mode) = inheritable.mode {
                confined::set_mode(&*dir, mode).map_err(UnpackError::kernel(Call::SetMode, &path.0))?;
            }
            if let Some(value) = inheritable.xattr {
                self.set_xattr(&*dir, &path.0, b"system.posix_acl_default", &value)?;
            }
        }
        self.directories.close()?;
        let record = self.directories.record;
        let high_ids =
            self.high_ids.into_iter().map(|((kind, id), path)| HighId { kind, id, path }).collect();
        let layer = LayerRecord {
            version: RECORD_VERSION,
            boot: String::new(),
            size: self.size,
            inodes: record.inodes,
            bytes: record.bytes,
            opaque: self.opaque,
            implicit: record.implicit,
            whiteouts: record.whiteouts,
            links: record.links,
            high_ids,
        };
        Ok((layer, self.counts))
    }
}
