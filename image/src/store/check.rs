//! `mini system check`: is everything there that the images need, is it what it should be, and is there
//! anything else?
//!
//! Blobs are hashed. A layer's tree is counted, objects and bytes, against what unpacking counted: that finds
//! files that a power loss emptied or a hand removed, though not a flipped bit.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use rustix::io::Errno;

use super::disk::Hold;
use super::garbage::{Garbage, Reachable};
use super::index::Index;
use super::removal::Use;
use super::{BLOBS, INGEST, Store, StoreError};
use crate::digest::{Digest, Hasher};
use crate::manifest::Manifest;
use crate::op::step;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a path relative to the store's root.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: Problem,
    /// Whether it has been put right: garbage removed; an image with missing parts removed, so that it can be
    /// pulled again.
    pub is_repaired: bool,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// What a killed pull or load left half made.
    Abandoned,
    /// Nothing refers to it.
    Unreferenced,
    /// A part of an image is not what it should be, and the image cannot be used.
    Broken {
        /// The image's id.
        id: Digest,
        /// The image's name, or its short id if it has none.
        image: String,
        /// What is wrong with the part.
        part: Fault,
    },
}

/// What is wrong with a part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// A blob has another size than its manifest says.
    Size {
        /// By the manifest.
        expected: u64,
        /// On disk.
        actual: u64,
    },
    /// A blob's content has another digest.
    Digest(Digest),
    /// A layer's tree has lost or gained something since it was unpacked.
    Count {
        /// Objects and bytes when it was unpacked.
        expected: (u64, u64),
        /// Objects and bytes now.
        actual: (u64, u64),
    },
    /// A file of the store's own that cannot be understood.
    Malformed(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path.display(), self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abandoned => out.write_str("left by a pull or load that was killed"),
            Self::Unreferenced => out.write_str("no image needs it"),
            Self::Broken { image, part, .. } => {
                write!(out, "{part}; {image} cannot be used until it is pulled again")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("missing"),
            Self::Size { expected, actual } => write!(out, "has {actual} bytes instead of {expected}"),
            Self::Digest(actual) => write!(out, "has the digest {actual}"),
            Self::Count { expected, actual } => write!(
                out,
                "has {} files of {} bytes instead of {} of {}",
                actual.0, actual.1, expected.0, expected.1
            ),
            Self::Malformed(why) => write!(out, "malformed: {why}"),
        }
    }
}

impl Store {
    /// Looks for what is broken and for what nobody needs; with `repair` removes it, broken images too,
    /// unless `in_use` knows somebody who uses them.
    ///
    /// While a pull or load is under way, what nothing refers to is left alone and not told of: it may be
    /// theirs.
    ///
    /// # Errors
    /// The store cannot be read, or not be written. Broken parts are findings and no errors.
    pub fn check(
        &self,
        repair: bool,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<Vec<Finding>, StoreError> {
        step("Check that every image has all its parts");
        let mut findings = Vec::new();
        {
            let _lock = self.lock(Hold::Shared)?;
            let index = self.index()?;
            let mut known = HashMap::new();
            for id in index.ids() {
                self.check_image(&index, id, &mut known, &mut findings)?;
            }
        }
        if repair {
            self.remove_broken(&mut findings, in_use)?;
        }
        step("Look for what no image needs");
        for name in if repair { self.sweep_ingest()? } else { self.abandoned()? } {
            let path = PathBuf::from(INGEST).join(name);
            findings.push(Finding { path, problem: Problem::Abandoned, is_repaired: repair });
        }
        for Garbage { directory, name } in if repair { self.sweep()? } else { self.unreferenced()? } {
            let path = PathBuf::from(directory).join(name);
            findings.push(Finding { path, problem: Problem::Unreferenced, is_repaired: repair });
        }
        Ok(findings)
    }

    fn check_image(
        &self,
        index: &Index,
        id: Digest,
        known: &mut HashMap<String, Option<Fault>>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let names = index.names_of(id);
        let image = match names.first() {
            Some(name) => name.familiar(),
            None => id.hex()[..12].to_owned(),
        };
        let mut found = |path: String, part: Option<Fault>| {
            if let Some(part) = part {
                let problem = Problem::Broken { id, image: image.clone(), part };
                findings.push(Finding { path: path.into(), problem, is_repaired: false });
            }
        };
        match self.image_record(id) {
            Ok(record) => {
                for layer in record.layers {
                    let fault = self.once(known, &layer, |path| self.check_tree(path))?;
                    found(layer, fault);
                }
            }
            Err(error) => found(super::record_name(id), Some(Fault::of(error)?)),
        }
        let manifests: BTreeSet<Digest> =
            index.entries.iter().filter(|entry| entry.id == id).map(|entry| entry.manifest.digest).collect();
        for manifest in manifests {
            let path = blob_path(manifest);
            let fault = self.once(known, &path, |_| self.check_blob(manifest, None))?;
            let is_whole = fault.is_none();
            found(path, fault);
            if !is_whole {
                continue;
            }
            let Ok(Manifest::Image(manifest)) = Manifest::parse(&self.read_blob(manifest)?, None) else {
                found(blob_path(manifest), Some(Fault::Malformed("no image manifest".to_owned())));
                continue;
            };
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                let path = blob_path(blob.digest);
                let fault = self.once(known, &path, |_| self.check_blob(blob.digest, Some(blob.size)))?;
                found(path, fault);
            }
        }
        Ok(())
    }

    /// Several images share layers and blobs: each is looked at once.
    fn once(
        &self,
        known: &mut HashMap<String, Option<Fault>>,
        path: &str,
        check: impl FnOnce(&str) -> Result<Option<Fault>, StoreError>,
    ) -> Result<Option<Fault>, StoreError> {
        if let Some(fault) = known.get(path) {
            return Ok(fault.clone());
        }
        let fault = check(path)?;
        known.insert(path.to_owned(), fault.clone());
        Ok(fault)
    }

    fn check_tree(&self, path: &str) -> Result<Option<Fault>, StoreError> {
        let record = match self.layer_record(path) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Some(Fault::Missing)),
            Err(error) => return Fault::of(error).map(Some),
        };
        let Some(tree) = self.place().enter_if_there(&format!("{path}/tree"))? else {
            return Ok(Some(Fault::Missing));
        };
        let path = || self.root().join(path);
        let unreadable = |error: Errno| StoreError::Read { path: path(), source: error.into() };
        let actual = tree.into_dir().count().map_err(unreadable)?;
        let expected = (record.inodes, record.bytes);
        Ok((actual != expected).then_some(Fault::Count { expected, actual }))
    }

    fn check_blob(&self, digest: Digest, size: Option<u64>) -> Result<Option<Fault>, StoreError> {
        let path = blob_path(digest);
        let Some(mut file) = self.place().open_file(&path)? else { return Ok(Some(Fault::Missing)) };
        let mut hasher = Hasher::default();
        let mut actual = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    actual += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::Read { path: self.root().join(path), source }),
            }
        }
        if let Some(expected) = size.filter(|size| *size != actual) {
            return Ok(Some(Fault::Size { expected, actual }));
        }
        let found = hasher.finish();
        Ok((found != digest).then_some(Fault::Digest(found)))
    }

    /// Takes the images with broken parts out of the index: a later pull makes their parts anew.
    fn remove_broken(
        &self,
        findings: &mut [Finding],
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<(), StoreError> {
        if findings.is_empty() {
            return Ok(());
        }
        step("Remove the images that have lost a part: they have to be pulled again");
        let _lock = self.lock(Hold::Exclusive)?;
        let mut index = self.index()?;
        for finding in findings {
            let Problem::Broken { id, .. } = finding.problem else { continue };
            if in_use(&id).is_none() {
                index.remove_image(id);
                finding.is_repaired = true;
            }
        }
        self.write_index(&index)
    }

    /// What the next sweep of `ingest/` would remove.
    fn abandoned(&self) -> Result<Vec<String>, StoreError> {
        let _lock = self.lock(Hold::Exclusive)?;
        let ingest = self.place().enter(INGEST)?;
        let mut abandoned = Vec::new();
        for name in ingest.names()? {
            if ingest.try_lock_dir(&name)?.is_some() {
                abandoned.push(name);
            }
        }
        Ok(abandoned)
    }

    /// What the next sweep would remove.
    fn unreferenced(&self) -> Result<Vec<Garbage>, StoreError> {
        let _lock = self.lock(Hold::Exclusive)?;
        let Some(_quiet) = self.quiet()? else { return Ok(Vec::new()) };
        self.garbage(&Reachable::from(self, &self.index()?)?)
    }
}

impl Fault {
    /// A finding, if the error is one.
    fn of(error: StoreError) -> Result<Self, StoreError> {
        match error {
            StoreError::Missing { .. } => Ok(Self::Missing),
            StoreError::Damaged { source, .. } => Ok(Self::Malformed(source.to_string())),
            other => Err(other),
        }
    }
}

fn blob_path(digest: Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}
