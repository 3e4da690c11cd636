//! What sharing means for an OCI spec: which namespaces are made or joined, and what lies at /proc, /sys and /dev/shm. PURE.

use std::path::Path;

use anyhow::Result;
use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount,
    MountBuilder,
};

use runtime::plan::IdMap;

use super::facts::HostFacts;
use super::idmaps;
use super::request::{NetworkMode, Request};
use super::spaces::{Flag, Ipc, Space};
use super::whose::{self, Neighbours};

/// The namespaces of a container: each its own, or with the path of one that is joined; the host's are left out.
pub(super) fn namespaces(request: &Request, neighbours: &Neighbours) -> Result<Vec<LinuxNamespace>> {
    let spaces = &request.options.spaces;
    let shares = |space: &Space| *space == Space::Host;
    let list = [
        (LinuxNamespaceType::Mount, None, false),
        (
            LinuxNamespaceType::Uts,
            Some(Flag::Uts),
            spaces.uts.as_ref().map_or(request.network == NetworkMode::Host, shares),
        ),
        (LinuxNamespaceType::Pid, Some(Flag::Pid), shares(&spaces.pid)),
        (LinuxNamespaceType::Ipc, Some(Flag::Ipc), spaces.ipc == Ipc::Host),
        (LinuxNamespaceType::Cgroup, Some(Flag::Cgroup), shares(&spaces.cgroup)),
        (LinuxNamespaceType::Network, Some(Flag::Network), request.network == NetworkMode::Host),
    ];
    let mut all = Vec::new();
    for (kind, flag, hosts) in list {
        let joined = flag.and_then(|flag| neighbours.of(flag));
        if hosts || joined.is_some_and(|one| one.hosts) {
            continue;
        }
        all.push(namespace(kind, joined.map(|one| one.path.as_path()))?);
    }
    if request.user_namespace {
        let path = neighbours.users.as_ref().map(|users| users.path.as_path());
        all.push(namespace(LinuxNamespaceType::User, path)?);
    }
    Ok(all)
}

/// An id map as a spec says it.
pub(super) fn mappings(map: &[IdMap]) -> Result<Vec<LinuxIdMapping>> {
    let line = |line: &IdMap| {
        LinuxIdMappingBuilder::default()
            .container_id(line.container)
            .host_id(line.host)
            .size(line.size)
            .build()
    };
    Ok(map.iter().map(line).collect::<Result<_, _>>()?)
}

fn namespace(kind: LinuxNamespaceType, path: Option<&Path>) -> Result<LinuxNamespace> {
    let namespace = LinuxNamespaceBuilder::default().typ(kind);
    Ok(match path {
        Some(path) => namespace.path(path),
        None => namespace,
    }
    .build()?)
}

/// Changes what every container has to what this one can have.
pub(super) fn adapt(
    all: &mut Vec<Mount>,
    request: &Request,
    facts: &HostFacts,
    neighbours: &Neighbours,
    gid_map: &[IdMap],
) -> Result<()> {
    let spaces = &request.options.spaces;
    let power = |flag| whose::has_power(spaces, request.network, neighbours, request.user_namespace, flag);
    let mut put = |target: &str, with: Option<Mount>| match with {
        Some(with) => {
            all.iter_mut().filter(|mount| mount.destination() == Path::new(target)).for_each(|mount| {
                mount.clone_from(&with);
            });
        }
        None => all.retain(|mount| mount.destination() != Path::new(target)),
    };
    // A proc or a sysfs of one's own needs power over those processes, or that network.
    for (flag, place) in [(Flag::Pid, "/proc"), (Flag::Network, "/sys")] {
        if !power(flag) {
            put(place, Some(bind(place, Path::new(place), &READ_ONLY)?));
        }
    }
    let hosts_ipc = spaces.ipc == Ipc::Host || neighbours.of(Flag::Ipc).is_some_and(|one| one.hosts);
    match &spaces.ipc {
        Ipc::Private | Ipc::Shareable => {}
        Ipc::None => put("/dev/shm", None),
        Ipc::Host | Ipc::Container(_) if hosts_ipc => {
            put("/dev/shm", Some(bind("/dev/shm", Path::new("/dev/shm"), &["bind"])?));
        }
        Ipc::Host | Ipc::Container(_) => {
            if let Some(process) = neighbours.of(Flag::Ipc).and_then(|one| one.path.parent()?.parent()) {
                put("/dev/shm", Some(bind("/dev/shm", &process.join("root/dev/shm"), &["bind"])?));
            }
        }
    }
    if !power(Flag::Ipc) {
        let queues = facts.mqueue.then(|| bind("/dev/mqueue", Path::new("/dev/mqueue"), &["bind"]));
        put("/dev/mqueue", queues.transpose()?);
    }
    let hosts_groups =
        spaces.cgroup == Space::Host || neighbours.of(Flag::Cgroup).is_some_and(|one| one.hosts);
    if hosts_groups {
        // Not mounted anew: a mount of the first cgroup namespace sets the options of all (cgroup-v2.rst, "nsdelegate").
        put("/sys/fs/cgroup", Some(bind("/sys/fs/cgroup", Path::new("/sys/fs/cgroup"), &READ_ONLY)?));
    }
    if request.user_namespace && !idmaps::has(gid_map, 5) || facts.groups <= 5 {
        // Terminals belong to group tty, where the map has one.
        for mount in all.iter_mut().filter(|mount| mount.typ().as_deref() == Some("devpts")) {
            let options = mount.options().iter().flatten().filter(|option| *option != "gid=5").cloned();
            let options = options.collect();
            mount.set_options(Some(options));
        }
    }
    Ok(())
}

/// A tree of the host's, for looking at; the words that begin with r are for what comes along below it, too (config.md, "mounts").
const READ_ONLY: [&str; 5] = ["rbind", "rro", "rnosuid", "rnoexec", "rnodev"];

fn bind(target: &str, source: &Path, options: &[&str]) -> Result<Mount> {
    let options = [options, &["nosuid", "noexec", "nodev"]].concat();
    Ok(MountBuilder::default()
        .destination(target)
        .typ("bind")
        .source(source)
        .options(options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
        .build()?)
}
