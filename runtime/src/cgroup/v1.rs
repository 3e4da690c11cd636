//! Control groups version 1: a directory in each hierarchy, joined through `tasks`.
//!
//! A pid written to `cgroup.procs` after a second of idleness waits for an RCU grace period, 10 ms and more. `0` written to
//! `tasks` by the single-threaded process itself does not; the kernel judges who opened the file, so init may write to a
//! descriptor that its monitor opened, from inside its new user namespace.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{CgroupError, CgroupPlan, Limits, make};
use crate::op::OpError;
use crate::sys;

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, of those that containers use.
    pub controllers: Vec<&'static str>,
    /// Where it is mounted.
    pub root: PathBuf,
}

/// The controllers that containers use.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "freezer", "devices"];

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
    for (limit, controller) in needed(&plan.limits) {
        if !hierarchies.iter().any(|hierarchy| hierarchy.controllers.contains(&controller)) {
            return Err(CgroupError::NoController { limit, controller });
        }
    }
    let mut tasks = Vec::with_capacity(hierarchies.len());
    for hierarchy in hierarchies {
        let directory = hierarchy.root.join(&plan.path);
        make(&directory)?;
        for (file, value, limit) in values(&plan.limits, &hierarchy.controllers) {
            write_limit(&directory.join(file), &value, limit)?;
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

/// The controllers that limits need, each with the flag that asks for it.
fn needed(limits: &Limits) -> Vec<(&'static str, &'static str)> {
    [
        (limits.memory.is_some(), "--memory", "memory"),
        (limits.cpu_quota.is_some(), "--cpus", "cpu"),
        (limits.cpu_shares.is_some(), "--cpu-shares", "cpu"),
        (limits.pids.is_some(), "--pids-limit", "pids"),
    ]
    .into_iter()
    .filter_map(|(wanted, limit, controller)| wanted.then_some((limit, controller)))
    .collect()
}

/// (file, value, flag), in the order in which they must be written: memory before memory and swap together. PURE.
fn values(limits: &Limits, controllers: &[&str]) -> Vec<(&'static str, String, &'static str)> {
    let mut values = Vec::new();
    if controllers.contains(&"memory") {
        if let Some(memory) = limits.memory {
            values.push(("memory.limit_in_bytes", memory.to_string(), "--memory"));
        }
        if let Some(swap) = limits.memory_swap {
            values.push(("memory.memsw.limit_in_bytes", swap.to_string(), "--memory-swap"));
        }
    }
    if controllers.contains(&"cpu") {
        if let Some(period) = limits.cpu_period {
            values.push(("cpu.cfs_period_us", period.to_string(), "--cpus"));
        }
        if let Some(quota) = limits.cpu_quota {
            values.push(("cpu.cfs_quota_us", quota.to_string(), "--cpus"));
        }
        if let Some(shares) = limits.cpu_shares {
            values.push(("cpu.shares", shares.to_string(), "--cpu-shares"));
        }
    }
    if controllers.contains(&"pids")
        && let Some(pids) = limits.pids
    {
        values.push(("pids.max", pids.to_string(), "--pids-limit"));
    }
    values
}

fn write_limit(file: &Path, value: &str, limit: &'static str) -> Result<(), CgroupError> {
    match sys::control::write_control(file, value) {
        // Kernels without swap accounting have no memsw files; without swap there is nothing to account.
        Err(error) if error.errno() == libc::ENOENT && limit == "--memory-swap" => Ok(()),
        Err(error) if error.errno() == libc::ENOENT => {
            Err(CgroupError::NoFile { limit, file: file.to_owned() })
        }
        other => Ok(other?),
    }
}

fn write_rules(directory: &Path, plan: &CgroupPlan) -> Result<(), OpError> {
    for (file, line) in plan.devices.v1_writes() {
        sys::control::write_control(&directory.join(file), &line)?;
    }
    Ok(())
}
