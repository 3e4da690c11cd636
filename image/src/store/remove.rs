//! `mini rmi`: carries out what [`super::removal`] decides.

use super::chain::chain_ids;
use super::image::Image;
use super::index::Index;
use super::lock::Hold;
use super::removal::{Conflict, Removal, Removed, Use, plan};
use super::resolve::locate;
use super::{ResolveError, Store, StoreError};
use crate::digest::Digest;
use crate::op::step;

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is no such image.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It is needed.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Removes a name, and with its last name the image and what no other image needs.
    ///
    /// `in_use` tells who uses the image of an id. With `force`, an image that only stopped containers use
    /// loses its names and stays, unlike docker's, until they are gone: their files are its layers.
    ///
    /// # Errors
    /// There is no such image, it is in use, or it has several names and was asked for by its id.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let mut removed = Vec::new();
        {
            let _lock = self.lock(Hold::Exclusive)?;
            let mut index = self.index()?;
            let found = locate(&index, name)?;
            let Removal { names, image } = plan(&index, name, found, force, in_use(&found.0).as_ref())?;
            let chains = if image { self.chains_only_of(&index, found.0)? } else { Vec::new() };
            step(if image { "Let go of the image" } else { "Take the name away" });
            for name in names {
                index.remove_name(&name);
                removed.push(Removed::Untagged(name.familiar()));
            }
            if image {
                index.remove_image(found.0);
                removed.push(Removed::Deleted(found.0));
                removed.extend(chains.into_iter().map(Removed::Deleted));
            }
            self.write_index(&index)?;
        }
        self.sweep()?;
        Ok(removed)
    }

    /// The chains of layers that no other image has, topmost first.
    pub(super) fn chains_only_of(&self, index: &Index, id: Digest) -> Result<Vec<Digest>, StoreError> {
        let mut kept = Vec::new();
        let mut own = Vec::new();
        for other in index.ids() {
            match self.image(index, other) {
                Ok(image) => if other == id { &mut own } else { &mut kept }.extend(chains_of(&image)),
                // What is damaged can be removed.
                Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        own.retain(|chain| !kept.contains(chain));
        own.reverse();
        Ok(own)
    }
}

fn chains_of(image: &Image) -> Vec<Digest> {
    let diff_ids = image.config.rootfs().diff_ids();
    chain_ids(&diff_ids.iter().filter_map(|id| id.parse().ok()).collect::<Vec<Digest>>())
}
