//! A blob on its way: counted, hashed and written to the store while it is read.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use bytes::Bytes;

use super::LayerError;
use crate::archive::confined::write_all;
use crate::digest::{Digest, Hasher};

/// Where a blob's bytes come from, piece by piece.
pub(crate) trait Pieces {
    /// The next piece, never empty; `None` at the end.
    fn next_piece(&mut self) -> io::Result<Option<Bytes>>;
}

/// A part of a file.
pub(crate) struct FilePieces {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

/// Large enough that system calls do not count, small enough to stay in a cache.
const PIECE: usize = 128 * 1024;

impl FilePieces {
    /// `length` bytes of `file` from `offset`.
    pub(crate) fn new(file: impl Into<Arc<File>>, offset: u64, length: u64) -> Self {
        Self { file: file.into(), offset, left: length }
    }
}

impl Pieces for FilePieces {
    fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        use std::os::unix::fs::FileExt;
        let length = PIECE.min(usize::try_from(self.left).unwrap_or(PIECE));
        let mut piece = vec![0; length];
        let count = self.file.read_at(&mut piece, self.offset)?;
        if count == 0 {
            return Ok(None);
        }
        piece.truncate(count);
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(Some(piece.into()))
    }
}

/// Reads a blob from its pieces.
pub(crate) struct BlobReader<'a, P> {
    pieces: P,
    piece: Bytes,
    keeping: Keeping<'a>,
    read: &'a AtomicU64,
    failure: Option<Failure>,
}

/// Where a blob is written to while it is read.
#[derive(Clone, Copy)]
pub(crate) struct BlobCopy<'a> {
    /// Positioned behind what it holds.
    pub(crate) file: &'a File,
    /// The blob's first bytes that it holds already, a whole number of pieces.
    pub(crate) kept: u64,
}

/// Which side failed, for what reads through this sees only an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Read,
    Copy,
}

/// Writes and hashes what was read.
struct Keeper<'a> {
    copy: Option<BlobCopy<'a>>,
    hasher: Hasher,
    seen: u64,
}

impl<'a> Keeper<'a> {
    fn new(copy: Option<BlobCopy<'a>>) -> Self {
        Self { copy, hasher: Hasher::default(), seen: 0 }
    }

    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        if let Some(BlobCopy { file, .. }) = self.copy.filter(|copy| copy.kept <= self.seen) {
            write_all(file, piece)?;
        }
        self.hasher.update(piece);
        self.seen += piece.len() as u64;
        Ok(())
    }

    /// Takes everything that comes.
    fn run(mut self, pieces: &Receiver<Bytes>) -> io::Result<Digest> {
        pieces.iter().try_for_each(|piece| self.take(&piece))?;
        Ok(self.hasher.finish())
    }
}

/// Who does that.
enum Keeping<'a> {
    /// Whoever reads.
    Here(Keeper<'a>),
    /// Another thread.
    Aside { pieces: SyncSender<Bytes>, keeper: ScopedJoinHandle<'a, io::Result<Digest>> },
    /// Nobody any more: it failed.
    Failed,
}

impl Keeping<'_> {
    fn take(&mut self, piece: &Bytes) -> io::Result<()> {
        match self {
            Self::Here(keeper) => keeper.take(piece),
            Self::Aside { pieces, .. } => match pieces.send(piece.clone()) {
                Ok(()) => Ok(()),
                Err(SendError(_)) => std::mem::replace(self, Self::Failed).finish().map(drop),
            },
            Self::Failed => Err(gone()),
        }
    }

    fn finish(self) -> io::Result<Digest> {
        match self {
            Self::Here(keeper) => Ok(keeper.hasher.finish()),
            Self::Aside { pieces, keeper } => {
                drop(pieces);
                keeper.join().expect("writing and hashing do not panic")
            }
            Self::Failed => Err(gone()),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("writing it has failed before")
}

/// Pieces that wait for the other thread, of 128 KiB at most.
const AHEAD: usize = 8;

impl<'a, P: Pieces> BlobReader<'a, P> {
    /// Everything read is hashed, and goes to `copy` too; `read` counts it, for whoever watches.
    pub(crate) fn new(pieces: P, copy: Option<BlobCopy<'a>>, read: &'a AtomicU64) -> Self {
        Self { pieces, piece: Bytes::new(), keeping: Keeping::Here(Keeper::new(copy)), read, failure: None }
    }

    /// The same, on a thread of its own: whoever inflates a large blob is what everybody waits for.
    pub(crate) fn aside<'scope>(
        scope: &'scope Scope<'scope, '_>,
        pieces: P,
        copy: Option<BlobCopy<'scope>>,
        read: &'a AtomicU64,
    ) -> io::Result<Self>
    where
        'scope: 'a,
    {
        let (sender, receiver) = sync_channel(AHEAD);
        let run = move || Keeper::new(copy).run(&receiver);
        let keeper = std::thread::Builder::new().name("blob".to_owned()).spawn_scoped(scope, run)?;
        let keeping = Keeping::Aside { pieces: sender, keeper };
        Ok(Self { pieces, piece: Bytes::new(), keeping, read, failure: None })
    }

    /// Where the last error came from: from here, or (`None`) from what reads this.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Reads what is left, and gives the digest of all.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64), LayerError> {
        loop {
            let length = match self.fill_buf() {
                Ok(piece) => piece.len(),
                Err(source) => return Err(self.failure.unwrap_or(Failure::Read).error(source)),
            };
            if length == 0 {
                let digest = self.keeping.finish().map_err(LayerError::Copy)?;
                return Ok((digest, self.read.load(Ordering::Relaxed)));
            }
            self.consume(length);
        }
    }
}

impl Failure {
    pub(super) fn error(self, source: io::Error) -> LayerError {
        match self {
            Self::Read => LayerError::Read(source),
            Self::Copy => LayerError::Copy(source),
        }
    }
}

impl<P: Pieces> BufRead for BlobReader<'_, P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty() {
            self.failure = Some(Failure::Read);
            if let Some(piece) = self.pieces.next_piece()? {
                self.failure = Some(Failure::Copy);
                self.keeping.take(&piece)?;
                self.read.fetch_add(piece.len() as u64, Ordering::Relaxed);
                self.piece = piece;
            }
            self.failure = None;
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, count: usize) {
        drop(self.piece.split_to(count));
    }
}

impl<P: Pieces> Read for BlobReader<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}
