//! Names: a file each, with the id that has it. A hint: a name whose container is gone is free.

use std::fs;
use std::path::PathBuf;

use super::{Entry, State, StateError, ids_in, read, read_record};
use crate::op::OpError;
use crate::sys;
use crate::sys::fs::Durability;

impl State {
    /// Gives a name to a container, unless a living one has it.
    pub(super) fn claim_name(&self, name: &str, id: &str) -> Result<(), StateError> {
        let names = self.names()?;
        let path = names.join(name);
        match sys::fs::create_new(&path, id.as_bytes(), 0o600) {
            Err(error) if error.errno() == libc::EEXIST => {}
            other => return Ok(other?),
        }
        // A name may have outlived its container: whoever finds it so, alone, takes it over.
        let _alone = sys::fs::lock_file(&self.run.join("names.lock"), true)?;
        match fs::read_to_string(&path) {
            // A rename of this one was killed before it was written down.
            Ok(holder) if holder == id && !self.is_named(id, name) => Ok(()),
            Ok(holder) if self.has_name(&holder, name) => {
                Err(StateError::NameTaken { name: name.to_owned(), holder })
            }
            _ => Ok(sys::fs::write_whole(&path, id.as_bytes(), Durability::Cached)?),
        }
    }

    /// Whether a container has this name, or is being made or renamed right now. What a killed `rename` has left is nobody's.
    fn has_name(&self, id: &str, name: &str) -> bool {
        let dirs = self.dirs(id);
        // Whoever makes it holds the one, whoever renames it the other; both write the record before they let it go.
        let place = if read(&dirs).is_some() { &dirs.disk } else { &dirs.run };
        self.is_named(id, name)
            || match sys::fs::try_lock(place) {
                Ok(None) => true,
                Ok(Some(_alone)) => self.is_named(id, name),
                Err(error) => error.errno() != libc::ENOENT,
            }
    }

    fn is_named(&self, id: &str, name: &str) -> bool {
        read(&self.dirs(id)).is_some_and(|record| record.name == name)
    }

    /// The directory of names; after a boot it is made again from the records.
    fn names(&self) -> Result<PathBuf, OpError> {
        let names = self.run.join("names");
        if names.is_dir() {
            return Ok(names);
        }
        let _alone = sys::fs::lock_file(&self.run.join("names.lock"), true)?;
        if !names.is_dir() {
            let fresh = self.run.join("names.new");
            sys::removal::remove_tree(&fresh)?;
            sys::fs::make_dir(&fresh, 0o700)?;
            for id in ids_in(&self.root.join("containers")) {
                if let Some(record) = read_record(&self.dirs(&id).disk) {
                    sys::fs::create_new(&fresh.join(&record.name), id.as_bytes(), 0o600)?;
                }
            }
            sys::fs::rename(&fresh, &names)?;
        }
        Ok(names)
    }

    /// Every name with the id that has it, as it is written down: whether the container is still there was not looked at.
    pub fn written_names(&self) -> Vec<(String, String)> {
        match fs::read_dir(self.run.join("names")) {
            Ok(names) => names
                .flatten()
                .filter_map(|name| {
                    Some((name.file_name().into_string().ok()?, fs::read_to_string(name.path()).ok()?))
                })
                .collect(),
            // Nobody has needed one since the boot.
            Err(_) => {
                let ids = ids_in(&self.root.join("containers"));
                ids.into_iter().filter_map(|id| Some((read_record(&self.dirs(&id).disk)?.name, id))).collect()
            }
        }
    }

    /// Gives a container another name, running or not.
    ///
    /// # Errors
    /// [`StateError::NameTaken`], or what the kernel answered; the old name is then still its name.
    pub fn rename(&self, entry: &Entry, name: &str) -> Result<(), StateError> {
        let id = &entry.record.id;
        let gone = || StateError::Gone(id.clone());
        // Held over all of it: a name that is claimed and not written down yet is somebody's.
        let _alone = self.write_alone(&entry.dirs)?.ok_or_else(gone)?;
        let mut record = read(&entry.dirs).ok_or_else(gone)?;
        self.claim_name(name, id)?;
        let old = std::mem::replace(&mut record.name, name.to_owned());
        let written = self.save(&entry.dirs, &record);
        let unwanted = if written.is_ok() { &old } else { name };
        // A name that stays is found by the next check: its container says otherwise.
        let released = self.release_name(unwanted, id);
        Ok(written.and(released)?)
    }

    pub(super) fn release_name(&self, name: &str, id: &str) -> Result<(), OpError> {
        let path = self.run.join("names").join(name);
        match fs::read_to_string(&path) {
            Ok(holder) if holder == id => sys::fs::remove_file(&path),
            _ => Ok(()),
        }
    }

    /// Names that no container has.
    pub fn stale_names(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.run.join("names")).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                !fs::read_to_string(path).is_ok_and(|id| self.has_name(&id, &name))
            })
            .collect()
    }
}
