//! What a container has written, as a layer: overlay's marks become whiteouts (OCI image spec, layer.md).
//!
//! A character device 0:0 hides a name, `trusted.overlay.opaque` what lies below a directory
//! (Documentation/filesystems/overlayfs.rst).

use std::os::fd::OwnedFd;

use super::{Pack, PackOptions};
use crate::archive::changed::Changes;
use crate::archive::confined::{self, Dir};
use crate::archive::dirs::join;
use crate::archive::entry::{OPAQUE, Time, WHITEOUT, split};
use crate::archive::error::Call;
use crate::archive::ids::{self, IdMap};
use crate::archive::marks::is_overlays_opaque;
use crate::archive::object::Object;
use crate::archive::tree_error::PackError;
use crate::archive::write::{self, Written};

/// Whether a file of this name would hide another one.
pub(super) fn would_hide(path: &[u8]) -> bool {
    split(path).1.starts_with(WHITEOUT)
}

impl<'a> Pack<'a> {
    /// Packs an upper directory of overlay's as a layer, whose top has an entry only where it says something.
    ///
    /// Ids stay as they are: those of an upper directory are 0-based. What begins with `.wh.` is left out, for in a layer it
    /// would hide something.
    pub(crate) fn layer(upper: OwnedFd, entries_max: u64) -> Self {
        let called = Vec::new();
        let ids = &ids::same_id;
        let options = PackOptions { called, ids, nanoseconds: false, left_empty: Vec::new(), entries_max };
        Self { is_layer: true, ..Self::new(upper, options) }
    }

    /// Packs what has changed in a copy, whose files' ids are `ids` in a layer.
    pub(crate) fn layer_of_copy(copy: OwnedFd, changes: Changes, ids: IdMap<'a>, entries_max: u64) -> Self {
        let mut pack = Pack::layer(copy, entries_max);
        pack.options.ids = ids;
        pack.changes = Some(changes);
        pack
    }

    /// Whether a path is as it was in the layers below.
    pub(super) fn is_unchanged(&self, path: &[u8]) -> bool {
        self.changes.as_ref().is_some_and(|changes| changes.of(path).is_none())
    }

    /// What a layer says of a directory, beside its entry: what it hides; of the root, which has no entry, whether it needs one.
    pub(super) fn pack_marks(&mut self, object: &Object, dir: &Dir, path: &[u8]) -> Result<(), PackError> {
        if path.is_empty() {
            self.pack_root(object, dir)?;
        }
        if is_overlays_opaque(dir).map_err(PackError::kernel(Call::GetXattr, path))? {
            self.count()?;
            self.write_opaque(object, path);
        }
        self.write_deleted(object, path)
    }

    /// Hides what is not in a directory of a copy any more.
    fn write_deleted(&mut self, of: &Object, directory: &[u8]) -> Result<(), PackError> {
        let deleted = self.changes.as_ref().map(|changes| changes.deleted_in(directory)).unwrap_or_default();
        for name in deleted {
            self.count()?;
            self.write_mark(of, directory, &[WHITEOUT, &name].concat());
        }
        Ok(())
    }

    /// Hides what lower layers have at the path.
    pub(super) fn write_whiteout(&mut self, of: &Object, path: &[u8]) {
        let (directory, name) = split(path);
        self.write_mark(of, directory, &[WHITEOUT, name].concat());
    }

    /// Hides what lower layers have in the directory.
    fn write_opaque(&mut self, of: &Object, directory: &[u8]) {
        self.write_mark(of, directory, OPAQUE);
    }

    /// Writes a file without content whose name alone has a meaning.
    fn write_mark(&mut self, of: &Object, directory: &[u8], name: &[u8]) {
        let path = join(directory, name);
        let mtime = Time { nanos: 0, ..confined::modified(&of.stat) };
        write::headers(&Written { path: &path, mode: 0o600, mtime, ..Written::PLAIN }, &mut self.ready);
    }

    /// The entry of a layer's root, where it is not as every layer's is.
    fn pack_root(&mut self, object: &Object, dir: &Dir) -> Result<(), PackError> {
        let xattrs = self.xattrs(dir, b"")?;
        let stat = &object.stat;
        let is_own = match &self.changes {
            Some(changes) => changes.of(b"").is_some(),
            None => (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) != (0o755, 0, 0) || !xattrs.is_empty(),
        };
        if is_own {
            self.write(object, b'5', b"./", b"", 0, &xattrs, None);
        } else {
            // Counted before it was known that it has nothing to say.
            self.packed.entries -= 1;
        }
        Ok(())
    }
}
