//! What making a container's groups comes to, as data: for who wants to read it, or to carry it out by other means. PURE.

use std::path::{Path, PathBuf};

use super::settings::{self, Setting};
use super::{CgroupError, CgroupPlan, Layout, v1, v2};

/// One group that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOutline {
    /// Where its hierarchy is mounted.
    pub root: PathBuf,
    /// What it controls (version 1).
    pub hierarchy: Vec<&'static str>,
    /// The group below it.
    pub path: PathBuf,
    /// Before it takes a process, it needs the processors and memory nodes of the group above it (version 1).
    pub cpuset: bool,
    /// Controllers that the groups above it must pass on, as far as the root has them (version 2).
    pub controllers: Vec<&'static str>,
    /// Limits, in this order.
    pub writes: Vec<GroupWrite>,
    /// Device rules as version 1 takes them, in this order: file and line. Version 2 takes a program instead.
    pub devices: Vec<(&'static str, String)>,
    /// The file that takes a process: a number and a newline.
    pub entry: &'static str,
}

/// One limit of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupWrite {
    /// What asks for it, as its flag.
    pub limit: &'static str,
    /// File and value; of several the first whose file the kernel has.
    pub choices: Vec<(&'static str, String)>,
    /// Where the kernel has no such file, there is nothing to limit.
    pub dispensable: bool,
}

impl From<&Setting> for GroupWrite {
    fn from(setting: &Setting) -> GroupWrite {
        let Setting { limit, choices, dispensable, .. } = setting;
        GroupWrite { limit, choices: choices.clone(), dispensable: *dispensable }
    }
}

/// Everything that [`super::Cgroup::create`] does on a host of this layout.
///
/// # Errors
/// What the layout has nothing like.
pub fn outline(layout: &Layout, plan: &CgroupPlan) -> Result<Vec<GroupOutline>, CgroupError> {
    match layout {
        Layout::V1(hierarchies) => of_v1(hierarchies, plan),
        Layout::V2(root) => Ok(vec![of_v2(root, plan)?]),
    }
}

fn of_v1(hierarchies: &[v1::Hierarchy], plan: &CgroupPlan) -> Result<Vec<GroupOutline>, CgroupError> {
    let settings = settings::v1(&plan.limits);
    for Setting { limit, controller, .. } in &settings {
        v1::hierarchy_of(hierarchies, limit, controller)?;
    }
    let entered = hierarchies.iter().filter(|hierarchy| hierarchy.is_entered_for(&settings));
    Ok(entered
        .map(|hierarchy| {
            let has = |controller: &str| hierarchy.controllers.contains(&controller);
            let own = settings.iter().filter(|setting| has(setting.controller));
            GroupOutline {
                root: hierarchy.root.clone(),
                hierarchy: hierarchy.controllers.clone(),
                path: plan.path.clone(),
                cpuset: has("cpuset"),
                controllers: Vec::new(),
                writes: own.map(GroupWrite::from).collect(),
                devices: if has("devices") { plan.devices.v1_writes() } else { Vec::new() },
                entry: "cgroup.procs",
            }
        })
        .collect())
}

fn of_v2(root: &Path, plan: &CgroupPlan) -> Result<GroupOutline, CgroupError> {
    let settings = settings::v2(&plan.limits)?;
    let mut controllers = v2::COUNTING.to_vec();
    for Setting { controller, .. } in &settings {
        if !controllers.contains(controller) {
            controllers.push(controller);
        }
    }
    Ok(GroupOutline {
        root: root.to_owned(),
        hierarchy: Vec::new(),
        path: plan.path.clone(),
        cpuset: false,
        controllers,
        writes: settings.iter().map(GroupWrite::from).collect(),
        devices: Vec::new(),
        entry: "cgroup.procs",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Limits, device_policy};

    fn plan() -> CgroupPlan {
        let limits = Limits { memory: Some(1 << 20), cpus: Some("0".into()), ..Limits::default() };
        CgroupPlan { path: "mini/x".into(), limits, devices: device_policy(None).unwrap() }
    }

    #[test]
    fn each_hierarchy_of_version_1_has_its_own_limits() {
        let hierarchy = |controllers: &[&'static str], root: &str| v1::Hierarchy {
            controllers: controllers.to_vec(),
            root: root.into(),
        };
        let layout = Layout::V1(vec![
            hierarchy(&["memory"], "/m"),
            hierarchy(&["devices"], "/d"),
            hierarchy(&["cpuset"], "/s"),
            hierarchy(&["blkio"], "/b"),
        ]);
        let groups = outline(&layout, &plan()).unwrap();
        let roots: Vec<_> = groups.iter().map(|group| group.root.to_str().unwrap()).collect();
        assert_eq!(roots, ["/m", "/d", "/s"], "none without a limit of its own where that is the rule");
        assert_eq!(groups[0].writes[0].choices, [("memory.limit_in_bytes", "1048576".to_owned())]);
        assert_eq!(groups[1].devices[0], ("devices.deny", "a".to_owned()));
        assert!(groups[2].cpuset && !groups[0].cpuset);
        assert!(outline(&Layout::V1(vec![hierarchy(&["cpu"], "/c")]), &plan()).is_err(), "no memory here");
    }

    #[test]
    fn version_2_has_one_group_and_passes_controllers_on() {
        let groups = outline(&Layout::V2("/sys/fs/cgroup".into()), &plan()).unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].controllers, ["cpu", "memory", "pids", "io", "cpuset"]);
        assert_eq!(groups[0].writes.len(), 2);
    }
}
