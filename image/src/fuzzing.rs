//! Ways in for the fuzz targets (`tests/fuzz`): what reads hostile bytes here and is nobody else's business. Not built without the
//! feature `fuzzing`.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::archive::confined::ZeroUmask;
use crate::archive::unpack::{UnpackOptions, unpack_sharing};
use crate::digest::Digest;
use crate::layer::inflate::Inflate;
use crate::limits::Limits;
use crate::manifest::{Manifest, diff_ids};
use crate::op::OpError;
use crate::registry::challenge::Challenge;
use crate::registry::credential::Credential;
use crate::store::disk::Place;
use crate::store::image::ImageRecord;
use crate::store::index::Index;
use crate::{ConfigError, CredentialError, Image, ManifestError, UnpackError};

/// Unpacks a layer as a pull does, into the directory `name` of `place`, which must not exist yet.
///
/// The calling thread's umask is zero afterwards.
///
/// # Errors
/// The layer is refused. What was unpacked before stays.
///
/// # Panics
/// Where the place cannot be used.
pub fn unpack_layer(archive: &[u8], place: &Path, name: &str) -> Result<(), UnpackError> {
    let tree = open(place).make_tree(name).expect("a tree can be made in an empty place");
    let umask = ZeroUmask::on_this_thread().expect("a thread may have a umask of its own");
    let options = UnpackOptions { devices: true, entries_max: 10_000 };
    // From the first file on: the archives are small.
    unpack_sharing(0, archive, tree, umask, options).map(drop)
}

/// Removes a tree as the store does.
///
/// # Errors
/// The kernel refused something.
pub fn remove_tree(place: &Path, name: &str) -> Result<(), OpError> {
    open(place).remove_all(name)
}

fn open(place: &Path) -> Place {
    Place::open_root(place).ok().flatten().expect("the place is there")
}

/// Undoes the compression of a stream that comes in pieces of at most `piece` bytes; no more than `max` bytes of it. With them, whether
/// the stream was whole.
pub fn inflate(stream: &[u8], piece: usize, max: u64) -> (Vec<u8>, bool) {
    let input = BufReader::with_capacity(piece, stream);
    let Ok(inflate) = Inflate::new(input, Limits::default().zstd_window_log) else {
        return (Vec::new(), false);
    };
    let mut output = Vec::new();
    let read: io::Result<usize> = inflate.take(max).read_to_end(&mut output);
    (output, read.is_ok())
}

/// Reads a manifest or an index; `content_type` is what a registry calls it.
///
/// # Errors
/// It is refused.
pub fn manifest(
    bytes: &[u8],
    content_type: Option<&str>,
) -> Result<impl fmt::Debug + PartialEq, ManifestError> {
    Manifest::parse(bytes, content_type)
}

/// Reads an image's configuration.
///
/// # Errors
/// It is refused.
pub fn config(bytes: &[u8], layers: usize) -> Result<Vec<Digest>, ConfigError> {
    diff_ids(bytes, layers)
}

/// Reads the store's file about an image.
///
/// # Errors
/// It is no such file.
pub fn image_record(bytes: &[u8]) -> serde_json::Result<Image> {
    let record: ImageRecord = serde_json::from_slice(bytes)?;
    record.into_image(Digest::of(bytes), Vec::new(), Path::new("/"))
}

/// Reads the store's `index.json`, and writes it again.
///
/// # Errors
/// It is no index.
pub fn index(bytes: &[u8]) -> serde_json::Result<Vec<u8>> {
    Ok(Index::parse(bytes)?.to_json())
}

/// The ways to authenticate that a header offers: the realms of those that hand out tokens, and whether a password will do.
pub fn challenges(header: &str) -> (Vec<String>, bool) {
    let mut realms = Vec::new();
    let mut password = false;
    for challenge in Challenge::parse([header].into_iter()) {
        match challenge {
            Challenge::Bearer { realm, .. } => realms.push(realm),
            Challenge::Basic => password = true,
        }
    }
    (realms, password)
}

/// Looks a registry up in docker's `config.json`, and starts the helper that this may name. Says whether there is something to show.
///
/// # Errors
/// The file is not docker's.
pub fn has_credential(config: &[u8], registry: &str) -> Result<bool, CredentialError> {
    Credential::find(config, registry).map(|found| found.is_some())
}
