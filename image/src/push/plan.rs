//! What is to be pushed, and which other repositories of the registry may have it already.

use std::collections::{BTreeSet, HashSet};

use super::PushError;
use crate::digest::Digest;
use crate::manifest::{Descriptor, ImageManifest};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::save::{SaveError, open_blob, read_manifest};
use crate::store::Store;
use crate::store::index::{Index, ManifestDescriptor};

/// An image, and where it may be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: Digest,
    pub(super) manifest: ManifestDescriptor,
    /// The manifest itself.
    pub(super) bytes: Vec<u8>,
    /// Layers first, bottom first, and the configuration last; each once.
    pub(super) blobs: Vec<Source>,
}

/// A blob to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) blob: Descriptor,
    /// Other repositories of the same registry that it may be mounted from.
    pub(super) from: Vec<String>,
}

/// More repositories than this are not asked for a blob: each that has it not costs a request.
const FROM_MAX: usize = 3;

impl Plan {
    /// Reads the manifest, and looks whether all of its blobs are here.
    pub(super) fn of(
        store: &Store,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Self, PushError> {
        if reference.digest().is_some() {
            return Err(PushError::Digest);
        }
        let index = store.index()?;
        let Some(entry) = index.named(reference) else {
            let mut names = index.entries.iter().filter_map(|entry| entry.name.as_ref());
            return Err(match names.any(|name| name.tag().is_some() && name.same_repository(reference)) {
                true => PushError::NoTag(reference.familiar()),
                false => PushError::NoRepository(reference.familiar_name()),
            });
        };
        if let Some(wanted) = platform
            && !store.image(&index, entry.id)?.is_of(wanted)
        {
            return Err(SaveError::Platform { name: reference.familiar(), wanted: wanted.clone() }.into());
        }
        let bytes = store.read_blob(entry.manifest.digest)?;
        let manifest = read_manifest(store, &entry.manifest)?;
        let others: Vec<(String, HashSet<Digest>)> = candidates(&index, reference)
            .into_iter()
            .filter_map(|(repository, manifest)| {
                // One that cannot be read is no reason not to push another.
                let manifest = read_manifest(store, manifest).ok()?;
                Some((
                    repository,
                    manifest.layers.iter().chain([&manifest.config]).map(|blob| blob.digest).collect(),
                ))
            })
            .collect();
        let blobs = sources(&manifest, &others);
        for source in &blobs {
            open_blob(store, source.blob)?;
        }
        Ok(Self { id: entry.id, manifest: entry.manifest.clone(), bytes, blobs })
    }

    /// The blobs without the configuration.
    pub(super) fn layers(&self) -> Vec<Descriptor> {
        self.blobs.iter().take(self.blobs.len() - 1).map(|source| source.blob).collect()
    }

    /// All repositories that something may be mounted from.
    pub(super) fn from(&self) -> BTreeSet<&str> {
        self.blobs.iter().flat_map(|source| source.from.iter().map(String::as_str)).collect()
    }
}

/// Repositories of the same registry, with a manifest that they probably have: those from where something was pulled, or to
/// where it was pushed, which has given it a name by digest. The last ones first. PURE.
fn candidates<'a>(index: &'a Index, reference: &Reference) -> Vec<(String, &'a ManifestDescriptor)> {
    let mut found: Vec<(String, &ManifestDescriptor)> = Vec::new();
    for entry in index.entries.iter().rev() {
        let Some(name) = entry.name.as_ref().filter(|name| name.digest().is_some()) else { continue };
        let is_other = name.registry() == reference.registry() && !name.same_repository(reference);
        if is_other && !found.iter().any(|(_, manifest)| *manifest == &entry.manifest) {
            found.push((name.repository().to_owned(), &entry.manifest));
        }
    }
    found
}

/// Each blob once, with the repositories that have it. PURE.
fn sources(manifest: &ImageManifest, others: &[(String, HashSet<Digest>)]) -> Vec<Source> {
    let mut seen = HashSet::from([manifest.config.digest]);
    let layers = manifest.layers.iter().filter(|blob| seen.insert(blob.digest));
    let source = |blob: &Descriptor| {
        let mut from: Vec<String> = Vec::new();
        // One of which several images are known is asked once.
        for (repository, blobs) in others {
            if from.len() < FROM_MAX && blobs.contains(&blob.digest) && !from.contains(repository) {
                from.push(repository.clone());
            }
        }
        Source { blob: *blob, from }
    };
    layers.chain([&manifest.config]).map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn blob(text: &str) -> Descriptor {
        Descriptor { digest: Digest::of(text.as_bytes()), size: text.len() as u64 }
    }

    #[test]
    fn each_blob_is_sent_once_and_sought_where_it_may_be() {
        let manifest = ImageManifest {
            media_type: String::new(),
            config: blob("config"),
            layers: vec![blob("a"), blob("b"), blob("a")],
        };
        let has = |name: &str, blobs: &[&str]| {
            (name.to_owned(), blobs.iter().map(|text| blob(text).digest).collect())
        };
        let others = [
            has("x", &["a"]),
            has("x", &["a", "b"]),
            has("y", &["a", "config"]),
            has("x", &["a"]),
            has("z", &[]),
        ];
        let expected: Vec<Source> = [("a", &["x", "y"][..]), ("b", &["x"]), ("config", &["y"])]
            .into_iter()
            .map(|(text, from)| Source {
                blob: blob(text),
                from: from.iter().map(|&name| name.into()).collect(),
            })
            .collect();
        assert_eq!(sources(&manifest, &others), expected);
        let many: Vec<_> = (0..9).map(|number| has(&number.to_string(), &["a"])).collect();
        assert_eq!(sources(&manifest, &many)[0].from.len(), FROM_MAX);
    }

    #[test]
    fn blobs_are_sought_where_a_registry_is_known_to_have_them() {
        let descriptor = |text: &str| {
            let Descriptor { digest, size } = blob(text);
            ManifestDescriptor { media_type: "m".into(), digest, size }
        };
        let mut index = Index::default();
        for (id, name) in [
            ("1", "h:5000/tagged:1".to_owned()),
            ("2", format!("h:5000/other@{}", blob("2").digest)),
            ("3", format!("h:5000/own@{}", blob("3").digest)),
            ("4", format!("h:6000/elsewhere@{}", blob("4").digest)),
            ("5", format!("h:5000/latest@{}", blob("5").digest)),
        ] {
            index.add(blob(id).digest, &descriptor(id), &[name.parse().unwrap()]);
        }
        let found = candidates(&index, &"h:5000/own:2".parse().unwrap());
        let expected = [("latest".to_owned(), &descriptor("5")), ("other".to_owned(), &descriptor("2"))];
        assert_eq!(found, expected);
    }
}
