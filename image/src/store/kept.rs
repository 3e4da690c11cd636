//! Images that were removed while a container that does not run needs their files: docker's rule is that the image goes and what the
//! container stands on stays.
//!
//! Such an image has no entry in the index, so that nobody finds it, and a mark `kept/<id>`, which keeps its record, layers and blobs
//! from being garbage. Marks that nobody needs any more go under the store's exclusive lock, by whoever removes the container or another
//! image: a mark too many keeps files for a while, one too few would take them away from a container.

use super::index::Index;
use super::lock::Hold;
use super::removal::Use;
use super::{Image, KEPT, ResolveError, Store, StoreError};
use crate::digest::Digest;

impl Store {
    /// The image of a container, by its id, though it may have been removed since. Hold a pin as long as its files are relied on.
    ///
    /// # Errors
    /// It is not here, or its record cannot be read.
    pub fn image_of_container(&self, id: &str) -> Result<Image, ResolveError> {
        let kept = || id.parse().ok().filter(|id| self.is_kept(*id).unwrap_or(false));
        match self.resolve(id) {
            Err(ResolveError::NotFound(name)) => {
                Ok(self.image_named(kept().ok_or(ResolveError::NotFound(name))?, Vec::new())?)
            }
            found => found,
        }
    }

    /// A container has gone: images that were kept for it alone go too. `in_use` tells who uses the image of an id.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn let_go(&self, in_use: &dyn Fn(&Digest) -> Option<Use>) -> Result<(), StoreError> {
        if self.kept()?.is_empty() {
            return Ok(());
        }
        {
            let _lock = self.lock(Hold::Exclusive)?;
            self.forget_kept(&self.index()?, in_use)?;
        }
        self.sweep().map(drop)
    }

    /// The images that are kept so.
    pub(super) fn kept(&self) -> Result<Vec<Digest>, StoreError> {
        let Some(kept) = self.place().enter_if_there(KEPT)? else { return Ok(Vec::new()) };
        Ok(kept.names()?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    pub(super) fn is_kept(&self, id: Digest) -> Result<bool, StoreError> {
        Ok(self.place().has(&format!("{KEPT}/{}", id.hex()))?)
    }

    /// Before an image leaves the index that somebody needs. The caller holds the exclusive lock.
    pub(super) fn keep(&self, id: Digest) -> Result<(), StoreError> {
        self.place().make_dir(KEPT, 0o700)?;
        Ok(self.place().enter(KEPT)?.write_whole(&id.hex(), b"")?)
    }

    /// Takes away the marks of images that nobody uses, and of those that are back. The caller holds the exclusive lock, and has written
    /// the index.
    pub(super) fn forget_kept(
        &self,
        index: &Index,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<(), StoreError> {
        let here = index.ids();
        for id in self.kept()? {
            if here.contains(&id) || in_use(&id).is_none() {
                self.place().enter(KEPT)?.remove_file(&id.hex())?;
            }
        }
        Ok(())
    }
}
