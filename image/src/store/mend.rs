//! `mini system check --repair`: what is damaged is made anew of what is whole, or fetched again.
//!
//! A layer's files come out of its blob again; a record out of configuration, manifest and layers. A blob has to come from where the
//! image came from. Everything damaged is marked first ([`super::marks`]): what cannot be mended stays marked.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::chain::StackError;
use super::check::{Finding, Problem};
use super::commit::NewImage;
use super::garbage::Reachable;
use super::index::{Index, IndexEntry, ManifestDescriptor};
use super::lock::Hold;
use super::removal::Use;
use super::session::{Session, Shelf, blob_path};
use super::{BLOBS, IMAGES, Store, StoreError, record_name};
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::layer::Expected;
use crate::layer::blob::FilePieces;
use crate::layer::ingest::{IngestError, Task};
use crate::limits::Limits;
use crate::manifest::{ConfigError, Descriptor, Manifest, ManifestError, diff_ids};
use crate::op::step;
use crate::platform::Platform;
use crate::reference::Reference;

/// Pulls an image again; why that cannot be done.
pub type Fetch<'a> = dyn Fn(&Again<'_>) -> Result<(), String> + 'a;

/// An image that is to be pulled again.
#[derive(Debug)]
pub struct Again<'a> {
    /// One of its names with a digest.
    pub name: &'a Reference,
    /// Which of several images.
    pub platform: Platform,
    /// It was removed, and a container needs it: see [`PullOptions::kept`](crate::PullOptions::kept).
    pub kept: bool,
}

/// Why an image cannot be made whole of what is here.
#[derive(Debug, thiserror::Error)]
pub(super) enum MendError {
    /// Its bytes are nowhere else.
    #[error("blob {0} is damaged")]
    Blob(Digest),
    /// Neither mark nor record of a removed image can be read.
    #[error("nothing says what it consists of")]
    Unknown,
    /// A document of it is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A document of it is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A layer cannot be made.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Its layers do not fit.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Mends what was found, as far as that can be done, and writes into each finding what became of it.
    ///
    /// What a running container stands on stays as it is. An image that came from no registry, cannot be mended and is used by nobody
    /// is removed, so that it can be loaded again.
    pub(super) fn mend_all(
        &self,
        findings: &mut [Finding],
        in_use: &dyn Fn(&Digest) -> Option<Use>,
        fetch: &Fetch<'_>,
    ) -> Result<(), StoreError> {
        step("Mark what is damaged, so that nobody relies on it");
        let mut images: BTreeMap<Digest, String> = BTreeMap::new();
        self.mark_all(findings, in_use, &mut images)?;
        for (id, why) in &mut images {
            step("Make the damaged parts of an image anew");
            if let Err(error) = self.mend(*id) {
                *why = self.fetch_again(*id, &error, fetch)?;
            }
        }
        for finding in &mut *findings {
            let Problem::Broken { id, .. } = finding.problem else { continue };
            let Some(why) = images.get(&id).filter(|_| finding.note.is_none()) else { continue };
            finding.is_repaired = !self.is_marked(&text(&finding.path))?;
            finding.note = (!finding.is_repaired && !why.is_empty()).then(|| why.clone());
            // Nobody can pull or load it under its name.
            if let (Some(note), true) =
                (&mut finding.note, self.is_kept_alone(id)? && !is_blob(&finding.path))
                && let Some(user) = in_use(&id)
            {
                note.push_str(&format!("; container {} cannot be started without it", user.container));
            }
        }
        self.remove_hopeless(findings, in_use)
    }

    fn mark_all(
        &self,
        findings: &mut [Finding],
        in_use: &dyn Fn(&Digest) -> Option<Use>,
        images: &mut BTreeMap<Digest, String>,
    ) -> Result<(), StoreError> {
        // Who makes a container holds the store until it is written down.
        let _lock = self.lock(Hold::Exclusive)?;
        let mut stood_on: BTreeMap<String, String> = BTreeMap::new();
        for finding in &*findings {
            let Problem::Broken { id, .. } = finding.problem else { continue };
            let path = text(&finding.path);
            let is_tree =
                [Shelf::Layers, Shelf::Chains].iter().any(|shelf| path.starts_with(shelf.directory()));
            if let Some(user) = in_use(&id).filter(|user| user.is_running && is_tree) {
                stood_on.insert(path, user.container);
            }
        }
        for finding in findings {
            let Problem::Broken { id, .. } = finding.problem else { continue };
            let path = text(&finding.path);
            if let Some(container) = stood_on.get(&path) {
                finding.note = Some(format!("container {container} runs on it: stop it first"));
                continue;
            }
            self.mark(&path)?;
            images.entry(id).or_default();
        }
        Ok(())
    }

    /// Makes an image whole of what is here.
    fn mend(&self, id: Digest) -> Result<(), MendError> {
        let session = self.session()?;
        let limits = Limits::default();
        let mut made = Vec::new();
        let is_kept = self.is_kept_alone(id)?;
        for descriptor in manifests_of(&self.index_and_kept()?, id) {
            let manifest =
                session.sound_blob(descriptor.digest)?.ok_or(MendError::Blob(descriptor.digest))?;
            let Manifest::Image(parsed) = Manifest::parse(&manifest, None)? else {
                return Err(MendError::Blob(descriptor.digest));
            };
            let config = match session.sound_blob(parsed.config.digest)? {
                Some(config) => config,
                // The record repeats it, mostly byte for byte.
                None => (self.image_record(id).ok().map(|record| record.config.get().as_bytes().to_vec()))
                    .filter(|config| Digest::of(config) == parsed.config.digest)
                    .ok_or(MendError::Blob(parsed.config.digest))?,
            };
            let diff_ids = diff_ids(&config, parsed.layers.len())?;
            for (blob, diff_id) in parsed.layers.iter().zip(&diff_ids) {
                session.mend_layer(*blob, *diff_id, &limits)?;
            }
            let media_type = descriptor.media_type;
            made.push(NewImage { config, manifest, media_type, diff_ids, names: Vec::new(), parent: None });
        }
        match is_kept {
            true if made.is_empty() => return Err(MendError::Unknown),
            true => session.commit_kept(&made)?,
            false => drop(session.commit(&made)?),
        }
        Ok(())
    }

    /// Asks where the image came from; the text says why it did not help, and is empty where it did.
    fn fetch_again(&self, id: Digest, error: &MendError, fetch: &Fetch<'_>) -> Result<String, StoreError> {
        let index = self.index_and_kept()?;
        let platform = || match self.image(&index, id) {
            Ok(image) => image.platform(),
            Err(_) => Platform::host(),
        };
        let kept = self.is_kept_alone(id)?;
        let mut why = match kept {
            // A mark that was made anew has forgotten it.
            true => format!("{error}, and no registry is known to have it"),
            false => format!("{error}, and the image came from no registry"),
        };
        for name in index.names_of(id).into_iter().filter(|name| name.digest().is_some()) {
            match fetch(&Again { name, platform: platform(), kept }) {
                Ok(()) => return Ok(String::new()),
                Err(reason) => why = reason,
            }
        }
        Ok(why)
    }

    /// Takes images out of the index that nobody uses and nobody can bring back: a later load makes their parts anew.
    fn remove_hopeless(
        &self,
        findings: &mut [Finding],
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<(), StoreError> {
        let _lock = self.lock(Hold::Exclusive)?;
        let mut index = self.index()?;
        let mut removed = false;
        for finding in findings {
            let Problem::Broken { id, .. } = finding.problem else { continue };
            let is_from_elsewhere = index.names_of(id).iter().any(|name| name.digest().is_some());
            // Whoever runs on a part of it runs on an image that shares it.
            let is_left = !self.is_marked(&text(&finding.path))?;
            if finding.is_repaired || is_left || is_from_elsewhere || in_use(&id).is_some() {
                continue;
            }
            index.remove_image(id);
            finding.is_repaired = true;
            finding.note = Some("it came from no registry, and was removed: load it again".to_owned());
            removed = true;
        }
        if removed {
            step("Remove the images that nobody can bring back");
            self.write_index(&index)?;
        }
        Ok(())
    }

    /// Writes an index that leads to every image that has a record. Their names were in the index alone.
    pub(super) fn rebuild_index(&self) -> Result<(), StoreError> {
        step("Find the images again by their records");
        let _lock = self.lock(Hold::Exclusive)?;
        let mut index = Index::default();
        for name in self.place().enter(IMAGES)?.names()? {
            let Some(id) = name.strip_suffix(".json").and_then(|hex| Digest::from_hex(hex).ok()) else {
                continue;
            };
            if !self.is_kept(id)? {
                index.entries.extend(self.entry_by_record(id));
            }
        }
        self.write_index(&index)
    }

    /// The entry of an image without a name, where its record and its manifest can be read.
    pub(super) fn entry_by_record(&self, id: Digest) -> Option<IndexEntry> {
        let record = self.image_record(id).ok()?;
        let digest = record.manifest;
        let bytes = self.read_blob(digest).ok()?;
        let Ok(Manifest::Image(manifest)) = Manifest::parse(&bytes, None) else { return None };
        let size = bytes.len() as u64;
        let manifest = ManifestDescriptor { media_type: manifest.media_type, digest, size };
        Some(IndexEntry { id, name: None, manifest, brief: Some(record.brief()) })
    }

    /// Forgets what is marked and gone.
    pub(super) fn tidy_marks(&self) -> Result<(), StoreError> {
        let reachable = Reachable::from(self, &self.index()?)?;
        let blobs = reachable.blobs.iter().map(|blob| format!("{BLOBS}/{}", blob.hex()));
        let records = reachable.images.iter().map(|id| record_name(*id));
        let paths = reachable.trees.iter().cloned().chain(blobs).chain(records);
        let needed: HashSet<String> = paths.map(|path| super::marks::mark_of(&path)).collect();
        self.forget_marks(&|mark| needed.contains(mark))
    }
}

impl Session<'_> {
    /// A small blob, if it is what its name says.
    fn sound_blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match self.store().read_blob(digest) {
            Ok(bytes) => Ok(Some(bytes).filter(|bytes| Digest::of(bytes) == digest)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a layer out of its blob, where it is not there or damaged.
    fn mend_layer(&self, blob: Descriptor, diff_id: Digest, limits: &Limits) -> Result<(), MendError> {
        let damaged = self.store().is_marked(&blob_path(blob.digest))?;
        let Some(file) = self.open_blob(blob.digest)?.filter(|_| !damaged) else {
            return Err(MendError::Blob(blob.digest));
        };
        let expected = Expected { blob: Some((blob.digest, blob.size)), diff_id };
        let work = loop {
            match self.task(expected)? {
                Task::Nothing => return Ok(()),
                Task::Wait => std::thread::sleep(std::time::Duration::from_millis(20)),
                Task::Work(work) => break work,
            }
        };
        let options = UnpackOptions { devices: true, entries_max: limits.layer_entries };
        let pieces = FilePieces::new(file, 0, blob.size);
        self.work(work, pieces, expected, options, limits, &AtomicU64::new(0))?;
        Ok(())
    }
}

/// The manifests by which an image is known.
fn manifests_of(index: &Index, id: Digest) -> Vec<ManifestDescriptor> {
    let mut all: Vec<ManifestDescriptor> = Vec::new();
    for entry in index.entries.iter().filter(|entry| entry.id == id) {
        if !all.contains(&entry.manifest) {
            all.push(entry.manifest.clone());
        }
    }
    all
}

fn is_blob(path: &Path) -> bool {
    path.starts_with(BLOBS)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
