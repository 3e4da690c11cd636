//! The container that is looked at, held so that all numbers are its own, and what several sections ask it.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use runtime::cgroup::Layout;
use runtime::inside::Told;
use runtime::plan::{IdMap, container_id};
use runtime::state::Entry;
use runtime::sys::confined;
use runtime::sys::pidfd;

use super::mount::{self, Mount};
use super::status::Status;
use crate::commands::{ns, open_init, pause, running};
use crate::context::Context;
use crate::settings::Settings;
use crate::words::Words;

/// A running container.
pub(super) struct Subject<'a> {
    pub(super) context: &'a Context,
    /// What things are called.
    pub(super) words: &'a Words,
    pub(super) entry: Entry,
    pub(super) settings: Settings,
    pub(super) paused: bool,
    /// Its first process.
    pub(super) pid: i32,
    init: OwnedFd,
    pub(super) status: Status,
    /// Its root, with its mounts.
    pub(super) root: OwnedFd,
    pub(super) layout: Layout,
    /// Its control group, below each hierarchy's root.
    pub(super) group: PathBuf,
    /// What depends on who asks.
    pub(super) told: Told,
    /// Which users inside are which here.
    pub(super) uid_map: Vec<IdMap>,
    /// The same of groups.
    pub(super) gid_map: Vec<IdMap>,
    /// Kind and inode of this process's namespaces.
    pub(super) spaces_here: Vec<(&'static str, u64)>,
    /// Of its namespaces.
    pub(super) spaces_inside: Vec<(&'static str, u64)>,
    /// What is mounted here.
    pub(super) mounts_here: Vec<Mount>,
    /// What is mounted there.
    pub(super) mounts_inside: Vec<Mount>,
}

impl Subject<'_> {
    /// # Errors
    /// Where it does not run, or ends meanwhile.
    pub(super) fn look<'a>(context: &'a Context, id: &str, words: &'a Words) -> Result<Subject<'a>> {
        let entry = context.state().find(id)?;
        let live = running(&entry)?;
        let init = open_init(&entry, live.init)?;
        let pid = live.init.pid;
        let layout = Layout::detect()?;
        let proc = |file: &str| read(&format!("/proc/{pid}/{file}"));
        Ok(Subject {
            context,
            words,
            settings: Settings::of(&entry.record),
            paused: pause::is_paused(context, &layout, &entry),
            group: context.group(&entry.record),
            pid,
            status: Status::read(&pid.to_string())?,
            root: pidfd::open_root_of(pid)?,
            told: runtime::inside::ask(init.as_fd(), pid)?,
            uid_map: runtime::idmap::parse(&proc("uid_map")?),
            gid_map: runtime::idmap::parse(&proc("gid_map")?),
            spaces_here: ns::namespaces_of("self"),
            spaces_inside: ns::namespaces_of(&pid.to_string()),
            mounts_here: mount::parse(&read("/proc/self/mountinfo")?),
            mounts_inside: mount::parse(&proc("mountinfo")?),
            init,
            layout,
            entry,
        })
    }

    /// # Errors
    /// Where it has ended.
    pub(super) fn still_runs(&self) -> Result<()> {
        let name = &self.entry.record.name;
        ensure!(!pidfd::has_ended(self.init.as_fd()), "container {name} has ended");
        Ok(())
    }

    /// Whether a namespace of a kind is the very one that this process is in.
    pub(super) fn shares(&self, kind: &str) -> bool {
        let of = |spaces: &[(&'static str, u64)]| spaces.iter().find(|(known, _)| *known == kind).copied();
        of(&self.spaces_here) == of(&self.spaces_inside)
    }

    /// What a user of the host's is called inside.
    pub(super) fn uid_inside(&self, uid: u32) -> Option<u32> {
        container_id(&self.uid_map, uid)
    }

    /// What a group of the host's is called inside.
    pub(super) fn gid_inside(&self, gid: u32) -> Option<u32> {
        container_id(&self.gid_map, gid)
    }

    /// A small file of the container's own; empty where there is none. What lies there is its own, also what it claims to be.
    pub(super) fn file_inside(&self, path: &Path) -> String {
        const MOST: u64 = 1 << 20;
        let mut bytes = Vec::new();
        if let Ok(file) = confined::open_file(self.root.as_fd(), path) {
            // Of what cannot be read to its end the beginning counts.
            let _read = fs::File::from(file).take(MOST).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A file of /proc, which need be no text.
pub(super) fn read(path: &str) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
