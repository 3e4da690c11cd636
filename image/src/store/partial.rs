//! Downloads that were cut short: `partial/<digest>` holds the first bytes of a blob, which the next pull need not ask for.
//!
//! A file is locked by whoever fills it, and it only ever grows: whatever kills a pull, what is there is a beginning. After
//! a power loss its end may be zeros. So none of it is believed before the whole has its digest, and what turns out wrong
//! is asked for anew, from the first byte. What nobody has gone on with for a week is stale: the next pull removes it, as
//! a prune does and `system check --repair`.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::disk::Place;
use super::session::Session;
use super::{PARTIAL, Store, StoreError};
use crate::digest::Digest;
use crate::layer::blob::FilePieces;
use crate::op::step;

/// A blob on its way into the store, in a file that nobody else fills.
#[derive(Debug)]
pub(crate) struct Partial {
    place: Place,
    name: String,
    file: File,
    kept: u64,
}

/// A download that nobody is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The file's name: the blob's digest in hexadecimal digits.
    pub name: String,
    /// Bytes that are there.
    pub bytes: u64,
    /// When the last of them came, in nanoseconds since 1970.
    pub modified: u64,
    /// Whether nobody has gone on with it for a week.
    pub is_stale: bool,
}

/// After this long without another byte.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Session<'_> {
    /// The place for the bytes of a blob of `size` bytes, with what earlier pulls left of it; `None` if somebody else
    /// fills it.
    pub(crate) fn partial(&self, blob: Digest, size: u64) -> Result<Option<Partial>, StoreError> {
        let store = self.store().place();
        // Older stores have none.
        if !store.has(PARTIAL)? {
            store.make_dir(PARTIAL, 0o700)?;
        }
        let (place, name) = (store.enter(PARTIAL)?, blob.hex());
        let Some(file) = place.open_locked(&name, true)? else { return Ok(None) };
        self.touch(blob);
        let path = || self.store().root().join(PARTIAL).join(&name);
        let read = |source| StoreError::Read { path: path(), source };
        let mut kept = file.metadata().map_err(read)?.len();
        if kept > size {
            kept = 0;
        }
        if kept > 0 {
            step("Go on with what an interrupted pull has left");
        }
        place.cut(&name, &file, kept)?;
        Ok(Some(Partial { place, name, file, kept }))
    }
}

impl Partial {
    /// Bytes that were there from the beginning.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// Those bytes, to be read once more.
    pub(crate) fn pieces(&self) -> Result<FilePieces, StoreError> {
        let path = || self.place.path().join(&self.name);
        let file = self.file.try_clone().map_err(|source| StoreError::Read { path: path(), source })?;
        Ok(FilePieces::new(file, 0, self.kept))
    }

    /// Where further bytes go: positioned at its end.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Its directory and name in there.
    pub(crate) fn at(&self) -> (&Place, &str) {
        (&self.place, &self.name)
    }

    /// Lets the disk have what is there, if anything is, for another pull after whatever comes.
    pub(crate) fn keep(self) -> Result<(), StoreError> {
        if self.file.metadata().is_ok_and(|meta| meta.len() == 0) {
            return self.discard();
        }
        Ok(self.place.flush(&self.name, &self.file)?)
    }

    /// What is there is of no use.
    pub(crate) fn discard(self) -> Result<(), StoreError> {
        Ok(self.place.remove_file(&self.name)?)
    }
}

impl Store {
    /// The downloads that nobody is at.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn interrupted(&self) -> Result<Vec<Interrupted>, StoreError> {
        self.visit_interrupted(&|_| false).map(|(kept, _)| kept)
    }

    /// Those of them that `goes` is true of, removed or looked at.
    pub(super) fn interrupted_that(
        &self,
        goes: &dyn Fn(&Interrupted) -> bool,
        remove: bool,
    ) -> Result<Vec<Interrupted>, StoreError> {
        match remove {
            true => self.remove_interrupted(goes),
            false => Ok(self.interrupted()?.into_iter().filter(goes).collect()),
        }
    }

    /// Removes those of them that `goes` is true of; returns them.
    pub(crate) fn remove_interrupted(
        &self,
        goes: &dyn Fn(&Interrupted) -> bool,
    ) -> Result<Vec<Interrupted>, StoreError> {
        self.visit_interrupted(goes).map(|(_, removed)| removed)
    }

    fn visit_interrupted(
        &self,
        goes: &dyn Fn(&Interrupted) -> bool,
    ) -> Result<(Vec<Interrupted>, Vec<Interrupted>), StoreError> {
        let (mut kept, mut removed) = (Vec::new(), Vec::new());
        let Some(place) = self.place().enter_if_there(PARTIAL)? else { return Ok((kept, removed)) };
        for name in place.names()? {
            // Locked until it is gone: nobody begins to fill it meanwhile.
            let Some(file) = place.open_locked(&name, false)? else { continue };
            let path = || self.root().join(PARTIAL).join(&name);
            let meta = file.metadata().map_err(|source| StoreError::Read { path: path(), source })?;
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            // A time that is yet to come was written before the clock was set back.
            let age = SystemTime::now().duration_since(modified).unwrap_or_default();
            let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let one = Interrupted {
                bytes: meta.size(),
                modified: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
                is_stale: age > STALE || Digest::from_hex(&name).is_err(),
                name,
            };
            if goes(&one) {
                place.remove_all(&one.name)?;
                removed.push(one);
            } else {
                kept.push(one);
            }
        }
        Ok((kept, removed))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        (directory, store)
    }

    fn names(of: &[Interrupted]) -> Vec<String> {
        of.iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn a_beginning_stays_and_is_gone_on_with() {
        let (directory, store) = store();
        let session = store.session().unwrap();
        let blob = Digest::of(b"whole");
        let partial = session.partial(blob, 5).unwrap().unwrap();
        assert_eq!(partial.kept(), 0);
        partial.file().write_all(b"who").unwrap();
        assert!(session.partial(blob, 5).unwrap().is_none(), "two would fill it");
        assert!(store.interrupted().unwrap().is_empty(), "somebody is at it");
        partial.keep().unwrap();
        assert_eq!(store.interrupted().unwrap()[0].bytes, 3);
        let partial = session.partial(blob, 5).unwrap().unwrap();
        assert_eq!(partial.kept(), 3);
        partial.file().write_all(b"le").unwrap();
        let path = directory.path().join(PARTIAL).join(blob.hex());
        assert_eq!(std::fs::read(path).unwrap(), b"whole");
        drop(partial);
        let shorter = session.partial(blob, 4).unwrap().unwrap();
        assert_eq!(shorter.kept(), 0, "what is longer than the blob is no beginning of it");
        shorter.discard().unwrap();
        assert!(store.interrupted().unwrap().is_empty());
    }

    #[test]
    fn what_is_old_or_no_download_is_stale() {
        let (directory, store) = store();
        let [new, old, locked] = [b"new", b"old", b"its"].map(|text| Digest::of(text));
        let session = store.session().unwrap();
        for blob in [new, old, locked] {
            let partial = session.partial(blob, 2).unwrap().unwrap();
            partial.file().write_all(b"x").unwrap();
            partial.keep().unwrap();
        }
        let place = directory.path().join(PARTIAL);
        let past = SystemTime::now() - STALE - Duration::from_secs(60);
        for blob in [old, locked] {
            File::open(place.join(blob.hex())).unwrap().set_modified(past).unwrap();
        }
        let future = SystemTime::now() + STALE * 2;
        File::open(place.join(new.hex())).unwrap().set_modified(future).unwrap();
        store.place.enter(PARTIAL).unwrap().write_unsynced("thing", b"x").unwrap();
        session.partial(Digest::of(b"empty"), 1).unwrap().unwrap().keep().unwrap();
        let held = session.partial(locked, 2).unwrap().unwrap();
        let mut stale = names(&store.remove_interrupted(&|one| one.is_stale).unwrap());
        stale.sort_unstable();
        let mut expected = vec![old.hex(), "thing".to_owned()];
        expected.sort_unstable();
        assert_eq!(stale, expected);
        assert_eq!(names(&store.interrupted().unwrap()), [new.hex()]);
        drop(held);
        File::open(place.join(locked.hex())).unwrap().set_modified(past).unwrap();
        drop(session);
        drop(store.session().unwrap());
        assert_eq!(names(&store.interrupted().unwrap()), [new.hex()], "the next pull removes what is stale");
    }
}
