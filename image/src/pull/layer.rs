//! One layer from the network into the store: the async side feeds, a plain thread works.

use std::sync::atomic::AtomicU64;
use std::thread::Scope;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};

use super::{Pull, PullError};
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::layer::Expected;
use crate::layer::blob::{FilePieces, Pieces};
use crate::layer::ingest::{IngestError, LayerBlob, Task, Work};
use crate::manifest::Descriptor;
use crate::op::step;
use crate::progress::{Event, LayerInfo, LayerState};
use crate::registry::{Destination, Retry, Stopped};
use crate::store::partial::Partial;

/// Pieces of a blob between the network and a layer's thread, of 64 KiB at most.
const PIECES: usize = 32;
/// How often to look whether another process has finished a layer.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Pull<'_> {
    /// Brings all layers into the store, several at a time; the first failure ends the others.
    pub(super) async fn layers<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        layers: &[(Descriptor, Digest)],
    ) -> Result<(), PullError> {
        let shown: Vec<LayerInfo> =
            layers.iter().map(|(blob, _)| LayerInfo { id: blob.digest, size: blob.size }).collect();
        (self.progress)(Event::Layers(&shown));
        step("Fetch each layer and unpack it into a directory of its own, verified on the way");
        let layers = layers
            .iter()
            .enumerate()
            .map(|(index, (blob, diff_id))| self.layer(scope, index, *blob, *diff_id));
        futures_util::stream::iter(layers)
            .buffer_unordered(self.options.concurrency.max(1))
            .try_collect::<()>()
            .await
    }

    async fn layer<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        index: usize,
        blob: Descriptor,
        diff_id: Digest,
    ) -> Result<(), PullError> {
        let expected = Expected { blob: Some((blob.digest, blob.size)), diff_id };
        let Some(mut work) = self.task(index, expected).await? else { return Ok(()) };
        // Bytes of an interrupted pull are as good as the registry's, if their digest is right.
        if self.session.blob_size(blob.digest)? == Some(blob.size)
            && let Some(file) = self.session.open_blob(blob.digest)?
        {
            self.tell(index, LayerState::Unpacking);
            let pieces = FilePieces::new(file, 0, blob.size);
            let done = self.spawn(scope, work, pieces, expected)?;
            match done.await.expect("a layer's thread always answers") {
                Ok(_) => {
                    self.tell(index, LayerState::Done);
                    return Ok(());
                }
                Err(IngestError::Store(error)) => return Err(error.into()),
                Err(IngestError::Layer(_)) => match self.task(index, expected).await? {
                    Some(again) => work = again,
                    None => return Ok(()),
                },
            }
        }
        while !self.download(scope, index, work, blob, expected).await? {
            match self.task(index, expected).await? {
                Some(again) => work = again,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Fetches a layer's blob, or what is missing of it; `false` if what an earlier pull has left is wrong, and gone now.
    async fn download<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        index: usize,
        mut work: Work,
        blob: Descriptor,
        expected: Expected,
    ) -> Result<bool, PullError> {
        let partial = if work.has_blob() { None } else { self.session.partial(blob.digest, blob.size)? };
        let kept = partial.as_ref().map_or(0, Partial::kept);
        let beginning = partial.as_ref().map(Partial::pieces).transpose()?;
        work.keep_in(partial);
        let (pieces, received) = mpsc::channel(PIECES);
        let (read, beginning_is_read) = oneshot::channel();
        let arriving = Arriving { beginning, read: Some(read), received, left: blob.size };
        if kept > 0 {
            self.tell(index, LayerState::Resuming { done: kept });
        }
        let done = self.spawn(scope, work, arriving, expected)?;
        let retrying =
            |retry: Retry<'_>| retry.tell(|retrying| self.tell(index, LayerState::Retrying(retrying)));
        let downloading = |done| self.tell(index, LayerState::Downloading { done });
        // A registry that waits for us to read might hang up. No answer here: the thread has given up.
        let fetched = match beginning_is_read.await {
            Ok(()) => {
                let to = Destination { pieces: &pieces, kept };
                self.registry.fetch(blob, to, self.attempts(), downloading, retrying).await
            }
            Err(_) => Ok(Err(Stopped)),
        };
        drop(pieces);
        if matches!(fetched, Ok(Ok(()))) {
            self.tell(index, LayerState::Unpacking);
        }
        let worked = done.await.expect("a layer's thread always answers");
        match (fetched, worked) {
            (_, Err(error @ IngestError::Layer(_))) if kept > 0 && error.blames_bytes() => Ok(false),
            (Err(error), _) => Err(error.into()),
            (Ok(_), Err(source)) => Err(PullError::Layer { layer: blob.digest, source: Box::new(source) }),
            (Ok(Ok(()) | Err(Stopped)), Ok(_)) => {
                self.tell(index, LayerState::Done);
                Ok(true)
            }
        }
    }

    /// What is to be done about a layer, once nobody else is at it; `None` if nothing.
    async fn task(&self, index: usize, expected: Expected) -> Result<Option<Work>, PullError> {
        let mut is_waiting = false;
        loop {
            match self.session.task(expected)? {
                Task::Work(work) => return Ok(Some(work)),
                Task::Nothing => {
                    self.tell(index, LayerState::Exists);
                    return Ok(None);
                }
                Task::Wait => {
                    if !std::mem::replace(&mut is_waiting, true) {
                        self.tell(index, LayerState::Waiting);
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Starts a layer's thread; its answer comes through the channel.
    fn spawn<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        work: Work,
        pieces: impl Pieces + Send + 'scope,
        expected: Expected,
    ) -> Result<oneshot::Receiver<Result<LayerBlob, IngestError>>, PullError> {
        let (answer, answered) = oneshot::channel();
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let limits = &self.options.limits;
        let options = UnpackOptions { devices: self.options.devices, entries_max: limits.layer_entries };
        let run = move || {
            tracing::dispatcher::with_default(&dispatch, || {
                let result = self.session.work(work, pieces, expected, options, limits, &AtomicU64::new(0));
                // Nobody waits for it any more when another layer has failed.
                let _is_awaited = answer.send(result);
            });
        };
        let layer = expected.blob.map_or(expected.diff_id, |(blob, _)| blob);
        let thread = std::thread::Builder::new().name("layer".to_owned()).spawn_scoped(scope, run);
        thread.map_err(|source| PullError::Thread { layer, source })?;
        Ok(answered)
    }

    fn tell(&self, index: usize, state: LayerState<'_>) {
        (self.progress)(Event::Layer { index, state });
    }
}

/// A blob's bytes: those that an earlier pull has left, and the others as they come from the network.
struct Arriving {
    beginning: Option<FilePieces>,
    /// Told when all of the beginning has been read.
    read: Option<oneshot::Sender<()>>,
    received: mpsc::Receiver<Bytes>,
    left: u64,
}

impl Pieces for Arriving {
    fn next_piece(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(piece) = self.beginning.as_mut().map(Pieces::next_piece).transpose()?.flatten() {
            self.left = self.left.saturating_sub(piece.len() as u64);
            return Ok(Some(piece));
        }
        if let Some(read) = self.read.take() {
            self.beginning = None;
            // Nobody hears it any more when another layer has failed.
            let _is_heard = read.send(());
        }
        match self.received.blocking_recv() {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Ok(Some(piece))
            }
            None if self.left == 0 => Ok(None),
            None => {
                Err(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the download was given up"))
            }
        }
    }
}
