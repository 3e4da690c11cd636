//! Regular files of a layer that is being unpacked: made here, or by a second thread ([`super::maker`]).

use std::io::BufRead;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::confined::{self, Dir};
use super::data;
use super::dirs::join;
use super::entry::{Attributes, Entry, split};
use super::error::{Call, UnpackError};
use super::maker::{Maker, SMALL, SmallFile};
use super::sparse::SparseMap;
use super::tar::Archive;
use super::unpack::Unpacker;

/// Who owns a file, and who may do what with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Unpacker {
    pub(super) fn file<R: BufRead>(
        &mut self,
        entry: &Entry,
        sparse: Option<&SparseMap>,
        archive: &mut Archive<R>,
    ) -> Result<(), UnpackError> {
        let attributes = &entry.attributes;
        let owner = Owner::of(attributes);
        let (parent, at) = self.directories.parent_of(&entry.path, attributes.mtime)?;
        let path = join(&parent, split(&entry.path).1);
        let is_small = sparse.is_none() && attributes.xattrs.is_empty() && archive.left() <= SMALL;
        if is_small && self.is_shared(&parent, &path)? {
            let data = data::read(archive)?;
            self.count_file(data.len() as u64, data.len() as u64);
            self.note_new(&path);
            self.note_ids(attributes, &path);
            let file = SmallFile { directory: at, path: path.into(), owner, time: attributes.mtime, data };
            self.directories.hand_over(&parent, file);
            return Ok(());
        }
        let make = |at: &Arc<Dir>, name: &[u8]| at.make_file(name, owner.first_mode());
        let file = self.put(&parent, &at, &path, Call::MakeFile, make)?;
        let size = data::write(archive, &file, sparse).map_err(|error| UnpackError::data(error, &path))?;
        self.count_file(size, sparse.map_or(size, |map| map.real_size));
        owner.set(&file).map_err(|(call, errno)| UnpackError::kernel(call, &path)(errno))?;
        // After the owner: changing that would drop file capabilities too.
        for (name, value) in &attributes.xattrs {
            self.set_xattr(&file, &path, name, value)?;
        }
        self.note_ids(attributes, &path);
        confined::set_time(&file, attributes.mtime).map_err(UnpackError::kernel(Call::SetTime, &path))
    }

    /// Whether a second thread makes this file.
    fn is_shared(&mut self, parent: &[u8], path: &[u8]) -> Result<bool, UnpackError> {
        if self.shared_from.take_if(|from| self.counts.files >= *from).is_some()
            && let Some(maker) = Maker::start(self.umask)
        {
            self.directories.share(maker);
        }
        self.directories.is_shared(parent, path)
    }

    fn count_file(&mut self, written: u64, size: u64) {
        self.counts.files += 1;
        self.counts.bytes += written;
        self.directories.record.bytes += size;
    }
}

impl Owner {
    pub(super) fn of(attributes: &Attributes) -> Self {
        let Attributes { uid, gid, mode, .. } = *attributes;
        Self { uid, gid, mode }
    }

    /// A new file belongs to root already, and its mode is exact: nothing more to set for most files.
    fn is_of_new_files(self) -> bool {
        self.uid == 0 && self.gid == 0 && self.mode & 0o7000 == 0
    }

    /// The mode to make the file with.
    pub(super) fn first_mode(self) -> u32 {
        if self.is_of_new_files() { self.mode } else { 0o600 }
    }

    /// Gives it to a file that was made with [`Owner::first_mode`].
    ///
    /// # Errors
    /// Which call failed, and how.
    pub(super) fn set(self, file: impl AsFd) -> Result<(), (Call, Errno)> {
        if self.is_of_new_files() {
            return Ok(());
        }
        // Changing the owner would take setuid bits away (chown(2)), so the mode comes last.
        confined::set_owner(&file, self.uid, self.gid).map_err(|errno| (Call::SetOwner, errno))?;
        confined::set_mode(&file, self.mode).map_err(|errno| (Call::SetMode, errno))
    }
}
