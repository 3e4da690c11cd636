//! A layer that is made here, in one pass: archive → diff id → unpack, and beside it → gzip → digest → blob.
//!
//! ```text
//! archive ─┬► pipe ─► unpack
//!          └► blocks ─► gzip, on several threads ─► blob
//! ```
//!
//! Whoever reads the archive does little else, since it may be made of a container that stands still. Its names are known at the
//! end only.

use std::fs::File;
use std::io::{self, Read};

use super::deflate::{Packing, fill, pack};
use super::pipe::{PipeWriter, ReaderIsGone, pipe};
use super::{LayerError, empty};
use crate::archive::confined::Dir;
use crate::archive::record::LayerRecord;
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::manifest::Descriptor;
use crate::op::OpError;

/// With gzip, which everybody reads, and as fast as it can be: somebody waits.
const PACKING: Packing = Packing::Gzip(1);
/// So many compress as fast as one can read, and each has some megabytes under way.
const THREADS_MAX: usize = 8;

/// A layer that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// With gzip, whatever the archive had.
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) record: LayerRecord,
}

/// Makes a layer of an archive: its blob in `blob`, its files in `tree`, which is empty.
///
/// # Errors
/// The archive cannot be read or holds what no layer may; the disk takes no more. What was made so far stays.
pub(crate) fn make(
    tar: impl Read,
    blob: &File,
    tree: Dir,
    options: UnpackOptions,
    limits: &Limits,
) -> Result<Made, LayerError> {
    let (pipe, reader) = pipe(true);
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let max = limits.layer_bytes;
    let mut tee = Tee { tar, pipe, left: max, max, stop: None };
    let unpack = move || {
        let empty = || empty(reader, Some(tree), &"a new layer", options);
        tracing::dispatcher::with_default(&dispatch, empty)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (packed, stop, unpacked) = std::thread::scope(|scope| {
        let sink = std::thread::Builder::new().name("unpack".to_owned()).spawn_scoped(scope, unpack);
        let sink = sink.map_err(OpError::thread)?;
        let packed = pack(PACKING, &mut tee, blob, threads);
        let stop = tee.stop.take();
        // Who unpacks waits for more, or for the end of this one.
        drop(tee);
        Ok::<_, LayerError>((packed, stop, sink.join().expect("unpacking does not panic")))
    })?;
    match (stop, packed) {
        (Some(Stop::Failed(error)), _) => Err(error),
        (None, Err(source)) => Err(LayerError::Copy(source)),
        (_, packed) => {
            // Where it takes no more it says why.
            let (record, diff_id) = unpacked?;
            Ok(Made {
                blob: packed.map_err(LayerError::Copy)?,
                diff_id: diff_id.expect("the pipe was asked for it"),
                record: record.expect("there is a tree"),
            })
        }
    }
}

/// What is read from here goes to who unpacks, too.
struct Tee<R> {
    tar: R,
    pipe: PipeWriter,
    /// Bytes that the archive may still have, of so many in all.
    left: u64,
    max: u64,
    stop: Option<Stop>,
}

/// Why no more is read, to be told by whoever sees only an [`io::Error`].
enum Stop {
    Failed(LayerError),
    ReaderIsGone,
}

impl<R: Read> Tee<R> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Stop> {
        let count = fill(&mut self.tar, buffer).map_err(|source| Stop::Failed(LayerError::Read(source)))?;
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or(Stop::Failed(LayerError::TooLarge(self.max)))?;
        let mut rest = &buffer[..count];
        loop {
            let handed_on = self.pipe.copy_from(&mut rest).expect("memory can be read");
            handed_on.map_err(|ReaderIsGone| Stop::ReaderIsGone)?;
            // Nothing at all is the end, and is handed on too.
            if rest.is_empty() {
                return Ok(count);
            }
        }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|stop| {
            self.stop = Some(stop);
            io::Error::other("no more is read")
        })
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::*;
    use crate::store::disk::Place;

    const OPTIONS: UnpackOptions = UnpackOptions { devices: true, entries_max: 1000 };

    fn archive(size: usize) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(size as u64);
        header.set_mode(0o644);
        let bytes: Vec<u8> = (0..size).map(|at| (at * at / 128) as u8).collect();
        builder.append_data(&mut header, "file", &bytes[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn made(tar: impl Read, blob: &File, limits: &Limits) -> Result<Made, LayerError> {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::open_root(directory.path()).unwrap().unwrap();
        make(tar, blob, place.make_tree("tree").unwrap(), OPTIONS, limits)
    }

    #[test]
    fn blob_and_layer_are_of_the_same_archive_whatever_its_size() {
        for size in [0, 1, (1 << 20) - 1536, 1 << 20, 7_000_001] {
            let tar = archive(size);
            let mut blob = tempfile::tempfile().unwrap();
            let made = made(&tar[..], &blob, &Limits::default()).unwrap();
            assert_eq!((made.diff_id, made.record.size), (Digest::of(&tar), size as u64));
            io::Seek::rewind(&mut blob).unwrap();
            let mut packed = Vec::new();
            blob.read_to_end(&mut packed).unwrap();
            let expected = Descriptor { digest: Digest::of(&packed), size: packed.len() as u64 };
            assert_eq!(made.blob, expected);
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
            assert!(back == tar, "{size}");
        }
    }

    #[test]
    fn the_first_cause_is_told() {
        let tar = archive(5_000_000);
        let blob = || tempfile::tempfile().unwrap();
        let failing = tar[..2_000_000].chain(Failing);
        let read = made(failing, &blob(), &Limits::default());
        assert!(matches!(&read, Err(LayerError::Read(source)) if source.to_string() == "gone"), "{read:?}");
        let few = Limits { layer_bytes: 3_000_000, ..Limits::default() };
        let large = made(&tar[..], &blob(), &few);
        assert!(matches!(large, Err(LayerError::TooLarge(3_000_000))), "{large:?}");
        let fits = Limits { layer_bytes: tar.len() as u64, ..Limits::default() };
        assert!(made(&tar[..], &blob(), &fits).is_ok());
        let full = rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).unwrap();
        let full = made(&tar[..], &full.into(), &Limits::default());
        assert!(matches!(full, Err(LayerError::Copy(_))), "{full:?}");
        let none = made(&[7; 5_000_000][..], &blob(), &Limits::default());
        assert!(matches!(none, Err(LayerError::Unpack(_))), "{none:?}");
    }

    /// What cannot be read.
    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
}
