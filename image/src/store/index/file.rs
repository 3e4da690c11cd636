//! How `index.json` is written, and read: all of it, or as much as a look-up needs. PURE.

use std::borrow::Cow;
use std::collections::HashSet;

#[cfg(target_arch = "aarch64")]
use memchr::arch::aarch64::neon::packedpair;
use memchr::arch::all::rabinkarp;
#[cfg(target_arch = "x86_64")]
use memchr::arch::x86_64::sse2::packedpair;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Brief, Index, IndexEntry, ManifestDescriptor, is_prefix, wanted};
use crate::digest::Digest;
use crate::reference::Reference;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexFile<'a, M> {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    media_type: Option<Cow<'a, str>>,
    manifests: Vec<M>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    // Not `ManifestDescriptor` flattened: serde would copy everything first, and `run` waits for this.
    #[serde(borrow)]
    media_type: Cow<'a, str>,
    digest: Digest,
    size: u64,
    #[serde(borrow)]
    annotations: Annotations<'a>,
}

#[derive(Serialize, Deserialize)]
struct Annotations<'a> {
    /// OCI's annotation for a descriptor's name (annotations.md).
    #[serde(
        rename = "org.opencontainers.image.ref.name",
        default,
        skip_serializing_if = "Option::is_none",
        borrow
    )]
    ref_name: Option<Cow<'a, str>>,
    /// The image's id.
    #[serde(rename = "io.github.mini-containers.image.id")]
    id: Digest,
    /// A name by digest, which OCI's annotation cannot hold: the digest may be an index's and not the
    /// manifest's.
    #[serde(
        rename = "io.github.mini-containers.image.pinned",
        default,
        skip_serializing_if = "Option::is_none",
        borrow
    )]
    pinned: Option<Cow<'a, str>>,
    /// OCI's annotation for when an image was built (annotations.md).
    #[serde(
        rename = "org.opencontainers.image.created",
        default,
        skip_serializing_if = "Option::is_none",
        borrow
    )]
    created: Option<Cow<'a, str>>,
    /// [`Brief::size`], in decimal digits: an annotation is text. Where it is missing, the brief is.
    #[serde(
        rename = "io.github.mini-containers.image.size",
        default,
        skip_serializing_if = "Option::is_none",
        borrow
    )]
    size: Option<Cow<'a, str>>,
    #[serde(
        rename = "io.github.mini-containers.image.parent",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    parent: Option<Digest>,
}

impl Annotations<'_> {
    fn name(&self) -> Option<&str> {
        self.pinned.as_deref().or(self.ref_name.as_deref())
    }

    fn brief(&self) -> Option<Brief> {
        let size = self.size.as_deref()?.parse().ok()?;
        Some(Brief { created: self.created.as_deref().map(str::to_owned), size, parent: self.parent })
    }
}

impl Index {
    /// Reads `index.json`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // One look is enough where all is ours, as it mostly is: whoever looks a name up waits for this.
        if let Ok(IndexFile { manifests, .. }) = serde_json::from_slice(bytes)
            && let Some(entries) = manifests.into_iter().map(IndexEntry::of).collect()
        {
            return Ok(Self { entries, foreign: Vec::new() });
        }
        let file: IndexFile<'_, &RawValue> = serde_json::from_slice(bytes)?;
        let mut index = Self::default();
        for raw in file.manifests {
            match serde_json::from_str(raw.get()).ok().and_then(IndexEntry::of) {
                Some(entry) => index.entries.push(entry),
                None => index.foreign.push(raw.to_owned()),
            }
        }
        Ok(index)
    }

    /// As much of it as [`Index::find`] needs to find `text`: what is said of other images is not even looked at, where nothing
    /// is written otherwise than [`Index::to_json`] writes it.
    pub(crate) fn parse_for(
        bytes: &[u8],
        text: &str,
        reference: Option<&Reference>,
    ) -> Result<Self, serde_json::Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        // Both with the quotation mark that they begin with: no name is found at the end of another one.
        let name = reference.map(|reference| format!("\"{}\"", wanted(reference)));
        let id = is_prefix(digits).then(|| format!("\"sha256:{digits}"));
        // Nothing is said to be missing, or ambiguous, before all of it has been read.
        match Self::search(bytes, name.iter().chain(&id)) {
            Some(entries) => Ok(Self { entries, foreign: Vec::new() }),
            None => Self::parse(bytes),
        }
    }

    /// All entries of the one image that has these texts in some of them; `None` where that cannot be told without reading all.
    fn search<'a>(bytes: &[u8], texts: impl Iterator<Item = &'a String>) -> Option<Vec<IndexEntry>> {
        // Where a character may be written as another, a text cannot be searched for.
        if bytes.contains(&b'\\') {
            return None;
        }
        let mut ids = HashSet::new();
        for text in texts {
            ids.extend(entries_with(bytes, text)?.into_iter().map(|entry| entry.id));
        }
        // Each one would be another search through all of it, and a short prefix may begin many.
        let mut ids = ids.into_iter();
        let (Some(id), None) = (ids.next(), ids.next()) else { return None };
        let mut entries = entries_with(bytes, &format!("\"{id}\""))?;
        entries.retain(|entry| entry.id == id);
        Some(entries)
    }

    /// The content of `index.json`.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let ours: Vec<Box<RawValue>> = self.entries.iter().map(IndexEntry::to_raw).collect();
        let file = IndexFile {
            schema_version: 2,
            media_type: Some("application/vnd.oci.image.index.v1+json".into()),
            manifests: ours.iter().chain(&self.foreign).map(|raw| &**raw).collect(),
        };
        serde_json::to_vec(&file).expect("strings and numbers become JSON")
    }
}

/// The entries in which a text stands that begins with a quotation mark, each once; `None` where it stands anywhere else. Without
/// a backslash in the file no string has such a mark in it.
fn entries_with(bytes: &[u8], text: &str) -> Option<Vec<IndexEntry>> {
    /// Where an entry begins, as it is written here.
    const BEGINNING: &[u8] = b"{\"mediaType\":";
    let mut entries = Vec::new();
    let mut end = 0;
    while let Some(at) = find(&bytes[end..], text.as_bytes()).map(|at| end + at + 1) {
        let begin = end + memmem::rfind(&bytes[end..at], BEGINNING)?;
        let mut values = serde_json::Deserializer::from_slice(&bytes[begin..]).into_iter();
        entries.push(IndexEntry::of(values.next()?.ok()?)?);
        end = begin + values.byte_offset();
        if end < at {
            return None;
        }
    }
    Some(entries)
}

/// Where it first stands. As `memmem::find`, with the vectors that every processor of the kind has: that one asks for better ones
/// first, and each `cpuid` is an exit out of a virtual machine, which takes longer than the whole search.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    match packedpair::Finder::new(text) {
        Some(finder) if bytes.len() >= finder.min_haystack_len() => finder.find(bytes, text),
        _ => rabinkarp::Finder::new(text).find(bytes, text),
    }
}

impl IndexEntry {
    /// `None` where its name is none.
    fn of(descriptor: Descriptor<'_>) -> Option<Self> {
        let Descriptor { media_type, digest, size, annotations } = descriptor;
        let manifest = ManifestDescriptor { media_type: media_type.into_owned(), digest, size };
        let brief = annotations.brief();
        let name = match annotations.name() {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        };
        Some(Self { id: annotations.id, name, manifest, brief })
    }

    fn to_raw(&self) -> Box<RawValue> {
        let name = self.name.as_ref().map(Reference::to_string).map(Cow::Owned);
        let (pinned, ref_name) = match &self.name {
            Some(reference) if reference.digest().is_some() => (name, None),
            _ => (None, name),
        };
        let brief = self.brief.as_ref();
        let annotations = Annotations {
            ref_name,
            id: self.id,
            pinned,
            created: brief.and_then(|brief| brief.created.as_deref()).map(Cow::Borrowed),
            size: brief.map(|brief| Cow::Owned(brief.size.to_string())),
            parent: brief.and_then(|brief| brief.parent),
        };
        let ManifestDescriptor { media_type, digest, size } = &self.manifest;
        let descriptor =
            Descriptor { media_type: media_type.into(), digest: *digest, size: *size, annotations };
        serde_json::value::to_raw_value(&descriptor).expect("strings and numbers become JSON")
    }
}
