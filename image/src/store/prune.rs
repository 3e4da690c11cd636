//! `mini image prune`: all images that are to go, at once.

use super::disk::Hold;
use super::image::Image;
use super::removal::{Removed, Use};
use super::{Store, StoreError};
use crate::digest::Digest;
use crate::op::step;

/// What a prune took away.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Names and images, in docker's order: of each image its names first.
    pub removed: Vec<Removed>,
    /// Bytes of the layers that no image has any more.
    pub bytes: u64,
}

impl Store {
    /// Removes every image that `goes` and nobody uses, with all its names.
    ///
    /// `in_use` tells who uses the image of an id: asked under the lock, so that one which is being made is seen.
    ///
    /// # Errors
    /// The store cannot be read or written. Either all of them are gone, or none.
    pub fn prune(
        &self,
        goes: &dyn Fn(&Image) -> bool,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        {
            let _lock = self.lock(Hold::Exclusive)?;
            let mut index = self.index()?;
            let usage = self.usage_of(&index)?;
            let all = usage.images.iter().filter(|image| goes(image) && in_use(&image.id).is_none());
            let all: Vec<Digest> = all.map(|image| image.id).collect();
            if !all.is_empty() {
                step("Let go of the images that nobody uses");
                pruned.bytes = usage.only_of(&|id| all.contains(&id));
                for id in all {
                    let chains = self.chains_only_of(&index, id)?;
                    let names = index.names_of(id).into_iter();
                    pruned.removed.extend(names.map(|name| Removed::Untagged(name.familiar())));
                    pruned.removed.push(Removed::Deleted(id));
                    pruned.removed.extend(chains.into_iter().map(Removed::Deleted));
                    index.remove_image(id);
                }
                self.write_index(&index)?;
            }
        }
        self.sweep()?;
        Ok(pruned)
    }
}
