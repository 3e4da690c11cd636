//! Layers that lie uncompressed in the store are compressed once before their image leaves it.
//!
//! Only where mini has written the manifest itself: an image that came with one keeps it, byte for byte, whatever its layers are.
//! The compressed layers take the place of the others in the store, and the new manifest that of the old one under all names: the
//! image's id is that of its configuration and stays. So the next push has nothing to compress.

use std::io;
use std::sync::atomic::AtomicU64;

use oci_distribution::manifest::OciImageManifest;

use super::{PushError, PushOptions};
use crate::digest::Digest;
use crate::layer::blob::{BlobReader, FilePieces};
use crate::layer::deflate::{Packing, pack};
use crate::layer::inflate::Compression;
use crate::manifest::{Descriptor, ImageManifest, compose, layer_media_type};
use crate::op::step;
use crate::progress::{Event, LayerInfo, LayerState};
use crate::reference::Reference;
use crate::save::{SaveError, open_blob, read_manifest};
use crate::store::index::{IndexEntry, ManifestDescriptor};
use crate::store::lock::Hold;
use crate::store::session::Session;
use crate::store::{BLOBS, IMAGES, StoreError, record_name};

/// How often to say how far it is, in bytes.
const TELL: u64 = 1 << 20;

/// Compresses the layers of an image that need it.
pub(super) fn pack_layers(
    session: &Session<'_>,
    reference: &Reference,
    options: &PushOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), PushError> {
    let store = session.store();
    let index = store.index()?;
    let Some(entry) = index.named(reference) else { return Ok(()) };
    // What has a name by digest is somewhere else as it is, and is to keep that digest.
    let is_by_digest = |name: &Reference| name.digest().is_some();
    let mut same = index.entries.iter().filter(|other| other.manifest == entry.manifest);
    if same.any(|other| other.name.as_ref().is_some_and(is_by_digest)) {
        return Ok(());
    }
    let manifest = read_manifest(store, &entry.manifest)?;
    let Some(compressions) = own(&store.read_blob(entry.manifest.digest)?, &manifest) else { return Ok(()) };
    if !compressions.contains(&Compression::Plain) {
        return Ok(());
    }
    step("Compress the layers that were made here, once");
    let layers: Vec<(Descriptor, Compression)> = manifest.layers.iter().copied().zip(compressions).collect();
    let plain: Vec<LayerInfo> = layers
        .iter()
        .filter(|(_, compression)| *compression == Compression::Plain)
        .map(|(blob, _)| LayerInfo { id: blob.digest, size: blob.size })
        .collect();
    progress(Event::Layers(&plain));
    let mut at = 0..;
    let packed = layers
        .iter()
        .map(|(blob, compression)| {
            if *compression != Compression::Plain {
                return Ok((*blob, *compression));
            }
            let index = at.next().expect("numbers have no end");
            let tell = |state| progress(Event::Layer { index, state });
            let packed = pack_blob(session, *blob, options, &|done| tell(LayerState::Packing { done }))?;
            tell(LayerState::Packed);
            Ok((packed, compression_of(options.packing)))
        })
        .collect::<Result<Vec<_>, PushError>>()?;
    let (media_type, bytes) = compose(manifest.config, &packed);
    replace(session, entry, &media_type, &bytes)
}

/// How the layers of a manifest are compressed that mini has composed; `None` where somebody else has. PURE.
fn own(bytes: &[u8], manifest: &ImageManifest) -> Option<Vec<Compression>> {
    let described: OciImageManifest = serde_json::from_slice(bytes).ok()?;
    let known = [Compression::Plain, Compression::Gzip, Compression::Zstd];
    let compressions = described.layers.iter().map(|layer| {
        known.into_iter().find(|compression| layer_media_type(*compression) == layer.media_type)
    });
    let compressions = compressions.collect::<Option<Vec<_>>>()?;
    let layers: Vec<_> = manifest.layers.iter().copied().zip(compressions.iter().copied()).collect();
    (compose(manifest.config, &layers).1 == bytes).then_some(compressions)
}

fn compression_of(packing: Packing) -> Compression {
    match packing {
        Packing::Gzip(_) => Compression::Gzip,
        Packing::Zstd(_) => Compression::Zstd,
    }
}

/// Compresses one blob into another one of the store; the first one's digest is verified on the way.
fn pack_blob(
    session: &Session<'_>,
    blob: Descriptor,
    options: &PushOptions,
    progress: &dyn Fn(u64),
) -> Result<Descriptor, PushError> {
    let Descriptor { digest, size } = blob;
    let pieces = FilePieces::new(open_blob(session.store(), blob)?, 0, size);
    let read = AtomicU64::new(0);
    let reader = BlobReader::new(pieces, None, &read);
    let mut input = Watched { reader, done: 0, told: 0, options, progress };
    let ingest = session.scratch()?;
    let file = ingest.place().make_file("blob").map_err(StoreError::from)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = |source| match options.is_stopped() {
        true => PushError::Stopped,
        false => PushError::Pack { digest, source },
    };
    let packed = pack(options.packing, &mut input, &file, threads).map_err(failed)?;
    let (actual, _) = input.reader.finish().map_err(|error| failed(io::Error::other(error)))?;
    if actual != digest {
        return Err(SaveError::Damaged { digest, actual }.into());
    }
    session.publish_blob((ingest.place(), "blob"), packed.digest)?;
    ingest.discard(session.store())?;
    Ok(packed)
}

/// Puts the new manifest where the old one was.
fn replace(session: &Session<'_>, old: &IndexEntry, media_type: &str, bytes: &[u8]) -> Result<(), PushError> {
    let store = session.store();
    let place = store.place();
    let digest = Digest::of(bytes);
    let new = ManifestDescriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64 };
    place.sync_filesystem().map_err(StoreError::from)?;
    let _lock = store.lock(Hold::Exclusive)?;
    let mut index = store.index()?;
    let mut record = store.image_record(old.id)?;
    let blobs = place.enter(BLOBS).map_err(StoreError::from)?;
    blobs.write_whole(&digest.hex(), bytes).map_err(StoreError::from)?;
    // Before the index, which makes the old one garbage.
    if record.manifest == old.manifest.digest {
        record.manifest = digest;
        let json = serde_json::to_vec(&record).expect("strings and numbers become JSON");
        let name = record_name(old.id);
        let name = name.strip_prefix(&format!("{IMAGES}/")).expect("records lie there");
        let records = place.enter(IMAGES).map_err(StoreError::from)?;
        records.write_whole(name, &json).map_err(StoreError::from)?;
    }
    let same = |entry: &&mut IndexEntry| entry.id == old.id && entry.manifest == old.manifest;
    index.entries.iter_mut().filter(same).for_each(|entry| entry.manifest = new.clone());
    Ok(store.write_index(&index)?)
}

/// A reader that says how far it is, and ends when that is asked for.
struct Watched<'a, R> {
    reader: R,
    done: u64,
    told: u64,
    options: &'a PushOptions,
    progress: &'a dyn Fn(u64),
}

impl<R: io::Read> io::Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.done += count as u64;
        if self.done - self.told >= TELL {
            if self.options.is_stopped() {
                return Err(io::Error::other("no more is read"));
            }
            self.told = self.done;
            (self.progress)(self.done);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[test]
    fn manifests_of_mini_s_own_are_known_by_their_bytes() {
        let blob = |text: &str| Descriptor { digest: Digest::of(text.as_bytes()), size: text.len() as u64 };
        let layers = [(blob("a"), Compression::Plain), (blob("b"), Compression::Gzip)];
        let (media_type, bytes) = compose(blob("config"), &layers);
        let Manifest::Image(manifest) = Manifest::parse(&bytes, Some(&media_type)).unwrap() else { panic!() };
        assert_eq!(own(&bytes, &manifest), Some(vec![Compression::Plain, Compression::Gzip]));
        let spaced = String::from_utf8(bytes).unwrap().replace(':', ": ").replace("sha256: ", "sha256:");
        assert_eq!(own(spaced.as_bytes(), &manifest), None);
    }
}
