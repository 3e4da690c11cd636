//! Secrets: what containers are given and nothing of mini's shows.
//!
//! ```text
//! ROOT/secrets/NAME/secret.json   what it is called; never what it says
//! ROOT/secrets/NAME/data          what it says
//! ROOT/secrets/.new.NAME          one that is being made; .gone.NAME: one that is being removed
//! ROOT/secrets/.lock              held by whoever makes or removes one
//! ```
//!
//! Directories are 0700 and files 0600. A container's record has the name alone: what the secret says is read at each start.

pub(crate) mod check;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use runtime::op::step;
use runtime::sys;
use runtime::sys::fs::Durability;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::plan::storage::check_secret_name;
use crate::shelf::{self, Shelf};

/// The form of `secret.json`.
const VERSION: u32 = 1;

/// The most that a secret says, bytes: docker's limit.
pub(crate) const LONGEST: usize = 500 * 1024;

/// What is written down of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// 25 letters and digits, as docker's.
    pub(crate) id: String,
    pub(crate) name: String,
    /// When it was made, ns since 1970.
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

impl shelf::Record for Record {
    const KIND: &'static str = "secret";
    const FILE: &'static str = "secret.json";
    const VERSION: u32 = VERSION;

    fn version(&self) -> u32 {
        self.version
    }
}

/// There is no such secret.
#[derive(Debug, thiserror::Error)]
#[error("no such secret: {0}")]
pub(crate) struct NotFound(pub(crate) String);

/// Where secrets are kept.
#[derive(Debug, Clone)]
pub(crate) struct Store(Shelf);

impl Store {
    /// Secrets below a root.
    pub(crate) fn new(root: &Path) -> Store {
        Store(Shelf::new(root.join("secrets")))
    }

    /// A secret, by its name or its id.
    ///
    /// # Errors
    /// [`NotFound`]; a record that this mini cannot read.
    pub(crate) fn find(&self, word: &str) -> Result<Record> {
        if let Some(record) = self.get(word)? {
            return Ok(record);
        }
        let by_id = self.list()?.into_iter().find(|record| record.id == word);
        by_id.ok_or_else(|| NotFound(word.to_owned()).into())
    }

    fn get(&self, name: &str) -> Result<Option<Record>> {
        if check_secret_name(name).is_err() {
            return Ok(None);
        }
        self.0.read(name)
    }

    /// Every secret, by name.
    ///
    /// # Errors
    /// A record that this mini cannot read.
    pub(crate) fn list(&self) -> Result<Vec<Record>> {
        self.0.names().iter().filter_map(|name| self.get(name).transpose()).collect()
    }

    /// What a secret says.
    ///
    /// # Errors
    /// [`NotFound`]; where it cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let record = self.find(name)?;
        let path = self.0.place(&record.name).join("data");
        std::fs::read(path).with_context(|| format!("cannot read secret {name}"))
    }

    /// Makes a secret.
    ///
    /// # Errors
    /// A name that is none or taken; too much or nothing to say; what the kernel answered.
    pub(crate) fn create(&self, name: &str, data: &[u8], labels: BTreeMap<String, String>) -> Result<Record> {
        check_secret_name(name)?;
        let length = data.len();
        ensure!((1..=LONGEST).contains(&length), "a secret has 1 to {LONGEST} bytes, this one {length}");
        let _alone = self.0.lock()?;
        ensure!(self.get(name)?.is_none(), "a secret {name} is there already");
        step("Write the secret down, for root alone");
        let record =
            Record { version: VERSION, id: new_id()?, name: name.to_owned(), created: clock::now(), labels };
        self.0.make(name, &record, Durability::Synced, |fresh| {
            sys::fs::write_whole(&fresh.join("data"), data, Durability::Synced)
        })?;
        Ok(record)
    }

    /// Removes a secret; containers that run keep what they were given.
    ///
    /// # Errors
    /// [`NotFound`]; what the kernel answered.
    pub(crate) fn remove(&self, word: &str) -> Result<()> {
        let _alone = self.0.lock()?;
        let record = self.find(word)?;
        self.0.take_away(&record.name)?;
        Ok(self.0.remove_gone(&record.name)?)
    }
}

/// 25 of 36 letters and digits: more than 128 random bits.
fn new_id() -> Result<String> {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let bytes = crate::random::bytes::<64>()?;
    // Beyond 252 the first letters would come more often.
    let letters =
        bytes.iter().filter(|byte| **byte < 252).map(|byte| char::from(LETTERS[usize::from(*byte) % 36]));
    let id: String = letters.take(25).collect();
    ensure!(id.len() == 25, "getrandom(64) gave too few letters");
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_written_down_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        assert!(store.list().unwrap().is_empty());
        let made = store.create("key", b"hunter2\n\0", BTreeMap::new()).unwrap();
        assert_eq!(store.read("key").unwrap(), b"hunter2\n\0");
        assert_eq!((store.find("key").unwrap(), store.find(&made.id).unwrap()), (made.clone(), made.clone()));
        let mode = |path: &str| {
            std::fs::metadata(directory.path().join("secrets").join(path)).unwrap().permissions().mode()
                & 0o777
        };
        assert_eq!(
            [mode(""), mode("key"), mode("key/data"), mode("key/secret.json")],
            [0o700, 0o700, 0o600, 0o600]
        );
        assert!(store.create("key", b"other", BTreeMap::new()).is_err(), "taken");
        for name in ["../x", ".lock", "", "a/b"] {
            assert!(store.create(name, b"x", BTreeMap::new()).is_err(), "{name}");
            assert!(store.find(name).is_err(), "{name}");
        }
        assert!(store.create("empty", b"", BTreeMap::new()).is_err());
        assert!(store.create("long", &vec![0; LONGEST + 1], BTreeMap::new()).is_err());
        store.remove("key").unwrap();
        assert!(store.find("key").is_err() && store.remove("key").is_err());
    }
}
