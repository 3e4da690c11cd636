//! Control groups: what a container may use, and who belongs to it (cgroups(7)).
//!
//! Two layouts of the same idea. v1: one hierarchy a controller, a directory in each. v2: one hierarchy, controllers
//! switched on from the root downwards. A hybrid host (v1 controllers and an empty v2 beside them) is v1 here.
//!
//! [`Layout::detect`] looks, [`CgroupPlan`] says, [`Cgroup::create`] does; what a host cannot enforce is refused.

mod change;
pub mod devices;
pub mod devices_bpf;
mod end;
mod freezer;
mod limits;
mod outline;
mod realtime;
mod settings;
mod usage;
mod v1;
mod v2;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::runtime::LinuxResources;

use crate::op::{OpError, step};
use devices::{ALWAYS_ALLOWED, DevicePolicy, DeviceRule, DeviceRuleError};

pub use limits::{Disk, Limits, Rate, RateKind};
pub use outline::{GroupOutline, GroupWrite, outline};
pub use usage::Usage;
pub use v1::Hierarchy;

use settings::Setting;

/// The container's groups, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlan {
    /// Path below each hierarchy's root, `PARENT/ID`.
    pub path: PathBuf,
    /// Limits.
    pub limits: Limits,
    /// Devices that may be used.
    pub devices: DevicePolicy,
}

/// What an OCI spec's device rules come to, with what every container may have after them, as runc does.
///
/// # Errors
/// A rule that cannot be carried out.
pub fn device_policy(resources: Option<&LinuxResources>) -> Result<DevicePolicy, DeviceRuleError> {
    let asked = resources.and_then(|resources| resources.devices().as_ref()).into_iter().flatten();
    let mut rules = asked.map(DeviceRule::try_from).collect::<Result<Vec<_>, _>>()?;
    rules.extend(ALWAYS_ALLOWED);
    DevicePolicy::of(&rules)
}

/// How this host mounts control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One hierarchy a controller (a hybrid host too).
    V1(Vec<Hierarchy>),
    /// One hierarchy, mounted here.
    V2(PathBuf),
}

/// A group that cannot be made as asked.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// No control groups at the usual place.
    #[error("no control groups at /sys/fs/cgroup: neither version 1 nor version 2 is mounted there")]
    NotMounted,
    /// The host has no such controller.
    #[error("this host cannot enforce {limit}: its control groups have no {controller:?} controller")]
    NoController {
        /// What was asked for, as its flag.
        limit: &'static str,
        /// What is missing.
        controller: &'static str,
    },
    /// Version 2 has nothing like it.
    #[error("this host cannot enforce {limit}: control groups of version 2 have nothing like it")]
    Version2 {
        /// What was asked for, as its flag.
        limit: &'static str,
    },
    /// The kernel has the limit, but does not take this value.
    #[error("this host cannot enforce {limit} {value}")]
    Refused {
        /// What was asked for, as its flag.
        limit: &'static str,
        /// The value, as the kernel was told it.
        value: String,
        /// What it answered.
        source: OpError,
    },
    /// The kernel has the controller, but not this limit.
    #[error("this host cannot enforce {limit}: {} does not exist", file.display())]
    NoFile {
        /// What was asked for, as its flag.
        limit: &'static str,
        /// What is missing.
        file: PathBuf,
    },
}

impl Layout {
    /// How /sys/fs/cgroup is mounted, looked at once: who works on many containers asks for it again and again.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`].
    pub fn detect() -> Result<Layout, CgroupError> {
        static FOUND: OnceLock<Layout> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found.clone());
        }
        Layout::look().map(|layout| FOUND.get_or_init(|| layout).clone())
    }

    fn look() -> Result<Layout, CgroupError> {
        const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270; // linux/magic.h
        let root = Path::new("/sys/fs/cgroup");
        let magic = rustix::fs::statfs(root).map(|stat| stat.f_type).unwrap_or(0);
        if magic == CGROUP2_SUPER_MAGIC {
            return Ok(Layout::V2(root.to_owned()));
        }
        let hierarchies = v1::detect(root);
        if hierarchies.is_empty() { Err(CgroupError::NotMounted) } else { Ok(Layout::V1(hierarchies)) }
    }

    /// The directory of a container in the hierarchy of `controller`; `None` where the host has no such controller.
    pub fn directory(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        match self {
            Layout::V1(hierarchies) => {
                hierarchies.iter().find(|h| h.controllers.contains(&controller)).map(|h| h.root.join(path))
            }
            Layout::V2(root) => Some(root.join(path)),
        }
    }

    /// Whether a limit of this controller can be enforced here.
    pub fn has(&self, controller: &str) -> bool {
        match self {
            Layout::V1(hierarchies) => hierarchies.iter().any(|h| h.controllers.contains(&controller)),
            Layout::V2(root) => fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|all| all.split_whitespace().any(|name| name == controller)),
        }
    }

    /// Every directory that a container has, or would have if every limit were asked for.
    pub fn directories(&self, path: &Path) -> Vec<PathBuf> {
        match self {
            Layout::V1(hierarchies) => hierarchies.iter().map(|h| h.root.join(path)).collect(),
            Layout::V2(root) => vec![root.join(path)],
        }
    }

    /// The hierarchies of version 1 that a container with these limits is in: what it may see of them below /sys/fs/cgroup.
    pub fn entered(&self, limits: &Limits) -> Vec<&Hierarchy> {
        let Layout::V1(hierarchies) = self else { return Vec::new() };
        let settings = settings::v1(limits);
        hierarchies.iter().filter(|hierarchy| hierarchy.is_entered_for(&settings)).collect()
    }

    /// How often the kernel killed for want of memory in the container's group.
    pub fn oom_kills(&self, path: &Path) -> u64 {
        let (file, key) = match self {
            Layout::V1(_) => ("memory.oom_control", "oom_kill "),
            Layout::V2(_) => ("memory.events", "oom_kill "),
        };
        self.directory("memory", path)
            .and_then(|directory| fs::read_to_string(directory.join(file)).ok())
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()))
            .unwrap_or(0)
    }

    /// How much memory the container's group may use now, bytes; `None` where there is no limit.
    pub fn memory_limit(&self, path: &Path) -> Option<u64> {
        let file = match self {
            Layout::V1(_) => "memory.limit_in_bytes",
            Layout::V2(_) => "memory.max",
        };
        let text = fs::read_to_string(self.directory("memory", path)?.join(file)).ok()?;
        // Version 1 says the largest number of whole pages where there is none, version 2 a word.
        text.trim().parse().ok().filter(|bytes| *bytes < 1 << 62)
    }

    /// The most memory that the container's group ever used, bytes.
    pub fn memory_peak(&self, path: &Path) -> Option<u64> {
        let file = match self {
            Layout::V1(_) => "memory.max_usage_in_bytes",
            Layout::V2(_) => "memory.peak", // Linux 5.19
        };
        fs::read_to_string(self.directory("memory", path)?.join(file)).ok()?.trim().parse().ok()
    }

    /// Ends what still runs in the container's groups and removes them; what is gone already is no error.
    ///
    /// # Errors
    /// The first answer of the kernel that was an error; the rest is removed all the same.
    pub fn remove(&self, path: &Path) -> Result<(), OpError> {
        let mut first = Ok(());
        for directory in self.directories(path) {
            first = first.and(remove_directory(&directory));
        }
        first
    }

    /// Processes in the container's groups and in those that it made below them, as this process's pid namespace numbers them.
    pub fn processes(&self, path: &Path) -> Vec<i32> {
        let mut pids: Vec<i32> =
            self.directories(path).iter().flat_map(|directory| members(directory)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// A group of version 2 for a process to be born into, made where missing: a pid written to `cgroup.procs` would wait for
    /// an RCU grace period. `None` where the host has no version 2 at all.
    ///
    /// # Errors
    /// What mkdir or open answered.
    pub fn birthplace(&self, path: &Path) -> Result<Option<OwnedFd>, OpError> {
        let root = match self {
            Layout::V2(root) => root.clone(),
            Layout::V1(_) => PathBuf::from(UNIFIED),
        };
        if !root.join("cgroup.procs").exists() {
            return Ok(None);
        }
        let directory = root.join(path);
        make(&directory)?;
        crate::sys::fs::open_dir(&directory).map(Some)
    }

    /// Moves this process, which has one thread, to the group `path` in every hierarchy of version 1: out of its caller's.
    ///
    /// A service manager or a CI runner kills what is left in the groups it made; a detached monitor is not to be found
    /// there. On version 2 it was born elsewhere ([`Layout::birthplace`]).
    ///
    /// # Errors
    /// What mkdir or write answered.
    pub fn move_self(&self, path: &Path) -> Result<(), OpError> {
        match self {
            Layout::V1(_) => v1::move_self(path),
            Layout::V2(_) => Ok(()),
        }
    }
}

/// Where a hybrid host mounts version 2 beside version 1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A container's groups, made; who enters them is decided by [`Cgroup::enter`] (v1) or clone3 (v2).
#[derive(Debug)]
pub struct Cgroup {
    /// Version 1: open `tasks` files, and their paths for the narrator.
    tasks: Vec<(PathBuf, OwnedFd)>,
    /// Version 2: the directory, for `CLONE_INTO_CGROUP`.
    birthplace: Option<OwnedFd>,
}

impl Cgroup {
    /// Makes the groups, sets the limits and the device rules.
    ///
    /// # Errors
    /// See [`CgroupError`]; what was made is left to [`Layout::remove`].
    pub fn create(layout: &Layout, plan: &CgroupPlan) -> Result<Cgroup, CgroupError> {
        step("Make the container's own control groups and say what it may use");
        Ok(match layout {
            Layout::V1(hierarchies) => Cgroup { tasks: v1::create(hierarchies, plan)?, birthplace: None },
            Layout::V2(root) => Cgroup { tasks: Vec::new(), birthplace: Some(v2::create(root, plan)?) },
        })
    }

    /// The groups that a running container's init is in, as far as this process is not in them already.
    ///
    /// # Errors
    /// Where /proc cannot be read or a group cannot be opened: `ENOENT` where the container is gone.
    pub fn of_process(init: i32) -> Result<Cgroup, OpError> {
        step("See which control groups the container's first process is in");
        let read = |pid: &str| {
            let path = format!("/proc/{pid}/cgroup");
            fs::read_to_string(&path).map_err(|source| OpError { call: format!("read({path:?})"), source })
        };
        let (own, its) = (read("self")?, read(&init.to_string())?);
        let mut cgroup = Cgroup { tasks: Vec::new(), birthplace: None };
        for line in its.lines().filter(|line| !own.lines().any(|own| own == *line)) {
            match v1::tasks_of(line) {
                Some(tasks) => {
                    cgroup.tasks.push((tasks.clone(), crate::sys::control::open_control_file(&tasks)?));
                }
                None => {
                    cgroup.birthplace =
                        v2::directory_of(line).map(|path| crate::sys::fs::open_dir(&path)).transpose()?;
                }
            }
        }
        Ok(cgroup)
    }

    /// For clone3: the directory to be born into, where there is one.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.birthplace.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process, which has one thread, into the groups of version 1. Into version 2's it was born.
    ///
    /// # Errors
    /// What write(2) answered.
    pub fn enter(&self) -> Result<(), OpError> {
        v1::enter(&self.tasks)
    }
}

/// Writes a limit into a group; false where the kernel has no file for it.
fn write_setting(directory: &Path, setting: &Setting) -> Result<bool, CgroupError> {
    for (file, value) in &setting.choices {
        match crate::sys::control::write_control(&directory.join(file), value) {
            Err(error) if error.errno() == libc::ENOENT => {}
            Err(source) => {
                let (limit, value) = (setting.limit, value.clone());
                return Err(CgroupError::Refused { limit, value, source });
            }
            Ok(()) => return Ok(true),
        }
    }
    Ok(false)
}

/// The kernel has no file for a limit: nothing to do, or an error.
fn missing(directory: &Path, setting: &Setting) -> Result<(), CgroupError> {
    if setting.dispensable {
        return Ok(());
    }
    let file = setting.choices.first().map_or(directory.to_owned(), |(file, _)| directory.join(file));
    Err(CgroupError::NoFile { limit: setting.limit, file })
}

/// Makes a group, and its parents where this is the first container.
fn make(directory: &Path) -> Result<(), OpError> {
    match crate::sys::fs::make_dir(directory, 0o755) {
        Err(error) if error.errno() == libc::ENOENT => {
            if let Some(parent) = directory.parent() {
                make(parent)?;
            }
            make(directory)
        }
        Err(error) if error.errno() == libc::EEXIST => Ok(()),
        other => other,
    }
}

/// A container may have made groups of its own below; the last task may still be being buried (EBUSY).
fn remove_directory(directory: &Path) -> Result<(), OpError> {
    match crate::sys::control::remove_idle_group(directory) {
        Err(error) if error.errno() == libc::EBUSY => {}
        done => return done,
    }
    for child in subdirectories(directory) {
        remove_directory(&child)?;
    }
    crate::sys::control::remove_group(directory)
}

/// Processes of a group and of those below it.
fn members(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let own = text.lines().filter_map(|line| line.trim().parse().ok());
    own.chain(subdirectories(group).iter().flat_map(|below| members(below))).collect()
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
