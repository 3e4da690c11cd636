//! Which images an archive holds: docker's `manifest.json`, or an OCI image layout's `index.json`.

use serde::Deserialize;

use super::spool::{Extent, Spool};
use super::{LoadError, LoadOptions, legacy, parents};
use crate::digest::Digest;
use crate::layer::inflate::Compression;
use crate::manifest::{Descriptor, IndexItem, Manifest, diff_ids};
use crate::platform::Platform;
use crate::reference::Reference;

/// One image of an archive.
#[derive(Debug, Clone)]
pub(super) struct ImagePlan {
    pub(super) config: Vec<u8>,
    pub(super) diff_ids: Vec<Digest>,
    /// Bottom first.
    pub(super) layers: Vec<LayerPlan>,
    /// Media type and bytes; docker's archives have none.
    pub(super) manifest: Option<(String, Vec<u8>)>,
    pub(super) names: Vec<Reference>,
    /// The image that it was made of, another one of the archive.
    pub(super) parent: Option<Digest>,
}

/// One layer of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerPlan {
    pub(super) diff_id: Digest,
    pub(super) extent: Extent,
    /// Where it is known beforehand.
    pub(super) blob: Option<Digest>,
}

/// An element of docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerItem {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
    /// docker's own addition, where the parent is in the archive too.
    parent: Option<String>,
}

const DOCKER_MANIFEST: &str = "manifest.json";
const OCI_INDEX: &str = "index.json";
/// Indexes may hold indexes; images are never deeper than this.
const DEPTH_MAX: usize = 4;

/// The images of the archive: `manifest.json` counts where both are there, as with docker.
pub(super) fn images(spool: &Spool, options: &LoadOptions) -> Result<Vec<ImagePlan>, LoadError> {
    let max = options.limits.manifest_bytes;
    if let Some(json) = spool.read(DOCKER_MANIFEST, max)? {
        let items: Vec<DockerItem> = serde_json::from_slice(&json)
            .map_err(|source| LoadError::Json { name: DOCKER_MANIFEST.to_owned(), source })?;
        let images = items.into_iter().map(|item| docker_image(spool, item, options));
        return images.collect::<Result<_, _>>().map(parents::checked);
    }
    if spool.find("oci-layout").is_none() {
        return match spool.read(legacy::REPOSITORIES, max)? {
            Some(json) => legacy::images(spool, &json, options),
            None => Err(LoadError::NoArchive),
        };
    }
    let json = spool.read(OCI_INDEX, max)?.ok_or_else(|| LoadError::Missing(OCI_INDEX.to_owned()))?;
    let mut images = Vec::new();
    oci_images(spool, &json, None, 0, options, &mut images)?;
    if images.is_empty() {
        return Err(LoadError::NoPlatform(options.platform.clone()));
    }
    Ok(images)
}

fn docker_image(spool: &Spool, item: DockerItem, options: &LoadOptions) -> Result<ImagePlan, LoadError> {
    let missing = |name: &str| LoadError::Missing(name.to_owned());
    let config =
        spool.read(&item.config, options.limits.config_bytes)?.ok_or_else(|| missing(&item.config))?;
    let layer_names = item.layers.unwrap_or_default();
    let diff_ids = diff_ids(&config, layer_names.len())?;
    let mut layers = Vec::new();
    for (name, diff_id) in layer_names.iter().zip(&diff_ids) {
        let extent = spool.find(name).ok_or_else(|| missing(name))?;
        // A layer that is not compressed is its own blob.
        let is_plain = spool.compression(extent)? == Compression::Plain;
        layers.push(LayerPlan { diff_id: *diff_id, extent, blob: is_plain.then_some(*diff_id) });
    }
    let names = item.repo_tags.unwrap_or_default().iter().map(|tag| name(tag)).collect::<Result<_, _>>()?;
    let parent = item.parent.and_then(|id| id.parse().ok());
    Ok(ImagePlan { config, diff_ids, layers, manifest: None, names, parent })
}

/// Follows an index. With several platforms the best counts; images without a platform are all meant.
fn oci_images(
    spool: &Spool,
    json: &[u8],
    named: Option<&IndexItem>,
    depth: usize,
    options: &LoadOptions,
    images: &mut Vec<ImagePlan>,
) -> Result<(), LoadError> {
    let items = match Manifest::parse(json, None)? {
        Manifest::Image(_) => return Err(LoadError::NoArchive),
        Manifest::Index(items) => items,
    };
    for item in &items {
        if !is_wanted(item, &items, &options.platform) {
            continue;
        }
        // Inside an index that has a name, the images are that name's platforms.
        let named = if item.ref_name.is_some() || item.image_name.is_some() { Some(item) } else { named };
        let bytes = blob(spool, item.manifest, options.limits.manifest_bytes)?;
        match Manifest::parse(&bytes, Some(&item.media_type))? {
            Manifest::Index(_) if depth == DEPTH_MAX => return Err(LoadError::TooDeep),
            Manifest::Index(_) => oci_images(spool, &bytes, named, depth + 1, options, images)?,
            Manifest::Image(manifest) => {
                let config = blob(spool, manifest.config, options.limits.config_bytes)?;
                let diff_ids = diff_ids(&config, manifest.layers.len())?;
                let mut layers = Vec::new();
                for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
                    let extent = extent_of(spool, *layer)?;
                    layers.push(LayerPlan { diff_id: *diff_id, extent, blob: Some(layer.digest) });
                }
                let names = names(named)?;
                images.push(ImagePlan {
                    config,
                    diff_ids,
                    layers,
                    manifest: Some((manifest.media_type, bytes)),
                    names,
                    parent: None,
                });
            }
        }
    }
    Ok(())
}

/// Whether an item of an index is to be loaded: of those that are one image for several platforms, the one
/// that fits.
fn is_wanted(item: &IndexItem, items: &[IndexItem], platform: &Platform) -> bool {
    if item.platform.is_none() {
        return true;
    }
    let same_name: Vec<&IndexItem> = items
        .iter()
        .filter(|other| (&other.ref_name, &other.image_name) == (&item.ref_name, &item.image_name))
        .collect();
    let offered: Vec<Option<Platform>> = same_name.iter().map(|other| other.platform.clone()).collect();
    platform.choose(&offered).is_some_and(|best| std::ptr::eq(same_name[best], item))
}

/// The annotation of containerd and docker is a whole name; OCI's may be one too (skopeo, umoci), or a tag
/// alone, which then becomes the name.
fn names(item: Option<&IndexItem>) -> Result<Vec<Reference>, LoadError> {
    let text = item.and_then(|item| item.image_name.as_ref().or(item.ref_name.as_ref()));
    text.map(|text| name(text)).into_iter().collect()
}

pub(super) fn name(text: &str) -> Result<Reference, LoadError> {
    let reference: Reference =
        text.parse().map_err(|source| LoadError::Name { name: text.to_owned(), source })?;
    Ok(reference.with_default_tag())
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A small blob, verified.
fn blob(spool: &Spool, descriptor: Descriptor, max: u64) -> Result<Vec<u8>, LoadError> {
    extent_of(spool, descriptor)?;
    let name = blob_name(descriptor.digest);
    let bytes = spool.read(&name, max)?.ok_or_else(|| LoadError::Missing(name.clone()))?;
    let actual = Digest::of(&bytes);
    if actual != descriptor.digest {
        return Err(LoadError::Digest { name, actual });
    }
    Ok(bytes)
}

fn extent_of(spool: &Spool, descriptor: Descriptor) -> Result<Extent, LoadError> {
    let name = blob_name(descriptor.digest);
    let Some(extent) = spool.find(&name) else { return Err(LoadError::Missing(name)) };
    if extent.size != descriptor.size {
        return Err(LoadError::Size { name, expected: descriptor.size, actual: extent.size });
    }
    Ok(extent)
}
