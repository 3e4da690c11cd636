//! `mini system check`: is everything there that the images need, is it what it should be, and is there
//! anything else?
//!
//! Blobs are hashed. A layer's tree is counted, objects and bytes, against what unpacking counted: that finds
//! files that a power loss emptied or a hand removed, though not a flipped bit. A deep look unpacks each layer's blob
//! once more, beside it, and compares everything: content, modes, owners, times, extended attributes.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use rustix::io::Errno;

use super::garbage::{Garbage, Reachable};
use super::index::Index;
use super::lock::Hold;
use super::mend::Fetch;
use super::removal::Use;
use super::session::{Session, blob_path};
use super::{IMAGES, INGEST, PARTIAL, Store, StoreError};
use crate::digest::{Digest, Hasher};
use crate::manifest::{Manifest, diff_ids};
use crate::op::step;

/// How to look, and what to do about it.
pub struct Check<'a> {
    /// Compare the files of layers with what is in their blobs.
    pub deep: bool,
    /// Tells who uses the image of an id.
    pub in_use: &'a dyn Fn(&Digest) -> Option<Use>,
    /// Mend what was found, what is not here by pulling it again, and remove what nobody needs.
    pub repair: Option<&'a Fetch<'a>>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a path relative to the store's root.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: Problem,
    /// Whether it has been put right: garbage removed; what was damaged made anew or fetched again; an image that nobody can
    /// bring back removed, so that it can be loaded again.
    pub is_repaired: bool,
    /// How, or why not, where there is something to say.
    pub note: Option<String>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// What a killed pull, load or removal left half made.
    Abandoned,
    /// A download that was cut short, and that nobody has gone on with for a week.
    Stale,
    /// Nothing refers to it.
    Unreferenced,
    /// The mark of an image that was removed, and kept for a container that has gone since.
    Unused,
    /// The mark of a removed image that a container needs, which cannot be read.
    Mark(Digest, Fault),
    /// Something in the store that mini has not put there.
    Stray,
    /// One of the files by which everything else is found cannot be read.
    Unreadable(Fault),
    /// A part of an image is not what it should be.
    Broken {
        /// The image's id.
        id: Digest,
        /// The image's name, or its short id if it has none, and that it was removed if it was.
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
    /// Something in a layer's tree is not what is in the layer's blob.
    Differs {
        /// Where, from the layer's root. An image chose it: it may hold what commands a terminal.
        path: String,
        /// How: `has another mode`.
        what: &'static str,
    },
    /// An earlier check found it damaged, and could not mend it.
    Marked,
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
            Self::Abandoned => out.write_str("left by a pull, load or removal that was killed"),
            Self::Stale => out.write_str("a download that nobody has gone on with for a week"),
            Self::Unreferenced => out.write_str("no image needs it"),
            Self::Unused => out.write_str("a removed image that no container needs any more"),
            Self::Mark(_, part) => write!(out, "{part}; it says what a removed image consists of"),
            Self::Stray => out.write_str("not mini's"),
            Self::Unreadable(part) => write!(out, "{part}; no image can be found without it"),
            Self::Broken { image, part, .. } => write!(out, "{part}; {image} is not whole"),
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
            Self::Differs { path, what } => write!(out, "{path} {what}"),
            Self::Marked => out.write_str("found damaged before"),
            Self::Malformed(why) => write!(out, "malformed: {why}"),
        }
    }
}

impl Store {
    /// Looks for what is broken and for what nobody needs, and mends it where that is asked for.
    ///
    /// While a pull or load is under way, what nothing refers to is left alone and not told of: it may be
    /// theirs.
    ///
    /// # Errors
    /// The store cannot be read, or not be written. Broken parts are findings and no errors.
    pub fn check(&self, check: &Check<'_>) -> Result<Vec<Finding>, StoreError> {
        let repair = check.repair.is_some();
        let mut findings = self.check_layout(repair)?;
        if self.index().is_err() {
            return Ok(findings);
        }
        let kept = self.check_kept(check.in_use, repair)?;
        step("Check that every image has all its parts");
        {
            let beside = if check.deep { Some(self.session_beside()?) } else { None };
            let _lock = self.lock(Hold::Shared)?;
            let index = self.index_and_kept()?;
            let mut known = HashMap::new();
            for id in self.ids_and_kept(check.in_use)? {
                self.check_image(&index, id, beside.as_ref(), &mut known, &mut findings)?;
            }
        }
        if let Some(fetch) = check.repair {
            self.mend_all(&mut findings, check.in_use, fetch)?;
            self.tidy_marks()?;
        }
        findings.extend(kept);
        // What an image needs whose record cannot be read is not known.
        let is_blind = |finding: &Finding| finding.path.starts_with(IMAGES) && !finding.is_repaired;
        if findings.iter().any(is_blind) {
            return Ok(findings);
        }
        step("Look for what no image needs");
        let mut found = |directory: &str, name: String, problem| {
            let path = PathBuf::from(directory).join(name);
            findings.push(Finding { path, problem, is_repaired: repair, note: None });
        };
        for name in if repair { self.sweep_ingest()? } else { self.abandoned()? } {
            found(INGEST, name, Problem::Abandoned);
        }
        for one in self.interrupted_that(&|one| one.is_stale, repair)? {
            found(PARTIAL, one.name, Problem::Stale);
        }
        for Garbage { directory, name } in if repair { self.sweep()? } else { self.unreferenced()? } {
            found(directory, name, Problem::Unreferenced);
        }
        self.check_strays(repair, &mut findings)?;
        Ok(findings)
    }

    fn check_image(
        &self,
        index: &Index,
        id: Digest,
        beside: Option<&Session<'_>>,
        known: &mut HashMap<String, Option<Fault>>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let names = index.names_of(id);
        let image = match names.first() {
            Some(name) => name.familiar(),
            None => id.hex()[..12].to_owned(),
        };
        let image = match self.is_kept_alone(id)? {
            true => format!("{image}, removed and kept for a container,"),
            false => image,
        };
        let mut found = |path: String, part: Option<Fault>| {
            if let Some(part) = part {
                let problem = Problem::Broken { id, image: image.clone(), part };
                findings.push(Finding { path: path.into(), problem, is_repaired: false, note: None });
            }
        };
        let mut layers = Vec::new();
        match self.image_record(id) {
            Ok(record) => {
                for layer in record.layers {
                    let fault = self.once(known, &layer, |path| self.check_tree(path))?;
                    if fault.is_none() {
                        layers.push(layer.clone());
                    }
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
            let mut whole = Vec::new();
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                let path = blob_path(blob.digest);
                let fault = self.once(known, &path, |_| self.check_blob(blob.digest, Some(blob.size)))?;
                whole.push(fault.is_none());
                found(path, fault);
            }
            let (Some(beside), Some(true)) = (beside, whole.pop()) else { continue };
            let Ok(ids) = diff_ids(&self.read_blob(manifest.config.digest)?, manifest.layers.len()) else {
                continue;
            };
            for ((blob, diff_id), _) in manifest.layers.iter().zip(ids).zip(whole).filter(|(_, whole)| *whole)
            {
                let path = super::session::Shelf::Layers.path(diff_id);
                if layers.contains(&path) {
                    let again = format!("{path} again");
                    let fault = self.once(known, &again, |_| self.compare(beside, &path, *blob, diff_id))?;
                    found(path, fault);
                }
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

    fn check_tree(&self, name: &str) -> Result<Option<Fault>, StoreError> {
        let record = match self.layer_record(name) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Some(Fault::Missing)),
            Err(error) => return Fault::of(error).map(Some),
        };
        let Some(tree) = self.place().enter_if_there(&format!("{name}/tree"))? else {
            return Ok(Some(Fault::Missing));
        };
        let path = || self.root().join(name);
        let unreadable = |error: Errno| StoreError::Read { path: path(), source: error.into() };
        let actual = tree.into_dir().count().map_err(unreadable)?;
        let expected = (record.inodes, record.bytes);
        if actual != expected {
            return Ok(Some(Fault::Count { expected, actual }));
        }
        Ok(self.is_marked(name)?.then_some(Fault::Marked))
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
    pub(super) fn of(error: StoreError) -> Result<Self, StoreError> {
        match error {
            StoreError::Missing { .. } => Ok(Self::Missing),
            StoreError::Damaged { source, .. } => Ok(Self::Malformed(source.to_string())),
            other => Err(other),
        }
    }
}
