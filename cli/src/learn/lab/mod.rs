//! The lab: a throwaway world that plays the host, so that everything may be broken in it.
//!
//! It has namespaces of every kind, ids of its own, control groups that its root may divide, and the machine's files, which
//! belong to nobody there. What students do happens in it; what lessons call "outside" is it.
//!
//! ```text
//! learner (root of the machine) ─┬─► keeper: process 1 of the lab; ends when the learner's end of the gate is closed
//!                                ├─► errands: join the lab or a process in it, do one thing, answer, end
//!                                └─► contained: what a lesson isolates; lives until it is swept up, or the keeper ends
//! ```
//!
//! Whatever ends the learner ends the lab: a pid namespace dies with its first process, and mounts, names, segments and links
//! with the last of the others. The control group is named as a container's, so `mini system check --repair` finds it.

pub(crate) mod answer;
mod errand;
mod guest;
mod keeper;
mod shell;
mod view;

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use runtime::cgroup::{Cgroup, CgroupPlan, Layout, Limits};
use runtime::plan::IdMap;
use runtime::sys::mount::{self, Layer, LayerForm, Writable};
use runtime::sys::ns::{self, Kinds};
use runtime::sys::{self, pidfd};
use rustix::process::Pid;

use crate::clock::Moment;
use crate::context::Context;
use crate::dirs::Dirs;
use crate::explain::Line;
use crate::learn::signals::Signals;
use crate::plan::ids::{self, IdLease, Volumes};
use crate::random;

pub(crate) use errand::{Life, make_dir, wait};
use guest::Guest;
pub(crate) use guest::take_over;
pub(crate) use keeper::mount as mount_at;
pub(crate) use view::{View, field, inode};

/// The lab's host name: what "outside" answers.
pub(crate) const OUTSIDE: &str = "outside";

/// Where the lab's root finds its control groups: below a file system in memory that is the lab's own.
pub(crate) const GROUPS: &str = "/tmp/cgroup";

/// How long what was killed may take to end, s.
const PATIENCE: i64 = 10;

/// Processes that a lab may have: a fork bomb is a lesson too, but a short one.
const MOST_PROCESSES: i64 = 500;

/// Every kind but the control groups', which is made when its first process is in the right one.
const AT_BIRTH: Kinds = Kinds::USER
    .union(Kinds::MOUNT)
    .union(Kinds::PROCESS_ID)
    .union(Kinds::NETWORK)
    .union(Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME)
    .union(Kinds::INTER_PROCESS_COMMUNICATION);

/// The throwaway world, as long as this lives.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Its control groups, below the root of every hierarchy.
    group: PathBuf,
    layout: Layout,
    /// First id of the machine that is the lab's.
    base: u32,
    ids: Option<IdLease>,
    /// The group that errands and shells are in.
    shells: Option<Cgroup>,
    keeper: Option<Keeper>,
    /// For containers that lessons start on the machine itself.
    dirs: Dirs,
    guest: RefCell<Option<Guest>>,
    /// What they told.
    told: RefCell<Vec<Line>>,
    /// What ends the learner, who is waited for nothing then.
    signals: Rc<Signals>,
}

/// An overlay of one directory under a writable one, mounted nowhere; `place` is where it is going to be. The caller is in a mount
/// namespace of its own.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn stack(lower: Layer<'_>, writable: Writable<'_>, place: &Path) -> Result<OwnedFd> {
    Ok(match runtime::running_kernel() >= (6, 15) {
        true => mount::overlay(&[lower], Some(writable), LayerForm::Descriptor)?,
        false => mount::overlay_classic(&[lower], Some(writable), place)?,
    })
}

/// The lab's process 1.
#[derive(Debug)]
struct Keeper {
    pid: Pid,
    held: OwnedFd,
    /// Closed, it ends.
    _gate: OwnedFd,
}

impl Lab {
    /// Makes a lab.
    ///
    /// # Errors
    /// What the kernel refused, and a signal; nothing is left then.
    pub(crate) fn open(context: &Context, signals: Rc<Signals>) -> Result<Lab> {
        let layout = Layout::detect()?;
        let id = random::new_id()?;
        let group = Path::new(&context.config.cgroup.parent).join(&id);
        let lease = IdLease::take(&context.config.ids, &context.dirs.ids(), &id, false, Volumes::Shifted)?;
        let map = ids::map(&lease.bases, &[])?;
        let base = lease.bases[0];
        let mut lab = Lab {
            group,
            layout,
            base,
            ids: Some(lease),
            shells: None,
            keeper: None,
            dirs: context.dirs.clone(),
            guest: RefCell::new(None),
            told: RefCell::new(Vec::new()),
            signals,
        };
        match lab.build(&map) {
            Ok(()) => Ok(lab),
            Err(error) => {
                // The first cause is told; what is left then, `mini system check` finds.
                let _also = lab.close();
                Err(error.context("cannot make the lab"))
            }
        }
    }

    fn build(&mut self, map: &[IdMap]) -> Result<()> {
        // Orphans of the lab's helpers are ours to bury: its pid namespace could not end before.
        sys::process::become_subreaper()?;
        let limits = Limits { pids: Some(MOST_PROCESSES), ..Limits::default() };
        let outer = Cgroup::create(&self.layout, &group_plan(&self.group, limits)?)?;
        let (ours, theirs) = sys::socket::pair()?;
        let binds = self.binds();
        let (pid, held) = match ns::clone3(AT_BIRTH, outer.birthplace())? {
            ns::Cloned::Child => {
                drop(ours);
                keeper::keep(&theirs, &outer, &binds, self.ids.as_ref())
            }
            ns::Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop(theirs);
        let gate = ours.try_clone()?;
        self.keeper = Some(Keeper { pid, held, _gate: ours });
        self.signals.wait(Some(gate.as_fd()), None)?;
        keeper::hear(&gate, keeper::ENTERED)?;
        runtime::idmap::write_maps(pid, map, map)?;
        let inner = self.group.join("lab");
        if let Layout::V2(root) = &self.layout {
            // A group that passes controllers on has no processes of its own (cgroups(7), "no internal processes").
            sys::fs::make_dir(&root.join(&inner), 0o755)?;
            let pid = pid.as_raw_nonzero().to_string();
            sys::control::write_control(&root.join(&inner).join("cgroup.procs"), &pid)?;
        }
        self.shells = Some(Cgroup::create(&self.layout, &group_plan(&inner, Limits::default())?)?);
        self.delegate(&self.group)?;
        self.delegate(&inner)?;
        network::loopback_up(sys::control::open_namespace(pid, "net")?.as_fd())?;
        sys::socket::send(gate.as_fd(), b"furnish", &[])?;
        self.signals.wait(Some(gate.as_fd()), None)?;
        keeper::hear(&gate, keeper::READY)
    }

    /// Host directories of the lab's groups, and where its root finds them.
    fn binds(&self) -> Vec<(PathBuf, PathBuf)> {
        match &self.layout {
            Layout::V2(root) => vec![(root.join(&self.group), PathBuf::from(GROUPS))],
            Layout::V1(_) => {
                let bind = |controller: &&str| {
                    let directory = self.layout.directory(controller, &self.group)?;
                    Some((directory, Path::new(GROUPS).join(controller)))
                };
                ["cpu", "cpuacct", "freezer"].iter().filter_map(bind).collect()
            }
        }
    }

    /// Gives a group to the lab's root, as a service manager delegates one (cgroups(7), "Delegation").
    fn delegate(&self, group: &Path) -> Result<()> {
        const FILES: [&str; 5] = ["", "cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"];
        for directory in self.layout.directories(group) {
            for path in FILES.iter().map(|file| directory.join(file)).filter(|path| path.exists()) {
                let file = std::fs::File::open(&path).with_context(|| format!("open({path:?})"))?;
                sys::fs::change_owner(file.as_fd(), self.base, Some(self.base))?;
            }
        }
        Ok(())
    }

    /// Process 1 of the lab, as the machine numbers it.
    pub(crate) fn keeper(&self) -> i32 {
        self.keeper.as_ref().map_or(0, |keeper| keeper.pid.as_raw_nonzero().get())
    }

    /// First id of the machine that is the lab's: its root.
    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    /// How control groups are mounted.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A group that a lesson makes, below the root of every hierarchy.
    pub(crate) fn group(&self, name: &str) -> PathBuf {
        self.group.join(name)
    }

    /// Where the lab's root finds its groups of this controller.
    pub(crate) fn groups_of(&self, controller: &str) -> PathBuf {
        match &self.layout {
            Layout::V1(_) => Path::new(GROUPS).join(controller),
            Layout::V2(_) => PathBuf::from(GROUPS),
        }
    }

    /// Everything that lives in the lab but its keeper, as the machine numbers it, oldest first.
    pub(crate) fn members(&self) -> Vec<i32> {
        let keeper = self.keeper();
        let mut members = self.layout.processes(&self.group);
        members.retain(|pid| *pid != keeper);
        members.sort_by_key(|pid| view::started(*pid));
        members
    }

    /// The youngest member that has a namespace of this kind which is not the lab's.
    pub(crate) fn isolated(&self, kind: &str) -> Option<i32> {
        let lab = inode(self.keeper(), kind);
        let own = |pid: &i32| inode(*pid, kind).is_some_and(|inode| Some(inode) != lab);
        self.members().into_iter().rev().find(own)
    }

    /// The youngest member: what a lesson looks at where nothing is isolated.
    pub(crate) fn youngest(&self) -> Option<i32> {
        self.members().pop()
    }

    /// The first process in one of the groups that lessons make, as the machine numbers it.
    pub(crate) fn in_group(&self, name: &str) -> Option<i32> {
        let directory = self.layout.directory("freezer", &self.group(name))?;
        let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().find_map(|line| line.parse().ok())
    }

    /// Waits for nothing but time.
    ///
    /// # Errors
    /// A signal that ends the learner.
    pub(crate) fn pause(&self, milliseconds: u64) -> Result<()> {
        self.signals.wait(None, Some(Moment::after(milliseconds * 1_000_000))).map(drop)
    }

    /// Ends everything in the lab but its keeper, removes the groups that were made in it, and buries the dead.
    ///
    /// # Errors
    /// What the kernel answered; who does not end.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.dismiss()?;
        self.thaw()?;
        for group in self.made_groups(&self.group) {
            self.layout.end_processes(&group)?;
        }
        let deadline = Moment::deadline(PATIENCE);
        for pid in self.members() {
            let held = Pid::from_raw(pid).and_then(|pid| pidfd::open(pid).ok());
            if let Some(held) = held.filter(|_| self.members().contains(&pid)) {
                // It may have ended by itself.
                let _ended = pidfd::send_signal(held.as_fd(), pid, libc::SIGKILL);
                ensure!(self.signals.wait(Some(held.as_fd()), deadline)?, self.stuck());
            }
        }
        bury();
        for group in self.made_groups(&self.group) {
            self.layout.remove(&group)?;
        }
        Ok(())
    }

    /// Groups that students or lessons made below one of the lab's.
    fn made_groups(&self, above: &Path) -> Vec<PathBuf> {
        let mut names: Vec<std::ffi::OsString> = Vec::new();
        for directory in self.layout.directories(above) {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let made = entry.file_type().is_ok_and(|kind| kind.is_dir()) && name != "lab";
                if made && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.into_iter().map(|name| above.join(name)).collect()
    }

    /// Lets whatever was frozen go on, however deep: on version 1 it could not be killed.
    fn thaw(&self) -> Result<()> {
        let mut groups = vec![self.group.clone()];
        while let Some(group) = groups.pop() {
            self.layout.thaw(&group)?;
            groups.extend(self.made_groups(&group));
        }
        Ok(())
    }

    /// Who does not end, in which state (proc_pid_status(5)).
    fn stuck(&self) -> String {
        let of = |pid: i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            format!("{pid} ({}, {})", field(&status, "Name"), field(&status, "State"))
        };
        let left: Vec<String> = self.layout.processes(&self.group).into_iter().map(of).collect();
        format!(
            "the lab was killed and has not ended in {PATIENCE} s: {}; when they have, `mini system check --repair` removes its \
             control group {}",
            left.join(", "),
            self.group.display()
        )
    }

    /// Ends the lab with all that is in it, and takes its groups and ids back.
    ///
    /// # Errors
    /// The first answer of the kernel that was an error, the rest is done all the same; who does not end.
    pub(crate) fn close(&mut self) -> Result<()> {
        let mut first = self.dismiss();
        if let Some(Keeper { pid, held, .. }) = self.keeper.take() {
            first = first.and(self.thaw());
            let pid = pid.as_raw_nonzero().get();
            first = first.and(pidfd::send_signal(held.as_fd(), pid, libc::SIGKILL).map_err(Into::into));
            // Its pid namespace ends when everything in it has been buried, some of it by us.
            let deadline = Moment::deadline(PATIENCE);
            while !pidfd::has_ended(held.as_fd()) {
                // Their ids stay theirs: the keeper holds the lease too.
                ensure!(deadline.is_none_or(|deadline| !deadline.is_past()), self.stuck());
                bury();
                let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                let _interrupted = rustix::thread::nanosleep(&pause);
            }
            bury();
        }
        first = first.and(self.layout.remove(&self.group).map_err(Into::into));
        if let Some(lease) = self.ids.take() {
            first = first.and(lease.release().map_err(Into::into));
        }
        first
    }
}

/// Buries children that have ended.
fn bury() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}

fn group_plan(path: &Path, limits: Limits) -> Result<CgroupPlan> {
    ensure!(path.is_relative(), "{} is no path below a hierarchy", path.display());
    let devices = runtime::cgroup::device_policy(None)?;
    Ok(CgroupPlan { path: path.to_owned(), limits, devices })
}
