//! Volumes: directories that outlive containers.
//!
//! ```text
//! ROOT/volume/NAME/volume.json   what it is
//! ROOT/volume/NAME/_data/        its files; ids are 0-based, a container sees them through its own map
//! ROOT/volume/NAME/ids.json      on an overlay, where no view can be shifted: the ids that the files have in place of these
//! ROOT/volume/NAME/copying       its first content is being copied into it, or was when somebody was killed
//! ROOT/volume/.new.NAME          one that is being made; .gone.NAME: one that is being removed
//! ROOT/volume/.lock              held by whoever makes or removes one
//! ```
//!
//! A volume appears and vanishes by one rename. A container's record says which volumes it refers to, and is written before they
//! are made: so nobody removes one under it, and none is left of which nobody knows.

pub(crate) mod check;
pub(crate) mod first_content;
pub(crate) mod owners;
pub(crate) mod users;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use runtime::op::step;
use runtime::sys;
use runtime::sys::fs::Durability;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::plan::storage::{VolumeMount, check_volume_name};
use crate::shelf::{self, Shelf};

/// The form of `volume.json`.
const VERSION: u32 = 1;

/// The label that docker gives to volumes without a name of their own.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// What is written down of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) name: String,
    /// When it was made, ns since 1970.
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// `type`, `o` and `device`, as docker's local driver takes them.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

impl shelf::Record for Record {
    const KIND: &'static str = "volume";
    const FILE: &'static str = "volume.json";
    const VERSION: u32 = VERSION;

    fn version(&self) -> u32 {
        self.version
    }
}

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) record: Record,
    /// `ROOT/volume/NAME`.
    pub(crate) directory: PathBuf,
}

/// When a volume was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Now,
    Before,
}

/// There is no such volume.
#[derive(Debug, thiserror::Error)]
#[error("no such volume: {0}")]
pub(crate) struct NotFound(pub(crate) String);

/// A container refers to a volume that is to be removed.
#[derive(Debug, thiserror::Error)]
#[error("volume {name} is in use by container {containers}")]
pub(crate) struct InUse {
    pub(crate) name: String,
    pub(crate) containers: String,
}

/// Where volumes are kept.
#[derive(Debug, Clone)]
pub(crate) struct Store(Shelf);

impl Volume {
    /// Where its files are: a directory of its own, or the one that its options name.
    pub(crate) fn data(&self) -> PathBuf {
        match self.record.options.get("device") {
            Some(device) => device.into(),
            None => self.directory.join("_data"),
        }
    }

    /// Where docker says that its files are.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.directory.join("_data")
    }

    /// One of its labels.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.record.labels.get(key).map(String::as_str)
    }

    /// It was not given a name.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.record.labels.contains_key(ANONYMOUS)
    }

    /// Its files are in its own directory, and no other's.
    fn is_own(&self) -> bool {
        !self.record.options.contains_key("device")
    }

    /// Bytes of its files; of a directory that belongs to somebody else, nothing.
    pub(crate) fn size(&self) -> u64 {
        if self.is_own() { runtime::changes::usage(&self.data()) } else { 0 }
    }
}

/// `o=ro`.
fn are_read_only(options: &BTreeMap<String, String>) -> bool {
    options.get("o").is_some_and(|words| words.split(',').any(|word| word == "ro"))
}

impl Store {
    /// Volumes below a root.
    pub(crate) fn new(root: &Path) -> Store {
        Store(Shelf::new(root.join("volume")))
    }

    /// A volume, by its name.
    ///
    /// # Errors
    /// [`NotFound`]; a record that this mini cannot read.
    pub(crate) fn find(&self, name: &str) -> Result<Volume> {
        self.get(name)?.ok_or_else(|| NotFound(name.to_owned()).into())
    }

    /// A volume, where there is one of that name.
    ///
    /// # Errors
    /// A record that this mini cannot read.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Volume>> {
        if check_volume_name(name).is_err() {
            return Ok(None);
        }
        let record = self.0.read(name)?;
        Ok(record.map(|record| Volume { record, directory: self.0.place(name) }))
    }

    /// Every volume, by name.
    ///
    /// # Errors
    /// A record that this mini cannot read.
    pub(crate) fn list(&self) -> Result<Vec<Volume>> {
        self.0.names().iter().filter_map(|name| self.get(name).transpose()).collect()
    }

    /// Nobody else makes or removes a volume until this is dropped.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn lock(&self) -> Result<OwnedFd> {
        self.0.lock()
    }

    /// Makes a volume, or gives the one that is there. The caller holds the lock.
    ///
    /// # Errors
    /// What the kernel answered.
    fn make(&self, record: &Record, durability: Durability) -> Result<(Volume, Made)> {
        if let Some(there) = self.get(&record.name)? {
            return Ok((there, Made::Before));
        }
        step("Make a volume: a directory that outlives containers");
        let directory = self.0.make(&record.name, record, durability, |fresh| {
            sys::fs::make_dir(&fresh.join("_data"), 0o755)?;
            sys::fs::make_public(&fresh.join("_data"))
        })?;
        Ok((Volume { record: record.clone(), directory }, Made::Now))
    }

    /// Makes a volume, or finds the one of that name.
    ///
    /// # Errors
    /// Where one of that name is there and has other labels or options.
    pub(crate) fn create(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
    ) -> Result<(Volume, Made)> {
        check_volume_name(name)?;
        check_options(&options)?;
        let _alone = self.lock()?;
        let record =
            Record { version: VERSION, name: name.to_owned(), created: clock::now(), labels, options };
        let (volume, made) = self.make(&record, Durability::Synced)?;
        let there = &volume.record;
        ensure!(
            (record.labels.is_empty() || there.labels == record.labels)
                && (record.options.is_empty() || there.options == record.options),
            "volume {name} is there already, with other labels or options"
        );
        Ok((volume, made))
    }

    /// Makes the volumes of a container that are not there yet, and tells their names. The container is written down already.
    ///
    /// # Errors
    /// What the kernel answered; a directory that the volume's options name and that is not there.
    pub(crate) fn provide(&self, mounts: &[VolumeMount], auto_remove: bool) -> Result<Vec<String>> {
        let mut all_made = Vec::new();
        let _alone = self.lock()?;
        for mount in mounts {
            let mut labels = mount.labels.clone();
            if mount.anonymous {
                labels.insert(ANONYMOUS.to_owned(), String::new());
            }
            let record = Record {
                version: VERSION,
                name: mount.name.clone(),
                created: clock::now(),
                labels,
                options: mount.options.clone(),
            };
            let (volume, made) = self.make(&record, durability(mount, auto_remove))?;
            let (data, name) = (volume.data(), &mount.name);
            all_made.extend((made == Made::Now).then(|| name.clone()));
            ensure!(data.is_dir(), "volume {name} binds {}, which is no directory", data.display());
            ensure!(data == mount.source, "volume {name} was made by somebody else meanwhile: try again");
        }
        Ok(all_made)
    }

    /// Where a container's volumes will be, whether they are there yet or not. Gives those without a name one.
    ///
    /// # Errors
    /// Where there is no randomness for a name.
    pub(crate) fn foresee(
        &self,
        mounts: &mut [VolumeMount],
        new_name: &dyn Fn() -> Result<String>,
    ) -> Result<()> {
        for mount in mounts {
            if mount.name.is_empty() {
                mount.name = new_name()?;
            }
            let there = self.get(&mount.name)?;
            mount.source = match (&there, mount.options.get("device")) {
                (Some(volume), _) => volume.data(),
                (None, Some(device)) => device.into(),
                (None, None) => self.0.place(&mount.name).join("_data"),
            };
            let options = there.as_ref().map_or(&mount.options, |volume| &volume.record.options);
            mount.read_only |= are_read_only(options);
        }
        Ok(())
    }

    /// Makes a volume vanish; its files go with [`Store::remove_gone`]. The caller holds the lock.
    ///
    /// # Errors
    /// What the kernel answered; the volume is then as it was.
    pub(crate) fn take_away(&self, volume: &Volume) -> Result<()> {
        step("Make the volume vanish by one rename: from here on nobody finds it");
        Ok(self.0.take_away(&volume.record.name)?)
    }

    /// Whether files of a volume that has vanished are still there.
    pub(crate) fn has_gone(&self, name: &str) -> bool {
        self.0.gone(name).exists()
    }

    /// Removes the files of a volume that has vanished; without one, nothing.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn remove_gone(&self, name: &str) -> Result<()> {
        Ok(self.0.remove_gone(name)?)
    }
}

/// How a container's volume is written: what goes with the container is worth no sync, what stays is.
pub(crate) fn durability(mount: &VolumeMount, auto_remove: bool) -> Durability {
    if mount.anonymous && auto_remove { Durability::Cached } else { Durability::Synced }
}

/// docker's local driver mounts what its options say. mini binds a directory, and says no to everything else.
///
/// # Errors
/// An option, or a value, that is not supported; a device that is no absolute path.
pub(crate) fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    if options.is_empty() {
        return Ok(());
    }
    for (key, value) in options {
        match (key.as_str(), value.as_str()) {
            ("type", "none" | "bind" | "") => {}
            ("o", words) => {
                let odd = words.split(',').find(|word| !matches!(*word, "bind" | "rbind" | "ro" | "rw"));
                ensure!(
                    odd.is_none(),
                    "volume option o={} is not supported: bind, rbind, ro or rw",
                    odd.unwrap_or_default()
                );
            }
            ("device", path) => {
                ensure!(path.starts_with('/'), "volume option device={path} is no absolute path");
            }
            ("type", value) => {
                bail!(
                    "volume option type={value} is not supported: mini binds directories (type=none,o=bind,device=DIR)"
                )
            }
            (key, _) => bail!("volume option {key:?} is not supported: one of type, o, device"),
        }
    }
    let binds = options.get("o").is_some_and(|o| o.split(',').any(|word| matches!(word, "bind" | "rbind")));
    ensure!(
        binds && options.contains_key("device"),
        "a volume with options binds a directory: it needs o=bind and device=DIR"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_bind_a_directory_or_are_refused_by_name() {
        let good = map(&[("type", "none"), ("o", "bind,ro"), ("device", "/srv")]);
        check_options(&good).unwrap();
        check_options(&map(&[])).unwrap();
        for (options, complaint) in [
            (map(&[("type", "nfs"), ("o", "addr=10.0.0.1"), ("device", ":/x")]), "device=:/x"),
            (map(&[("type", "tmpfs")]), "type=tmpfs"),
            (map(&[("o", "bind,uid=5"), ("device", "/srv")]), "o=uid=5"),
            (map(&[("o", "bind")]), "needs o=bind and device"),
            (map(&[("device", "/srv")]), "needs o=bind and device"),
            (map(&[("size", "1g")]), "\"size\""),
        ] {
            let error = check_options(&options).unwrap_err().to_string();
            assert!(error.contains(complaint), "{options:?}: {error}");
        }
    }

    #[test]
    fn a_volume_appears_whole_and_keeps_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        assert!(store.list().unwrap().is_empty() && store.get("data").unwrap().is_none());
        let labels = map(&[("a", "b")]);
        let (made, when) = store.create("data", labels.clone(), map(&[])).unwrap();
        assert_eq!((&store.find("data").unwrap(), when), (&made, Made::Now));
        assert!(made.data().is_dir() && !made.is_anonymous());
        assert_eq!(store.create("data", map(&[]), map(&[])).unwrap(), (made.clone(), Made::Before));
        assert!(store.create("data", map(&[("a", "c")]), map(&[])).is_err());
        for name in ["../data", "..", ".new.x", ""] {
            assert!(store.create(name, map(&[]), map(&[])).is_err(), "{name}");
            assert!(store.get(name).unwrap().is_none(), "{name}");
        }
        let mut mounts = [VolumeMount { anonymous: true, ..VolumeMount::default() }];
        store.foresee(&mut mounts, &|| Ok("0".repeat(64))).unwrap();
        store.provide(&mounts, true).unwrap();
        assert!(store.find(&mounts[0].name).unwrap().is_anonymous() && mounts[0].source.is_dir());
        let alone = store.lock().unwrap();
        store.take_away(&made).unwrap();
        assert!(store.get("data").unwrap().is_none());
        store.remove_gone("data").unwrap();
        drop(alone);
        assert_eq!(store.list().unwrap().len(), 1);
    }

    #[test]
    fn a_newer_record_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let (made, _) = store.create("data", map(&[]), map(&[])).unwrap();
        let record = Record { version: 2, ..made.record };
        let text = serde_json::to_vec(&record).unwrap();
        sys::fs::write_whole(&made.directory.join("volume.json"), &text, Durability::Cached).unwrap();
        assert!(store.list().unwrap_err().to_string().contains("version 2"));
    }
}
