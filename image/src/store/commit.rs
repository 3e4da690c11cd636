//! The moment an image becomes visible.
//!
//! Its layers and blobs are in the store already, without a name. The small files that say how they make it are written beside
//! them, where nobody looks. Then the whole filesystem is flushed, once for however many images; the small files are moved to
//! where they belong, and last comes the index: whatever happens on the way, the store shows the images whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{Stack, StackError};
use super::disk::Place;
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

/// What says how layers make images, on disk under names that nobody looks for.
struct Documents {
    /// Configurations and manifests that the store lacks.
    blobs: BTreeSet<Digest>,
    /// By the images' ids.
    records: BTreeMap<Digest, ImageRecord>,
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
        let scratch = self.scratch()?;
        let renamed = self.write_down_in(scratch.place(), images, visible);
        // What is visible is, and what is not has its cause: a directory that stays is found by the next sweep.
        let _removed = scratch.discard(self.store);
        renamed
    }

    fn write_down_in(
        &self,
        scratch: &Place,
        images: &[NewImage],
        visible: bool,
    ) -> Result<Vec<Renamed>, StackError> {
        let documents = self.documents(scratch, images)?;
        step("Let the disk have everything before anything refers to it");
        self.flusher.end();
        self.store.place().sync_filesystem().map_err(StoreError::from)?;
        match visible {
            true => step("Make the image visible"),
            false => step("Write down what the image consists of"),
        }
        let _lock = self.store.lock(Hold::Exclusive)?;
        let records = self.publish_documents(scratch, documents)?;
        let mut renamed = Vec::new();
        if visible {
            let mut index = self.store.index()?;
            for image in images {
                let (digest, size) = (Digest::of(&image.manifest), image.manifest.len() as u64);
                let descriptor = ManifestDescriptor { media_type: image.media_type.clone(), digest, size };
                let taken = index.add(image.id(), &descriptor, &image.names);
                renamed.extend(taken.into_iter().map(|(name, from)| Renamed { name, from }));
            }
            for (id, record) in records {
                index.describe(id, &record.brief());
            }
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

    /// Writes the documents of images into a directory of this process's own.
    fn documents(&self, scratch: &Place, images: &[NewImage]) -> Result<Documents, StackError> {
        let mut documents = Documents { blobs: BTreeSet::new(), records: BTreeMap::new() };
        for image in images {
            let Stack { layers, size, high_ids } = self.stack(&image.diff_ids)?;
            let (id, manifest) = (image.id(), Digest::of(&image.manifest));
            for (digest, bytes) in [(id, &image.config), (manifest, &image.manifest)] {
                if !self.is_settled(digest) || self.blob_size(digest)?.is_none() {
                    scratch.write_unsynced(&digest.hex(), bytes).map_err(StoreError::from)?;
                    documents.blobs.insert(digest);
                }
            }
            let config =
                serde_json::from_slice(&image.config).expect("a configuration that was parsed before");
            // An archive may have the same image twice, and know more of it the first time.
            let known = documents.records.get(&id).and_then(|record| record.parent);
            let parent = image.parent.or(known).or_else(|| self.known_parent(id));
            let record =
                ImageRecord { version: IMAGE_VERSION, manifest, parent, size, layers, high_ids, config };
            scratch.write_unsynced(&file_name(id), &to_json(&record)).map_err(StoreError::from)?;
            documents.records.insert(id, record);
        }
        Ok(documents)
    }

    /// Moves them to where they are looked for, and has the disk know it before anything refers to them.
    fn publish_documents(
        &self,
        scratch: &Place,
        documents: Documents,
    ) -> Result<BTreeMap<Digest, ImageRecord>, StoreError> {
        let Documents { blobs, mut records } = documents;
        let blobs_place = self.store.place().enter(BLOBS)?;
        for name in blobs.iter().map(Digest::hex) {
            scratch.replace(&name, &blobs_place, &name)?;
        }
        let records_place = self.store.place().enter(IMAGES)?;
        for (id, record) in &mut records {
            let name = file_name(*id);
            match self.known_parent(*id) {
                // Somebody else has made it meanwhile, and knew more of it.
                Some(parent) if record.parent.is_none() => {
                    record.parent = Some(parent);
                    records_place.write_whole(&name, &to_json(record))?;
                }
                _ => scratch.replace(&name, &records_place, &name)?,
            }
        }
        if !blobs.is_empty() {
            blobs_place.sync_names()?;
        }
        records_place.sync_names()?;
        Ok(records)
    }

    fn known_parent(&self, id: Digest) -> Option<Digest> {
        self.store.image_record(id).ok().and_then(|record| record.parent)
    }
}

fn file_name(id: Digest) -> String {
    format!("{}.json", id.hex())
}

fn to_json(record: &ImageRecord) -> Vec<u8> {
    serde_json::to_vec(record).expect("strings and numbers become JSON")
}
