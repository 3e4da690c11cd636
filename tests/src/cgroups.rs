//! The machine's cgroup hierarchies (v1, hybrid or v2), and the directories and processes of one test in them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::{processes, wait};

/// One mounted hierarchy.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Whether it is the one of version 2.
    pub v2: bool,
    /// Its controllers, or `name=systemd`; those of version 2 are read from `cgroup.controllers`.
    pub controllers: Vec<String>,
}

/// Every hierarchy, as `/proc/self/mountinfo` lists them.
pub fn hierarchies() -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("read mountinfo");
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<_> = left.split(' ').collect();
        let right: Vec<_> = right.split(' ').collect();
        let mount = PathBuf::from(left[4]);
        if found.iter().any(|known| known.mount == mount) {
            continue;
        }
        match right[0] {
            "cgroup" => {
                let options = right[2].split(',').filter(|option| !["rw", "ro", "xattr"].contains(option));
                found.push(Hierarchy { mount, v2: false, controllers: options.map(str::to_owned).collect() });
            }
            "cgroup2" => {
                let text = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                let controllers = text.split_whitespace().map(str::to_owned).collect();
                found.push(Hierarchy { mount, v2: true, controllers });
            }
            _ => {}
        }
    }
    found
}

/// The hierarchy that has `controller`; none where the machine cannot enforce it.
pub fn with_controller(controller: &str) -> Option<Hierarchy> {
    hierarchies().into_iter().find(|hierarchy| hierarchy.controllers.iter().any(|known| known == controller))
}

/// The directory of `pid`'s cgroup in `hierarchy`, from `/proc/PID/cgroup`.
pub fn of_process(pid: i32, hierarchy: &Hierarchy) -> Option<PathBuf> {
    let text = processes::proc_file(pid, "cgroup")?;
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = if hierarchy.v2 {
            number == "0"
        } else {
            number != "0"
                && names.split(',').any(|name| hierarchy.controllers.iter().any(|known| known == name))
        };
        ours.then(|| hierarchy.mount.join(path.trim_start_matches('/')))
    })
}

/// The directories named `parent`, in every hierarchy.
pub fn directories_of(parent: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        walk(&hierarchy.mount, &mut |directory| {
            if directory.file_name().is_some_and(|name| name == parent) {
                found.push(directory.to_owned());
            }
        });
    }
    found
}

/// The cgroups below `directory`, itself left out, parents first.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(directory, &mut |inner| found.push(inner.to_owned()));
    found.retain(|inner| inner != directory);
    found
}

fn walk(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(directory);
    // A cgroup may go while we look.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
}

/// The processes in one cgroup.
pub fn members(cgroup: &Path) -> Vec<i32> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect()
}

/// Ends every process below the test's parent and removes all its cgroups.
pub fn remove(parent: &str) {
    let tops = directories_of(parent);
    let all: Vec<PathBuf> = tops.iter().flat_map(|top| [vec![top.clone()], below(top)].concat()).collect();
    for cgroup in &all {
        // A frozen task of version 1 takes no signal; each file exists in one kind of hierarchy.
        let _ = fs::write(cgroup.join("freezer.state"), "THAWED");
        let _ = fs::write(cgroup.join("cgroup.freeze"), "0");
    }
    for pid in all.iter().flat_map(|cgroup| members(cgroup)) {
        if let Some(pidfd) = processes::open(pid) {
            processes::signal(&pidfd, Signal::KILL);
        }
    }
    for cgroup in all.iter().rev() {
        // Busy until its last task has been reaped.
        wait::until("an empty cgroup to remove", || match fs::remove_dir(cgroup) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => None,
            _ => Some(()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_hierarchy_and_we_are_in_it() {
        let hierarchies = hierarchies();
        assert!(!hierarchies.is_empty(), "no cgroup hierarchy is mounted");
        let own = std::process::id().cast_signed();
        for hierarchy in hierarchies {
            let directory =
                of_process(own, &hierarchy).unwrap_or_else(|| panic!("{hierarchy:?} does not know us"));
            assert!(members(&directory).contains(&own), "{directory:?} does not list us");
        }
    }
}
