//! Control groups version 2: one directory; controllers are switched on from the root downwards; processes are born into it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::settings::{self, Setting};
use super::{CgroupError, CgroupPlan, devices_bpf, make, missing, write_setting};
use crate::sys;

pub(super) fn create(root: &Path, plan: &CgroupPlan) -> Result<OwnedFd, CgroupError> {
    let settings = settings::v2(&plan.limits)?;
    let directory = root.join(&plan.path);
    make(&directory)?;
    let parent = directory.parent().unwrap_or(root);
    for controller in uncounted(&read(parent, "cgroup.subtree_control"), || read(root, "cgroup.controllers"))
    {
        // It is only not counted then; a limit that needs it says so.
        let _uncounted = switch_on(root, &plan.path, controller, "statistics");
    }
    settings.iter().try_for_each(|setting| write(root, &plan.path, setting))?;
    let opened = sys::fs::open_dir(&directory)?;
    let program = devices_bpf::program(&plan.devices);
    plan.devices.carried_out(sys::bpf::attach_devices(opened.as_fd(), &program, &directory))?;
    Ok(opened)
}

/// Controllers that count what `mini stats` tells; those of limits come when they are needed.
pub(super) const COUNTING: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// Those that the parent does not pass on yet, of those that the root has; it is asked only where something is missing. PURE.
fn uncounted(passed_on: &str, available: impl Fn() -> String) -> Vec<&'static str> {
    let has = |list: &str, controller: &str| list.split_whitespace().any(|name| name == controller);
    let mut missing: Vec<&str> =
        COUNTING.into_iter().filter(|controller| !has(passed_on, controller)).collect();
    if !missing.is_empty() {
        let available = available();
        missing.retain(|controller| has(&available, controller));
    }
    missing
}

fn read(group: &Path, file: &str) -> String {
    std::fs::read_to_string(group.join(file)).unwrap_or_default()
}

/// Writes one limit into a group that has been made; where its file is missing, its controller may only be switched off.
pub(super) fn write(root: &Path, path: &Path, setting: &Setting) -> Result<(), CgroupError> {
    let directory = root.join(path);
    if write_setting(&directory, setting)? {
        return Ok(());
    }
    switch_on(root, path, setting.controller, setting.limit)?;
    if write_setting(&directory, setting)? { Ok(()) } else { missing(&directory, setting) }
}

/// Lets `controller` act in every group from the root down to the container's parent.
fn switch_on(
    root: &Path,
    path: &Path,
    controller: &'static str,
    limit: &'static str,
) -> Result<(), CgroupError> {
    let available = read(root, "cgroup.controllers");
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

#[cfg(test)]
mod tests {
    use super::uncounted;

    #[test]
    fn what_can_be_counted_is() {
        let available = || "cpuset cpu memory pids".to_owned();
        assert_eq!(uncounted("", available), ["cpu", "memory", "pids"]);
        assert_eq!(uncounted("pids cpu", available), ["memory"]);
        assert_eq!(uncounted("cpu io memory pids", || unreachable!("nothing is missing")), [""; 0]);
    }
}
