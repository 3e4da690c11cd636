//! Reading an OCI spec into a plan (config.md and config-linux.md of the OCI runtime specification, 1.2). PURE.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxNamespaceType, LinuxSeccomp, Mount, PosixRlimit, PosixRlimitType, Process, Spec,
};
use rustix::process::Resource;

use super::{DeviceNode, IdMap, InitPlan, JoinPlan, MountPlan, MountSource, ProcessPlan, RootPlan};
use crate::caps::CapSets;
use crate::cgroup::devices::DevicePolicy;
use crate::cgroup::{CgroupPlan, Limits};
use crate::mounts::{self, MountOptions};
use crate::sys::ns::Kinds;
use crate::user::UserRequest;

/// Everything that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the container's specification cannot be carried out: {}", problems.join("; "))]
pub struct PlanError {
    /// One sentence each.
    pub problems: Vec<String>,
}

/// Plans a container from its spec (config.md of the OCI runtime specification, 1.2).
///
/// # Errors
/// [`PlanError`] with all problems.
pub fn plan(spec: &Spec, root: RootPlan) -> Result<InitPlan, PlanError> {
    let mut problems = Vec::new();
    let linux = spec.linux().clone().unwrap_or_default();
    let Spaces { made, cgroup: cgroup_namespace, joined } = namespaces(&linux, &mut problems);
    let (uid_map, gid_map) = (id_map(linux.uid_mappings()), id_map(linux.gid_mappings()));
    let user_namespace = made.contains(Kinds::USER) || joined.iter().any(|one| one.kind == Kinds::USER);
    if user_namespace && (uid_map.is_empty() || gid_map.is_empty()) {
        problems.push("a user namespace needs uidMappings and gidMappings".to_owned());
    }
    let process = match spec.process() {
        Some(process) => process_plan(process, linux.seccomp().clone(), &mut problems),
        None => {
            let _: () = problems.push("process is missing".to_owned());
            Err(())
        }
    };
    let mounts: Vec<_> =
        spec.mounts().iter().flatten().map(|mount| mount_plan(mount, &joined, &mut problems)).collect();
    let devices =
        linux.devices().iter().flatten().filter_map(|device| device_plan(device, &mut problems)).collect();
    let paths = |list: &Option<Vec<String>>| list.iter().flatten().map(PathBuf::from).collect();
    let mut sysctls: Vec<_> =
        linux.sysctl().iter().flatten().map(|(key, value)| (sysctl_path(key), value.clone())).collect();
    sysctls.sort();
    let cgroup_path = linux.cgroups_path().clone().unwrap_or_default();
    let cgroup = CgroupPlan {
        path: cgroup_path.strip_prefix("/").unwrap_or(&cgroup_path).to_owned(),
        limits: linux.resources().as_ref().map(Limits::from_oci).unwrap_or_default(),
        devices: crate::cgroup::device_policy(linux.resources().as_ref()).unwrap_or_else(|error| {
            problems.push(error.to_string());
            DevicePolicy { default_allow: false, exceptions: Vec::new() }
        }),
    };
    if cgroup.path.as_os_str().is_empty() || cgroup.path.components().any(|part| part.as_os_str() == "..") {
        problems.push(format!("cgroupsPath {cgroup_path:?} is not a path below the hierarchies"));
    }
    match process {
        Ok(process) if problems.is_empty() => Ok(InitPlan {
            namespaces: made,
            cgroup_namespace,
            joined,
            uid_map,
            gid_map,
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
            root,
            mounts,
            masked: paths(linux.masked_paths()),
            read_only: paths(linux.readonly_paths()),
            sysctls,
            devices,
            secrets: Vec::new(),
            cgroup,
            process,
        }),
        _ => Err(PlanError { problems }),
    }
}

/// Plans a process that joins a container.
///
/// # Errors
/// [`PlanError`] with all problems.
pub fn plan_process(process: &Process, seccomp: Option<LinuxSeccomp>) -> Result<ProcessPlan, PlanError> {
    let mut problems = Vec::new();
    match process_plan(process, seccomp, &mut problems) {
        Ok(plan) if problems.is_empty() => Ok(plan),
        _ => Err(PlanError { problems }),
    }
}

/// What a process that joins must know of a container: its namespaces and its id maps, (users, groups). PURE.
pub fn world_of(spec: &Spec) -> (Kinds, Vec<IdMap>, Vec<IdMap>) {
    let linux = spec.linux().clone().unwrap_or_default();
    let Spaces { made, cgroup, joined } = namespaces(&linux, &mut Vec::new());
    let mut kinds = joined.iter().fold(made, |all, one| all | one.kind);
    if cgroup {
        kinds |= Kinds::CONTROL_GROUP;
    }
    (kinds, id_map(linux.uid_mappings()), id_map(linux.gid_mappings()))
}

fn id_map(lines: &Option<Vec<oci_spec::runtime::LinuxIdMapping>>) -> Vec<IdMap> {
    let lines = lines.iter().flatten();
    lines.map(|l| IdMap { container: l.container_id(), host: l.host_id(), size: l.size() }).collect()
}

/// The namespaces of a spec: those to be made, whether a cgroup namespace is among them, those to be joined.
struct Spaces {
    made: Kinds,
    cgroup: bool,
    joined: Vec<JoinPlan>,
}

fn namespaces(linux: &oci_spec::runtime::Linux, problems: &mut Vec<String>) -> Spaces {
    let mut spaces = Spaces { made: Kinds::empty(), cgroup: false, joined: Vec::new() };
    for namespace in linux.namespaces().iter().flatten() {
        let kind = match namespace.typ() {
            LinuxNamespaceType::Mount => Kinds::MOUNT,
            LinuxNamespaceType::Cgroup => Kinds::CONTROL_GROUP,
            LinuxNamespaceType::Uts => Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME,
            LinuxNamespaceType::Ipc => Kinds::INTER_PROCESS_COMMUNICATION,
            LinuxNamespaceType::User => Kinds::USER,
            LinuxNamespaceType::Pid => Kinds::PROCESS_ID,
            LinuxNamespaceType::Network => Kinds::NETWORK,
            other => {
                let _: () = problems.push(format!("a namespace of type {other} is not supported"));
                continue;
            }
        };
        match namespace.path() {
            Some(path) if !path.is_absolute() => {
                problems.push(format!("the namespace {path:?} is not an absolute path"));
            }
            Some(path) => spaces.joined.push(JoinPlan { kind, path: path.clone() }),
            None if kind == Kinds::CONTROL_GROUP => spaces.cgroup = true,
            None => spaces.made |= kind,
        }
    }
    if !spaces.made.contains(Kinds::MOUNT) {
        problems.push("a container needs a mount namespace of its own".to_owned());
    }
    spaces
}

fn process_plan(
    process: &Process,
    seccomp: Option<LinuxSeccomp>,
    problems: &mut Vec<String>,
) -> Result<ProcessPlan, ()> {
    let args: Vec<CString> = process
        .args()
        .iter()
        .flatten()
        .filter_map(|arg| match CString::new(arg.as_bytes()) {
            Ok(arg) => Some(arg),
            Err(_) => {
                problems.push(format!("argument {arg:?} contains a NUL"));
                None
            }
        })
        .collect();
    if args.is_empty() {
        problems.push("process.args is empty: no program to run".to_owned());
    }
    for variable in process.env().iter().flatten().filter(|variable| variable.contains('\0')) {
        problems.push(format!("environment variable {variable:?} contains a NUL"));
    }
    if !process.cwd().is_absolute() {
        problems.push(format!("the working directory {:?} is not absolute", process.cwd()));
    }
    let user = process.user();
    Ok(ProcessPlan {
        args,
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().clone(),
        user: match user.username() {
            Some(name) => UserRequest::Named(name.clone()),
            None => UserRequest::Ids {
                uid: user.uid(),
                gid: user.gid(),
                groups: user.additional_gids().clone().unwrap_or_default(),
            },
        },
        groups: match user.username() {
            Some(_) => user.additional_gids().iter().flatten().map(u32::to_string).collect(),
            None => Vec::new(),
        },
        umask: user.umask().unwrap_or(0o022),
        reaper: false,
        capabilities: process.capabilities().as_ref().map(CapSets::from).unwrap_or_default(),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        seccomp,
        limits: process.rlimits().iter().flatten().map(limit).collect(),
        oom_score_adj: process.oom_score_adj(),
        terminal: process.terminal().unwrap_or(false),
    })
}

fn limit(limit: &PosixRlimit) -> (Resource, Option<u64>, Option<u64>) {
    let resource = match limit.typ() {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    };
    let value = |number: u64| (number != u64::MAX).then_some(number);
    (resource, value(limit.soft()), value(limit.hard()))
}

fn mount_plan(mount: &Mount, joined: &[JoinPlan], problems: &mut Vec<String>) -> MountPlan {
    let target = mount.destination().clone();
    if !target.is_absolute() || target.components().any(|part| part.as_os_str() == "..") {
        problems.push(format!("the mount target {target:?} is not an absolute path without \"..\""));
    }
    let MountOptions { attr, attr_tree, bind, recursive, idmap, propagation, data } =
        mounts::parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().as_deref().unwrap_or(if bind { "bind" } else { "none" });
    let source = match kind {
        "bind" | "none" if bind || kind == "bind" => {
            let source = mount.source().clone().unwrap_or_default();
            if !source.is_absolute() {
                problems.push(format!("the bind source {source:?} is not absolute"));
            }
            if let Some((option, _)) = data.first() {
                problems.push(format!("unknown mount option {option:?} for {}", target.display()));
            }
            match foreign(&source, joined) {
                Some(place) => MountSource::Foreign { place },
                None => MountSource::Bind { source, beneath: None, recursive, idmap },
            }
        }
        "cgroup" | "cgroup2" => MountSource::Cgroup,
        "tmpfs" if target == Path::new("/dev") => MountSource::Dev { options: data },
        // The flags that devpts knows no more: every instance is new (Linux 4.7).
        "devpts" => MountSource::New {
            kind: kind.to_owned(),
            options: data.into_iter().filter(|(key, _)| key != "newinstance").collect(),
        },
        _ => MountSource::New { kind: kind.to_owned(), options: data },
    };
    let (attr, attr_tree) = match source {
        MountSource::Bind { .. } => (attr, attr_tree),
        // One mount is a tree of its own.
        _ => (attr | attr_tree, mounts::NONE),
    };
    MountPlan { target, source, attr, attr_tree, propagation }
}

/// Below /proc/PID/root lies what another container has mounted, where it is the one whose IPC namespace is joined.
fn foreign(source: &Path, joined: &[JoinPlan]) -> Option<PathBuf> {
    let ipc = joined.iter().find(|one| one.kind == Kinds::INTER_PROCESS_COMMUNICATION)?;
    let process = ipc.path.parent()?.parent()?;
    Some(Path::new("/").join(source.strip_prefix(process.join("root")).ok()?))
}

fn device_plan(device: &oci_spec::runtime::LinuxDevice, problems: &mut Vec<String>) -> Option<DeviceNode> {
    use oci_spec::runtime::LinuxDeviceType;
    let kind = match device.typ() {
        LinuxDeviceType::B => 'b',
        LinuxDeviceType::C | LinuxDeviceType::U => 'c',
        other => {
            problems.push(format!("a device of type {other:?} is not supported"));
            return None;
        }
    };
    if device.path() == Path::new("/dev/null") && (kind, device.major(), device.minor()) != ('c', 1, 3) {
        problems
            .push("the device /dev/null is not the null device, behind which paths are hidden".to_owned());
        return None;
    }
    let number = |value: i64| u32::try_from(value).ok();
    match (device.path().strip_prefix("/dev"), number(device.major()), number(device.minor())) {
        (Ok(name), Some(major), Some(minor)) => Some(DeviceNode {
            name: name.to_owned(),
            kind,
            major,
            minor,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        }),
        _ => {
            problems
                .push(format!("the device {} is not below /dev or has no numbers", device.path().display()));
            None
        }
    }
}

/// `net.ipv4.ip_forward` → `net/ipv4/ip_forward`; a name with slashes keeps its dots (sysctl(8)).
fn sysctl_path(key: &str) -> PathBuf {
    if key.contains('/') { key.into() } else { key.replace('.', "/").into() }
}
