//! Control groups version 2: one directory; controllers are switched on from the root downwards; processes are born into it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{CgroupError, CgroupPlan, Limits, devices_bpf, make};
use crate::sys;

pub(super) fn create(root: &Path, plan: &CgroupPlan) -> Result<OwnedFd, CgroupError> {
    let directory = root.join(&plan.path);
    make(&directory)?;
    for (file, value, limit, controller) in values(&plan.limits) {
        let file = directory.join(file);
        match sys::control::write_control(&file, &value) {
            Err(error) if error.errno() == libc::ENOENT => {
                switch_on(root, &plan.path, controller, limit)?;
                match sys::control::write_control(&file, &value) {
                    // Kernels without swap have no memory.swap.max: there is nothing to limit.
                    Err(error) if error.errno() == libc::ENOENT && limit == "--memory-swap" => {}
                    Err(error) if error.errno() == libc::ENOENT => {
                        return Err(CgroupError::NoFile { limit, file });
                    }
                    other => other?,
                }
            }
            other => other?,
        }
    }
    let opened = sys::fs::open_dir(&directory)?;
    sys::bpf::attach_devices(opened.as_fd(), &devices_bpf::program(&plan.devices), &directory)?;
    Ok(opened)
}

/// Lets `controller` act in every group from the root down to the container's parent.
fn switch_on(
    root: &Path,
    path: &Path,
    controller: &'static str,
    limit: &'static str,
) -> Result<(), CgroupError> {
    let available = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    if !available.split_whitespace().any(|name| name == controller) {
        return Err(CgroupError::NoController { limit, controller });
    }
    let mut group = root.to_owned();
    let parents: Vec<_> = path.parent().into_iter().flat_map(Path::components).collect();
    for part in std::iter::once(None).chain(parents.into_iter().map(Some)) {
        if let Some(part) = part {
            group.push(part);
        }
        sys::control::write_control(&group.join("cgroup.subtree_control"), &format!("+{controller}"))?;
    }
    Ok(())
}

/// The directory that the line of version 2 in /proc/PID/cgroup means: `0::/mini/x` (cgroups(7)).
pub(super) fn directory_of(line: &str) -> Option<PathBuf> {
    let path = line.strip_prefix("0::/")?;
    let root = Path::new("/sys/fs/cgroup");
    let root = if root.join("cgroup.procs").exists() { root.to_owned() } else { root.join("unified") };
    root.join("cgroup.procs").exists().then(|| root.join(path))
}

/// (file, value, flag, controller), in the order in which they are written. PURE.
fn values(limits: &Limits) -> Vec<(&'static str, String, &'static str, &'static str)> {
    let mut values = Vec::new();
    if let Some(memory) = limits.memory {
        values.push(("memory.max", memory.to_string(), "--memory", "memory"));
    }
    if let (Some(memory), Some(both)) = (limits.memory, limits.memory_swap) {
        // v1 limits memory and swap together, v2 swap alone.
        let swap = u64::try_from(both)
            .map_or_else(|_| "max".to_owned(), |both| both.saturating_sub(memory).to_string());
        values.push(("memory.swap.max", swap, "--memory-swap", "memory"));
    }
    if let Some(quota) = limits.cpu_quota {
        let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
        values.push((
            "cpu.max",
            format!("{quota} {}", limits.cpu_period.unwrap_or(100_000)),
            "--cpus",
            "cpu",
        ));
    }
    if let Some(shares) = limits.cpu_shares {
        values.push(("cpu.weight", weight(shares).to_string(), "--cpu-shares", "cpu"));
    }
    if let Some(pids) = limits.pids {
        values.push(("pids.max", pids.to_string(), "--pids-limit", "pids"));
    }
    values
}

/// v1's shares (2 to 262144, 1024 is normal) as v2's weight (1 to 10000, 100 is normal), as runc and crun convert.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_files() {
        let limits = Limits {
            memory: Some(64 << 20),
            memory_swap: Some(128 << 20),
            cpu_quota: Some(30_000),
            cpu_period: None,
            cpu_shares: Some(1024),
            pids: Some(7),
        };
        let written: Vec<_> =
            values(&limits).into_iter().map(|(file, value, ..)| format!("{file}={value}")).collect();
        assert_eq!(
            written,
            [
                "memory.max=67108864",
                "memory.swap.max=67108864",
                "cpu.max=30000 100000",
                "cpu.weight=39",
                "pids.max=7"
            ]
        );
        let unlimited = Limits { memory: Some(1), memory_swap: Some(-1), ..Limits::default() };
        assert!(
            values(&unlimited).iter().any(|(file, value, ..)| *file == "memory.swap.max" && value == "max")
        );
    }

    #[test]
    fn shares_cover_the_whole_range_of_weights() {
        assert_eq!([weight(2), weight(1024), weight(262_144), weight(0)], [1, 39, 10_000, 1]);
    }
}
