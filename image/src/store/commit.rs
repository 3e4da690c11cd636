//! The moment an image becomes visible.
//!
//! Its layers and blobs are in the store already, without a name. First the whole filesystem is flushed, then
//! the small files are written, and last the index: whatever happens on the way, the store shows the image
//! whole or not at all.

use super::chain::StackError;
use super::image::{IMAGE_VERSION, ImageRecord};
use super::index::ManifestDescriptor;
use super::lock::Hold;
use super::session::{Session, blob_path};
use super::{BLOBS, IMAGES, StoreError, record_name};
use crate::digest::Digest;
use crate::op::step;
use crate::reference::Reference;

/// An image whose layers and blobs are in the store.
#[derive(Debug)]
pub(crate) struct NewImage {
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: String,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) names: Vec<Reference>,
    /// The image that it was made of; one that is known already is not forgotten.
    pub(crate) parent: Option<Digest>,
}

/// A name that an image took from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The name.
    pub name: Reference,
    /// The image that had it.
    pub from: Digest,
}

impl NewImage {
    pub(crate) fn id(&self) -> Digest {
        Digest::of(&self.config)
    }
}

impl Session<'_> {
    /// Makes the images visible, all at once.
    pub(crate) fn commit(&self, images: &[NewImage]) -> Result<Vec<Renamed>, StackError> {
        self.write_down(images, true)
    }

    /// The same for images that containers alone have: nobody finds them. A sweep takes away what is not kept.
    pub(crate) fn commit_kept(&self, images: &[NewImage]) -> Result<(), StackError> {
        self.write_down(images, false).map(drop)
    }

    fn write_down(&self, images: &[NewImage], visible: bool) -> Result<Vec<Renamed>, StackError> {
        let stacks = images.iter().map(|image| self.stack(&image.diff_ids)).collect::<Result<Vec<_>, _>>()?;
        let place = self.store.place();
        step("Let the disk have everything before anything refers to it");
        self.flusher.end();
        place.sync_filesystem().map_err(StoreError::from)?;
        match visible {
            true => step("Make the image visible"),
            false => step("Write down what the image consists of"),
        }
        let _lock = self.store.lock(Hold::Exclusive)?;
        let blobs = place.enter(BLOBS).map_err(StoreError::from)?;
        let records = place.enter(IMAGES).map_err(StoreError::from)?;
        let mut index = self.store.index()?;
        let mut renamed = Vec::new();
        for (image, stack) in images.iter().zip(stacks) {
            let manifest = Digest::of(&image.manifest);
            for (digest, bytes) in [(image.id(), &image.config), (manifest, &image.manifest)] {
                if !self.is_settled(digest) || self.blob_size(digest)?.is_none() {
                    blobs.write_whole(&digest.hex(), bytes).map_err(StoreError::from)?;
                }
            }
            let config =
                serde_json::from_slice(&image.config).expect("a configuration that was parsed before");
            let known = self.store.image_record(image.id()).ok().and_then(|record| record.parent);
            let record = ImageRecord {
                version: IMAGE_VERSION,
                manifest,
                parent: image.parent.or(known),
                size: stack.size,
                layers: stack.layers,
                high_ids: stack.high_ids,
                config,
            };
            let json = serde_json::to_vec(&record).expect("strings and numbers become JSON");
            records.write_whole(&format!("{}.json", image.id().hex()), &json).map_err(StoreError::from)?;
            if !visible {
                continue;
            }
            let size = image.manifest.len() as u64;
            let descriptor =
                ManifestDescriptor { media_type: image.media_type.clone(), digest: manifest, size };
            let taken = index.add(image.id(), &descriptor, &image.names);
            index.describe(image.id(), &record.brief());
            renamed.extend(taken.into_iter().map(|(name, from)| Renamed { name, from }));
        }
        if visible {
            self.store.write_index(&index)?;
        }
        for image in images {
            if visible {
                self.store.keep_no_more(image.id())?;
            }
            let blobs = [image.id(), Digest::of(&image.manifest)].map(blob_path);
            for path in blobs.iter().chain([&record_name(image.id())]) {
                self.store.unmark(path)?;
            }
        }
        Ok(renamed)
    }
}
