//! A container's root where overlay cannot stack one: a copy of its image in the container's own directory.
//!
//! ```text
//! ROOT/containers/ID/copy/tree        its files, with its ids on the host: where they lie no view of them can be shifted
//! ROOT/containers/ID/copy/ids.json    which ids those are
//! ROOT/containers/ID/copy.new/        the same in the making; who finds it under the container's lock removes it
//! ```
//!
//! The ids are those of the run for which it was made. A later run that gets others copies the copy.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::{Changes, IdKind, Keeping, Shift, same_id};
use runtime::op::step;
use runtime::plan::{COPY, IdMap, InitPlan, container_id, host_id};
use runtime::sys;
use runtime::sys::fs::Durability;
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// What users should know of it, once.
pub(crate) const NOTICE: &str = "the image store lies on an overlay: each container gets a copy of its image (slower, more disk); \
                                 another --root, on ext4, xfs, btrfs or tmpfs, would not";

/// A container's ids on the host; both empty where they are the host's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) users: Vec<IdMap>,
    pub(crate) groups: Vec<IdMap>,
}

impl Ids {
    /// Those of a container that is going to be made.
    pub(crate) fn of(plan: &InitPlan) -> Ids {
        match plan.has_user_namespace() {
            true => Ids { users: plan.uid_map.clone(), groups: plan.gid_map.clone() },
            false => Ids::default(),
        }
    }

    fn map(&self, kind: IdKind) -> &[IdMap] {
        if kind == IdKind::Uid { &self.users } else { &self.groups }
    }

    /// What a container's id is on the host.
    pub(crate) fn outside(&self, kind: IdKind, id: u32) -> Option<u32> {
        if self.map(kind).is_empty() { Some(id) } else { host_id(self.map(kind), id) }
    }

    /// What a host's id is in the container.
    pub(crate) fn inside(&self, kind: IdKind, id: u32) -> Option<u32> {
        if self.map(kind).is_empty() { Some(id) } else { container_id(self.map(kind), id) }
    }
}

/// Whether containers get a copy of their image: the store was made on an overlay, or their own directories lie on one.
///
/// # Errors
/// Where the store cannot be opened or the directory not be looked at.
pub(crate) fn is_wanted(context: &Context) -> Result<bool> {
    if context.store()?.keeping() == Keeping::Copied {
        return Ok(true);
    }
    let root = &context.dirs.root;
    image::lies_on_overlay(root).with_context(|| format!("cannot look at {}", root.display()))
}

/// Where a container's files lie that it can change: its copy, where it has one, or its upper directory.
pub(crate) fn files(disk: &Path) -> PathBuf {
    if is_there(disk) { disk.join(COPY) } else { disk.join("upper") }
}

/// Whether a container has its copy.
pub(crate) fn is_there(disk: &Path) -> bool {
    disk.join("copy").exists()
}

/// How docker calls the way in which files are kept.
pub(crate) fn driver(copied: bool) -> &'static str {
    if copied { "vfs" } else { "overlay" }
}

/// Whose files a container's copy has; `None` where it has no copy.
///
/// # Errors
/// What was written down of it cannot be read.
pub(crate) fn ids(disk: &Path) -> Result<Option<Ids>> {
    read_ids(&disk.join("copy/ids.json"))
}

/// Ids as they were written down; `None` where they were not.
///
/// # Errors
/// What was written down cannot be read.
pub(crate) fn read_ids(path: &Path) -> Result<Option<Ids>> {
    match std::fs::read(path) {
        Ok(json) => {
            let ids = serde_json::from_slice(&json);
            ids.map(Some).with_context(|| format!("damaged file {}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Makes the container's copy of these layers with these ids, where it has none, or one with others. The caller holds its lock.
///
/// # Errors
/// What cannot be read or made; what was copied so far is found by the next one who wants it.
pub(crate) fn provide(disk: &Path, layers: &[PathBuf], ids: &Ids, durability: Durability) -> Result<()> {
    let before = self::ids(disk)?;
    if before.as_ref() == Some(ids) {
        return Ok(());
    }
    let (own, new) = (disk.join("copy"), disk.join("copy.new"));
    discard(disk)?;
    if before.is_none() {
        step("Copy the image for this container: overlay cannot stack layers that lie on an overlay");
    } else {
        step("Copy the container's files with the ids that it has this time");
    }
    sys::fs::make_dir(&new, 0o700)?;
    let tree = new.join("tree");
    sys::fs::make_dir(&tree, 0o700)?;
    let outside = |kind, id| ids.outside(kind, id);
    let inside = |kind, id| before.as_ref().map_or_else(|| same_id(kind, id), |ids| ids.inside(kind, id));
    let shift = Shift { inside: &inside, outside: &outside };
    let from = match &before {
        None => layers.to_vec(),
        Some(_) => vec![own.join("tree")],
    };
    let name = tree.display().to_string();
    image::copy(&from, sys::fs::open_dir(&tree)?, &name, &shift)
        .context("cannot copy the image for the container")?;
    let json = serde_json::to_vec(ids).context("cannot write ids as JSON")?;
    sys::fs::write_whole(&new.join("ids.json"), &json, durability)?;
    if durability == Durability::Synced {
        sys::whole::sync_all(&new)?;
    }
    if before.is_some() {
        let old = disk.join("copy.old");
        sys::fs::rename(&own, &old)?;
        sys::fs::rename(&new, &own)?;
        return Ok(sys::removal::remove_tree(&old)?);
    }
    Ok(sys::fs::rename(&new, &own)?)
}

/// What has changed in a container's copy since it was copied of these layers with these ids.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn changes(disk: &Path, layers: &[PathBuf], ids: &Ids) -> Result<Changes> {
    let outside = |kind, id| ids.outside(kind, id);
    let shift = Shift { inside: &same_id, outside: &outside };
    let copy = sys::fs::open_dir(&disk.join(COPY))?;
    image::changed(layers, copy, &shift).context("cannot compare the container's files")
}

/// Removes what somebody who was killed left half made. The caller holds the container's lock.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn discard(disk: &Path) -> Result<()> {
    let (own, old) = (disk.join("copy"), disk.join("copy.old"));
    if old.exists() && !own.exists() {
        // Between the two renames: the old one is whole, and belongs to whom it belonged to.
        sys::fs::rename(&old, &own)?;
    }
    for half in [&disk.join("copy.new"), &old] {
        if half.exists() {
            sys::removal::remove_tree(half)?;
        }
    }
    Ok(())
}

/// Whether somebody left something half made, or makes it now.
pub(crate) fn is_half(disk: &Path) -> bool {
    disk.join("copy.new").exists() || disk.join("copy.old").exists()
}
