//! `mini tag`: another name for an image.

use super::lock::Hold;
use super::resolve::locate;
use super::{Image, ResolveError, Store, StoreError};
use crate::digest::Digest;
use crate::op::step;
use crate::reference::Reference;
use crate::store::session::Shelf;

impl Store {
    /// Gives an image another name; an image that had it before goes on without. Returns the image's id.
    ///
    /// # Errors
    /// There is no such image, or the index cannot be written.
    pub fn tag(&self, source: &str, name: &Reference) -> Result<Digest, ResolveError> {
        let _lock = self.lock(Hold::Exclusive)?;
        let mut index = self.index()?;
        let (id, _) = locate(&index, source)?;
        let entry = index.entries.iter().find(|entry| entry.id == id);
        let manifest = entry.expect("an image is found by its entry").manifest.clone();
        step("Let the name lead to the image");
        index.add(id, &manifest, std::slice::from_ref(name));
        self.write_index(&index)?;
        Ok(id)
    }

    /// The size of each layer of an image as docker counts it, bytes, bottom first.
    ///
    /// # Errors
    /// A layer's record cannot be read.
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>, StoreError> {
        let diff_ids = image.config.rootfs().diff_ids().iter().filter_map(|id| id.parse().ok());
        let size = |diff_id| {
            let path = Shelf::Layers.path(diff_id);
            let record = self.layer_record(&path)?;
            record
                .map(|record| record.size)
                .ok_or_else(|| StoreError::Missing { path: self.root().join(&path) })
        };
        diff_ids.map(size).collect()
    }
}
