//! How one layer gets into the store, for pull and load alike.

use std::io::Read;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

use super::blob::{BlobCopy, Pieces};
use super::inflate::Compression;
use super::make::{Made, make};
use super::{Expected, LayerError, Passed, Target, pass};
use crate::archive::record::LayerRecord;
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::manifest::Descriptor;
use crate::store::StoreError;
use crate::store::partial::Partial;
use crate::store::session::{Claim, Ingest, Session, Shelf};

/// What has to be done about a layer.
#[derive(Debug)]
pub(crate) enum Task {
    /// Nothing: layer and blob are there.
    Nothing,
    /// Somebody else is at it: ask again.
    Wait,
    /// Work, in this directory.
    Work(Work),
}

/// A layer to be made, or only its blob.
#[derive(Debug)]
pub(crate) struct Work {
    ingest: Ingest,
    unpack: bool,
    /// The store has the blob, and an image on disk vouches for it.
    has_blob: bool,
    /// Where the blob's bytes are kept, whatever becomes of this attempt; otherwise they lie in `ingest`.
    partial: Option<Partial>,
}

/// A layer's blob, once it is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) compression: Compression,
}

/// Why a layer did not get into the store.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The layer is not what it should be.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Session<'_> {
    /// Decides what has to be done about a layer. Never waits.
    pub(crate) fn task(&self, expected: Expected) -> Result<Task, StoreError> {
        let (ingest, unpack) = match self.claim(Shelf::Layers, expected.diff_id)? {
            Claim::Busy => return Ok(Task::Wait),
            Claim::Fresh(ingest) => (ingest, true),
            Claim::Present => match expected.blob {
                // Whose digest nobody knows is read to find it out.
                None => (self.scratch()?, false),
                Some((blob, _)) => match self.claim_blob(blob)? {
                    Claim::Present => return Ok(Task::Nothing),
                    Claim::Busy => return Ok(Task::Wait),
                    Claim::Fresh(ingest) => (ingest, false),
                },
            },
        };
        let has_blob = match expected.blob {
            Some((blob, size)) => self.is_settled(blob) && self.blob_size(blob)? == Some(size),
            None => false,
        };
        Ok(Task::Work(Work { ingest, unpack, has_blob, partial: None }))
    }

    /// Does it: passes the blob through, and puts what it gave where others find it. What is not whole is
    /// removed.
    pub(crate) fn work(
        &self,
        work: Work,
        pieces: impl Pieces,
        expected: Expected,
        options: UnpackOptions,
        limits: &Limits,
        read: &AtomicU64,
    ) -> Result<LayerBlob, IngestError> {
        let pieces = Announced { pieces, session: self };
        let passed = prepare_and_pass(&work, pieces, expected, options, limits, read);
        let Work { ingest, unpack: _, has_blob, partial } = work;
        let Passed { blob, blob_size, compression, record } = match passed {
            Ok(passed) => passed,
            Err(error) => {
                // The layer's error is the cause; a directory that stays is found by the next sweep.
                let _removed = ingest.discard(self.store());
                // As here: what stays is found to be wrong by the next pull, or goes when it is stale.
                let _done = partial.map(|partial| match error.is_given_up() {
                    true => partial.keep(),
                    false => partial.discard(),
                });
                return Err(error);
            }
        };
        if !has_blob {
            let file = partial.as_ref().map_or((ingest.place(), "blob"), Partial::at);
            self.publish_blob(file, blob)?;
        }
        match record {
            Some(record) => self.publish(ingest, Shelf::Layers, expected.diff_id, record)?,
            None => ingest.discard(self.store())?,
        }
        Ok(LayerBlob { digest: blob, size: blob_size, compression })
    }

    /// Makes a layer of an archive, and puts it where others find it, its blob too.
    pub(crate) fn make(
        &self,
        tar: impl Read,
        options: UnpackOptions,
        limits: &Limits,
    ) -> Result<(Digest, LayerBlob), IngestError> {
        let scratch = self.scratch()?;
        let made = prepare_and_make(&scratch, tar, options, limits);
        let published = made.and_then(|Made { blob, diff_id, record }| {
            self.publish_blob((scratch.place(), "blob"), blob.digest)?;
            self.publish_made(&scratch, diff_id, record)?;
            let Descriptor { digest, size } = blob;
            Ok((diff_id, LayerBlob { digest, size, compression: Compression::Gzip }))
        });
        match published {
            Ok(made) => scratch.discard(self.store()).map(|()| made).map_err(Into::into),
            Err(error) => {
                // The error above is the cause; a directory that stays is found by the next sweep.
                let _removed = scratch.discard(self.store());
                Err(error)
            }
        }
    }

    /// Moves the tree that was made in `scratch` to its place, unless somebody else has made the same.
    fn publish_made(&self, scratch: &Ingest, diff_id: Digest, record: LayerRecord) -> Result<(), StoreError> {
        loop {
            match self.claim(Shelf::Layers, diff_id)? {
                Claim::Present => return Ok(()),
                Claim::Busy => std::thread::sleep(Duration::from_millis(5)),
                Claim::Fresh(ingest) => {
                    scratch.place().rename("tree", ingest.place(), "tree")?;
                    return self.publish(ingest, Shelf::Layers, diff_id, record);
                }
            }
        }
    }
}

fn prepare_and_make(
    scratch: &Ingest,
    tar: impl Read,
    options: UnpackOptions,
    limits: &Limits,
) -> Result<Made, IngestError> {
    let place = scratch.place();
    let blob = place.make_file("blob").map_err(StoreError::from)?;
    let tree = place.make_tree("tree").map_err(StoreError::from)?;
    Ok(make(tar, &blob, tree, options, limits)?)
}

/// Pieces of which the session is told.
struct Announced<'a, P> {
    pieces: P,
    session: &'a Session<'a>,
}

impl<P: Pieces> Pieces for Announced<'_, P> {
    fn next_piece(&mut self) -> std::io::Result<Option<Bytes>> {
        let piece = self.pieces.next_piece()?;
        if let Some(piece) = &piece {
            self.session.came(piece.len() as u64);
        }
        Ok(piece)
    }
}

fn prepare_and_pass(
    work: &Work,
    pieces: impl Pieces,
    expected: Expected,
    options: UnpackOptions,
    limits: &Limits,
    read: &AtomicU64,
) -> Result<Passed, IngestError> {
    let place = work.ingest.place();
    let made = match (work.has_blob, &work.partial) {
        (false, None) => Some(place.make_file("blob").map_err(StoreError::from)?),
        _ => None,
    };
    let blob = match &work.partial {
        Some(partial) => Some(BlobCopy { file: partial.file(), kept: partial.kept() }),
        None => made.as_ref().map(|file| BlobCopy { file, kept: 0 }),
    };
    let tree = if work.unpack { Some(place.make_tree("tree").map_err(StoreError::from)?) } else { None };
    Ok(pass(pieces, expected, Target { blob, tree }, options, limits, read)?)
}

impl Work {
    /// Has the blob's bytes written to `partial`, where they stay if they are a beginning and no more come.
    pub(crate) fn keep_in(&mut self, partial: Option<Partial>) {
        self.partial = partial;
    }

    /// Whether an image on disk vouches for the store's blob, which is then not written again.
    pub(crate) fn has_blob(&self) -> bool {
        self.has_blob
    }
}

impl IngestError {
    /// Whether only the rest of the blob was missing: the pieces that came are as good as any.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Layer(LayerError::Read(error)) => error.kind() == std::io::ErrorKind::ConnectionAborted,
            _ => false,
        }
    }

    /// Whether other bytes of the blob might have been taken.
    pub(crate) fn blames_bytes(&self) -> bool {
        match self {
            Self::Layer(LayerError::Copy(_) | LayerError::Op(_)) | Self::Store(_) => false,
            Self::Layer(_) => !self.is_given_up(),
        }
    }
}
