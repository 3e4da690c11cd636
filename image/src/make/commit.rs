//! `mini commit`: what a container has written becomes a layer on top of its image's.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::OwnedFd;

use super::{About, New, config};
use crate::archive::unpack::UnpackOptions;
use crate::archive::{Changes, IdMap, Pack, PackError};
use crate::digest::Digest;
use crate::layer::LayerError;
use crate::layer::inflate::Compression;
use crate::layer::ingest::{IngestError, LayerBlob};
use crate::limits::Limits;
use crate::manifest::{ConfigError, Descriptor, Manifest, ManifestError, compose, diff_ids};
use crate::op::step;
use crate::reference::Reference;
use crate::store::chain::StackError;
use crate::store::commit::NewImage;
use crate::store::session::Session;
use crate::store::{BLOBS, Store, StoreError};

/// What to make.
#[derive(Debug)]
pub struct CommitOptions {
    /// The image that the container was made of.
    pub parent: Digest,
    /// What it is to be called.
    pub name: Option<Reference>,
    /// What it says about itself.
    pub about: About,
    /// How much a layer may have.
    pub limits: Limits,
}

/// Why no image was made. The store is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// What the container has written cannot be packed.
    #[error("reading the container's files")]
    Pack(#[source] PackError),
    /// Somebody has removed the container meanwhile.
    #[error("the container was removed meanwhile")]
    Removed,
    /// What was packed makes no layer.
    #[error("making a layer")]
    Layer(#[source] IngestError),
    /// The parent's manifest makes no sense.
    #[error("the manifest of the parent {0}")]
    Manifest(Digest, #[source] ManifestError),
    /// A configuration makes no sense: the parent's or the new one.
    #[error("the new image's configuration")]
    Config(#[from] ConfigError),
    /// The layers do not make an image.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a container has written.
pub enum Written<'a> {
    /// Its upper directory of overlay's.
    Upper(OwnedFd),
    /// What is other in its copy of its image, whose files' ids are these inside.
    Copy(OwnedFd, Changes, IdMap<'a>),
}

/// Makes an image of what a container has written; of nothing where there is nothing.
///
/// `packed` is called when nothing more is read of the container, and says whether it is still there: what was read of one that
/// is being removed is not all of it.
///
/// # Errors
/// The directory cannot be read, or the store not be written. Nothing becomes visible then.
pub fn commit(
    store: &Store,
    written: Option<Written<'_>>,
    options: CommitOptions,
    packed: impl FnOnce() -> bool,
) -> Result<New, CommitError> {
    let session = store.session()?;
    let made = commit_in(&session, written, options, packed);
    drop(session);
    if made.is_err() {
        // The error is the cause; what stays is found by the next sweep.
        let _swept = store.sweep();
    }
    made
}

fn commit_in(
    session: &Session<'_>,
    written: Option<Written<'_>>,
    options: CommitOptions,
    packed: impl FnOnce() -> bool,
) -> Result<New, CommitError> {
    let CommitOptions { parent, name, about, limits } = options;
    let written = written.map(|written| layer_of(session, written, &limits)).transpose();
    if !packed() {
        return Err(CommitError::Removed);
    }
    let (layer, left_out) = written?.unwrap_or((None, 0));
    let parents_config = session.store().config_json(parent)?;
    let json = config::child(&parents_config, &about, layer.map(|(diff_id, _)| diff_id))?;
    let mut layers = layers_of(session, parent)?;
    layers.extend(
        layer.map(|(_, LayerBlob { digest, size, compression })| (Descriptor { digest, size }, compression)),
    );
    let diff_ids = diff_ids(&json, layers.len())?;
    let own = Descriptor { digest: Digest::of(&json), size: json.len() as u64 };
    let (media_type, manifest) = compose(own, &layers);
    let new = NewImage {
        config: json,
        manifest,
        media_type,
        diff_ids,
        names: name.map(Reference::with_default_tag).into_iter().collect(),
        parent: Some(parent),
    };
    let id = new.id();
    let renamed = session.commit(&[new])?;
    Ok(New { id, renamed, left_out })
}

/// The layer of what was written; none where nothing was. And how much has no form in it.
type Made = (Option<(Digest, LayerBlob)>, u64);

fn layer_of(session: &Session<'_>, written: Written<'_>, limits: &Limits) -> Result<Made, CommitError> {
    step("Read what the container has written, and make a layer of it");
    let mut pack = match written {
        Written::Upper(upper) => Pack::layer(upper, limits.layer_entries),
        Written::Copy(copy, changes, ids) => Pack::layer_of_copy(copy, changes, ids, limits.layer_entries),
    };
    // Whether it begins with anything at all.
    pack.fill_buf().map_err(reading)?;
    if pack.packed().entries == 0 {
        return Ok((None, pack.packed().left_out));
    }
    let options = UnpackOptions { devices: true, entries_max: limits.layer_entries };
    let made = session.make(&mut pack, options, limits).map_err(|error| match error {
        IngestError::Layer(LayerError::Read(source)) => reading(source),
        error => CommitError::Layer(error),
    })?;
    Ok((Some(made), pack.packed().left_out))
}

/// Why nothing more can be read of the container.
fn reading(error: io::Error) -> CommitError {
    match error.downcast::<PackError>() {
        Ok(error) => CommitError::Pack(error),
        Err(source) => CommitError::Layer(LayerError::Read(source).into()),
    }
}

/// The layers of an image with their compression, bottom first.
fn layers_of(session: &Session<'_>, id: Digest) -> Result<Vec<(Descriptor, Compression)>, CommitError> {
    let store = session.store();
    let manifest = store.image_record(id)?.manifest;
    let parsed = Manifest::parse(&store.read_blob(manifest)?, None);
    let Manifest::Image(image) = parsed.map_err(|source| CommitError::Manifest(manifest, source))? else {
        return Err(CommitError::Manifest(manifest, ManifestError::Ambiguous));
    };
    image.layers.into_iter().map(|layer| Ok((layer, compression_of(session, layer.digest)?))).collect()
}

/// What the first bytes of a blob say.
fn compression_of(session: &Session<'_>, blob: Digest) -> Result<Compression, StoreError> {
    let path = || session.store().root().join(BLOBS).join(blob.hex());
    let file = session.open_blob(blob)?.ok_or_else(|| StoreError::Missing { path: path() })?;
    beginning(&file).map_err(|source| StoreError::Read { path: path(), source })
}

fn beginning(file: &File) -> io::Result<Compression> {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 6];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(Compression::of(&bytes[..length]))
}
