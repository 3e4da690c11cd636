//! The archive given to `load`, as a file in which every member can be read where it lies.
//!
//! A plain file is used as it is. Anything else, a pipe or a compressed archive, is written to the store
//! first: docker's archives say at their end what was at their beginning. Names in it are only ever looked up
//! here, never opened.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt};

use super::LoadError;
use crate::archive::entry::{clean, split};
use crate::archive::tar::Archive;
use crate::archive::{Pack, PackOptions, same_id};
use crate::layer::blob::FilePieces;
use crate::layer::inflate::{Compression, Inflate};
use crate::limits::Limits;
use crate::op::{OpError, step};
use crate::store::StoreError;
use crate::store::session::{Ingest, Session};

/// An archive whose members can be read in any order.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    members: HashMap<Vec<u8>, Member>,
    /// Where the copy is, if there is one.
    scratch: Option<Ingest>,
}

/// What a name in the archive stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Data {
        offset: u64,
        size: u64,
    },
    /// Another name of the archive.
    Link(Vec<u8>),
}

/// A member's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The most members that an archive of images may have; each layer needs three in docker's old form.
const MEMBERS_MAX: usize = 100_000;
const LINKS_MAX: usize = 16;

impl Spool {
    pub(super) fn new(session: &Session<'_>, input: File, limits: &Limits) -> Result<Self, LoadError> {
        let (file, scratch) = readable(session, input, limits)?;
        let members = match list(&file) {
            Ok(members) => members,
            Err(error) => {
                if let Some(scratch) = scratch {
                    scratch.discard(session.store())?;
                }
                return Err(error);
            }
        };
        Ok(Self { file, members, scratch })
    }

    /// Removes the copy, if there is one.
    pub(super) fn discard(self, session: &Session<'_>) -> Result<(), StoreError> {
        self.scratch.map_or(Ok(()), |scratch| scratch.discard(session.store()))
    }

    /// Where the member of this name lies, links being followed inside the archive.
    pub(super) fn find(&self, name: &str) -> Option<Extent> {
        let mut name = clean(name.as_bytes()).ok()?;
        for _ in 0..LINKS_MAX {
            match self.members.get(&name)? {
                Member::Data { offset, size } => return Some(Extent { offset: *offset, size: *size }),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    /// A small member's content.
    pub(super) fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, LoadError> {
        let Some(Extent { offset, size }) = self.find(name) else { return Ok(None) };
        if size > max {
            return Err(LoadError::TooLarge { name: name.to_owned(), size, max });
        }
        let mut bytes = vec![0; usize::try_from(size).expect("limits are small")];
        self.file.read_exact_at(&mut bytes, offset).map_err(LoadError::Read)?;
        Ok(Some(bytes))
    }

    /// How a member is compressed.
    pub(super) fn compression(&self, extent: Extent) -> Result<Compression, LoadError> {
        let mut beginning = [0; 6];
        let length = extent.size.min(6) as usize;
        self.file.read_exact_at(&mut beginning[..length], extent.offset).map_err(LoadError::Read)?;
        Ok(Compression::of(&beginning[..length]))
    }

    /// A member, to be read from its beginning.
    pub(super) fn pieces(&self, extent: Extent) -> Result<FilePieces, LoadError> {
        let file = self.file.try_clone().map_err(LoadError::Read)?;
        Ok(FilePieces::new(file, extent.offset, extent.size))
    }
}

/// The archive as a plain file: `input` itself, or a copy of what it holds.
fn readable(
    session: &Session<'_>,
    mut input: File,
    limits: &Limits,
) -> Result<(File, Option<Ingest>), LoadError> {
    let kind = input.metadata().map_err(LoadError::Read)?.file_type();
    if kind.is_block_device() {
        return Err(LoadError::NoArchive);
    }
    if kind.is_dir() {
        return packed(session, input, limits);
    }
    if kind.is_file() {
        let mut beginning = [0; 6];
        let begin = input.stream_position().map_err(LoadError::Read)?;
        let length = input.read_at(&mut beginning, begin).map_err(LoadError::Read)?;
        if begin == 0 && Compression::of(&beginning[..length]) == Compression::Plain {
            return Ok((input, None));
        }
    }
    step("Keep a plain copy of the archive: its members are needed out of order");
    let scratch = session.scratch()?;
    let copied = scratch.place().make_file("archive").map_err(StoreError::from).map_err(LoadError::from);
    match copied.and_then(|file| copy_plain(input, file, limits)) {
        Ok(file) => Ok((file, Some(scratch))),
        Err(error) => {
            // The error above is the cause.
            let _removed = scratch.discard(session.store());
            Err(error)
        }
    }
}

/// A layout in a directory, as an archive: whoever else writes there changes nothing of what is verified.
fn packed(
    session: &Session<'_>,
    directory: File,
    limits: &Limits,
) -> Result<(File, Option<Ingest>), LoadError> {
    let has =
        |name: &[u8]| rustix::fs::statat(&directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if !has(b"oci-layout") && !has(b"manifest.json") {
        return Err(LoadError::NoArchive);
    }
    step("Keep a copy of the directory: what is verified must not change");
    let scratch = session.scratch()?;
    let mut pack = Pack::new(
        directory.into(),
        PackOptions {
            called: Vec::new(),
            ids: &same_id,
            nanoseconds: false,
            left_empty: Vec::new(),
            entries_max: limits.layer_entries,
        },
    );
    let copied = scratch.place().make_file("archive").map_err(|error| LoadError::Store(error.into()));
    let copied = copied.and_then(|mut file| match io::copy(&mut pack, &mut file) {
        Ok(_) => Ok(file),
        Err(error) => Err(LoadError::Read(error)),
    });
    match copied {
        Ok(file) => Ok((file, Some(scratch))),
        Err(error) => {
            // The error above is the cause.
            let _removed = scratch.discard(session.store());
            Err(error)
        }
    }
}

fn copy_plain(input: File, mut file: File, limits: &Limits) -> Result<File, LoadError> {
    let input = BufReader::with_capacity(256 * 1024, input);
    let inflate = Inflate::new(input, limits.zstd_window_log).map_err(|refused| match refused {
        Ok(compression) => LoadError::Compression(compression),
        Err(error) => LoadError::Read(error),
    })?;
    let mut inflate = inflate.take(limits.archive_bytes);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = inflate.read(&mut buffer).map_err(LoadError::Read)?;
        if count == 0 {
            break;
        }
        let written = file.write_all(&buffer[..count]);
        written.map_err(|source| StoreError::from(OpError { call: "write(archive)".to_owned(), source }))?;
    }
    if inflate.limit() == 0 {
        return Err(LoadError::ArchiveTooLarge(limits.archive_bytes));
    }
    Ok(file)
}

/// Where everything lies. Data is stepped over, not read.
fn list(file: &File) -> Result<HashMap<Vec<u8>, Member>, LoadError> {
    let mut members = HashMap::new();
    let mut reader = BufReader::with_capacity(4096, file);
    let mut offset = 0;
    loop {
        reader.seek(SeekFrom::Start(offset)).map_err(LoadError::Read)?;
        let mut archive = Archive::new(&mut reader);
        let member = archive.next_member().map_err(|mut error| {
            error.position += offset;
            LoadError::Tar(error)
        })?;
        let Some(member) = member else { return Ok(members) };
        let data = offset + archive.position();
        let end = data.checked_add(member.size).and_then(|end| end.checked_next_multiple_of(512));
        offset = end.ok_or(LoadError::NoArchive)?;
        if members.len() == MEMBERS_MAX {
            return Err(LoadError::TooManyMembers(MEMBERS_MAX));
        }
        let Ok(name) = clean(&member.path) else { continue };
        let target = match member.kind {
            b'1' => clean(&member.link),
            b'2' if member.link.starts_with(b"/") => clean(&member.link),
            b'2' => clean(&[split(&name).0, b"/", &member.link].concat()),
            0 | b'0' | b'7' if member.sparse.is_none() => {
                members.insert(name, Member::Data { offset: data, size: member.size });
                continue;
            }
            _ => continue,
        };
        if let Ok(target) = target {
            members.insert(name, Member::Link(target));
        }
    }
}
