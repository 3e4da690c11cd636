//! `mini load`: images from an archive, `docker save`'s, old and new, or an OCI image layout in a tar file, compressed or not,
//! or in a directory.
//!
//! Everything passes the same verification and the same unpacker as a pull, and becomes visible in one
//! moment.

mod legacy;
mod parents;
mod plan;
mod spool;

use std::fs::File;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::archive::TarError;
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::layer::Expected;
use crate::layer::inflate::Compression;
use crate::layer::ingest::{IngestError, LayerBlob, Task};
use crate::limits::Limits;
use crate::manifest::{ConfigError, Descriptor, ManifestError, compose};
use crate::op::step;
use crate::platform::Platform;
use crate::progress::{Event, LayerInfo, LayerState};
use crate::reference::{Reference, ReferenceError};
use crate::store::chain::StackError;
use crate::store::commit::{NewImage, Renamed};
use crate::store::session::Session;
use crate::store::{Store, StoreError};
use plan::{ImagePlan, LayerPlan};
use spool::Spool;

/// How to load.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Which image of several.
    pub platform: Platform,
    /// Make block and character devices: only where a devices cgroup guards them.
    pub devices: bool,
    /// What an image may ask for.
    pub limits: Limits,
    /// Layers at a time.
    pub concurrency: usize,
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id; what docker prints where there is no name.
    pub id: Digest,
    /// Its names in the archive.
    pub names: Vec<Reference>,
    /// The names that other images lost to it.
    pub renamed: Vec<Renamed>,
}

/// Why an archive was not loaded. The store is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive cannot be read.
    #[error("reading the archive")]
    Read(#[source] io::Error),
    /// The archive is no tar, or not one that can be understood in one way only.
    #[error("reading the archive")]
    Tar(#[source] TarError),
    /// Neither `manifest.json` nor an OCI image layout.
    #[error("this is no archive of images: it has neither manifest.json nor oci-layout nor repositories")]
    NoArchive,
    /// A compression that cannot be undone here.
    #[error("the archive has {0} compression; give it plain, with gzip or with zstd")]
    Compression(Compression),
    /// More bytes than an archive may have.
    #[error("the archive inflates to more than {0} bytes")]
    ArchiveTooLarge(u64),
    /// More members than an archive may have.
    #[error("the archive has more than {0} members")]
    TooManyMembers(usize),
    /// A member that the archive refers to is not there.
    #[error("the archive has no {0:?}")]
    Missing(String),
    /// A member that is read whole is too large for that.
    #[error("{name:?} has {size} bytes, at most {max} are read")]
    TooLarge {
        /// The member.
        name: String,
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A member is not as long as its descriptor says.
    #[error("{name:?} has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// The member.
        name: String,
        /// The descriptor's size.
        expected: u64,
        /// The member's size.
        actual: u64,
    },
    /// A member is not what its name says.
    #[error("{name:?} has the digest {actual}")]
    Digest {
        /// The member.
        name: String,
        /// Its digest.
        actual: Digest,
    },
    /// A member that should be JSON.
    #[error("{name:?} is malformed")]
    Json {
        /// The member.
        name: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A name that no image can have.
    #[error("the archive names an image {name:?}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// Indexes in indexes in indexes.
    #[error("the archive's indexes are nested too deeply")]
    TooDeep,
    /// No image for this platform.
    #[error("the archive has no image for {0}")]
    NoPlatform(Platform),
    /// A bad manifest.
    #[error("a manifest of the archive")]
    Manifest(#[from] ManifestError),
    /// A bad configuration.
    #[error("a configuration of the archive")]
    Config(#[from] ConfigError),
    /// A bad layer.
    #[error("layer {layer}")]
    Layer {
        /// Its diff id.
        layer: Digest,
        /// What is wrong with it.
        #[source]
        source: Box<IngestError>,
    },
    /// The layers do not make an image.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { platform: Platform::host(), devices: true, limits: Limits::default(), concurrency: 3 }
    }
}

/// Loads every image of the archive in `input`, which may be a pipe.
///
/// # Errors
/// The archive or an image in it is malformed or malicious, or the store cannot be written. Nothing becomes
/// visible then.
pub fn load(
    store: &Store,
    input: File,
    options: &LoadOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<Loaded>, LoadError> {
    let session = store.session()?;
    let spool = Spool::new(&session, input, &options.limits)?;
    let loaded = load_spooled(&session, &spool, options, progress);
    spool.discard(&session)?;
    drop(session);
    // A layer that nothing came to refer to is of no use.
    store.sweep()?;
    loaded
}

fn load_spooled(
    session: &Session<'_>,
    spool: &Spool,
    options: &LoadOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<Loaded>, LoadError> {
    let plans = plan::images(spool, options)?;
    let layers: Vec<LayerPlan> = plans.iter().flat_map(|plan| plan.layers.iter().copied()).collect();
    let shown: Vec<LayerInfo> =
        layers.iter().map(|layer| LayerInfo { id: layer.diff_id, size: layer.extent.size }).collect();
    progress(Event::Layers(&shown));
    step("Unpack each layer into a directory of its own, verified on the way");
    let mut blobs = ingest_all(session, spool, &layers, options, progress)?.into_iter();
    let images: Vec<NewImage> = plans.into_iter().map(|plan| new_image(plan, &mut blobs)).collect();
    let renamed = session.commit(&images)?;
    let loaded = images.into_iter().map(|image| {
        let is_its = |taken: &&Renamed| image.names.contains(&taken.name);
        let renamed = renamed.iter().filter(is_its).cloned().collect();
        Loaded { id: image.id(), names: image.names, renamed }
    });
    Ok(loaded.collect())
}

/// The image of a plan, once its layers are there.
fn new_image(plan: ImagePlan, blobs: &mut impl Iterator<Item = LayerBlob>) -> NewImage {
    let layers: Vec<(Descriptor, Compression)> = blobs
        .take(plan.layers.len())
        .map(|blob| (Descriptor { digest: blob.digest, size: blob.size }, blob.compression))
        .collect();
    let config = Descriptor { digest: Digest::of(&plan.config), size: plan.config.len() as u64 };
    let (media_type, manifest) = plan.manifest.unwrap_or_else(|| compose(config, &layers));
    let ImagePlan { config, diff_ids, names, parent, .. } = plan;
    NewImage { config, manifest, media_type, diff_ids, names, parent }
}

/// Brings all layers into the store, several at a time; stops at the first that fails.
fn ingest_all(
    session: &Session<'_>,
    spool: &Spool,
    layers: &[LayerPlan],
    options: &LoadOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<LayerBlob>, LoadError> {
    let next = AtomicUsize::new(0);
    let has_failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = layers.get(index).filter(|_| !has_failed.load(Ordering::Relaxed)) else {
                return;
            };
            let result = ingest_one(session, spool, index, layer, options, progress);
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().expect("no holder panics").push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.concurrency.min(layers.len()) {
            let thread = std::thread::Builder::new().name("layer".to_owned());
            // Without a further thread the work is done by those there are.
            let _thread = thread.spawn_scoped(scope, || tracing::dispatcher::with_default(&dispatch, work));
        }
        work();
    });
    let mut results = results.into_inner().expect("no holder panics");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn ingest_one(
    session: &Session<'_>,
    spool: &Spool,
    index: usize,
    layer: &LayerPlan,
    options: &LoadOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<LayerBlob, LoadError> {
    let tell = |state| progress(Event::Layer { index, state });
    let size = layer.extent.size;
    let expected = Expected { blob: layer.blob.map(|digest| (digest, size)), diff_id: layer.diff_id };
    let work = loop {
        match session.task(expected)? {
            Task::Work(work) => break work,
            Task::Nothing => {
                tell(LayerState::Exists);
                let digest = layer.blob.unwrap_or(layer.diff_id);
                let compression = spool.compression(layer.extent)?;
                return Ok(LayerBlob { digest, size, compression });
            }
            Task::Wait => {
                tell(LayerState::Waiting);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    tell(LayerState::Unpacking);
    let unpack = UnpackOptions { devices: options.devices, entries_max: options.limits.layer_entries };
    let pieces = spool.pieces(layer.extent)?;
    let blob = session
        .work(work, pieces, expected, unpack, &options.limits, &AtomicU64::new(0))
        .map_err(|source| LoadError::Layer { layer: layer.diff_id, source: Box::new(source) })?;
    tell(LayerState::Done);
    Ok(blob)
}
