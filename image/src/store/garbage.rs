//! What the images need, and the removal of everything else.

use std::collections::HashSet;

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::chain::chain_ids;
use super::disk::Place;
use super::index::Index;
use super::lock::{Hold, Lock};
use super::session::Shelf;
use super::{BLOBS, IMAGES, INGEST, PARTIAL, Store, StoreError};
use crate::digest::Digest;
use crate::op::step;

/// Everything that the index leads to.
#[derive(Debug, Default)]
pub(crate) struct Reachable {
    /// `layers/<hex>` and `chains/<hex>`.
    pub(crate) trees: HashSet<String>,
    pub(crate) blobs: HashSet<Digest>,
    /// Images.
    pub(crate) images: HashSet<Digest>,
}

/// Something in the store that nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Garbage {
    pub(crate) directory: &'static str,
    pub(crate) name: String,
}

impl Reachable {
    /// Follows every descriptor of `index`. What cannot be read leads nowhere: `check` tells of it.
    pub(crate) fn from(store: &Store, index: &Index) -> Result<Self, StoreError> {
        let mut reachable = Self::default();
        let mut manifests: Vec<Digest> = index.entries.iter().map(|entry| entry.manifest.digest).collect();
        manifests.extend(index.foreign_manifests());
        manifests.extend(store.kept_entries(index)?.into_iter().map(|entry| entry.manifest.digest));
        for id in index.ids().into_iter().chain(store.kept()?) {
            reachable.images.insert(id);
            match store.image_record(id) {
                Ok(record) => {
                    reachable.trees.extend(record.layers);
                    manifests.push(record.manifest);
                }
                Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {
                    reachable.trees.extend(store.trees_by_config(id));
                }
                Err(error) => return Err(error),
            }
        }
        while let Some(manifest) = manifests.pop() {
            if !reachable.blobs.insert(manifest) {
                continue;
            }
            match store.read_blob(manifest) {
                Ok(bytes) => {
                    let (blobs, below) = mentioned(&bytes);
                    reachable.blobs.extend(blobs);
                    manifests.extend(below);
                }
                Err(StoreError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reachable)
    }
}

impl Store {
    /// Where an image's layers may lie, where its record cannot be read: a container may stand on them.
    fn trees_by_config(&self, id: Digest) -> Vec<String> {
        let config = self.read_blob(id).ok();
        let Some(config) = config.and_then(|json| serde_json::from_slice::<ImageConfiguration>(&json).ok())
        else {
            return Vec::new();
        };
        let diff_ids: Vec<Digest> =
            config.rootfs().diff_ids().iter().filter_map(|id| id.parse().ok()).collect();
        let chains = chain_ids(&diff_ids).into_iter().map(|chain| Shelf::Chains.path(chain));
        diff_ids.iter().map(|layer| Shelf::Layers.path(*layer)).chain(chains).collect()
    }

    /// What nothing refers to. Only an answer while a lock keeps the store as it is.
    pub(crate) fn garbage(&self, reachable: &Reachable) -> Result<Vec<Garbage>, StoreError> {
        let mut garbage = Vec::new();
        for shelf in [Shelf::Layers, Shelf::Chains] {
            let directory = shelf.directory();
            for name in self.place().enter(directory)?.names()? {
                if !reachable.trees.contains(&format!("{directory}/{name}")) {
                    garbage.push(Garbage { directory, name });
                }
            }
        }
        for name in self.place().enter(BLOBS)?.names()? {
            if !Digest::from_hex(&name).is_ok_and(|digest| reachable.blobs.contains(&digest)) {
                garbage.push(Garbage { directory: BLOBS, name });
            }
        }
        for name in self.place().enter(IMAGES)?.names()? {
            let id = name.strip_suffix(".json").and_then(|hex| Digest::from_hex(hex).ok());
            if !id.is_some_and(|id| reachable.images.contains(&id)) {
                garbage.push(Garbage { directory: IMAGES, name });
            }
        }
        Ok(garbage)
    }

    /// Removes what nothing refers to, unless a pull or load is under way: that does it at its end. Returns
    /// what was removed.
    pub(crate) fn sweep(&self) -> Result<Vec<Garbage>, StoreError> {
        self.sweep_but(&|_| false)
    }

    /// The same, but for the bytes of blobs that `stays`: they become downloads that another pull can end.
    pub(crate) fn sweep_but(&self, stays: &dyn Fn(Digest) -> bool) -> Result<Vec<Garbage>, StoreError> {
        let ingest = self.place().enter(INGEST)?;
        let (garbage, trash) = {
            let _lock = self.lock(Hold::Exclusive)?;
            let Some(_quiet) = self.quiet()? else { return Ok(Vec::new()) };
            let garbage = self.garbage(&Reachable::from(self, &self.index()?)?)?;
            if garbage.is_empty() {
                return Ok(garbage);
            }
            step("Remove what no image needs any more");
            let trash = self.trash(&ingest)?;
            for (number, Garbage { directory, name }) in garbage.iter().enumerate() {
                if *directory == BLOBS && Digest::from_hex(name).is_ok_and(stays) && self.set_aside(name)? {
                    continue;
                }
                // Out of sight in no time; deleting it takes longer, and nobody need wait for that.
                self.place().enter(directory)?.rename(name, &trash.0, &number.to_string())?;
            }
            (garbage, trash)
        };
        ingest.remove_all(&trash.1)?;
        Ok(garbage)
    }

    /// Makes a download of a blob; `false` if there is one of it already.
    fn set_aside(&self, name: &str) -> Result<bool, StoreError> {
        let Some(partial) = self.place().enter_if_there(PARTIAL)? else { return Ok(false) };
        Ok(self.place().enter(BLOBS)?.rename(name, &partial, name)?)
    }

    /// A locked directory for what is to be deleted. Its maker holds the store's exclusive lock.
    fn trash(&self, ingest: &Place) -> Result<(Place, String, Lock), StoreError> {
        for number in 0.. {
            let name = format!("trash-{}-{number}", std::process::id());
            ingest.make_dir(&name, 0o700)?;
            if let Some((place, lock)) = ingest.try_lock_dir(&name)? {
                return Ok((place, name, lock));
            }
        }
        unreachable!("a process does not hold 2³¹ directories")
    }
}

/// The blobs and the further manifests that a manifest or index mentions.
fn mentioned(json: &[u8]) -> (Vec<Digest>, Vec<Digest>) {
    #[derive(Deserialize)]
    struct Manifest {
        config: Option<Descriptor>,
        #[serde(default)]
        layers: Vec<Descriptor>,
        #[serde(default)]
        manifests: Vec<Descriptor>,
    }
    #[derive(Deserialize)]
    struct Descriptor {
        digest: Digest,
    }
    let Ok(manifest) = serde_json::from_slice::<Manifest>(json) else { return (Vec::new(), Vec::new()) };
    let blobs = manifest.config.into_iter().chain(manifest.layers).map(|descriptor| descriptor.digest);
    (blobs.collect(), manifest.manifests.into_iter().map(|descriptor| descriptor.digest).collect())
}
