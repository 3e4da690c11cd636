//! The rest of a check: the files by which everything is found, strangers, and the deep look at a layer.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use super::check::{Fault, Finding, Problem};
use super::lock::Hold;
use super::session::Session;
use super::{
    ACTIVE, CHAINS, DAMAGED, IMAGES, INGEST, KEPT, LAYERS, LAYOUT, LAYOUT_JSON, LOCK, PARTIAL, Store,
    StoreError,
};
use crate::archive::compare::{Difference, difference};
use crate::archive::unpack::UnpackOptions;
use crate::digest::Digest;
use crate::layer::blob::FilePieces;
use crate::layer::{Expected, Target, pass};
use crate::limits::Limits;
use crate::manifest::Descriptor;

/// What a store consists of.
const KNOWN: [&str; 13] = [
    LAYOUT,
    "index.json",
    "blobs",
    "version",
    IMAGES,
    LAYERS,
    CHAINS,
    INGEST,
    PARTIAL,
    LOCK,
    ACTIVE,
    DAMAGED,
    KEPT,
];

impl Store {
    /// The layout's own two files; an index that cannot be read is made anew of the images' records.
    pub(super) fn check_layout(&self, repair: bool) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        let mut found = |name: &str, fault, note: Option<&str>| {
            let note = note.filter(|_| repair).map(str::to_owned);
            findings.push(Finding {
                path: name.into(),
                problem: Problem::Unreadable(fault),
                is_repaired: repair,
                note,
            });
        };
        let layout = self
            .place()
            .read(LAYOUT)
            .map_err(|source| StoreError::Read { path: self.root().join(LAYOUT), source })?;
        if !layout.as_deref().is_some_and(is_layout) {
            let fault = match layout {
                Some(_) => Fault::Malformed("another version of the OCI image layout".to_owned()),
                None => Fault::Missing,
            };
            if repair {
                self.place().write_whole(LAYOUT, LAYOUT_JSON)?;
            }
            found(LAYOUT, fault, None);
        }
        if let Err(error) = self.index() {
            let fault = Fault::of(error)?;
            if repair {
                self.rebuild_index()?;
            }
            found("index.json", fault, Some("the names of the images are lost: they are listed as <none>"));
        }
        Ok(findings)
    }

    /// What nobody of mini's put there: told, but not taken away, unless it is a file that was being written when its writer was killed.
    pub(super) fn check_strays(&self, repair: bool, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        // Whoever writes such a file holds this lock.
        let _lock = self.lock(Hold::Exclusive)?;
        let mut strays: Vec<(PathBuf, Problem)> = Vec::new();
        for name in self.place().names()? {
            if is_temporary(&name) {
                strays.push((name.into(), Problem::Abandoned));
            } else if !KNOWN.contains(&name.as_str()) {
                strays.push((name.into(), Problem::Stray));
            }
        }
        for directory in [LAYERS, CHAINS] {
            for layer in self.place().enter(directory)?.names()? {
                let Some(place) = self.place().enter_if_there(&format!("{directory}/{layer}"))? else {
                    continue;
                };
                let strange =
                    place.names()?.into_iter().filter(|name| !matches!(name.as_str(), "tree" | "layer.json"));
                strays.extend(
                    strange.map(|name| (PathBuf::from(directory).join(&layer).join(name), Problem::Stray)),
                );
            }
        }
        for (path, problem) in strays {
            let is_repaired = repair && problem == Problem::Abandoned;
            if is_repaired {
                self.place().remove_all(&path.to_string_lossy())?;
            }
            let note = (repair && !is_repaired).then(stray_note);
            findings.push(Finding { path, problem, is_repaired, note });
        }
        Ok(())
    }

    /// Unpacks a layer's blob once more, and compares.
    pub(super) fn compare(
        &self,
        beside: &Session<'_>,
        path: &str,
        blob: Descriptor,
        diff_id: Digest,
    ) -> Result<Option<Fault>, StoreError> {
        let here = self.place().enter(&format!("{path}/tree"))?.into_dir();
        let Some(file) = beside.open_blob(blob.digest)? else { return Ok(None) };
        let ingest = beside.scratch()?;
        let limits = Limits::default();
        let options = UnpackOptions { devices: true, entries_max: limits.layer_entries };
        let target = Target { blob: None, tree: Some(ingest.place().make_tree("tree")?) };
        let expected = Expected { blob: Some((blob.digest, blob.size)), diff_id };
        let read = AtomicU64::new(0);
        let passed = pass(FilePieces::new(file, 0, blob.size), expected, target, options, &limits, &read);
        let compared = match passed {
            Ok(_) => difference(&here, &ingest.place().enter("tree")?.into_dir()).map_err(io::Error::from),
            Err(error) => Err(io::Error::other(error)),
        };
        ingest.discard(self)?;
        let told = |Difference { path, what }| Fault::Differs { path, what };
        compared
            .map(|found| found.map(told))
            .map_err(|source| StoreError::Read { path: self.root().join(path), source })
    }
}

/// Other tools write it with other spaces.
fn is_layout(json: &[u8]) -> bool {
    let version = |json: &serde_json::Value| json["imageLayoutVersion"] == "1.0.0";
    serde_json::from_slice(json).is_ok_and(|json| version(&json))
}

/// What is to be said of a thing that is not mini's.
pub(super) fn stray_note() -> String {
    "nobody knows what it is for: move it away".to_owned()
}

/// Written by `write_whole`, which was killed.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".new")
}
