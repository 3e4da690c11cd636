//! Control groups version 1: a directory in each hierarchy, joined through `tasks`.
//!
//! A pid written to `cgroup.procs` after a second of idleness waits for an RCU grace period, 10 ms and more. `0` written to
//! `tasks` by the single-threaded process itself does not; the kernel judges who opened the file, so init may write to a
//! descriptor that its monitor opened, from inside its new user namespace.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::settings::{self, RT_RUNTIME, Setting};
use super::{CgroupError, CgroupPlan, make, members, missing, write_setting};
use crate::op::{OpError, step};
use crate::sys;

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, of those that containers use.
    pub controllers: Vec<&'static str>,
    /// Where it is mounted.
    pub root: PathBuf,
}

impl Hierarchy {
    /// Whether every container is in it, whatever limits it has.
    fn is_entered_by_all(&self) -> bool {
        self.controllers.iter().any(|controller| !ON_REQUEST.contains(controller))
    }

    /// Whether a container with these limits is in it.
    pub(super) fn is_entered_for(&self, settings: &[Setting]) -> bool {
        self.is_entered_by_all() || settings.iter().any(|setting| self.enforces(setting))
    }

    fn enforces(&self, setting: &Setting) -> bool {
        self.controllers.contains(&setting.controller)
    }
}

/// The controllers that containers use.
const CONTROLLERS: [&str; 8] = ["cpu", "cpuacct", "memory", "pids", "freezer", "devices", "cpuset", "blkio"];

/// Those that a container enters only for a limit of theirs: each group costs its start and its end some 50 µs.
const ON_REQUEST: [&str; 2] = ["cpuset", "blkio"];

pub(super) fn detect(root: &Path) -> Vec<Hierarchy> {
    const CGROUP_SUPER_MAGIC: i64 = 0x0027_e0eb; // linux/magic.h
    let mut found: Vec<Hierarchy> = Vec::new();
    for controller in CONTROLLERS {
        let mut path = root.join(controller);
        // `cpu` is often a link to `cpu,cpuacct`.
        if let Ok(link) = fs::read_link(&path) {
            path = root.join(link);
        }
        if !rustix::fs::statfs(&path).is_ok_and(|stat| stat.f_type == CGROUP_SUPER_MAGIC) {
            continue;
        }
        match found.iter_mut().find(|hierarchy| hierarchy.root == path) {
            Some(hierarchy) => hierarchy.controllers.push(controller),
            None => found.push(Hierarchy { controllers: vec![controller], root: path }),
        }
    }
    found
}

pub(super) fn create(
    hierarchies: &[Hierarchy],
    plan: &CgroupPlan,
) -> Result<Vec<(PathBuf, OwnedFd)>, CgroupError> {
    let settings = settings::v1(&plan.limits);
    for Setting { limit, controller, .. } in &settings {
        hierarchy_of(hierarchies, limit, controller)?;
    }
    let mut tasks = Vec::with_capacity(hierarchies.len());
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_entered_for(&settings)) {
        let directory = prepare(hierarchy, &plan.path)?;
        for setting in settings.iter().filter(|setting| hierarchy.enforces(setting)) {
            write(hierarchy, &plan.path, setting)?;
        }
        if hierarchy.controllers.contains(&"devices") {
            write_rules(&directory, plan)?;
        }
        let path = directory.join("tasks");
        let file = sys::control::open_control_file(&path)?;
        tasks.push((path, file));
    }
    Ok(tasks)
}

/// The hierarchy that enforces a limit.
pub(super) fn hierarchy_of<'a>(
    hierarchies: &'a [Hierarchy],
    limit: &'static str,
    controller: &'static str,
) -> Result<&'a Hierarchy, CgroupError> {
    let found = hierarchies.iter().find(|hierarchy| hierarchy.controllers.contains(&controller));
    found.ok_or(CgroupError::NoController { limit, controller })
}

/// Makes the group in one hierarchy, ready for its first task.
fn prepare(hierarchy: &Hierarchy, path: &Path) -> Result<PathBuf, OpError> {
    let directory = hierarchy.root.join(path);
    make(&directory)?;
    if hierarchy.controllers.contains(&"cpuset") {
        fill_cpuset(&hierarchy.root, path)?;
    }
    Ok(directory)
}

/// Writes one limit into a group that has been made.
pub(super) fn write(hierarchy: &Hierarchy, path: &Path, setting: &Setting) -> Result<(), CgroupError> {
    let directory = hierarchy.root.join(path);
    let written = match write_setting(&directory, setting) {
        Err(CgroupError::Refused { limit: RT_RUNTIME, value, source }) if source.errno() == libc::EINVAL => {
            let runtime = value.parse().unwrap_or(0);
            super::realtime::make_room(&hierarchy.root, path, runtime)
                .map_err(|source| CgroupError::Refused { limit: RT_RUNTIME, value: value.clone(), source })?;
            write_setting(&directory, setting)?
        }
        other => other?,
    };
    if written { Ok(()) } else { missing(&directory, setting) }
}

/// Makes the group in a hierarchy that a running container was not asked to enter so far, and moves all its processes there.
///
/// # Errors
/// What mkdir or write answered.
pub(super) fn enter_late(
    hierarchies: &[Hierarchy],
    hierarchy: &Hierarchy,
    path: &Path,
) -> Result<(), OpError> {
    step("Move the container's processes into a control group that it has not been in so far");
    let directory = prepare(hierarchy, path)?;
    let others = hierarchies.iter().filter(|other| other.is_entered_by_all());
    let groups: Vec<PathBuf> = others.map(|other| other.root.join(path)).collect();
    // A process that is made meanwhile, by one that has not been moved yet, is seen the next time.
    loop {
        let inside = members(&directory);
        let outside = groups.iter().flat_map(|group| members(group)).filter(|pid| !inside.contains(pid));
        let outside: std::collections::BTreeSet<i32> = outside.collect();
        let mut moved = false;
        for pid in outside {
            match sys::control::write_control(&directory.join("cgroup.procs"), &pid.to_string()) {
                Err(error) if error.errno() == libc::ESRCH => {} // it has ended
                other => {
                    other?;
                    moved = true;
                }
            }
        }
        if !moved {
            return Ok(());
        }
    }
}

/// The `tasks` file that a line of /proc/PID/cgroup of version 1 means: `8:pids:/mini/x`, `9:name=systemd:/` (cgroups(7)).
pub(super) fn tasks_of(line: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let name = controllers.strip_prefix("name=").unwrap_or(controllers);
    let root = Path::new("/sys/fs/cgroup");
    let first = name.split(',').next().filter(|first| !first.is_empty())?;
    let mount = if root.join(name).is_dir() { root.join(name) } else { root.join(first) };
    Some(mount.join(path.trim_start_matches('/')).join("tasks"))
}

pub(super) fn enter(tasks: &[(PathBuf, OwnedFd)]) -> Result<(), OpError> {
    tasks.iter().try_for_each(|(path, file)| sys::control::write_open_control(file.as_fd(), "0", path))
}

/// Every hierarchy this process is in, also those that containers do not use (name=systemd among them).
pub(super) fn move_self(path: &Path) -> Result<(), OpError> {
    let root = Path::new("/sys/fs/cgroup");
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        // Links are second names of directories that come by themselves; `unified` is version 2's.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || entry.file_name() == "unified" {
            continue;
        }
        let directory = entry.path().join(path);
        if !entry.path().join("tasks").exists() {
            continue;
        }
        make(&directory)?;
        fill_cpuset(&entry.path(), path)?;
        sys::control::write_control(&directory.join("tasks"), "0")?;
    }
    Ok(())
}

/// A cpuset takes no task before it has processors and memory nodes (ENOSPC): those of its parent.
fn fill_cpuset(root: &Path, path: &Path) -> Result<(), OpError> {
    if !root.join("cpuset.cpus").exists() {
        return Ok(());
    }
    let mut directory = root.to_owned();
    for part in path {
        let parent = directory.clone();
        directory.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let read = |directory: &Path| fs::read_to_string(directory.join(file)).unwrap_or_default();
            if read(&directory).trim().is_empty() {
                sys::control::write_control(&directory.join(file), read(&parent).trim())?;
            }
        }
    }
    Ok(())
}

fn write_rules(directory: &Path, plan: &CgroupPlan) -> Result<(), OpError> {
    for (file, line) in plan.devices.v1_writes() {
        plan.devices.carried_out(sys::control::write_control(&directory.join(file), &line))?;
    }
    Ok(())
}
