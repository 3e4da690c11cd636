//! `mini push`: an image of the store to a registry, byte for byte as it came.
//!
//! A pulled image keeps its manifest and its compressed layers, so what is pushed has the digest that was pulled, and nothing
//! is compressed again; layers that were made here are compressed once. Blobs that the registry has are not sent; those that another of its repositories has are mounted from
//! there.
//!
//! ```text
//! for each of five blobs at a time:  HEAD → mount → upload       and when all are there:  the manifest, by its tag
//! ```

mod blob;
mod pack;
mod plan;
mod stop;

use std::time::Duration;

use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use crate::digest::Digest;
use crate::layer::deflate::Packing;
use crate::op::step;
use crate::platform::Platform;
use crate::progress::{Event, LayerInfo};
use crate::reference::Reference;
use crate::registry::{Attempts, Hosts, HttpError, Registry, RegistryError, Retry, Timeouts};
use crate::save::SaveError;
use crate::store::lock::Hold;
use crate::store::session::Session;
use crate::store::{Store, StoreError};
use blob::Open;
use plan::Plan;

pub use stop::Stop;

/// How to push.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Only where the image is of this platform.
    pub platform: Option<Platform>,
    /// The content of docker's `config.json`, for the user's credentials.
    pub docker_config: Option<Vec<u8>>,
    /// Refuse every registry that is not on this machine.
    pub offline: bool,
    /// How long to wait for the registry.
    pub timeouts: Timeouts,
    /// How hosts are reached that want something of their own.
    pub hosts: Hosts,
    /// How often to try; docker's default is 5.
    pub attempts: u32,
    /// How long to wait after the first failure; twice as long after each further one.
    pub wait: Duration,
    /// Blobs at a time; docker's default is 5.
    pub concurrency: usize,
    /// How layers are compressed that were made here.
    pub packing: Packing,
    /// Larger blobs are sent in chunks of this size, in bytes: what an interruption may cost.
    pub chunk: u64,
    /// Who may end it in between.
    pub stop: Option<Stop>,
}

/// What was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The image's id.
    pub id: Digest,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The manifest's size, in bytes.
    pub size: u64,
}

/// Why an image was not pushed. What the registry has by then has no name there, and it forgets it.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No image has this name; docker's words.
    #[error("An image does not exist locally with the tag: {0}")]
    NoRepository(String),
    /// Images have other tags of this repository; docker's words.
    #[error("tag does not exist: {0}")]
    NoTag(String),
    /// A name by digest, under which no registry takes an image; docker's words.
    #[error("cannot push a digest reference")]
    Digest,
    /// A blob or a manifest of the store is missing or damaged.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The registry did not take it.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The registry has made something else of the manifest.
    #[error("the registry says that the manifest has the digest {actual}, it has {expected}")]
    Changed {
        /// Its digest.
        expected: Digest,
        /// The registry's.
        actual: Digest,
    },
    /// A layer cannot be compressed.
    #[error("compressing layer {digest}")]
    Pack {
        /// Its digest.
        digest: Digest,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Its end was asked for.
    #[error("the push was stopped")]
    Stopped,
    /// The async runtime could not be made.
    #[error("preparing to speak to the network")]
    Runtime(#[source] std::io::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            platform: None,
            docker_config: None,
            offline: false,
            timeouts: Timeouts::default(),
            hosts: Hosts::default(),
            attempts: 5,
            wait: Duration::from_secs(1),
            concurrency: 5,
            packing: Packing::Gzip(3),
            chunk: 128 << 20,
            stop: None,
        }
    }
}

/// Pushes the image that has this name, `latest` by default, to the registry and repository of its name. Blocks.
///
/// # Errors
/// No image has the name, the store is damaged, or the registry does not take it.
pub fn push(
    store: &Store,
    reference: &Reference,
    options: &PushOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Pushed, PushError> {
    let reference = reference.clone().with_default_tag();
    let session = store.session()?;
    let pushed = push_in(&session, &reference, options, progress);
    // What was removed meanwhile was kept for us.
    drop(session);
    let swept = store.sweep();
    // The first cause is the one to tell.
    let pushed = pushed?;
    swept?;
    Ok(pushed)
}

fn push_in(
    session: &Session<'_>,
    reference: &Reference,
    options: &PushOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Pushed, PushError> {
    let store = session.store();
    pack::pack_layers(session, reference, options, progress)?;
    let plan = Plan::of(store, reference, options.platform.as_ref())?;
    let config = options.docker_config.clone();
    let registry = Registry::new(reference, config, options.timeouts, options.offline, &options.hosts)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PushError::Runtime)?;
    let settle = async { Ok(registry.for_push(plan.from()).settle().await?) };
    let registry = runtime.block_on(options.unless_stopped(settle))?;
    let open = Open::default();
    let push = Push { store, registry: &registry, plan: &plan, options, progress, open };
    let pushed = runtime.block_on(push.run_or_cancel(reference.tag().unwrap_or_default()))?;
    drop(runtime);
    remember(store, &plan, reference)?;
    Ok(pushed)
}

impl Store {
    /// The names with a tag that a repository has here, sorted: what `push --all-tags` pushes.
    ///
    /// # Errors
    /// There are none, or the index cannot be read.
    pub fn tags_of(&self, repository: &Reference) -> Result<Vec<Reference>, PushError> {
        let index = self.index()?;
        let names = index.entries.iter().filter_map(|entry| entry.name.as_ref());
        let mut tags: Vec<Reference> =
            names.filter(|name| name.tag().is_some() && name.same_repository(repository)).cloned().collect();
        if tags.is_empty() {
            return Err(PushError::NoRepository(repository.familiar_name()));
        }
        tags.sort();
        Ok(tags)
    }
}

struct Push<'a> {
    store: &'a Store,
    registry: &'a Registry,
    plan: &'a Plan,
    options: &'a PushOptions,
    progress: &'a (dyn Fn(Event<'_>) + Sync),
    open: Open,
}

impl Push<'_> {
    /// A push that is given up leaves no uploads open, where the registry can still be told.
    async fn run_or_cancel(&self, tag: &str) -> Result<Pushed, PushError> {
        let pushed = self.options.unless_stopped(self.run(tag)).await;
        if pushed.is_err() {
            let open = self.open.all();
            if !open.is_empty() {
                step("Tell the registry that nothing more comes of what was begun");
            }
            futures_util::future::join_all(open.into_iter().map(|one| self.registry.cancel_upload(one)))
                .await;
        }
        pushed
    }

    async fn run(&self, tag: &str) -> Result<Pushed, PushError> {
        let Plan { id, manifest, bytes, blobs, .. } = self.plan;
        let shown: Vec<LayerInfo> =
            self.plan.layers().iter().map(|blob| LayerInfo { id: blob.digest, size: blob.size }).collect();
        (self.progress)(Event::Layers(&shown));
        step("Ask the registry for each blob whether it has it, and send those that it has not");
        let blobs = blobs.iter().enumerate().map(|(index, source)| self.blob(index, source));
        futures_util::stream::iter(blobs)
            .buffer_unordered(self.options.concurrency.max(1))
            .try_collect::<()>()
            .await?;
        step("Give the registry the manifest, by which all of it becomes an image");
        let put = || self.registry.put_manifest(tag, &manifest.media_type, bytes);
        let actual = self.attempts().run(put, |retry| self.tell_again(retry)).await?;
        if let Some(actual) = actual.filter(|actual| *actual != manifest.digest) {
            return Err(PushError::Changed { expected: manifest.digest, actual });
        }
        Ok(Pushed { id: *id, digest: manifest.digest, size: manifest.size })
    }

    fn attempts(&self) -> Attempts {
        Attempts { max: self.options.attempts.max(1), wait: self.options.wait }
    }

    /// Says that the registry is asked once more.
    fn tell_again(&self, retry: Retry<'_>) {
        retry.tell(|retrying| (self.progress)(Event::Retrying(retrying)));
    }
}

/// The image can be had by this digest now: docker's RepoDigests.
fn remember(store: &Store, plan: &Plan, reference: &Reference) -> Result<(), StoreError> {
    let pinned = reference.pinned(plan.manifest.digest);
    let _lock = store.lock(Hold::Exclusive)?;
    let mut index = store.index()?;
    // Somebody may have removed the image meanwhile, or have pulled it under this name.
    let is_here = index.entries.iter().any(|entry| entry.id == plan.id && entry.manifest == plan.manifest);
    if is_here && index.named(&pinned).is_none() {
        step("Remember under which digest the registry has it");
        index.add(plan.id, &plan.manifest, &[pinned]);
        store.write_index(&index)?;
    }
    Ok(())
}

impl From<RegistryError> for PushError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<HttpError> for PushError {
    fn from(error: HttpError) -> Self {
        RegistryError::from(error).into()
    }
}
