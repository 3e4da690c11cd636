//! One pull or load at work: what it may rely on, and how its layers enter the store.
//!
//! Whatever is in the making lies in a directory of its own below `ingest/`, locked by its maker. The lock is
//! on the directory itself, so two processes that want the same layer meet there: one unpacks, the other
//! waits and then finds it. A directory that nobody holds is garbage of a killed process, and goes when the
//! next session begins.
//!
//! A layer that no image on disk refers to is believed only if it was unpacked since the machine booted: its
//! pages are then in the kernel's cache, whereas after a power loss a file may be empty. Everything is
//! flushed before an image refers to it.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;

use super::disk::Place;
use super::flush::Flusher;
use super::garbage::Reachable;
use super::lock::{Hold, Lock};
use super::{BLOBS, INGEST, Store, StoreError};
use crate::archive::record::{LayerRecord, RECORD_VERSION};
use crate::digest::Digest;
use crate::op::step;

/// A pull or load at work. While it lives, nobody takes what it relies on for garbage.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(super) store: &'a Store,
    _active: Lock,
    boot: String,
    /// What images on disk refer to, and so is flushed.
    settled: Reachable,
    pub(super) flusher: Flusher,
    /// Blobs whose bytes it has begun to fetch.
    touched: Mutex<HashSet<Digest>>,
}

/// A kind of things that are made in `ingest/` and then moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shelf {
    Layers,
    Chains,
}

/// The answer to "may I make this?".
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is there, whole.
    Present,
    /// Nobody else makes it: do, in here.
    Fresh(Ingest),
    /// Somebody else is making it: ask again.
    Busy,
}

/// A directory in the making.
#[derive(Debug)]
pub(crate) struct Ingest {
    place: Place,
    name: String,
    _lock: Lock,
}

impl Shelf {
    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Layers => super::LAYERS,
            Self::Chains => super::CHAINS,
        }
    }

    /// The path of one thing relative to the store's root.
    pub(crate) fn path(self, digest: Digest) -> String {
        format!("{}/{}", self.directory(), digest.hex())
    }
}

impl Store {
    /// Begins a pull or load: removes what killed ones left, and keeps everything else from being removed.
    ///
    /// # Errors
    /// The store cannot be used.
    pub(crate) fn session(&self) -> Result<Session<'_>, StoreError> {
        self.sweep_ingest()?;
        self.remove_interrupted(&|one| one.is_stale || one.bytes == 0)?;
        self.session_beside()
    }

    /// The same for who only looks: what killed ones left stays.
    pub(crate) fn session_beside(&self) -> Result<Session<'_>, StoreError> {
        let active = self.activity()?;
        let settled = Reachable::from(self, &self.index()?)?;
        let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
        let boot = std::fs::read_to_string(&path).map_err(|source| StoreError::Read { path, source })?;
        let boot = boot.trim().to_owned();
        let (touched, flusher) = (Mutex::default(), Flusher::default());
        Ok(Session { store: self, _active: active, boot, settled, flusher, touched })
    }

    /// Removes from `ingest/` what nobody holds; returns the names.
    pub(crate) fn sweep_ingest(&self) -> Result<Vec<String>, StoreError> {
        let ingest = self.place().enter(INGEST)?;
        if ingest.names()?.is_empty() {
            return Ok(Vec::new());
        }
        step("Remove what killed pulls left half made");
        let mut abandoned = Vec::new();
        {
            // Makers make and lock their directories under the shared lock: none is between the two now.
            let _lock = self.lock(Hold::Exclusive)?;
            for name in ingest.names()? {
                if let Some((_, lock)) = ingest.try_lock_dir(&name)? {
                    abandoned.push((name, lock));
                }
            }
        }
        for (name, _lock) in &abandoned {
            ingest.remove_all(name)?;
        }
        Ok(abandoned.into_iter().map(|(name, _)| name).collect())
    }

    /// What is written about a layer or chain; `None` if the store does not have it.
    pub(crate) fn layer_record(&self, path: &str) -> Result<Option<LayerRecord>, StoreError> {
        let name = format!("{path}/layer.json");
        let path = || self.root().join(&name);
        let bytes = self.place().read(&name).map_err(|source| StoreError::Read { path: path(), source })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let record: LayerRecord =
            serde_json::from_slice(&bytes).map_err(|source| StoreError::Damaged { path: path(), source })?;
        if record.version != RECORD_VERSION {
            return Err(StoreError::Version { path: path(), found: record.version.to_string() });
        }
        Ok(Some(record))
    }
}

impl Session<'_> {
    pub(crate) fn store(&self) -> &Store {
        self.store
    }

    /// Says that so many bytes of a blob came, to be written with what is in them.
    pub(crate) fn came(&self, bytes: u64) {
        self.flusher.came(bytes, || {
            let again = self.store.place().reopen().ok()?;
            Some(move || again.flush_early())
        });
    }

    /// Whether a layer or chain is there and can be relied on.
    pub(crate) fn has(&self, shelf: Shelf, digest: Digest) -> Result<bool, StoreError> {
        let path = shelf.path(digest);
        match self.store.layer_record(&path) {
            Ok(Some(record)) => {
                let is_settled = self.settled.trees.contains(&path) || record.boot == self.boot;
                Ok(is_settled && !self.store.is_marked(&path)?)
            }
            Ok(None) => Ok(false),
            // Emptied by a power loss before anything referred to it.
            Err(StoreError::Damaged { .. })
                if !self.settled.trees.contains(&path) || self.store.is_marked(&path)? =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks to make a layer or chain. Never waits.
    pub(crate) fn claim(&self, shelf: Shelf, digest: Digest) -> Result<Claim, StoreError> {
        if self.has(shelf, digest)? {
            return Ok(Claim::Present);
        }
        let name = format!("{}-{}", shelf.directory(), digest.hex());
        let Some(ingest) = self.claim_directory(name)? else { return Ok(Claim::Busy) };
        // Whoever held it may have finished meanwhile.
        if self.has(shelf, digest)? {
            ingest.discard(self.store)?;
            return Ok(Claim::Present);
        }
        let shelf_place = self.store.place().enter(shelf.directory())?;
        if shelf_place.has(&digest.hex())? {
            step("Take away a layer that is damaged, or that a power loss may have damaged");
            shelf_place.rename(&digest.hex(), &ingest.place, "old")?;
            ingest.place.remove_all("old")?;
        }
        Ok(Claim::Fresh(ingest))
    }

    /// Asks to fetch a blob whose layer is there already. Never waits.
    pub(crate) fn claim_blob(&self, digest: Digest) -> Result<Claim, StoreError> {
        if self.is_settled(digest) && self.blob_size(digest)?.is_some() {
            return Ok(Claim::Present);
        }
        Ok(match self.claim_directory(format!("blob-{}", digest.hex()))? {
            Some(ingest) => Claim::Fresh(ingest),
            None => Claim::Busy,
        })
    }

    /// A directory for something of this process alone.
    pub(crate) fn scratch(&self) -> Result<Ingest, StoreError> {
        for number in 0.. {
            let name = format!("scratch-{}-{number}", std::process::id());
            if let Some(ingest) = self.claim_directory(name)? {
                return Ok(ingest);
            }
        }
        unreachable!("a process does not hold 2³¹ directories")
    }

    /// The size of a blob in the store.
    pub(crate) fn blob_size(&self, digest: Digest) -> Result<Option<u64>, StoreError> {
        let name = blob_path(digest);
        let path = || self.store.root().join(&name);
        self.store.place().file_size(&name).map_err(|source| StoreError::Read { path: path(), source })
    }

    /// A blob of the store, to be read.
    pub(crate) fn open_blob(&self, digest: Digest) -> Result<Option<File>, StoreError> {
        Ok(self.store.place().open_file(&blob_path(digest))?)
    }

    /// Notes that the blob's bytes are being fetched.
    pub(super) fn touch(&self, blob: Digest) {
        self.touched.lock().expect("no holder panics").insert(blob);
    }

    /// Relies on nothing any more. Tells whose bytes it has begun to fetch, and what images on disk referred to when it
    /// began.
    pub(crate) fn end(self) -> (HashSet<Digest>, HashSet<Digest>) {
        (self.touched.into_inner().expect("no holder panics"), self.settled.blobs)
    }

    /// Whether an image on disk refers to the blob, so that its bytes need not be verified again.
    pub(crate) fn is_settled(&self, blob: Digest) -> bool {
        // What cannot be looked at is not relied on.
        self.settled.blobs.contains(&blob) && matches!(self.store.is_marked(&blob_path(blob)), Ok(false))
    }

    /// Puts a finished layer or chain where others find it.
    pub(crate) fn publish(
        &self,
        ingest: Ingest,
        shelf: Shelf,
        digest: Digest,
        mut record: LayerRecord,
    ) -> Result<(), StoreError> {
        let Ingest { place, name, _lock } = ingest;
        record.boot.clone_from(&self.boot);
        let json = serde_json::to_vec(&record).expect("strings and numbers become JSON");
        place.write_unsynced("layer.json", &json)?;
        let _store = self.store.lock(Hold::Shared)?;
        let shelf_place = self.store.place().enter(shelf.directory())?;
        let ingests = self.store.place().enter(INGEST)?;
        if !ingests.rename(&name, &shelf_place, &digest.hex())? {
            // The same content, made by somebody who did not ask.
            ingests.remove_all(&name)?;
        }
        self.store.unmark_new(&shelf.path(digest))
    }

    /// Puts a verified blob, the file `name` of `place`, where others find it.
    pub(crate) fn publish_blob(
        &self,
        (place, name): (&Place, &str),
        digest: Digest,
    ) -> Result<(), StoreError> {
        let blobs = self.store.place().enter(BLOBS)?;
        if !place.rename(name, &blobs, &digest.hex())? {
            // One that an image refers to is flushed and verified; any other may be damaged, and this one is
            // not.
            if self.is_settled(digest) && self.blob_size(digest)?.is_some() {
                place.remove_file(name)?;
            } else {
                place.replace(name, &blobs, &digest.hex())?;
            }
        }
        self.store.unmark_new(&blob_path(digest))
    }

    fn claim_directory(&self, name: String) -> Result<Option<Ingest>, StoreError> {
        let _lock = self.store.lock(Hold::Shared)?;
        let ingest = self.store.place().enter(INGEST)?;
        ingest.make_dir(&name, 0o700)?;
        let Some((place, lock)) = ingest.try_lock_dir(&name)? else { return Ok(None) };
        for leftover in place.names()? {
            place.remove_all(&leftover)?;
        }
        Ok(Some(Ingest { place, name, _lock: lock }))
    }
}

/// Where a blob lies, from the store's root.
pub(super) fn blob_path(digest: Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}

impl Ingest {
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Gives up: what was made so far goes.
    pub(crate) fn discard(self, store: &Store) -> Result<(), StoreError> {
        Ok(store.place().enter(INGEST)?.remove_all(&self.name)?)
    }
}
