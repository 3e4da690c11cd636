//! A directory of things that have names, such as volumes and secrets: each a directory with a record in it.
//!
//! ```text
//! ROOT/KIND/NAME/RECORD   what it is
//! ROOT/KIND/.new.NAME     one that is being made; .gone.NAME: one that is being removed
//! ROOT/KIND/.lock         held by whoever makes or removes one
//! ```
//!
//! A thing appears and vanishes by one rename. Names are checked by whoever has them: none begins with a dot.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use runtime::op::OpError;
use runtime::sys;
use runtime::sys::fs::Durability;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is written down of a thing.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const KIND: &'static str;
    /// The name of its file.
    const FILE: &'static str;
    /// The newest form that this mini knows.
    const VERSION: u32;
    /// Its form.
    fn version(&self) -> u32;
}

/// Where things of a kind are.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(PathBuf);

impl Shelf {
    pub(crate) fn new(root: PathBuf) -> Shelf {
        Shelf(root)
    }

    /// Whether anything was ever put there.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_dir()
    }

    /// Where a thing is.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where it goes before it is removed.
    pub(crate) fn gone(&self, name: &str) -> PathBuf {
        self.0.join(format!(".gone.{name}"))
    }

    /// Nobody else makes or removes a thing until this is dropped.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn lock(&self) -> Result<OwnedFd> {
        if !self.is_there() {
            sys::fs::make_dirs(&self.0)?;
        }
        Ok(sys::fs::lock_file(&self.0.join(".lock"), true)?)
    }

    /// What is written down of a thing, where there is one of that name.
    ///
    /// # Errors
    /// A record that this mini cannot read.
    pub(crate) fn read<R: Record>(&self, name: &str) -> Result<Option<R>> {
        let kind = R::KIND;
        let text = match std::fs::read(self.place(name).join(R::FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read the record of {kind} {name}"))?,
        };
        let record: R = serde_json::from_slice(&text)
            .with_context(|| format!("the record of {kind} {name} is damaged"))?;
        ensure!(
            record.version() <= R::VERSION,
            "the record of {kind} {name} has version {}; this mini knows version {}",
            record.version(),
            R::VERSION
        );
        Ok(Some(record))
    }

    /// The names of all things, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.everything();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// Everything that lies there.
    fn everything(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Makes a thing: `fill` puts into its directory what it needs beside its record. The caller holds the lock.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn make<R: Record>(
        &self,
        name: &str,
        record: &R,
        durability: Durability,
        fill: impl FnOnce(&Path) -> Result<(), OpError>,
    ) -> Result<PathBuf, OpError> {
        let fresh = self.0.join(format!(".new.{name}"));
        sys::removal::remove_tree(&fresh)?;
        sys::fs::make_dir(&fresh, 0o700)?;
        fill(&fresh)?;
        let text = serde_json::to_vec(record).expect("a record can be written as JSON");
        sys::fs::write_whole(&fresh.join(R::FILE), &text, durability)?;
        let place = self.place(name);
        sys::fs::rename(&fresh, &place)?;
        if durability == Durability::Synced {
            sys::fs::sync(&self.0)?;
        }
        Ok(place)
    }

    /// Makes a thing vanish; what it was of is at [`Shelf::gone`] then. The caller holds the lock.
    ///
    /// # Errors
    /// What the kernel answered; the thing is then as it was.
    pub(crate) fn take_away(&self, name: &str) -> Result<(), OpError> {
        self.remove_gone(name)?;
        sys::fs::rename(&self.place(name), &self.gone(name))
    }

    /// Removes what has vanished; without one, nothing.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn remove_gone(&self, name: &str) -> Result<(), OpError> {
        sys::removal::remove_tree(&self.gone(name))
    }

    /// Finds what commands that were killed have left, and removes it where `repair` is given; a sentence each. The caller holds
    /// the lock: what is half made now was left.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn check<R: Record>(&self, repair: bool) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in self.everything() {
            let path = self.place(&name);
            let is_left = name.starts_with(".new.") || name.starts_with(".gone.");
            if is_left || !name.starts_with('.') && !path.join(R::FILE).exists() {
                if repair {
                    sys::removal::remove_tree(&path)?;
                }
                found.push(format!("{}: left by a command that was killed", path.display()));
            }
        }
        Ok(found)
    }
}
