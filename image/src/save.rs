//! `mini save`: images of the store as one archive, an OCI image layout and docker's own form at once.
//!
//! ```text
//! oci-layout  index.json      the OCI image layout (image-layout.md of the OCI image spec)
//! manifest.json               docker's list of images, in which layers are files of blobs/
//! blobs/sha256/…              as they lie in the store: compressed as they came, each once
//! ```
//!
//! docker 25 and later write the same, and everybody reads one of the two lists. The same images give the same
//! bytes. Each blob's digest is computed while it is written: a damaged store becomes no archive.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::archive::write::{BLOCK, END, Written, headers};
use crate::digest::{Digest, Hasher};
use crate::layer::blob::{FilePieces, Pieces};
use crate::manifest::{Descriptor, ImageManifest, Manifest, ManifestError};
use crate::op::step;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::image::Image;
use crate::store::index::{FoundBy, Index, ManifestDescriptor};
use crate::store::lock::Lock;
use crate::store::{BLOBS, ResolveError, Store, StoreError, resolve};

/// Images that are about to be written. While it lives, nobody takes what it needs for garbage.
#[derive(Debug)]
pub struct Save<'a> {
    store: &'a Store,
    _active: Lock,
    images: Vec<Saved>,
    /// In the order in which they are written.
    texts: [(&'static str, Vec<u8>); 3],
    blobs: Vec<Descriptor>,
}

/// An image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its id.
    pub id: Digest,
    /// The names that it has there; none where it was asked for by id or by digest.
    pub names: Vec<Reference>,
}

/// Why images cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no such image.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The store has the image of another platform; docker's words.
    #[error("image with reference {name} was found but does not provide the specified platform ({wanted})")]
    Platform {
        /// The image as it was asked for.
        name: String,
        /// The platform that was asked for.
        wanted: Platform,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest of the store makes no sense.
    #[error("the manifest {digest} of the store")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// A blob is not what its name says.
    #[error("the blob {digest} of the store is damaged: it has the digest {actual}")]
    Damaged {
        /// Its name.
        digest: Digest,
        /// Its content's digest.
        actual: Digest,
    },
    /// A blob is not as long as the manifest says.
    #[error("the blob {digest} of the store is damaged: it has {actual} bytes of {expected}")]
    Size {
        /// Its name.
        digest: Digest,
        /// The manifest's size, in bytes.
        expected: u64,
        /// Its size, in bytes.
        actual: u64,
    },
    /// A blob cannot be read.
    #[error("reading the blob {digest} of the store")]
    Read {
        /// Its name.
        digest: Digest,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

impl<'a> Save<'a> {
    /// Finds the images, by name, by id or by the beginning of one, and everything that they consist of. A name without a tag
    /// means all tags of its repository, as with docker.
    ///
    /// # Errors
    /// There is no such image, it is of another platform, or the store is damaged.
    pub fn find(store: &'a Store, names: &[String], platform: Option<&Platform>) -> Result<Self, SaveError> {
        let active = store.activity()?;
        let index = store.index()?;
        let mut images: Vec<Saved> = Vec::new();
        let mut parents = HashMap::new();
        for name in names {
            for (id, reference) in wanted(&index, name)? {
                let image = store.image(&index, id)?;
                if let Some(wanted) = platform.filter(|platform| !image.is_of(platform)) {
                    return Err(SaveError::Platform { name: name.clone(), wanted: wanted.clone() });
                }
                parents.insert(image.id, image.parent);
                add(&mut images, &image, reference);
            }
        }
        let (mut described, mut listed, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for image in &images {
            let entry = index.entries.iter().find(|entry| entry.id == image.id);
            let descriptor = &entry.expect("images are found by their entries").manifest;
            let manifest = read_manifest(store, descriptor)?;
            described.extend(descriptors(descriptor, &image.names));
            let parent = parents[&image.id].filter(|id| parents.contains_key(id));
            listed.push(docker_item(&manifest, &image.names, parent));
            let own = Descriptor { digest: descriptor.digest, size: descriptor.size };
            let all = [own, manifest.config].into_iter().chain(manifest.layers);
            blobs.extend(all.filter(|blob| seen.insert(blob.digest)));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": described,
        });
        let texts = [
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json", index.to_string().into_bytes()),
            ("manifest.json", Value::from(listed).to_string().into_bytes()),
        ];
        let save = Self { store, _active: active, images, texts, blobs };
        // What is missing is told before a byte is written.
        save.blobs.iter().try_for_each(|blob| open_blob(store, *blob).map(drop))?;
        Ok(save)
    }

    /// What the archive has, in its order.
    pub fn images(&self) -> &[Saved] {
        &self.images
    }

    /// How many bytes the archive has.
    pub fn size(&self) -> u64 {
        let member = |size: u64| 512 + size.next_multiple_of(512);
        let texts = self.texts.iter().map(|(_, text)| member(text.len() as u64));
        let blobs = self.blobs.iter().map(|blob| member(blob.size));
        texts.chain(blobs).sum::<u64>() + 2 * member(0) + END.len() as u64
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// A blob is damaged, or `out` takes no more. What was written by then is no archive: it has no end.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), SaveError> {
        step("Write the images as one archive, and compute each blob's digest on the way");
        for (name, text) in &self.texts {
            let mut bytes = tar_header(name, FILE.mode, text.len() as u64);
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(tar_padding(text.len() as u64));
            out.write_all(&bytes).map_err(SaveError::Write)?;
        }
        let mut directories = Vec::new();
        for path in [&b"blobs/"[..], b"blobs/sha256/"] {
            headers(&Written { kind: b'5', path, mode: 0o755, ..FILE }, &mut directories);
        }
        out.write_all(&directories).map_err(SaveError::Write)?;
        self.blobs.iter().try_for_each(|blob| self.write_blob(*blob, out))?;
        out.write_all(&END).map_err(SaveError::Write)
    }

    fn write_blob(&self, blob: Descriptor, out: &mut dyn Write) -> Result<(), SaveError> {
        let mut pieces = FilePieces::new(open_blob(self.store, blob)?, 0, blob.size);
        let header = tar_header(&path(blob.digest), FILE.mode, blob.size);
        out.write_all(&header).map_err(SaveError::Write)?;
        let mut hasher = Hasher::default();
        let mut length = 0;
        let read = |source| SaveError::Read { digest: blob.digest, source };
        while let Some(piece) = pieces.next_piece().map_err(read)? {
            hasher.update(&piece);
            length += piece.len() as u64;
            out.write_all(&piece).map_err(SaveError::Write)?;
        }
        let actual = hasher.finish();
        if (actual, length) != (blob.digest, blob.size) {
            return Err(SaveError::Damaged { digest: blob.digest, actual });
        }
        out.write_all(tar_padding(length)).map_err(SaveError::Write)
    }
}

impl Store {
    /// Removes what was kept only because it was being saved.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn saved(&self, save: Save<'_>) -> Result<(), StoreError> {
        drop(save);
        self.sweep().map(drop)
    }
}

/// The header of a file in a plain archive: root's, of no time. Its data follow, filled up with zeros to whole blocks of 512 bytes.
pub fn tar_header(path: &str, mode: u32, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    headers(&Written { path: path.as_bytes(), mode, size, ..FILE }, &mut bytes);
    bytes
}

/// The zeros that fill the last block of so many bytes of data.
pub fn tar_padding(size: u64) -> &'static [u8] {
    let rest = size.next_multiple_of(BLOCK as u64) - size;
    &END[..usize::try_from(rest).expect("less than a block")]
}

/// What ends such an archive.
pub const TAR_END: [u8; 2 * BLOCK] = END;

/// A file of the archive: root's, of no time.
const FILE: Written<'static> = Written { mode: 0o644, ..Written::PLAIN };

fn path(blob: Digest) -> String {
    format!("{BLOBS}/{}", blob.hex())
}

/// The images that a word means, each with the name that it is to have.
fn wanted(index: &Index, word: &str) -> Result<Vec<(Digest, Option<Reference>)>, ResolveError> {
    let reference = word.parse::<Reference>().ok();
    let repository =
        reference.as_ref().filter(|reference| reference.tag().is_none() && reference.digest().is_none());
    let tagged = index.entries.iter().filter_map(|entry| {
        let name = entry.name.as_ref()?;
        let is_its = name.digest().is_none() && name.same_repository(repository?);
        is_its.then(|| (entry.id, Some(name.clone())))
    });
    let tagged: Vec<_> = tagged.collect();
    if !tagged.is_empty() {
        return Ok(tagged);
    }
    let (id, by) = resolve::locate(index, word)?;
    let named = reference.filter(|reference| by == FoundBy::Name && reference.digest().is_none());
    Ok(vec![(id, named)])
}

/// Each image once, with all names that it was asked for by.
fn add(images: &mut Vec<Saved>, image: &Image, name: Option<Reference>) {
    let at = images.iter().position(|saved| saved.id == image.id).unwrap_or_else(|| {
        images.push(Saved { id: image.id, names: Vec::new() });
        images.len() - 1
    });
    let names = &mut images[at].names;
    names.extend(name.filter(|name| !names.contains(name)));
}

/// A blob of the right length, to be read.
pub(crate) fn open_blob(store: &Store, blob: Descriptor) -> Result<File, SaveError> {
    let Descriptor { digest, size: expected } = blob;
    let name = path(digest);
    let missing = || StoreError::Missing { path: store.root().join(&name) };
    let file = store.place().open_file(&name).map_err(StoreError::from)?.ok_or_else(missing)?;
    let actual = file.metadata().map_err(|source| SaveError::Read { digest, source })?.len();
    if actual != expected {
        return Err(SaveError::Size { digest, expected, actual });
    }
    Ok(file)
}

/// A manifest of the store, whole.
pub(crate) fn read_manifest(
    store: &Store,
    descriptor: &ManifestDescriptor,
) -> Result<ImageManifest, SaveError> {
    let digest = descriptor.digest;
    let bytes = store.read_blob(digest)?;
    let actual = Digest::of(&bytes);
    if actual != digest {
        return Err(SaveError::Damaged { digest, actual });
    }
    match Manifest::parse(&bytes, Some(&descriptor.media_type)) {
        Ok(Manifest::Image(manifest)) => Ok(manifest),
        Ok(Manifest::Index(_)) => Err(SaveError::Manifest { digest, source: ManifestError::Ambiguous }),
        Err(source) => Err(SaveError::Manifest { digest, source }),
    }
}

/// Of `index.json`: one a name, with containerd's annotation and OCI's.
fn descriptors(manifest: &ManifestDescriptor, names: &[Reference]) -> Vec<Value> {
    let plain = json!(manifest);
    if names.is_empty() {
        return vec![plain];
    }
    let named = |name: &Reference| {
        let mut descriptor = plain.clone();
        descriptor["annotations"] = json!({
            "io.containerd.image.name": name.to_string(),
            "org.opencontainers.image.ref.name": name.tag(),
        });
        descriptor
    };
    names.iter().map(named).collect()
}

/// Of docker's `manifest.json`; `parent` is another image of the archive.
fn docker_item(manifest: &ImageManifest, names: &[Reference], parent: Option<Digest>) -> Value {
    let tags: Option<Vec<String>> =
        Some(names.iter().map(Reference::familiar).collect()).filter(|tags: &Vec<_>| !tags.is_empty());
    let layers: Vec<String> = manifest.layers.iter().map(|layer| path(layer.digest)).collect();
    let mut item = json!({ "Config": path(manifest.config.digest), "RepoTags": tags, "Layers": layers });
    if let Some(parent) = parent {
        item["Parent"] = json!(parent);
    }
    item
}
