//! One layer in one pass: blob → digest → inflate → diff id → unpack.
//!
//! ```text
//! pieces (network or file) ─► BlobReader ─► Inflate ─► pipe ─► PipeReader ─► unpack
//!        │                        │                6 × 256 KiB  sha256
//!        └────── this thread ─────┼─────────┘          └── a second one ──┘
//!                                 └─► 8 pieces ─► sha256, copy
//!                                                └ a third one, for a large blob ┘
//! ```
//!
//! Inflating is half of the work, so that whoever does it does nothing else: a single large layer keeps two processors
//! busy. Memory is the pipes' buffers and the decoder's window. Nothing is verified before the end is reached, so nothing
//! may be visible before: the caller renames afterwards.

pub(crate) mod blob;
pub(crate) mod deflate;
pub(crate) mod inflate;
pub(crate) mod ingest;
pub(crate) mod make;
pub(crate) mod pipe;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::UnpackError;
use crate::archive::confined::{Dir, ZeroUmask};
use crate::archive::record::LayerRecord;
use crate::archive::unpack::{Counts, UnpackOptions, unpack};
use crate::digest::Digest;
use crate::limits::Limits;
use crate::op::{Op, OpError};
use blob::{BlobCopy, BlobReader, Pieces};
use inflate::{Compression, Inflate};
use pipe::{PipeReader, PipeWriter, ReaderIsGone, pipe};

/// Bytes of a blob that are worth a thread more.
const LARGE: u64 = 1 << 20;

/// What a layer must turn out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Digest and size of the blob, where the manifest says them.
    pub(crate) blob: Option<(Digest, u64)>,
    /// Digest of the inflated archive, from the image's configuration.
    pub(crate) diff_id: Digest,
}

/// Where a layer goes.
pub(crate) struct Target<'a> {
    /// The blob's copy, if the store lacks it.
    pub(crate) blob: Option<BlobCopy<'a>>,
    /// An empty directory to unpack into, if the store lacks the layer.
    pub(crate) tree: Option<Dir>,
}

/// A layer that is what it should be.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) blob: Digest,
    pub(crate) blob_size: u64,
    pub(crate) compression: Compression,
    /// What unpacking found; `None` if nothing was unpacked.
    pub(crate) record: Option<LayerRecord>,
}

/// Why a layer is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The blob could not be read.
    #[error("reading the blob")]
    Read(#[source] io::Error),
    /// The blob could not be written into the store.
    #[error("writing the blob")]
    Copy(#[source] io::Error),
    /// The compressed bytes are malformed or cut short.
    #[error("inflating {compression} data")]
    Inflate {
        /// What the first bytes say.
        compression: Compression,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// A compression that layers may not have.
    #[error("the layer has {0} compression; layers are plain, gzip or zstd")]
    Compression(Compression),
    /// The blob is shorter or longer than the manifest says.
    #[error("the blob has {actual} bytes, the manifest says {expected}")]
    Size {
        /// The manifest's size.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The blob is not the one that the manifest names.
    #[error("the blob's digest is {actual}, the manifest says {expected}")]
    Digest {
        /// The manifest's digest.
        expected: Digest,
        /// That of what came.
        actual: Digest,
    },
    /// The archive is not the one that the configuration names.
    #[error("the layer's diff id is {actual}, the image's configuration says {expected}")]
    DiffId {
        /// The configuration's diff id.
        expected: Digest,
        /// That of what came.
        actual: Digest,
    },
    /// More bytes than a layer may have.
    #[error("the layer inflates to more than {0} bytes, the limit of a layer")]
    TooLarge(u64),
    /// A bomb.
    #[error("{compressed} bytes inflate to more than {inflated}, and the limit is {ratio} times as many")]
    Ratio {
        /// Bytes read.
        compressed: u64,
        /// Bytes that came out so far.
        inflated: u64,
        /// The limit.
        ratio: u64,
    },
    /// The archive cannot be unpacked.
    #[error("unpacking")]
    Unpack(#[source] UnpackError),
    /// What the narrator was told about.
    #[error(transparent)]
    Op(#[from] OpError),
}

/// Passes a blob through; `read` counts its bytes for whoever watches.
///
/// # Errors
/// The blob could not be read, is not what it should be, or holds what no layer may. What was unpacked so far
/// stays.
pub(crate) fn pass(
    pieces: impl Pieces,
    expected: Expected,
    target: Target<'_>,
    options: UnpackOptions,
    limits: &Limits,
    read: &AtomicU64,
) -> Result<Passed, LayerError> {
    let Target { blob: copy, tree } = target;
    let diff_id = expected.diff_id;
    let (compression, filled, emptied) = std::thread::scope(|scope| {
        let reader = match expected.blob {
            Some((_, size)) if size > LARGE => {
                BlobReader::aside(scope, pieces, copy, read).map_err(OpError::thread)?
            }
            _ => BlobReader::new(pieces, copy, read),
        };
        let inflate = Inflate::new(reader, limits.zstd_window_log).map_err(|refused| match refused {
            Ok(compression) => LayerError::Compression(compression),
            Err(error) => LayerError::Read(error),
        })?;
        let compression = inflate.compression();
        // What is not compressed is its own blob, and one digest is enough.
        let (writer, reader) = pipe(compression != Compression::Plain);
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let sink =
            move || tracing::dispatcher::with_default(&dispatch, || empty(reader, tree, &diff_id, options));
        let sink = std::thread::Builder::new().name("unpack".to_owned()).spawn_scoped(scope, sink);
        let sink = sink.map_err(OpError::thread)?;
        let filled = fill(inflate, writer, limits, read);
        Ok::<_, LayerError>((compression, filled, sink.join().expect("unpacking does not panic")))
    })?;
    // What went wrong with the blob comes first: the unpacker saw what it saw because of that.
    let filled = filled?;
    if let (Some(filled), Some((digest, size))) = (&filled, expected.blob) {
        if filled.blob_size != size {
            return Err(LayerError::Size { expected: size, actual: filled.blob_size });
        }
        if filled.blob != digest {
            return Err(LayerError::Digest { expected: digest, actual: filled.blob });
        }
    }
    let (record, inflated) = emptied?;
    let Filled { blob, blob_size } = filled.expect("the unpacker read everything");
    let actual = inflated.unwrap_or(blob);
    if actual != diff_id {
        return Err(LayerError::DiffId { expected: diff_id, actual });
    }
    Ok(Passed { blob, blob_size, compression, record })
}

struct Filled {
    blob: Digest,
    blob_size: u64,
}

/// The first half: from pieces to inflated bytes. `None` if the second half gave up.
fn fill<P: Pieces>(
    mut inflate: Inflate<BlobReader<'_, P>>,
    mut writer: PipeWriter,
    limits: &Limits,
    read: &AtomicU64,
) -> Result<Option<Filled>, LayerError> {
    let compression = inflate.compression();
    let mut inflated = 0_u64;
    loop {
        match writer.copy_from(&mut inflate) {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => inflated += count as u64,
            Ok(Err(ReaderIsGone)) => return Ok(None),
            Err(source) => {
                return Err(match inflate.into_input().failure() {
                    Some(failure) => failure.error(source),
                    None => LayerError::Inflate { compression, source },
                });
            }
        }
        if inflated > limits.layer_bytes {
            return Err(LayerError::TooLarge(limits.layer_bytes));
        }
        let compressed = read.load(Ordering::Relaxed);
        if inflated > limits.ratio_from && inflated / limits.ratio > compressed {
            return Err(LayerError::Ratio { compressed, inflated, ratio: limits.ratio });
        }
    }
    let (blob, blob_size) = inflate.into_input().finish()?;
    Ok(Some(Filled { blob, blob_size }))
}

/// The second half: from inflated bytes to files. Returns their digest too, unless they are the blob itself.
fn empty(
    mut reader: PipeReader,
    tree: Option<Dir>,
    layer: &dyn fmt::Display,
    options: UnpackOptions,
) -> Result<(Option<LayerRecord>, Option<Digest>), LayerError> {
    let record = match tree {
        Some(tree) => {
            let clone = |source| OpError { call: "unshare(CLONE_FS)".to_owned(), source };
            let umask = ZeroUmask::on_this_thread().map_err(clone)?;
            Some(narrate(layer, || unpack(&mut reader, tree, umask, options))?)
        }
        None => {
            io::copy(&mut reader, &mut io::sink()).map_err(LayerError::Read)?;
            None
        }
    };
    Ok((record, reader.digest()))
}

/// One event for the whole layer: before it with its name, after it with what was made.
fn narrate(
    layer: &dyn fmt::Display,
    unpack: impl FnOnce() -> Result<(LayerRecord, Counts), UnpackError>,
) -> Result<LayerRecord, LayerError> {
    let counts = Cell::new(None);
    let shown = fmt::from_fn(|out| match counts.get() {
        Some(counts) => write!(out, ": {}", Counts::clone(&counts)),
        None => Ok(()),
    });
    let mut failure = None;
    let op = Op {
        call: format_args!("unpack({layer}){shown}"),
        shell: format_args!("tar -x --xattrs --numeric-owner"),
    };
    let record = op.perform(|| {
        unpack()
            .map(|(record, made)| {
                counts.set(Some(made));
                record
            })
            .map_err(|error| {
                let answer = error.kernels_answer();
                failure = Some(error);
                answer
            })
    });
    // The narrator was told the kernel's answer; the caller gets everything.
    failure.map_or_else(|| Ok(record?), |error| Err(LayerError::Unpack(error)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use blob::FilePieces;

    const OPTIONS: UnpackOptions = UnpackOptions { devices: true, entries_max: 1000 };

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn archive(size: usize) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(size as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, "file", io::repeat(0).take(size as u64)).unwrap();
        builder.into_inner().unwrap()
    }

    use std::io::Read;

    fn run(blob: &[u8], expected: Expected, limits: &Limits) -> Result<Passed, LayerError> {
        let pieces = FilePieces::new(file(blob), 0, blob.len() as u64);
        let directory = tempfile::tempdir().unwrap();
        let place = crate::store::disk::Place::open_root(directory.path()).unwrap().unwrap();
        let tree = place.make_tree("tree").unwrap();
        pass(pieces, expected, Target { blob: None, tree: Some(tree) }, OPTIONS, limits, &AtomicU64::new(0))
    }

    #[test]
    fn digests_and_sizes_are_verified() {
        let tar = archive(100_000);
        let blob = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let right =
            Expected { blob: Some((Digest::of(&blob), blob.len() as u64)), diff_id: Digest::of(&tar) };
        let passed = run(&blob, right, &Limits::default()).unwrap();
        assert_eq!((passed.blob, passed.compression), (Digest::of(&blob), Compression::Zstd));
        assert_eq!(passed.record.unwrap().size, 100_000);
        let wrong = Digest::of(b"something else");
        let both = Expected { blob: Some((wrong, blob.len() as u64)), diff_id: wrong };
        for (expected, message) in [
            (Expected { diff_id: wrong, ..right }, "DiffId"),
            (both, "Digest"),
            (Expected { blob: Some((wrong, blob.len() as u64)), ..right }, "Digest"),
            (Expected { blob: Some((Digest::of(&blob), 7)), ..right }, "Size"),
        ] {
            let error = format!("{:?}", run(&blob, expected, &Limits::default()).unwrap_err());
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn bombs_and_giants_end_early() {
        let tar = archive(10_000_000);
        let blob = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let expected = Expected { blob: None, diff_id: Digest::of(&tar) };
        let limits = Limits::default();
        assert!(run(&blob, expected, &limits).is_ok());
        let bomb = run(&blob, expected, &Limits { ratio_from: 1 << 20, ..limits });
        assert!(matches!(bomb, Err(LayerError::Ratio { .. })), "{bomb:?}");
        let giant = run(&blob, expected, &Limits { layer_bytes: 1 << 20, ..limits });
        assert!(matches!(giant, Err(LayerError::TooLarge(_))), "{giant:?}");
    }

    #[test]
    fn the_first_cause_is_told() {
        let tar = archive(1_000_000);
        let blob = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let expected = Expected { blob: None, diff_id: Digest::of(&tar) };
        let cut = run(&blob[..blob.len() / 2], expected, &Limits::default());
        assert!(matches!(cut, Err(LayerError::Inflate { .. })), "{cut:?}");
        let no_tar = run(&[7; 100_000], expected, &Limits::default());
        assert!(matches!(no_tar, Err(LayerError::Unpack(_))), "{no_tar:?}");
        let bzip2 = run(b"BZh91AY&SY", expected, &Limits::default());
        assert!(matches!(bzip2, Err(LayerError::Compression(Compression::Bzip2))), "{bzip2:?}");
    }
}
