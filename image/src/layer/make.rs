//! A layer that is made here, in one pass: archive → diff id → unpack, and beside it → gzip → digest → blob.
//!
//! ```text
//! archive ─┬► pipe ─► unpack
//!          └► gzip ─► blob
//! ```
//!
//! The same two threads as a layer that comes from elsewhere ([`super::pass`]). Its names are known at the end only.

use std::fs::File;
use std::io::{self, Read, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;

use super::pipe::{ReaderIsGone, pipe};
use super::{LayerError, empty};
use crate::archive::confined::{Dir, write_all};
use crate::archive::record::LayerRecord;
use crate::archive::unpack::UnpackOptions;
use crate::digest::{Digest, Hasher};
use crate::limits::Limits;
use crate::manifest::Descriptor;
use crate::op::OpError;

/// A layer that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// With gzip, which everybody reads.
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
    let (mut writer, reader) = pipe(true);
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let mut tee = Tee { tar, packed: GzEncoder::new(Blob::new(blob), Level::fast()), has_failed: false };
    let unpack = move || {
        let empty = || empty(reader, Some(tree), &"a new layer", options);
        tracing::dispatcher::with_default(&dispatch, empty)
    };
    let (read, unpacked) = std::thread::scope(|scope| {
        let sink = std::thread::Builder::new().name("unpack".to_owned()).spawn_scoped(scope, unpack);
        let sink = sink.map_err(OpError::thread)?;
        let mut bytes = 0;
        let read = loop {
            match writer.copy_from(&mut tee) {
                Ok(Ok(0)) | Ok(Err(ReaderIsGone)) => break Ok(()),
                Ok(Ok(count)) => bytes += count as u64,
                Err(source) if tee.has_failed => break Err(LayerError::Copy(source)),
                Err(source) => break Err(LayerError::Read(source)),
            }
            if bytes > limits.layer_bytes {
                break Err(LayerError::TooLarge(limits.layer_bytes));
            }
        };
        // Who unpacks waits for more, or for the end of this one.
        drop(writer);
        Ok::<_, LayerError>((read, sink.join().expect("unpacking does not panic")))
    })?;
    read?;
    let (record, diff_id) = unpacked?;
    let Blob { hasher, size, .. } = tee.packed.finish().map_err(LayerError::Copy)?;
    Ok(Made {
        blob: Descriptor { digest: hasher.finish(), size },
        diff_id: diff_id.expect("the pipe was asked for it"),
        record: record.expect("there is a tree"),
    })
}

/// What is read from here is written to the blob too.
struct Tee<'a, R> {
    tar: R,
    packed: GzEncoder<Blob<'a>>,
    /// The last error was of writing.
    has_failed: bool,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tar.read(buffer)?;
        let written = self.packed.write_all(&buffer[..count]);
        self.has_failed = written.is_err();
        written.map(|()| count)
    }
}

/// A file that is counted and hashed while it is written.
struct Blob<'a> {
    file: &'a File,
    hasher: Hasher,
    size: u64,
}

impl<'a> Blob<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, hasher: Hasher::default(), size: 0 }
    }
}

impl Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(self.file, bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
