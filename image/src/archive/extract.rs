//! Extracts a tar stream into a directory that is somebody's: a container's, which changes it meanwhile, or the caller's.
//!
//! The stream is hostile, and so may be the tree. Names never lead out of the directory ([`super::place`]), whatever an entry
//! finds at its name is replaced and never written through, and nothing is changed by a name that could stand for another file
//! by then, but for what a name alone can do. Whiteouts mean nothing here. Directories are never replaced by other things, nor
//! other things by directories: so docker's `cp`.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::confined::{self, Dir, Umask};
use super::data::{self, DataError};
use super::entry::{Attributes, Entry, Kind, Node, split};
use super::error::{Call, TarError};
use super::ids::{IdMap, translate};
use super::object;
use super::place::Places;
use super::record::{IdKind, escape};
use super::sparse::SparseMap;
use super::tar::Archive;
use super::tree_error::ExtractError;
use crate::layer::inflate::Inflate;
use crate::limits::Limits;
use crate::op::Op;

/// The directory into which is extracted.
pub struct Into<'a> {
    /// Open.
    pub directory: OwnedFd,
    /// Its name in messages.
    pub name: &'a str,
    /// The container in which it lies. Without it no link is followed.
    pub container: Option<Inside<'a>>,
}

/// A directory in a container, which may swap it while we work.
#[derive(Clone, Copy)]
pub struct Inside<'a> {
    /// The container's root, in which links may lead.
    pub root: BorrowedFd<'a>,
    /// The directory's path there, without a slash at its beginning.
    pub path: &'a [u8],
    /// Whether a directory of this user and group is the container's: into others it could not write itself, and nobody
    /// writes for it.
    pub owns: &'a dyn Fn(u32, u32) -> bool,
}

/// Who owns what is extracted.
#[derive(Clone, Copy)]
pub enum Owners<'a> {
    /// One user and group, whatever the archive says.
    One(u32, u32),
    /// Those of the archive, as ids of the tree.
    Kept(IdMap<'a>),
}

/// How a stream is extracted.
#[derive(Clone, Copy)]
pub struct ExtractOptions<'a> {
    /// Who owns it.
    pub owners: Owners<'a>,
    /// Whether what gives power is extracted with it: setuid and setgid bits, file capabilities, access lists, devices.
    pub powers: bool,
    /// Whether the archive's own directory gives its attributes to the one into which is extracted.
    pub top: bool,
    /// The most entries that the archive may have.
    pub entries_max: u64,
    /// The most bytes that its files may have together, holes not counted.
    pub bytes_max: u64,
}

/// What was extracted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Device nodes that were left out.
    pub devices: u64,
    /// Attributes that were left out.
    pub attributes: u64,
}

/// Extracts the archive in `input` and reads it to its end.
///
/// Changes this thread's umask meanwhile.
///
/// # Errors
/// See [`ExtractError`]. What was extracted before stays.
pub fn extract(
    input: impl BufRead,
    into: Into<'_>,
    options: ExtractOptions<'_>,
) -> Result<Extracted, ExtractError> {
    let counts = Cell::new(None);
    let shown = fmt::from_fn(|out| match counts.get() {
        Some(Extracted { entries, bytes, .. }) => write!(out, ": {entries} entries, {bytes} bytes"),
        None => Ok(()),
    });
    let name = into.name;
    let op = Op {
        call: format_args!("extract({name:?}){shown}"),
        shell: format_args!("tar -x --numeric-owner -C {name}"),
    };
    let mut failure = None;
    let extracted = op.perform(|| match extract_quietly(input, into, options) {
        Ok(made) => {
            counts.set(Some(made));
            Ok(made)
        }
        Err(error) => {
            let answer = error.kernels_answer();
            failure = Some(error);
            Err(answer)
        }
    });
    // The narrator was told the kernel's answer; the caller gets everything.
    failure.map_or_else(|| Ok(extracted?), Err)
}

/// An archive that may be packed with gzip or zstd, as it is without.
///
/// # Errors
/// Another compression; where nothing can be read.
pub fn inflated<R: BufRead>(input: R) -> Result<impl BufRead + use<R>, ExtractError> {
    let window_log = Limits::default().zstd_window_log;
    match Inflate::new(input, window_log) {
        Ok(inflate) => Ok(BufReader::with_capacity(1 << 16, inflate)),
        Err(Ok(compression)) => Err(ExtractError::Compression(compression)),
        Err(Err(error)) => Err(TarError::reading(0, error).into()),
    }
}

fn extract_quietly(
    input: impl BufRead,
    into: Into<'_>,
    options: ExtractOptions<'_>,
) -> Result<Extracted, ExtractError> {
    let _umask = Umask::zero();
    let mut archive = Archive::new(input);
    let owner = match options.owners {
        Owners::One(uid, gid) => (uid, gid),
        Owners::Kept(ids) => (ids(IdKind::Uid, 0).unwrap_or(0), ids(IdKind::Gid, 0).unwrap_or(0)),
    };
    let places = Places::new(Dir::new(into.directory), into.container, owner);
    places.check_top(into.name)?;
    let mut extractor = Extractor { places, options, owner, made: Extracted::default() };
    while let Some(member) = archive.next_member()? {
        extractor.made.entries += 1;
        if extractor.made.entries > options.entries_max {
            return Err(ExtractError::TooManyEntries(options.entries_max));
        }
        extractor.made.bytes = extractor.made.bytes.saturating_add(member.size);
        if extractor.made.bytes > options.bytes_max {
            return Err(ExtractError::TooLarge(options.bytes_max));
        }
        let refused = |source| ExtractError::Entry { path: escape(&member.path), source };
        let entry = Entry::plain(&member).map_err(refused)?;
        extractor.made.attributes += (member.xattrs.len() - entry.attributes.xattrs.len()) as u64;
        extractor.apply(&entry, &mut archive)?;
    }
    extractor.places.close()?;
    let position = archive.position();
    archive.drain().map_err(|error| TarError::reading(position, error))?;
    Ok(extractor.made)
}

struct Extractor<'a> {
    places: Places<'a>,
    options: ExtractOptions<'a>,
    /// Who owns what no entry speaks of, and whose file capabilities count.
    owner: (u32, u32),
    made: Extracted,
}

/// How often something is tried that somebody else undoes.
const ATTEMPTS: usize = 16;

impl Extractor<'_> {
    fn apply<R: BufRead>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), ExtractError> {
        match &entry.kind {
            Kind::Directory => self.directory(entry),
            Kind::File { sparse } => self.file(entry, sparse.as_ref(), archive),
            Kind::Symlink { target } => {
                self.replace(entry, Call::Symlink, |at, name| at.make_symlink(name, target))?;
                self.finish_named(entry)
            }
            Kind::HardLink { target } => self.hard_link(entry, target),
            Kind::Node { node: Node::Character | Node::Block, .. } if !self.options.powers => {
                self.made.devices += 1;
                Ok(())
            }
            Kind::Node { node, major, minor } => {
                // Nothing of it is changed by its name afterwards, which may stand for something else by then.
                let mode = entry.attributes.mode & 0o777;
                let device = (*major, *minor);
                self.replace(entry, Call::MakeNode, |at, name| at.make_node(name, *node, mode, device))?;
                self.finish_named(entry)
            }
            Kind::Whiteout | Kind::Opaque => unreachable!("no name hides anything here"),
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), ExtractError> {
        let path = entry.path.as_slice();
        if path.is_empty() {
            if self.options.top {
                let top = self.places.directory(b"")?;
                self.set_attributes(&*top, entry)?;
                self.places.set_time(b"", entry.attributes.mtime);
            }
            return Ok(());
        }
        let name = split(path).1;
        let at = self.places.parent_of(path)?;
        match at.make_dir(name, 0o700) {
            Ok(()) => {}
            Err(Errno::EXIST) => match at.open(name) {
                Ok(_) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => return Err(ExtractError::NonDirectory(escape(path))),
                Err(errno) => return Err(ExtractError::kernel(Call::Open, path)(errno)),
            },
            Err(errno) => return Err(ExtractError::kernel(Call::MakeDir, path)(errno)),
        }
        let dir = self.places.directory(path)?;
        self.set_attributes(&*dir, entry)?;
        self.places.set_time(path, entry.attributes.mtime);
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        entry: &Entry,
        sparse: Option<&SparseMap>,
        archive: &mut Archive<R>,
    ) -> Result<(), ExtractError> {
        let file = self.replace(entry, Call::MakeFile, |at, name| at.make_file(name, 0o600))?;
        data::write(archive, &file, sparse).map_err(|error| match error {
            DataError::Archive(error) => error.into(),
            DataError::Write(errno) => ExtractError::kernel(Call::Write, &entry.path)(errno),
        })?;
        self.set_attributes(&file, entry)?;
        confined::set_time(&file, entry.attributes.mtime)
            .map_err(ExtractError::kernel(Call::SetTime, &entry.path))
    }

    /// A link shares everything with its target, which lies in the same directory tree.
    fn hard_link(&mut self, entry: &Entry, target: &[u8]) -> Result<(), ExtractError> {
        let missing = || ExtractError::LinkTarget { path: escape(&entry.path), target: escape(target) };
        let (parent, name_of_target) = split(target);
        let from = self.places.existing(parent)?.ok_or_else(missing)?;
        if matches!(from.stat_of(name_of_target), Err(Errno::NOENT)) {
            return Err(missing());
        }
        self.replace(entry, Call::Link, |at, name| at.make_link(name, &from, name_of_target))
    }

    /// Makes something at the entry's path with `make`, after removing what is there.
    fn replace<T>(
        &mut self,
        entry: &Entry,
        call: Call,
        make: impl Fn(&Dir, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, ExtractError> {
        let at = self.places.parent_of(&entry.path)?;
        let name = split(&entry.path).1;
        let mut made = make(&at, name);
        for _ in 0..ATTEMPTS {
            if !matches!(made, Err(Errno::EXIST)) {
                break;
            }
            displace(&at, name, &entry.path)?;
            made = make(&at, name);
        }
        made.map_err(ExtractError::kernel(call, &entry.path))
    }

    /// Owner, then mode, then attributes: each could undo those after it.
    fn set_attributes(&mut self, file: impl std::os::fd::AsFd, entry: &Entry) -> Result<(), ExtractError> {
        let path = &entry.path;
        let Attributes { mode, xattrs, .. } = &entry.attributes;
        let (uid, gid) = self.owner_of(entry)?;
        let is_directory = entry.kind == Kind::Directory;
        // The sticky bit gives no power, and setgid means something else on a directory.
        let mode = if self.options.powers || is_directory { *mode } else { mode & 0o1777 };
        confined::set_owner(&file, uid, gid).map_err(ExtractError::kernel(Call::SetOwner, path))?;
        confined::set_mode(&file, mode).map_err(ExtractError::kernel(Call::SetMode, path))?;
        for (name, value) in xattrs {
            let is_power = !name.starts_with(b"user.");
            let value = match self.options.powers || !is_power {
                true => translate(name, value, &|kind, id| self.id_in_tree(kind, id)),
                false => None,
            };
            let set = value.map_or(Err(Errno::OPNOTSUPP), |value| confined::set_xattr(&file, name, &value));
            match set {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP) => self.made.attributes += 1,
                Err(errno) => return Err(ExtractError::kernel(Call::SetXattr, path)(errno)),
            }
        }
        Ok(())
    }

    /// Owner and time of what cannot be opened.
    fn finish_named(&mut self, entry: &Entry) -> Result<(), ExtractError> {
        let path = &entry.path;
        let (uid, gid) = self.owner_of(entry)?;
        let at = self.places.parent_of(path)?;
        let name = split(path).1;
        self.made.attributes += entry.attributes.xattrs.len() as u64;
        // Removed already by somebody else: that is the truth then.
        let gone = |result: Result<(), Errno>| if result == Err(Errno::NOENT) { Ok(()) } else { result };
        gone(at.change_owner(name, uid, gid)).map_err(ExtractError::kernel(Call::SetOwner, path))?;
        gone(at.change_time(name, entry.attributes.mtime)).map_err(ExtractError::kernel(Call::SetTime, path))
    }

    fn owner_of(&self, entry: &Entry) -> Result<(u32, u32), ExtractError> {
        let Owners::Kept(ids) = self.options.owners else { return Ok(self.owner) };
        let Attributes { uid, gid, .. } = entry.attributes;
        let id = |kind, name, id| {
            ids(kind, id).ok_or_else(|| ExtractError::Owner { kind: name, id, path: escape(&entry.path) })
        };
        Ok((id(IdKind::Uid, "uid", uid)?, id(IdKind::Gid, "gid", gid)?))
    }

    /// An id inside an attribute. Where the archive's owners do not count, root's alone does.
    fn id_in_tree(&self, kind: IdKind, id: u32) -> Option<u32> {
        match (self.options.owners, kind) {
            (Owners::Kept(ids), _) => ids(kind, id),
            (Owners::One(uid, _), IdKind::Uid) => (id == 0).then_some(uid),
            (Owners::One(_, gid), IdKind::Gid) => (id == 0).then_some(gid),
        }
    }
}

/// Removes what stands at `name`, unless that is a directory or a mount.
fn displace(at: &Dir, name: &[u8], path: &[u8]) -> Result<(), ExtractError> {
    match at.stat_of(name) {
        Err(Errno::NOENT) => return Ok(()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            return Err(ExtractError::Directory(escape(path)));
        }
        stat => stat.map(drop).map_err(ExtractError::kernel(Call::Stat, path))?,
    }
    match object::is_mount_point(at, name) {
        Ok(false) | Err(Errno::NOENT) => {}
        Ok(true) => return Err(ExtractError::Mounted(escape(path))),
        Err(errno) => return Err(ExtractError::kernel(Call::Stat, path)(errno)),
    }
    match at.remove(name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(ExtractError::kernel(Call::Remove, path)(errno)),
    }
}
