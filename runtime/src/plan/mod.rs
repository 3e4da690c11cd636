//! From an OCI spec to what init and its monitor will do, as data. PURE.
//!
//! Nothing is decided after this: [`crate::create`] and the container's init read the plan from top to bottom. Everything that
//! is wrong with a spec is said at once.

mod spec;

use std::ffi::CString;
use std::path::PathBuf;

use oci_spec::runtime::LinuxSeccomp;
use rustix::process::Resource;
use serde::{Deserialize, Serialize};

use crate::caps::CapSets;
use crate::cgroup::CgroupPlan;
use crate::sys::confined::Links;
use crate::sys::mount::Attr;
use crate::sys::ns::Kinds;
use crate::user::UserRequest;

pub use spec::{PlanError, plan, plan_process, world_of};

/// One line of an id map: `size` ids from `container` on are the host's from `host` on (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub container: u32,
    /// First id outside.
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// Where a container's root lies in its own directory, where it is a copy.
pub const COPY: &str = "copy/tree";

/// Where the container's root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPlan {
    /// Unpacked image layers, topmost first; ids in them are 0-based.
    pub layers: Vec<PathBuf>,
    /// The container's own directory on disk: `upper` and `work` are made in it.
    pub scratch: PathBuf,
    /// Overlay stacks nothing: the root is [`COPY`] in that directory, which somebody has filled with the container's ids.
    pub copied: bool,
    /// No syncs: the files are not wanted after a crash (`--rm`).
    pub volatile: bool,
    /// Nothing in the root can be written.
    pub read_only: bool,
}

/// What a mount is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A new instance of a file system, made by init.
    New {
        /// Its type.
        kind: String,
        /// fsconfig(2) pairs.
        options: Vec<(String, String)>,
    },
    /// `/dev`: a tmpfs that the monitor fills with device nodes.
    Dev {
        /// fsconfig(2) pairs.
        options: Vec<(String, String)>,
    },
    /// The container's cgroups, whatever layout the host has.
    Cgroup,
    /// A file or directory of the host, cloned by the monitor.
    Bind {
        /// Where it is on the host.
        source: PathBuf,
        /// What of it is shown: a path inside, resolved as if the source were `/`. Who filled it may be hostile.
        beneath: Option<PathBuf>,
        /// With what is mounted below.
        recursive: bool,
        /// Ids shifted by the container's map.
        idmap: bool,
    },
    /// A tmpfs that another container has mounted, cloned by the monitor out of that one's mount namespace.
    Foreign {
        /// Where it is there.
        place: PathBuf,
    },
}

/// One mount, in the order in which they are placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// Where, inside the container.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Attributes.
    pub attr: Attr,
    /// Attributes of the whole tree of mounts that a bind brings along.
    pub attr_tree: Attr,
    /// Propagation type, and whether for the whole tree.
    pub propagation: Option<(u64, bool)>,
}

impl MountPlan {
    /// Links on the way to the kernel's own places are refused: writes there must not end in a fake.
    pub fn links(&self) -> Links {
        let kernels = ["/proc", "/sys", "/dev"].iter().any(|place| self.target.starts_with(place));
        if kernels && !matches!(self.source, MountSource::Bind { .. } | MountSource::Foreign { .. }) {
            Links::Refused
        } else {
            Links::Inside
        }
    }
}

/// A secret, as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Its name below [`SECRETS`].
    pub name: PathBuf,
    /// Where it is shown besides, absolute.
    pub target: Option<PathBuf>,
    /// What it says.
    pub content: SecretContent,
    /// Its owner, a container id.
    pub uid: u32,
    /// Its group, a container id.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What a secret says: bytes that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretContent(pub Vec<u8>);

impl std::fmt::Debug for SecretContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// Where secrets are shown in a container.
pub const SECRETS: &str = "/run/secrets";

/// A device node in `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Its name below `/dev`.
    pub name: PathBuf,
    /// `c` or `b`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What every process of a container goes through before its program runs: init, and those of exec.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessPlan {
    /// Program and arguments.
    pub args: Vec<CString>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; made where missing.
    pub cwd: PathBuf,
    /// Who it runs as.
    pub user: UserRequest,
    /// Groups besides, by name or number, that are looked up in the container's own file.
    pub groups: Vec<String>,
    /// File mode mask.
    pub umask: u32,
    /// The program is the child of an init that buries orphans; an OCI spec does not say that, its owner does.
    pub reaper: bool,
    /// Capabilities.
    pub capabilities: CapSets,
    /// Privileges cannot be gained any more.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Option<LinuxSeccomp>,
    /// Resource limits: (resource, soft, hard); `None` is unlimited.
    pub limits: Vec<(Resource, Option<u64>, Option<u64>)>,
    /// Who is killed first when memory runs out, -1000 to 1000 (proc(5)).
    pub oom_score_adj: Option<i32>,
    /// Its standard streams are a pseudo-terminal.
    pub terminal: bool,
}

/// A namespace of somebody else's that the container lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinPlan {
    /// Of which kind.
    pub kind: Kinds,
    /// Its file; who carries the plan out is handed a descriptor ([`crate::birth::Joins`]).
    pub path: PathBuf,
}

/// Everything that is done to make a container.
#[derive(Debug, Clone, PartialEq)]
pub struct InitPlan {
    /// Namespaces made by clone3(2); the cgroup namespace is made by init itself, once it is in its cgroup.
    pub namespaces: Kinds,
    /// A cgroup namespace is made.
    pub cgroup_namespace: bool,
    /// Namespaces that are joined.
    pub joined: Vec<JoinPlan>,
    /// User id map, where there is a user namespace.
    pub uid_map: Vec<IdMap>,
    /// Group id map.
    pub gid_map: Vec<IdMap>,
    /// Host name, where there is a UTS namespace.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// The root.
    pub root: RootPlan,
    /// Mounts, in order.
    pub mounts: Vec<MountPlan>,
    /// Paths whose content is hidden.
    pub masked: Vec<PathBuf>,
    /// Paths that cannot be written.
    pub read_only: Vec<PathBuf>,
    /// Kernel parameters of the container's namespaces: (path below /proc/sys, value).
    pub sysctls: Vec<(PathBuf, String)>,
    /// Device nodes in `/dev`.
    pub devices: Vec<DeviceNode>,
    /// Secrets: in no spec, and never on a disk.
    pub secrets: Vec<SecretFile>,
    /// Control groups.
    pub cgroup: CgroupPlan,
    /// The process.
    pub process: ProcessPlan,
}

impl InitPlan {
    /// The host's id of the container's root: (uid, gid); (0, 0) without a user namespace.
    pub fn root_ids(&self) -> (u32, u32) {
        let first = |map: &[IdMap]| map.iter().find(|line| line.container == 0).map_or(0, |line| line.host);
        (first(&self.uid_map), first(&self.gid_map))
    }

    /// The host's id for a container's user id.
    pub fn host_uid(&self, id: u32) -> Option<u32> {
        if self.has_user_namespace() { host_id(&self.uid_map, id) } else { Some(id) }
    }

    /// The host's id for a container's group id.
    pub fn host_gid(&self, id: u32) -> Option<u32> {
        if self.has_user_namespace() { host_id(&self.gid_map, id) } else { Some(id) }
    }

    /// Whether there is a user namespace, of its own or joined.
    pub fn has_user_namespace(&self) -> bool {
        self.namespaces.contains(Kinds::USER) || self.joins(Kinds::USER)
    }

    /// Whether a namespace of this kind is joined.
    pub fn joins(&self, kind: Kinds) -> bool {
        self.joined.iter().any(|joined| joined.kind == kind)
    }

    /// Whether somebody must go ahead to what is joined; a cgroup namespace init joins by itself.
    pub fn is_born_elsewhere(&self) -> bool {
        self.joined.iter().any(|joined| joined.kind != Kinds::CONTROL_GROUP)
    }

    /// Whether its processes all end with its first one: they do where they have a pid namespace to themselves.
    pub fn has_own_processes(&self) -> bool {
        self.namespaces.contains(Kinds::PROCESS_ID)
    }
}

/// What a map says a container's id is on the host. PURE.
pub fn host_id(map: &[IdMap], id: u32) -> Option<u32> {
    let line =
        map.iter().find(|line| id.checked_sub(line.container).is_some_and(|offset| offset < line.size))?;
    Some(line.host + (id - line.container))
}

/// What a map says a host's id is in the container. PURE.
pub fn container_id(map: &[IdMap], id: u32) -> Option<u32> {
    let line = map.iter().find(|line| id.checked_sub(line.host).is_some_and(|offset| offset < line.size))?;
    Some(line.container + (id - line.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_up_in_both_directions() {
        let line = |container, host, size| IdMap { container, host, size };
        let map = [line(0, 2_147_483_648, 65_536), line(70_000, 4_294_900_000, 1)];
        for (container, host) in [(0, 2_147_483_648), (65_535, 2_147_549_183), (70_000, 4_294_900_000)] {
            assert_eq!(host_id(&map, container), Some(host));
            assert_eq!(container_id(&map, host), Some(container));
        }
        for id in [65_536, 70_001, u32::MAX] {
            assert_eq!(host_id(&map, id), None);
        }
        for id in [0, 2_147_483_647, 2_147_549_184] {
            assert_eq!(container_id(&map, id), None);
        }
    }

    #[test]
    fn what_a_secret_says_is_in_no_message() {
        let secret = SecretContent(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "[7 bytes]");
    }
}
