//! `mini rmi`: carries out what [`super::removal`] decides.

use super::chain::chain_ids;
use super::family::Family;
use super::image::Image;
use super::index::Index;
use super::lock::Hold;
use super::removal::{Conflict, Needs, Removal, Removed, Use, plan};
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
    /// `in_use` tells who uses the image of an id. With `force`, an image that only stopped containers use goes too; its files stay until
    /// they are gone (`kept.rs`). With `prune`, what it was made of goes as well, as far as that has no name and nobody else needs it.
    ///
    /// # Errors
    /// There is no such image, it is in use, another was made of it, or it has several names and was asked for by its id.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        prune: bool,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let mut removed = Vec::new();
        {
            let _lock = self.lock(Hold::Exclusive)?;
            let mut index = self.index()?;
            let found = locate(&index, name)?;
            let mut family = self.family(&index)?;
            let used = in_use(&found.0);
            let needs = Needs { used: used.as_ref(), has_children: family.has_children(found.0) };
            let Removal { names, image } = plan(&index, name, found, force, &needs)?;
            match image {
                true => step("Let go of the image"),
                false => step("Take the name away"),
            }
            let before = index.clone();
            for name in names {
                index.remove_name(&name);
                removed.push(Removed::Untagged(name.familiar()));
            }
            let mut next = if image { Some(found.0) } else { None };
            while let Some(id) = next {
                if in_use(&id).is_some() {
                    self.keep(&before, id)?;
                }
                let chains = self.chains_only_of(&index, id)?;
                index.remove_image(id);
                removed.push(Removed::Deleted(id));
                removed.extend(chains.into_iter().map(Removed::Deleted));
                let parent = family.parent(id).filter(|_| prune);
                family.remove(id);
                let is_free = |id: &Digest| {
                    index.names_of(*id).is_empty() && !family.has_children(*id) && in_use(id).is_none()
                };
                next = parent.filter(is_free);
            }
            self.write_index(&index)?;
            self.forget_kept(&index, in_use)?;
        }
        self.sweep()?;
        Ok(removed)
    }

    /// Which images were made of which. What is damaged was made of nothing.
    pub(super) fn family(&self, index: &Index) -> Result<Family, StoreError> {
        let mut all = Vec::new();
        for id in index.ids() {
            match self.image_record(id) {
                Ok(record) => all.push((id, record.parent)),
                Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => all.push((id, None)),
                Err(error) => return Err(error),
            }
        }
        Ok(Family::new(all.into_iter()))
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
        // What containers stand on.
        for id in self.kept()? {
            if let Ok(image) = self.image_named(id, Vec::new()) {
                kept.extend(chains_of(&image));
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
