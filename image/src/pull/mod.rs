//! `mini pull`: an image from a registry, whole or not at all.
//!
//! The network is spoken to by an async runtime on the calling thread, which lives no longer than this
//! function; hashing, inflating and unpacking happen on plain threads, two a layer. In between are bounded
//! channels, so that memory does not depend on the image.
//!
//! ```text
//! this thread:   manifest → configuration → for each of three layers at a time: bytes ─┐ tokio channel
//! layer threads:                                        digest, inflate, diff id, unpack ◄┘
//! meanwhile:     a thread flushes the disk whenever some more has come
//! at the end:    flush it once more, index.json
//! ```

mod layer;
mod manifest;
mod tags;

use std::thread::Scope;
use std::time::Duration;

use crate::digest::Digest;
use crate::layer::ingest::IngestError;
use crate::limits::{LAYERS_MAX, Limits};
use crate::manifest::{ConfigError, Descriptor, ManifestError, diff_ids};
use crate::op::step;
use crate::platform::Platform;
use crate::progress::Event;
use crate::reference::Reference;
use crate::registry::{Attempts, Hosts, HttpError, Registry, RegistryError, Retry, Timeouts};
use crate::store::chain::StackError;
use crate::store::commit::NewImage;
use crate::store::image::Image;
use crate::store::session::{Session, Shelf};
use crate::store::{Store, StoreError};
use manifest::Fetched;

pub use tags::tags;

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Which image of several.
    pub platform: Platform,
    /// The content of docker's `config.json`, for the user's credentials.
    pub docker_config: Option<Vec<u8>>,
    /// Refuse every registry that is not on this machine.
    pub offline: bool,
    /// Make block and character devices: only where a devices cgroup guards them.
    pub devices: bool,
    /// What an image may ask for.
    pub limits: Limits,
    /// How long to wait for the registry.
    pub timeouts: Timeouts,
    /// How hosts are reached that want something of their own; their mirrors.
    pub hosts: Hosts,
    /// How often to try; docker's default is 5.
    pub attempts: u32,
    /// How long to wait after the first failure; twice as long after each further one.
    pub wait: Duration,
    /// Layers at a time; docker's default is 3.
    pub concurrency: usize,
    /// Only the parts are wanted, of an image that was removed and that a container needs: it gets no name, and nobody finds it.
    pub kept: bool,
}

/// What a pull came to.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// Whether anything changed.
    pub status: PullStatus,
    /// The digest of what the reference named, an index's or a manifest's: what docker prints as `Digest:`.
    pub digest: Digest,
}

/// Whether a pull changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// The name stands for another image now, or is new.
    Downloaded,
    /// The name stood for this image before.
    UpToDate,
}

/// Why an image was not pulled. The store's images are what they were.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry did not give what was asked for.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The registry gave something else than it was asked for.
    #[error("the registry's answer for {asked} has the digest {actual}")]
    Digest {
        /// The digest asked for.
        asked: Digest,
        /// That of the answer.
        actual: Digest,
    },
    /// The registry's answer is not as long as announced.
    #[error("{digest} has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// What was asked for.
        digest: Digest,
        /// What its descriptor says.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A configuration that is too large to be one.
    #[error("the image's configuration has {size} bytes, at most {max} are read")]
    ConfigSize {
        /// What its descriptor says.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The manifest is refused.
    #[error("the image's manifest")]
    Manifest(#[source] ManifestError),
    /// Nothing for this platform.
    #[error("no matching manifest for {wanted} in the manifest list entries; there is {}", offered.join(", "))]
    Platform {
        /// What was wanted.
        wanted: Platform,
        /// What there is.
        offered: Vec<String>,
    },
    /// Indexes in indexes in indexes.
    #[error("its indexes are nested too deeply")]
    TooDeep,
    /// A repository without tags.
    #[error("{0} has no tags")]
    NoTags(String),
    /// The configuration is refused.
    #[error("the image's configuration")]
    Config(#[source] ConfigError),
    /// A layer is refused.
    #[error("layer {layer}")]
    Layer {
        /// The blob's digest.
        layer: Digest,
        /// What is wrong.
        #[source]
        source: Box<IngestError>,
    },
    /// A layer's thread could not be made.
    #[error("starting a thread for layer {layer}")]
    Thread {
        /// The blob's digest.
        layer: Digest,
        /// What the kernel answered.
        #[source]
        source: std::io::Error,
    },
    /// The async runtime could not be made.
    #[error("preparing to speak to the network")]
    Runtime(#[source] std::io::Error),
    /// The layers do not make an image.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: Platform::host(),
            docker_config: None,
            offline: false,
            devices: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            hosts: Hosts::default(),
            attempts: 5,
            wait: Duration::from_secs(1),
            concurrency: 3,
            kept: false,
        }
    }
}

impl PullError {
    /// Whether the same pull might succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_transient())
    }

    /// Whether another registry might have given what this one did not.
    fn is_the_registrys(&self) -> bool {
        matches!(
            self,
            Self::Registry(_)
                | Self::Digest { .. }
                | Self::Size { .. }
                | Self::Manifest(_)
                | Self::NoTags(_)
                | Self::Layer { .. }
        )
    }

    /// Whether what came is to blame, and not that no more came.
    fn is_about_content(&self) -> bool {
        match self {
            Self::Registry(error) => matches!(**error, RegistryError::Http(HttpError::TooLong { .. })),
            _ => true,
        }
    }

    /// Whether the registry was not to be asked at all.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Registry(error) if matches!(**error, RegistryError::Http(HttpError::Offline(_))))
    }
}

/// Pulls the image of a reference, `latest` by default. Blocks; starts threads, all of which have ended when
/// it returns.
///
/// # Errors
/// The registry does not give the image, the image is refused, or the store cannot be written. What arrived is kept for
/// another attempt, unless the image is refused: then nothing stays.
pub fn pull(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Pulled, PullError> {
    let reference = reference.clone().with_default_tag();
    let session = store.session()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PullError::Runtime)?;
    let one = |registry: Registry| {
        let registry = runtime.block_on(registry.settle())?;
        let pull = Pull { session: &session, registry: &registry, reference: &reference, options, progress };
        // The scope ends when all layers' threads have: they stop when the future that feeds them is gone.
        std::thread::scope(|scope| runtime.block_on(pull.run(scope)))
    };
    let pulled = match from_mirrors(&reference, options, progress, &one) {
        Some(pulled) => pulled,
        None => one(registry_of(&reference, options)?),
    };
    drop(runtime);
    let (touched, settled) = session.end();
    let refused = pulled.as_ref().is_err_and(PullError::is_about_content);
    let mut swept = Ok(());
    if refused {
        let is_of_it = |name: &str| Digest::from_hex(name).is_ok_and(|blob| touched.contains(&blob));
        swept = store.remove_interrupted(&|one| is_of_it(&one.name)).map(drop);
    }
    // What pulls have left whole can be gone on with, too; what an image had that somebody has removed meanwhile goes.
    let stays = |blob| !(settled.contains(&blob) || refused && touched.contains(&blob));
    swept = swept.and(store.sweep_but(&stays).map(drop));
    // The first cause is the one to tell.
    let pulled = pulled?;
    swept?;
    Ok(pulled)
}

fn registry_of(reference: &Reference, options: &PullOptions) -> Result<Registry, HttpError> {
    let config = options.docker_config.clone();
    Registry::new(reference, config, options.timeouts, options.offline, &options.hosts)
}

/// What the first mirror of a reference's registry gives that has it, where there are mirrors. What a mirror has not, or has wrong,
/// is asked of the next one, and at last of the registry itself.
fn from_mirrors<T>(
    reference: &Reference,
    options: &PullOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
    ask: &dyn Fn(Registry) -> Result<T, PullError>,
) -> Option<Result<T, PullError>> {
    let mirrors = options.hosts.known.get(reference.registry()).map_or(&[][..], |known| &known.mirrors);
    for address in mirrors {
        let config = options.docker_config.clone();
        let mirror =
            Registry::mirror(address, reference, config, options.timeouts, options.offline, &options.hosts);
        match mirror.map_err(PullError::from).and_then(ask) {
            Err(error) if error.is_the_registrys() => {
                progress(Event::Mirror { address, cause: &error });
            }
            given => return Some(given),
        }
    }
    None
}

struct Pull<'a> {
    session: &'a Session<'a>,
    registry: &'a Registry,
    reference: &'a Reference,
    options: &'a PullOptions,
    progress: &'a (dyn Fn(Event<'_>) + Sync),
}

impl Pull<'_> {
    async fn run<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) -> Result<Pulled, PullError> {
        step("Ask the registry what the image consists of");
        let Fetched { image: manifest, bytes, digest } = self.manifest().await?;
        if manifest.layers.len() > LAYERS_MAX {
            return Err(StackError::TooMany(manifest.layers.len()).into());
        }
        let config = self.config(&manifest).await?;
        let diff_ids = diff_ids(&config, manifest.layers.len()).map_err(PullError::Config)?;
        let pinned = self.reference.pinned(digest);
        let names = match self.reference.digest() {
            _ if self.options.kept => Vec::new(),
            Some(_) => vec![pinned],
            None => vec![self.reference.clone(), pinned],
        };
        let media_type = manifest.media_type.clone();
        let new = NewImage { config, manifest: bytes, media_type, diff_ids, names, parent: None };
        let status = self.status(&new)?;
        if !self.is_settled(&new)? {
            let layers: Vec<(Descriptor, Digest)> =
                manifest.layers.iter().copied().zip(new.diff_ids.iter().copied()).collect();
            self.layers(scope, &layers).await?;
            match self.options.kept {
                true => self.session.commit_kept(std::slice::from_ref(&new))?,
                false => drop(self.session.commit(std::slice::from_ref(&new))?),
            }
        }
        let store = self.session.store();
        let image = store.image(&store.index()?, new.id())?;
        Ok(Pulled { image, status, digest })
    }

    /// What docker would say about this image before pulling it.
    fn status(&self, new: &NewImage) -> Result<PullStatus, PullError> {
        let index = self.session.store().index()?;
        let known = index.named(self.reference).is_some_and(|entry| entry.id == new.id());
        Ok(if known { PullStatus::UpToDate } else { PullStatus::Downloaded })
    }

    /// Whether there is nothing at all to do.
    fn is_settled(&self, new: &NewImage) -> Result<bool, PullError> {
        let index = self.session.store().index()?;
        let manifest = Digest::of(&new.manifest);
        let is_named = new.names.iter().all(|name| {
            index.named(name).is_some_and(|entry| entry.id == new.id() && entry.manifest.digest == manifest)
        });
        if !is_named || !self.session.is_settled(manifest) || self.session.store().has_marks()? {
            return Ok(false);
        }
        for diff_id in &new.diff_ids {
            if !self.session.has(Shelf::Layers, *diff_id)? {
                return Ok(false);
            }
        }
        Ok(self.session.store().image_record(new.id()).is_ok())
    }

    fn attempts(&self) -> Attempts {
        Attempts { max: self.options.attempts.max(1), wait: self.options.wait }
    }

    /// Says that the registry is asked for a document again.
    fn tell_again(&self, retry: Retry<'_>) {
        retry.tell(|retrying| (self.progress)(Event::Retrying(retrying)));
    }
}

impl From<RegistryError> for PullError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<HttpError> for PullError {
    fn from(error: HttpError) -> Self {
        RegistryError::from(error).into()
    }
}
