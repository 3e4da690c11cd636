//! Packs a tree of files as tar, read piece by piece: the archive is made while somebody reads it, and never lies anywhere.
//!
//! The tree may be a running container's, which changes it as it likes: every name is looked up once and then held
//! ([`super::object`]), no link is followed, and the way back up is checked. What vanishes while it is packed is not missed; a
//! file that shrinks is filled up with zeros, one that grows is cut off, as GNU tar does. Sockets are skipped: an archive has no
//! form for them. Names are sorted, so that one tree gives one archive.
//!
//! What a container has written ([`Pack::layer`]) becomes a layer: overlay's marks become whiteouts (OCI image spec, layer.md).

mod layer;

use std::collections::HashMap;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::archive::changed::Changes;
use crate::archive::confined::{self, Dir};
use crate::archive::entry::{self, Time, Xattr};
use crate::archive::error::Call;
use crate::archive::ids::{IdMap, translate};
use crate::archive::marks::is_overlays_whiteout;
use crate::archive::object::{self, Object};
use crate::archive::record::{IdKind, escape};
use crate::archive::sparse::SparseMap;
use crate::archive::stored::{Stored, sparse_map};
use crate::archive::tree_error::PackError;
use crate::archive::write::{self, Written};

/// How a tree is packed.
#[derive(Clone)]
pub struct PackOptions<'a> {
    /// What the top is called in the archive. `.` packs a directory's content under names that begin with `./`, and the
    /// directory's own attributes with it; an empty name packs its content alone.
    pub called: Vec<u8>,
    /// Ids in the archive for those in the tree; what has none belongs to nobody (65534).
    pub ids: IdMap<'a>,
    /// Times with their nanoseconds, which need an extended header each; whole seconds otherwise, as docker has them.
    pub nanoseconds: bool,
    /// Directories (file system, inode) below the top whose content is left out. That of the kernel's own file systems always
    /// is.
    pub left_empty: Vec<(u64, u64)>,
    /// The most entries that the archive may have.
    pub entries_max: u64,
}

/// What became of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// Members of the archive.
    pub entries: u64,
    /// Bytes of the archive that were read.
    pub bytes: u64,
    /// Sockets, and attributes that mean nothing in an archive.
    pub left_out: u64,
    /// Files that were not as long as they had said.
    pub changed: u64,
}

/// An archive of a tree, made while it is read.
///
/// Errors are [`PackError`]s inside an [`io::Error`].
pub struct Pack<'a> {
    options: PackOptions<'a>,
    /// The tree is an upper directory of overlay's, the archive a layer.
    is_layer: bool,
    /// What of it is packed, where that is not all: the tree is a copy of what the layer goes upon.
    changes: Option<Changes>,
    /// The top, until it has been looked at.
    top: Option<OwnedFd>,
    /// From the top to the directory that is read now.
    levels: Vec<Level>,
    /// Of the directory that is read now, in the archive.
    path: Vec<u8>,
    /// First names of files with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// What is left for names, in bytes.
    budget: usize,
    /// The file whose data comes next.
    stored: Option<Stored>,
    /// What is ready to be read, from `at` on.
    ready: Vec<u8>,
    at: usize,
    /// The end has been written.
    ended: bool,
    packed: Packed,
}

/// A directory that is being read.
struct Level {
    /// `None` where it was closed, because too many are open.
    dir: Option<Dir>,
    identity: (u64, u64),
    device: u64,
    /// Still to come, the next one last.
    names: Vec<Box<[u8]>>,
    /// Of its path in the archive.
    length: usize,
}

/// How many directories stay open: more than most trees are deep.
const OPEN_MAX: usize = 64;
/// Bytes of memory for names: four million files in one directory.
const NAMES_MAX: usize = 256 << 20;
/// How much of a file is read at once.
const PORTION: usize = 64 << 10;

impl<'a> Pack<'a> {
    /// Packs what `top` refers to, with everything in it: a directory, a file or a symbolic link, opened with `O_PATH`.
    pub fn new(top: OwnedFd, options: PackOptions<'a>) -> Self {
        Self {
            top: Some(top),
            is_layer: false,
            changes: None,
            options,
            levels: Vec::new(),
            path: Vec::new(),
            links: HashMap::new(),
            budget: NAMES_MAX,
            stored: None,
            ready: Vec::new(),
            at: 0,
            ended: false,
            packed: Packed::default(),
        }
    }

    /// What has been packed so far.
    pub fn packed(&self) -> Packed {
        self.packed
    }

    /// Makes more ready; leaves nothing ready at the end.
    fn go_on(&mut self) -> Result<(), PackError> {
        self.ready.clear();
        self.at = 0;
        while self.ready.is_empty() {
            if let Some(stored) = &mut self.stored {
                match stored.read(PORTION, &mut self.ready) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(errno) => return Err(PackError::kernel(Call::Read, &stored.path)(errno)),
                }
                self.packed.changed += u64::from(stored.is_short);
                self.stored = None;
            } else if let Some(top) = self.top.take() {
                let called = self.options.called.clone();
                let object = Object::held(top).map_err(PackError::kernel(Call::Stat, &called))?;
                self.pack(&object, called, None)?;
            } else if let Some(level) = self.levels.last_mut() {
                match level.names.pop() {
                    Some(name) => self.pack_next(&name)?,
                    None => self.leave()?,
                }
            } else if self.ended {
                return Ok(());
            } else {
                self.ended = true;
                self.ready.extend_from_slice(&write::END);
            }
        }
        Ok(())
    }

    /// Packs a name of the directory that is read now.
    fn pack_next(&mut self, name: &[u8]) -> Result<(), PackError> {
        self.budget += object::cost(name);
        let path = [&self.path[..], if self.path.is_empty() { b"" } else { b"/" }, name].concat();
        let level = self.levels.last().expect("a directory is read");
        let directory = level.dir.as_ref().expect("the directory that is read is open");
        match Object::find(directory, name) {
            // Gone since it was listed.
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(PackError::kernel(Call::Open, &path)(errno)),
            Ok(_) if self.is_unchanged(&path) => Ok(()),
            Ok(object) => {
                let device = level.device;
                self.pack(&object, path, Some(device))
            }
        }
    }

    /// Makes a member ready; `above` is the file system that its directory lies in, nothing for the top.
    fn pack(&mut self, object: &Object, path: Vec<u8>, above: Option<u64>) -> Result<(), PackError> {
        // A directory's name ends in a slash.
        if path.len() >= entry::NAME_MAX {
            let beginning = escape(&path[..100]);
            return Err(PackError::NameTooLong { path: beginning, length: path.len() });
        }
        let kind = object.kind();
        let is_mark = is_overlays_whiteout(&object.stat);
        let is_left_out = if self.is_layer { layer::would_hide(&path) } else { is_mark };
        if is_left_out || matches!(kind, FileType::Socket | FileType::Unknown) {
            self.packed.left_out += 1;
            return Ok(());
        }
        self.count()?;
        if is_mark {
            self.write_whiteout(object, &path);
            return Ok(());
        }
        if kind != FileType::Directory && object.stat.st_nlink > 1 && self.pack_link(object, &path)? {
            return Ok(());
        }
        match kind {
            FileType::Directory => self.pack_directory(object, path, above),
            FileType::RegularFile => self.pack_file(object, &path),
            FileType::Symlink => {
                let link = object.target().map_err(PackError::kernel(Call::ReadLink, &path))?;
                self.write(object, b'2', &path, &link, 0, &[], None);
                Ok(())
            }
            kind => {
                let kind = match kind {
                    FileType::CharacterDevice => b'3',
                    FileType::BlockDevice => b'4',
                    _ => b'6',
                };
                self.write(object, kind, &path, b"", 0, &[], None);
                Ok(())
            }
        }
    }

    fn count(&mut self) -> Result<(), PackError> {
        self.packed.entries += 1;
        match self.packed.entries > self.options.entries_max {
            true => Err(PackError::TooManyEntries(self.options.entries_max)),
            false => Ok(()),
        }
    }

    /// A file that was packed under another name is a link to that; otherwise its name is remembered.
    fn pack_link(&mut self, object: &Object, path: &[u8]) -> Result<bool, PackError> {
        if let Some(first) = self.links.get(&object.identity()).cloned() {
            self.write(object, b'1', path, &first, 0, &[], None);
            return Ok(true);
        }
        let left = self.budget.checked_sub(object::cost(path) + 64);
        self.budget = left.ok_or_else(|| PackError::TooManyNames(escape(path)))?;
        self.links.insert(object.identity(), path.to_vec());
        Ok(false)
    }

    fn pack_directory(
        &mut self,
        object: &Object,
        path: Vec<u8>,
        above: Option<u64>,
    ) -> Result<(), PackError> {
        let dir = match object.open_directory() {
            Err(Errno::NOENT) if above.is_some() => return Ok(()),
            dir => dir.map_err(PackError::kernel(Call::Open, &path))?,
        };
        if !path.is_empty() {
            let xattrs = self.xattrs(&dir, &path)?;
            self.write(object, b'5', &[&path[..], b"/"].concat(), b"", 0, &xattrs, None);
        }
        if self.is_layer {
            self.pack_marks(object, &dir, &path)?;
        }
        let (device, _) = object.identity();
        let is_foreign = above.is_some_and(|above| above != device)
            && object::is_the_kernels(&dir).map_err(PackError::kernel(Call::Stat, &path))?;
        let is_left_empty = above.is_some() && self.options.left_empty.contains(&object.identity());
        if is_foreign || is_left_empty {
            return Ok(());
        }
        let listed = object::names(&dir, &mut self.budget).map_err(PackError::kernel(Call::List, &path))?;
        let names = listed.ok_or_else(|| PackError::TooManyNames(escape(&path)))?;
        let length = path.len();
        self.path = path;
        self.levels.push(Level { dir: Some(dir), identity: object.identity(), device, names, length });
        if let Some(far) = self.levels.len().checked_sub(OPEN_MAX + 1) {
            self.levels[far].dir = None;
        }
        Ok(())
    }

    /// Goes back to the directory above. One that was closed is reached through what it holds, and must be the same.
    fn leave(&mut self) -> Result<(), PackError> {
        let left = self.levels.pop().expect("a directory is read");
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        self.path.truncate(level.length);
        if level.dir.is_none() {
            let below = left.dir.expect("the directory that is read is open");
            let above = below.parent().map_err(PackError::kernel(Call::Open, &self.path))?;
            let stat = above.stat().map_err(PackError::kernel(Call::Stat, &self.path))?;
            if (stat.st_dev, stat.st_ino) != level.identity {
                return Err(PackError::Moved(escape(&self.path)));
            }
            level.dir = Some(above);
        }
        Ok(())
    }

    fn pack_file(&mut self, object: &Object, path: &[u8]) -> Result<(), PackError> {
        let file = match object.open_file() {
            Err(Errno::NOENT) => return Ok(()),
            file => file.map_err(PackError::kernel(Call::Open, path))?,
        };
        let xattrs = self.xattrs(&file, path)?;
        if object::is_the_kernels(&file).map_err(PackError::kernel(Call::Stat, path))? {
            // Its size says nothing of its content.
            let content = Stored::whole(file, path).map_err(PackError::kernel(Call::Read, path))?;
            self.write(object, b'0', path, b"", content.size(), &xattrs, None);
            self.stored = Some(content);
            return Ok(());
        }
        let size = u64::try_from(object.stat.st_size).expect("no file has a negative size");
        let map = sparse_map(&file, &object.stat).map_err(PackError::kernel(Call::Seek, path))?;
        let stored = Stored::new(file, path, size, map.as_ref());
        self.write(object, b'0', path, b"", stored.size(), &xattrs, map.as_ref());
        self.stored = Some(stored);
        Ok(())
    }

    /// The attributes that an archive carries, in its ids.
    fn xattrs(&mut self, file: impl std::os::fd::AsFd, path: &[u8]) -> Result<Vec<Xattr>, PackError> {
        let found = match confined::xattrs(file) {
            // One of them was removed, or grew, between the list and the look.
            Err(Errno::NODATA | Errno::RANGE) => Vec::new(),
            found => found.map_err(PackError::kernel(Call::GetXattr, path))?,
        };
        let mut kept = Vec::new();
        for (name, value) in found {
            // Its content lies in another layer under another name, and that layer may go.
            if self.is_layer && matches!(&name[..], b"trusted.overlay.redirect" | b"trusted.overlay.metacopy")
            {
                return Err(PackError::Elsewhere(escape(path)));
            }
            let Some(value) = translate(&name, &value, self.options.ids) else {
                self.packed.left_out += 1;
                continue;
            };
            if let Ok(Some(value)) = entry::xattr(&name, &value) {
                kept.push((name, value));
            }
        }
        kept.sort_unstable();
        Ok(kept)
    }

    #[expect(clippy::too_many_arguments, reason = "a header has that many fields")]
    fn write(
        &mut self,
        object: &Object,
        kind: u8,
        path: &[u8],
        link: &[u8],
        size: u64,
        xattrs: &[Xattr],
        sparse: Option<&SparseMap>,
    ) {
        const NOBODY: u32 = 65534;
        let stat = &object.stat;
        let mtime = confined::modified(stat);
        let nanos = if self.options.nanoseconds { mtime.nanos } else { 0 };
        let member = Written {
            kind,
            path,
            link,
            size,
            mode: stat.st_mode & 0o7777,
            uid: (self.options.ids)(IdKind::Uid, stat.st_uid).unwrap_or(NOBODY),
            gid: (self.options.ids)(IdKind::Gid, stat.st_gid).unwrap_or(NOBODY),
            mtime: Time { nanos, ..mtime },
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            xattrs,
            sparse,
        };
        self.packed.left_out += write::headers(&member, &mut self.ready) as u64;
    }
}

impl BufRead for Pack<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.ready.len() {
            self.go_on().map_err(io::Error::other)?;
        }
        Ok(&self.ready[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.packed.bytes += count as u64;
    }
}

impl Read for Pack<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
