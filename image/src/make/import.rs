//! `mini import`: an archive of files becomes an image of one layer.

use std::io::{self, BufReader, Read};

use super::{About, New, config};
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::layer::LayerError;
use crate::layer::inflate::{Compression, Inflate};
use crate::layer::ingest::{IngestError, LayerBlob};
use crate::limits::Limits;
use crate::manifest::{ConfigError, Descriptor, compose};
use crate::op::step;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::chain::StackError;
use crate::store::commit::NewImage;
use crate::store::session::Session;
use crate::store::{Store, StoreError};

/// What to make.
#[derive(Debug)]
pub struct ImportOptions {
    /// What it runs on.
    pub platform: Platform,
    /// What it is to be called.
    pub name: Option<Reference>,
    /// What it says about itself.
    pub about: About,
    /// How much an archive may have.
    pub limits: Limits,
}

/// Why no image was made. The store is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive cannot be read: it is cut short, or not what its first bytes say.
    #[error("reading the archive")]
    Read(#[source] io::Error),
    /// A compression that cannot be undone here.
    #[error("the archive has {0} compression; give it plain, with gzip or with zstd")]
    Compression(Compression),
    /// What is in the archive makes no layer.
    #[error("making a layer")]
    Layer(#[source] IngestError),
    /// The new configuration makes no sense.
    #[error("the new image's configuration")]
    Config(#[from] ConfigError),
    /// The layer does not make an image.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an image of the archive in `input`, plain, gzip or zstd.
///
/// # Errors
/// The archive is malformed or malicious, or the store cannot be written. Nothing becomes visible then.
pub fn import(store: &Store, input: impl Read, options: ImportOptions) -> Result<New, ImportError> {
    let session = store.session()?;
    let made = import_in(&session, input, options);
    drop(session);
    if made.is_err() {
        // The error is the cause; what stays is found by the next sweep.
        let _swept = store.sweep();
    }
    made
}

fn import_in(session: &Session<'_>, input: impl Read, options: ImportOptions) -> Result<New, ImportError> {
    let ImportOptions { platform, name, about, limits } = options;
    step("Read the archive, and make a layer of it");
    let input = BufReader::with_capacity(256 * 1024, input);
    let tar = Inflate::new(input, limits.zstd_window_log).map_err(|refused| match refused {
        Ok(compression) => ImportError::Compression(compression),
        Err(error) => ImportError::Read(error),
    })?;
    let unpack = UnpackOptions { devices: true, entries_max: limits.layer_entries };
    let made = session.make(tar, unpack, &limits).map_err(|error| match error {
        IngestError::Layer(LayerError::Read(source)) => ImportError::Read(source),
        error => ImportError::Layer(error),
    })?;
    let (diff_id, LayerBlob { digest, size, compression }) = made;
    let json = config::orphan(&platform, &about, diff_id)?;
    let own = Descriptor { digest: Digest::of(&json), size: json.len() as u64 };
    let (media_type, manifest) = compose(own, &[(Descriptor { digest, size }, compression)]);
    let new = NewImage {
        config: json,
        manifest,
        media_type,
        diff_ids: vec![diff_id],
        names: name.map(Reference::with_default_tag).into_iter().collect(),
        parent: None,
    };
    let id = new.id();
    let renamed = session.commit(&[new])?;
    Ok(New { id, renamed, left_out: 0 })
}
