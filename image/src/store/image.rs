//! One image of the store: what `run` needs of it, in one small file.
//!
//! `images/<id>.json` repeats the configuration and lists the layers' directories, so that finding an image
//! reads two files, and scans nothing. It is written before the index refers to the image; a promise on disk,
//! versioned.

use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::index::Brief;
use crate::archive::HighId;
use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::Reference;

/// An image that is in the store, whole.
#[derive(Debug, Clone)]
pub struct Image {
    /// Docker's image id: the digest of the configuration.
    pub id: Digest,
    /// Its names with a tag, in the order in which they came.
    pub tags: Vec<Reference>,
    /// Its names with a digest: what it was pulled as.
    pub pinned: Vec<Reference>,
    /// The digest of its manifest; the manifest is the blob of that name.
    pub manifest: Digest,
    /// The image that it was made of, where it was made here; docker's rule is that the parent stays as long as it does.
    pub parent: Option<Digest>,
    /// The configuration.
    pub config: ImageConfiguration,
    /// What docker's images say beyond that: `Healthcheck`, `Shell`.
    pub beyond: Beyond,
    /// The layers' directories for overlay, topmost first. Ids in them are 0-based.
    pub layers: Vec<PathBuf>,
    /// Owners and groups of 65536 and more that occur in the layers, each with a file that has it.
    pub high_ids: Vec<HighId>,
    /// Sum of the unpacked sizes of its layers in bytes, as docker counts it.
    pub size: u64,
}

impl Image {
    /// What it runs on.
    pub fn platform(&self) -> Platform {
        let config = &self.config;
        let os = config.os().to_string();
        Platform::new(&os, &config.architecture().to_string(), config.variant().as_deref())
    }

    /// Whether it is of this platform; one without a variant means any.
    pub fn is_of(&self, wanted: &Platform) -> bool {
        let its = self.platform();
        let variant = wanted.variant.is_none() || wanted.variant == its.variant;
        its.os == wanted.os && its.architecture == wanted.architecture && variant
    }
}

/// What the OCI image specification has no field for and docker has: found in `config` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Beyond {
    /// How to find out whether its program does what it is there for.
    pub healthcheck: Option<serde_json::Value>,
    /// What runs a command that is one text.
    pub shell: Option<Vec<String>>,
}

impl Beyond {
    /// Read from a configuration; what is of another form than docker's is not there.
    fn of(config: &RawValue) -> Beyond {
        #[derive(Deserialize)]
        struct Configuration {
            config: Option<Beyond>,
        }
        // The common image has neither: one look tells.
        let text = config.get();
        if !text.contains("\"Healthcheck\"") && !text.contains("\"Shell\"") {
            return Beyond::default();
        }
        serde_json::from_str::<Configuration>(text).ok().and_then(|found| found.config).unwrap_or_default()
    }
}

/// An image, as far as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// [`Image::id`].
    pub id: Digest,
    /// [`Image::tags`].
    pub tags: Vec<Reference>,
    /// [`Image::pinned`].
    pub pinned: Vec<Reference>,
    /// [`Image::parent`].
    pub parent: Option<Digest>,
    /// When it was built, as its configuration says it: RFC 3339.
    pub created: Option<String>,
    /// [`Image::size`], bytes.
    pub size: u64,
}

impl Overview {
    pub(crate) fn new(id: Digest, names: Vec<&Reference>, brief: Brief) -> Self {
        let (tags, pinned) = by_kind(names);
        let Brief { created, size, parent } = brief;
        Self { id, tags, pinned, parent, created, size }
    }

    /// What a list would show of it.
    pub fn of(image: &Image) -> Self {
        Self {
            id: image.id,
            tags: image.tags.clone(),
            pinned: image.pinned.clone(),
            parent: image.parent,
            created: image.config.created().clone(),
            size: image.size,
        }
    }
}

/// Names with a tag, and names with a digest.
fn by_kind(names: Vec<&Reference>) -> (Vec<Reference>, Vec<Reference>) {
    names.into_iter().cloned().partition(|name| name.digest().is_none())
}

/// `images/<id>.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) version: u32,
    pub(crate) manifest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Digest>,
    pub(crate) size: u64,
    /// Relative to the store's root, topmost first: `layers/<diff id>`, `chains/<chain id>`.
    pub(crate) layers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) high_ids: Vec<HighId>,
    /// The configuration, byte for byte as its digest has it if that was compact JSON.
    pub(crate) config: Box<RawValue>,
}

/// The version of [`ImageRecord`] that this code writes and reads.
pub(crate) const IMAGE_VERSION: u32 = 1;

impl ImageRecord {
    /// What a list shows of it.
    pub(crate) fn brief(&self) -> Brief {
        #[derive(Deserialize)]
        struct Configuration {
            created: Option<String>,
        }
        let created =
            serde_json::from_str(self.config.get()).ok().and_then(|Configuration { created }| created);
        // An image may say anything there, and of any length.
        let created = created.filter(|text| text.parse::<jiff::Timestamp>().is_ok());
        Brief { created, size: self.size, parent: self.parent }
    }

    /// The image, with its names.
    pub(crate) fn into_image(
        self,
        id: Digest,
        names: Vec<&Reference>,
        root: &Path,
    ) -> serde_json::Result<Image> {
        let (tags, pinned) = by_kind(names);
        Ok(Image {
            id,
            tags,
            pinned,
            manifest: self.manifest,
            parent: self.parent,
            config: serde_json::from_str(self.config.get())?,
            beyond: Beyond::of(&self.config),
            layers: self.layers.iter().map(|layer| tree_of(root, layer)).collect(),
            high_ids: self.high_ids,
            size: self.size,
        })
    }
}

/// The directory with the files of a layer or of a chain's extra layer.
fn tree_of(root: &Path, layer: &str) -> PathBuf {
    root.join(layer).join("tree")
}
