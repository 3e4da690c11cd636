//! One blob to a registry: not at all where it has it, in one piece or in chunks where it has not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::plan::Source;
use super::{Push, PushError};
use crate::manifest::Descriptor;
use crate::progress::{Event, LayerState};
use crate::registry::{Opened, Payload, RegistryError, Retry, Upload};
use crate::save::open_blob;

/// Where the uploads go on that are under way, by their blobs' places in the plan. Whoever ends before them cancels them.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<BTreeMap<usize, Upload>>);

impl Open {
    /// All of them, which are whoever's that asks from then on.
    pub(super) fn all(&self) -> Vec<Upload> {
        std::mem::take(&mut *self.0.lock().expect("no holder panics")).into_values().collect()
    }

    fn get(&self, index: usize) -> Option<Upload> {
        self.0.lock().expect("no holder panics").get(&index).cloned()
    }

    /// Keeps one, and gives back the one that it replaces.
    fn put(&self, index: usize, upload: Upload) -> Option<Upload> {
        self.0.lock().expect("no holder panics").insert(index, upload)
    }

    fn take(&self, index: usize) -> Option<Upload> {
        self.0.lock().expect("no holder panics").remove(&index)
    }
}

/// How far an upload has come.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes that the registry has.
    done: u64,
    /// Whether the last request failed, so that the registry must be asked what it has.
    unsure: bool,
}

impl Push<'_> {
    /// Sees to it that the registry has a blob.
    pub(super) async fn blob(&self, index: usize, source: &Source) -> Result<(), PushError> {
        let blob = source.blob;
        self.tell(index, LayerState::Preparing);
        if self.attempts().run(|| self.registry.has_blob(blob), |retry| self.tell_again(retry)).await? {
            self.tell(index, LayerState::Held);
            return Ok(());
        }
        for from in &source.from {
            let mount = || self.registry.open_upload(Some((blob.digest, from)));
            match self.attempts().run(mount, |retry| self.tell_again(retry)).await {
                Ok(Opened::Mounted) => {
                    self.tell(index, LayerState::Mounted { from });
                    if let Some(unused) = self.open.take(index) {
                        self.registry.cancel_upload(unused).await;
                    }
                    return Ok(());
                }
                // Whoever cannot mount it opens an upload instead.
                Ok(Opened::At(upload)) => {
                    if let Some(unused) = self.open.put(index, upload) {
                        self.registry.cancel_upload(unused).await;
                    }
                }
                // That the other repository is not ours to read is no reason not to upload.
                Err(RegistryError::Denied { .. } | RegistryError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.send(index, blob).await?;
        // What is finished is no upload any more.
        self.open.take(index);
        self.tell(index, LayerState::Pushed);
        Ok(())
    }

    /// Uploads a blob, through interruptions.
    async fn send(&self, index: usize, blob: Descriptor) -> Result<(), PushError> {
        let file = Arc::new(open_blob(self.store, blob)?);
        let attempts = self.attempts();
        let mut progress = Progress::default();
        let (mut failed, mut farthest) = (0, 0);
        loop {
            let whole = Payload { file: Arc::clone(&file), offset: 0, length: blob.size };
            let Err(error) = self.send_once(index, blob, whole, &mut progress).await else { return Ok(()) };
            // An attempt by which a chunk has arrived was none in vain: the failures before it are forgotten.
            if progress.done > farthest {
                (failed, farthest) = (0, progress.done);
            }
            failed += 1;
            let is_under_way = self.open.get(index).is_some() && !progress.unsure;
            if !(error.is_transient() || is_under_way && is_lost(&error)) || failed >= attempts.max {
                return Err(error.into());
            }
            let again = |retry: Retry<'_>| {
                retry.tell(|retrying| self.tell(index, LayerState::Retrying(retrying)));
            };
            attempts.pause(failed, &error, &again).await;
            progress.unsure = true;
        }
    }

    /// Goes on where the registry says that it is.
    async fn send_once(
        &self,
        index: usize,
        blob: Descriptor,
        whole: Payload,
        progress: &mut Progress,
    ) -> Result<(), RegistryError> {
        if std::mem::take(&mut progress.unsure) {
            self.find_out(index, blob, progress).await;
        }
        let mut upload = match self.open.get(index) {
            Some(upload) => upload,
            None => match self.registry.open_upload(None).await? {
                Opened::At(upload) => upload,
                Opened::Mounted => return Ok(()),
            },
        };
        let told = |done: u64| self.tell(index, LayerState::Uploading { done });
        let chunk = self.options.chunk.max(upload.chunk_min).max(1);
        loop {
            self.open.put(index, upload.clone());
            let offset = progress.done;
            let left = blob.size - offset;
            told(offset);
            if left <= chunk {
                let rest = Payload { offset, length: left, ..whole.clone() };
                let tell = |gone| told(offset + gone);
                return self.registry.finish_upload(&upload, blob.digest, &rest, &tell).await;
            }
            let piece = Payload { offset, length: chunk, ..whole.clone() };
            upload = self.registry.send_chunk(&upload, &piece, &|gone| told(offset + gone)).await?;
            progress.done += chunk;
        }
    }

    /// Asks how much of an interrupted upload has arrived; where there is no answer it begins anew.
    async fn find_out(&self, index: usize, blob: Descriptor, progress: &mut Progress) {
        let Some(upload) = self.open.get(index) else { return };
        let is_chunked = blob.size > self.options.chunk;
        match self.registry.upload_status(&upload).await {
            Ok((upload, done)) if is_chunked && done <= blob.size => {
                self.open.put(index, upload);
                progress.done = done;
            }
            answer => {
                progress.done = 0;
                self.open.take(index);
                // Where it has no answer to one question it has none to another.
                if let Ok((unused, _)) = answer {
                    self.registry.cancel_upload(unused).await;
                }
            }
        }
    }

    fn tell(&self, index: usize, state: LayerState<'_>) {
        // The configuration, the last one, is no layer.
        if index + 1 < self.plan.blobs.len() {
            (self.progress)(Event::Layer { index, state });
        }
    }
}

/// Whether the registry has forgotten an upload, or disagrees about how far it is: it may begin anew.
fn is_lost(error: &RegistryError) -> bool {
    match error {
        RegistryError::NotFound { .. } => true,
        RegistryError::Status { status, .. } => status.as_u16() == 416,
        _ => false,
    }
}
