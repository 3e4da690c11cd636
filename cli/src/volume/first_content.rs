//! The first content of a volume: what the image has at its place, copied once, with everything that belongs to it.
//!
//! A volume that has something in it is left as it is. Whoever copies holds the volume's lock and leaves a mark until it is
//! done; whoever finds the mark later knows that somebody was killed in the middle, and begins again.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::{ExtractOptions, Into, Limits, Owners, Pack, PackOptions, extract};
use runtime::op::step;
use runtime::plan::{COPY, InitPlan, RootPlan};
use runtime::sys;
use runtime::sys::confined::{self, Links};
use runtime::sys::fs::Durability;

use super::users::Users;
use super::{Store, Volume};
use crate::context::Context;
use crate::own_root::{self, Ids};
use crate::plan::Request;
use crate::plan::storage::VolumeMount;

/// Which volumes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// The container is new: all that are empty.
    New,
    /// It has run before: those that were left half copied.
    Again,
}

/// Fills the volumes of the container `id` with what its root begins with.
///
/// # Errors
/// What the kernel answered; what was copied so far stays, and is begun again.
pub(crate) fn provide(
    context: &Context,
    id: &str,
    request: &Request,
    init: &InitPlan,
    when: When,
) -> Result<()> {
    let store = Store::new(&context.dirs.root);
    let mut files = None;
    let mounts = request.options.storage.volumes.iter();
    for mount in mounts.filter(|mount| !mount.no_copy && mount.subpath.is_none()) {
        let volume = store.find(&mount.name)?;
        let wanted = volume.is_half() || when == When::New && is_empty(&volume)?;
        if !wanted {
            continue;
        }
        let files = match &files {
            Some(files) => files,
            None => files.insert(Content::of(&init.root)?),
        };
        let durability = super::durability(mount, request.auto_remove);
        let ids = if mount.unshifted { Ids::of(init) } else { Ids::default() };
        fill(context, id, mount, &volume, (files, &ids), durability).with_context(|| {
            format!("cannot copy the image's {} into volume {}", mount.target.display(), mount.name)
        })?;
    }
    Ok(())
}

/// What a container begins with.
struct Content {
    root: OwnedFd,
    /// Whose its files are.
    ids: Ids,
}

impl Content {
    fn of(root: &RootPlan) -> Result<Content> {
        match own_root::ids(&root.scratch)?.filter(|_| root.copied) {
            Some(ids) => Ok(Content { root: sys::fs::open_dir(&root.scratch.join(COPY))?, ids }),
            None => Ok(Content { root: runtime::files::of_image(&root.layers)?, ids: Ids::default() }),
        }
    }
}

impl Volume {
    fn mark(&self) -> PathBuf {
        self.directory.join("copying")
    }

    /// Somebody copies its first content, or was killed while doing so.
    pub(crate) fn is_half(&self) -> bool {
        self.mark().exists()
    }

    /// Its lock, where nobody copies into it now.
    pub(crate) fn try_lock(&self) -> Result<Option<OwnedFd>> {
        Ok(sys::fs::try_lock(&self.directory)?)
    }

    /// Removes what was copied; a directory that is somebody else's is left as it is.
    fn empty(&self) -> Result<()> {
        if !self.is_own() {
            return Ok(());
        }
        for entry in std::fs::read_dir(self.data()).context("cannot read the volume")? {
            sys::removal::remove_tree(&entry.context("cannot read the volume")?.path())?;
        }
        Ok(())
    }

    /// Makes an end of what was copied half: nothing stays of it, unless somebody uses it.
    pub(super) fn give_up(&self, is_used: bool) -> Result<()> {
        if !is_used {
            self.empty()?;
        }
        Ok(sys::fs::remove_file(&self.mark())?)
    }
}

pub(super) fn is_empty(volume: &Volume) -> Result<bool> {
    let data = volume.data();
    let mut entries = std::fs::read_dir(&data).with_context(|| format!("cannot read {}", data.display()))?;
    Ok(entries.next().is_none())
}

fn fill(
    context: &Context,
    id: &str,
    mount: &VolumeMount,
    volume: &Volume,
    (files, its_ids): (&Content, &Ids),
    durability: Durability,
) -> Result<()> {
    let found = match confined::open_path(files.root.as_fd(), &mount.target, Links::Inside) {
        Err(error) if matches!(error.errno(), libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => return Ok(()),
        found => found?,
    };
    if !sys::fs::is_directory(found.as_fd())? {
        return Ok(()); // that nothing can be mounted on it is told where it is tried
    }
    step("Copy what the image has there into the volume: the first container's files are the image's");
    let _alone = sys::fs::lock(&volume.directory)?;
    // Asked again under the lock.
    if volume.is_half() {
        if !Users::of(&context.state())?.has_others(&mount.name, id) {
            volume.empty()?;
        }
    } else if !is_empty(volume)? {
        return Ok(());
    }
    sys::fs::write_whole(&volume.mark(), b"", durability)?;
    let limits = Limits::default();
    let inside = |kind, id| files.ids.inside(kind, id);
    let outside = |kind, id| its_ids.outside(kind, id);
    let pack = Pack::new(
        found,
        PackOptions {
            called: b".".to_vec(),
            ids: &inside,
            nanoseconds: true,
            left_empty: Vec::new(),
            entries_max: limits.layer_entries,
        },
    );
    let data = volume.data();
    let name = data.display().to_string();
    let into = Into { directory: sys::fs::open_dir(&data)?, name: &name, container: None };
    let options = ExtractOptions {
        owners: Owners::Kept(&outside),
        powers: true,
        top: true,
        entries_max: limits.layer_entries,
        bytes_max: limits.archive_bytes,
    };
    extract(pack, into, options)?;
    if durability == Durability::Synced {
        sys::whole::sync_all(Path::new(&data))?;
    }
    Ok(sys::fs::remove_file(&volume.mark())?)
}
