//! The data of a file that is being packed: read where it has some, filled up where it has less than it said.

use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;

use super::sparse::{Segment, SparseMap};
use super::write::BLOCK;

/// An open file, and what of it is still to be read.
pub(super) struct Stored {
    file: OwnedFd,
    pub(super) path: Vec<u8>,
    /// Content that had to be read to know how much there is.
    content: Option<Vec<u8>>,
    /// The next one last.
    segments: Vec<Segment>,
    size: u64,
    /// Zeros after the data.
    padding: usize,
    /// There was less data than the file had said.
    pub(super) is_short: bool,
}

/// What is read at most of a file whose size is not known.
const UNKNOWN_MAX: usize = 16 << 20;

impl Stored {
    /// The file's `size` bytes, or the segments of its map.
    pub(super) fn new(file: OwnedFd, path: &[u8], size: u64, map: Option<&SparseMap>) -> Self {
        let segments = match map {
            Some(map) => map.segments.iter().rev().copied().collect(),
            None => vec![Segment { offset: 0, length: size }],
        };
        Self::of(file, path, segments, None)
    }

    /// A file of the kernel's, whose size is not known before it is read.
    pub(super) fn whole(file: OwnedFd, path: &[u8]) -> Result<Self, Errno> {
        let mut content = Vec::new();
        let mut portion = vec![0; BLOCK * 128];
        loop {
            match rustix::io::read(&file, portion.as_mut_slice()) {
                Ok(0) => break,
                Ok(count) => content.extend_from_slice(&portion[..count]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if content.len() > UNKNOWN_MAX {
                return Err(Errno::FBIG);
            }
        }
        let segments = vec![Segment { offset: 0, length: content.len() as u64 }];
        Ok(Self::of(file, path, segments, Some(content)))
    }

    fn of(file: OwnedFd, path: &[u8], segments: Vec<Segment>, content: Option<Vec<u8>>) -> Self {
        let size = segments.iter().map(|segment| segment.length).sum::<u64>();
        let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
        let padding = if over == 0 { 0 } else { BLOCK - over };
        Self { file, path: path.to_vec(), content, segments, size, padding, is_short: false }
    }

    /// Bytes of data, without what fills the last block.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends at most `portion` bytes to `out`; false at the end.
    pub(super) fn read(&mut self, portion: usize, out: &mut Vec<u8>) -> Result<bool, Errno> {
        if let Some(content) = self.content.take() {
            self.segments.clear();
            out.extend_from_slice(&content);
        }
        while self.segments.last().is_some_and(|segment| segment.length == 0) {
            self.segments.pop();
        }
        let Some(Segment { offset, length }) = self.segments.last_mut() else {
            out.resize(out.len() + std::mem::take(&mut self.padding), 0);
            return Ok(!out.is_empty());
        };
        let wanted = portion.min(usize::try_from(*length).unwrap_or(portion));
        let begin = out.len();
        out.resize(begin + wanted, 0);
        let count = loop {
            match rustix::io::pread(&self.file, &mut out[begin..], *offset) {
                Err(Errno::INTR) => {}
                count => break count?,
            }
        };
        if count == 0 {
            // Shorter than it was: the rest is the zeros that are there already.
            self.is_short = true;
        } else {
            out.truncate(begin + count);
        }
        let taken = (out.len() - begin) as u64;
        *offset += taken;
        *length -= taken;
        Ok(true)
    }
}

/// Holes that are worth a sparse form, in bytes: smaller ones are packed as zeros, which every reader understands.
const HOLES_MIN: u64 = 1 << 20;
/// Segments of a file: one with more is packed whole.
const SEGMENTS_MAX: usize = 1 << 16;

/// Where a file has data, if it has holes that are worth it (lseek(2), `SEEK_DATA`).
pub(super) fn sparse_map(file: &OwnedFd, stat: &Stat) -> Result<Option<SparseMap>, Errno> {
    let size = u64::try_from(stat.st_size).expect("no file has a negative size");
    let on_disk = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    if on_disk.saturating_add(HOLES_MIN) > size {
        return Ok(None);
    }
    let mut map = SparseMap { segments: Vec::new(), real_size: size };
    let mut at = 0;
    while at < size && map.segments.len() <= SEGMENTS_MAX {
        let offset = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            // Nothing but a hole until its end.
            Err(Errno::NXIO) => break,
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            offset => offset?,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(offset))?.min(size);
        if offset >= end {
            break; // it has been cut off meanwhile
        }
        map.segments.push(Segment { offset, length: end - offset });
        at = end;
    }
    let stored: u64 = map.segments.iter().map(|segment| segment.length).sum();
    let is_worth_it = map.segments.len() <= SEGMENTS_MAX && stored.saturating_add(HOLES_MIN) <= size;
    Ok(is_worth_it.then_some(map))
}
