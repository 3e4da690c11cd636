//! Whose the files of a volume are where no view of their ids can be shifted: the host's, or those of one range for all containers
//! that have volumes. Which of the two is decided by the first container that puts something into it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use runtime::op::step;
use runtime::plan::IdMap;
use runtime::sys;
use runtime::sys::fs::Durability;

use super::first_content::is_empty;
use super::{Store, Volume};
use crate::context::Context;
use crate::own_root::{self, Ids};
use crate::plan::ids::RANGE;
use crate::plan::storage::VolumeMount;

/// Gives those volumes that are empty to a container that has these ids, and looks that it is the owner of the others.
///
/// # Errors
/// A volume whose files have other ids; what the kernel answered.
pub(crate) fn settle(context: &Context, mounts: &[VolumeMount], ids: &Ids) -> Result<()> {
    let (store, ids) = (Store::new(&context.dirs.root), of_volumes(ids));
    for mount in mounts.iter().filter(|mount| mount.unshifted) {
        let volume = store.find(&mount.name)?;
        if volume.ids()? == ids {
            continue;
        }
        let _alone = sys::fs::lock(&volume.directory)?;
        let there = volume.ids()?;
        if there == ids {
            continue;
        }
        if !is_empty(&volume)? {
            let (whose, other) = match there == Ids::default() {
                true => ("the host's", "run it with --userns=host, too"),
                false if ids == Ids::default() => ("those of containers", "run it without --userns=host"),
                false => {
                    ("those of other containers", "share their user namespace with --userns=container:NAME")
                }
            };
            bail!(
                "the files of volume {} have {whose} ids, which cannot be shown as this container's on an overlay: {other}, \
                 or give it a volume of its own",
                mount.name
            );
        }
        step("Give the empty volume to the container: where it lies no view of its ids can be shifted");
        let owner = |kind| ids.outside(kind, 0);
        let (Some(uid), Some(gid)) = (owner(image::IdKind::Uid), owner(image::IdKind::Gid)) else {
            bail!("volume {} would belong to nobody: the container's id maps have no root", mount.name);
        };
        let data = sys::fs::open_dir(&volume.data())?;
        sys::fs::change_owner(std::os::fd::AsFd::as_fd(&data), uid, Some(gid))?;
        let json = serde_json::to_vec(&ids).context("cannot write ids as JSON")?;
        sys::fs::write_whole(&file(&volume.directory), &json, Durability::Synced)?;
    }
    Ok(())
}

impl Volume {
    /// The ids that its files have, where no view of them is shifted.
    fn ids(&self) -> Result<Ids> {
        Ok(own_root::read_ids(&file(&self.directory))?.unwrap_or_default())
    }
}

fn file(volume: &Path) -> std::path::PathBuf {
    volume.join("ids.json")
}

/// What all containers with volumes have: an id beyond 65535 is one of an image. PURE.
fn of_volumes(ids: &Ids) -> Ids {
    let common = |map: &[IdMap]| map.iter().filter(|line| line.container < RANGE).cloned().collect();
    Ids { users: common(&ids.users), groups: common(&ids.groups) }
}
