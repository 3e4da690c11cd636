//! From an image's config and a request to an OCI spec: docker's defaults to the letter. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCapabilities, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, Mount, MountBuilder, Process, ProcessBuilder, RootBuilder,
    Spec, SpecBuilder, User, UserBuilder,
};
use runtime::plan::IdMap;
use runtime::seccomp::Machine;

use super::facts::HostFacts;
use super::options::Ulimit;
use super::request::{EnvRequest, NetworkMode, Request};
use super::resources;

/// docker's default PATH.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hidden from every container that is not privileged.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Not writable in any container that is not privileged.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a container is called, and where its own files are.
#[derive(Debug, Clone)]
pub(crate) struct Identity<'a> {
    /// 64 hexadecimal digits.
    pub(crate) id: &'a str,
    /// `hosts`, `hostname` and `resolv.conf` lie there.
    pub(crate) files: &'a Path,
    /// `PARENT/ID`.
    pub(crate) cgroup: &'a Path,
    /// The id map; empty without a user namespace.
    pub(crate) map: &'a [IdMap],
}

/// Makes the spec.
///
/// # Errors
/// What the request and the image together make impossible.
pub(crate) fn spec(
    request: &Request,
    image: &ImageConfiguration,
    facts: &HostFacts,
    identity: &Identity<'_>,
) -> Result<Spec> {
    let mut spec = SpecBuilder::default()
        .version("1.2.0")
        .root(RootBuilder::default().path("rootfs").readonly(request.read_only).build()?)
        .process(process(request, image, identity)?)
        .mounts(mounts(request, identity)?)
        .linux(linux(request, facts, identity)?)
        .build()?;
    let annotations = request.options.annotations.clone();
    spec.set_annotations((!annotations.is_empty()).then(|| annotations.into_iter().collect()));
    spec.set_domainname(request.options.domainname.clone());
    spec.set_hostname((request.network != NetworkMode::Host).then(|| hostname(request, identity.id, facts)));
    Ok(spec)
}

/// What the container calls itself: asked for, or its short id; the host's name on the host's network.
pub(crate) fn hostname(request: &Request, id: &str, facts: &HostFacts) -> String {
    match (&request.hostname, request.network) {
        (Some(name), _) => name.clone(),
        (None, NetworkMode::Host) => facts.hostname.clone(),
        (None, _) => id[..12].to_owned(),
    }
}

/// Entrypoint and command, as docker joins them.
///
/// # Errors
/// Where neither the image nor the user says what to run.
pub(crate) fn command(request: &Request, image: &ImageConfiguration) -> Result<(Vec<String>, Vec<String>)> {
    let config = image.config().as_ref();
    let of_image = |list: Option<&Option<Vec<String>>>| list.and_then(Clone::clone).unwrap_or_default();
    let (entrypoint, default) = match &request.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), Vec::new()),
        None => (
            of_image(config.map(oci_spec::image::Config::entrypoint)),
            of_image(config.map(oci_spec::image::Config::cmd)),
        ),
    };
    let command = if request.args.is_empty() { default } else { request.args.clone() };
    ensure!(!entrypoint.is_empty() || !command.is_empty(), "no command specified, and the image has none");
    Ok((entrypoint, command))
}

fn process(request: &Request, image: &ImageConfiguration, identity: &Identity<'_>) -> Result<Process> {
    let config = image.config().as_ref();
    let (entrypoint, command) = command(request, image)?;
    let user = request
        .user
        .clone()
        .or_else(|| config.and_then(|c| c.user().clone()))
        .filter(|user| !user.is_empty());
    let cwd = request
        .workdir
        .clone()
        .or_else(|| {
            config.and_then(|c| c.working_dir().clone()).filter(|dir| !dir.is_empty()).map(PathBuf::from)
        })
        .unwrap_or_else(|| "/".into());
    // An image may say "app": docker takes it from the root.
    let cwd = Path::new("/").join(cwd);
    let hostname = request.hostname.as_deref().unwrap_or(&identity.id[..12]);
    let mut process = ProcessBuilder::default()
        .terminal(request.terminal)
        .user(spec_user(user.as_deref().unwrap_or("0"))?)
        .args([entrypoint, command].concat())
        .env(env(request, image, hostname))
        .cwd(cwd)
        .capabilities(LinuxCapabilities::from(request.capabilities))
        .no_new_privileges(request.options.no_new_privileges)
        .build()?;
    // The builder has defaults of its own.
    let limits: Vec<_> = request.options.ulimits.iter().map(Ulimit::of_oci).collect::<Result<_>>()?;
    process.set_rlimits((!limits.is_empty()).then_some(limits));
    process.set_oom_score_adj(request.options.oom_score_adj);
    Ok(process)
}

/// As docker says it in `username`, for init to look up; what is a number already also as a number, for other runtimes.
fn spec_user(user: &str) -> Result<User> {
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    Ok(UserBuilder::default().uid(number(name)).gid(number(group)).username(user).build()?)
}

/// docker's order: PATH, HOSTNAME, TERM, then the image's, then the user's; a later one takes the place of an earlier.
pub(crate) fn env(request: &Request, image: &ImageConfiguration, hostname: &str) -> Vec<String> {
    let mut all = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if request.terminal {
        all.push("TERM=xterm".to_owned());
    }
    let of_image = image.config().as_ref().and_then(|config| config.env().clone()).unwrap_or_default();
    let key = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let set =
        |all: &mut Vec<String>, variable: String| match all.iter_mut().find(|old| key(old) == key(&variable))
        {
            Some(old) => *old = variable,
            None => all.push(variable),
        };
    of_image.into_iter().for_each(|variable| set(&mut all, variable));
    for wanted in &request.env {
        match wanted {
            EnvRequest::Set(name, value) => set(&mut all, format!("{name}={value}")),
            EnvRequest::Unset(name) => all.retain(|old| key(old) != *name),
        }
    }
    all
}

fn mounts(request: &Request, identity: &Identity<'_>) -> Result<Vec<Mount>> {
    let mount = |target: &Path, kind: &str, source: &Path, options: &[&str]| {
        MountBuilder::default()
            .destination(target)
            .typ(kind)
            .source(source)
            .options(options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
            .build()
    };
    let new =
        |target: &str, kind: &str, options: &[&str]| mount(Path::new(target), kind, Path::new(kind), options);
    let writable = if request.privileged { "rw" } else { "ro" };
    let shm =
        request.options.shm_size.map_or_else(|| "size=65536k".to_owned(), |size| format!("size={size}"));
    let foreign_network = request.network == NetworkMode::Host && request.user_namespace;
    let mut all = vec![
        new("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        new("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        new(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        if foreign_network {
            // A sysfs of one's own needs a network namespace of one's own user namespace.
            mount(
                Path::new("/sys"),
                "bind",
                Path::new("/sys"),
                &["rbind", "nosuid", "noexec", "nodev", "ro"],
            )?
        } else {
            new("/sys", "sysfs", &["nosuid", "noexec", "nodev", writable])?
        },
        new("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", writable])?,
        new("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        new("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm])?,
    ];
    let mut own = Vec::new();
    let idmap: &[&str] = if request.user_namespace { &["idmap"] } else { &[] };
    for name in ["resolv.conf", "hostname", "hosts"] {
        let writable = if request.read_only { "ro" } else { "rw" };
        let options = ["bind", "rprivate", writable];
        own.push(mount(&Path::new("/etc").join(name), "bind", &identity.files.join(name), &options)?);
    }
    for volume in &request.volumes {
        let writable = if volume.read_only { "ro" } else { "rw" };
        let options = [&["rbind", volume.propagation.as_str(), writable][..], idmap].concat();
        own.push(mount(&volume.target, "bind", &volume.source, &options)?);
    }
    for (target, options) in &request.tmpfs {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        own.push(mount(target, "tmpfs", Path::new("tmpfs"), &options)?);
    }
    if let Some(twice) = twice(&own) {
        bail!("duplicate mount point: {}", twice.display());
    }
    // The user's mount takes the place of ours; those closer to the root come first.
    let asked = |mount: &Mount| own[3..].iter().any(|own| own.destination() == mount.destination());
    all.retain(|default| !asked(default));
    let taken: Vec<PathBuf> = own[3..].iter().map(|mount| mount.destination().clone()).collect();
    let mut index = 0;
    own.retain(|mount| {
        index += 1;
        index > 3 || !taken.contains(mount.destination())
    });
    own.sort_by_key(|mount| mount.destination().components().count());
    all.extend(own);
    Ok(all)
}

/// A target that two of the user's mounts have.
fn twice(own: &[Mount]) -> Option<PathBuf> {
    let user = &own[3..];
    user.iter().enumerate().find_map(|(index, mount)| {
        let earlier = user[..index].iter().any(|other| other.destination() == mount.destination());
        earlier.then(|| mount.destination().clone())
    })
}

fn linux(request: &Request, facts: &HostFacts, identity: &Identity<'_>) -> Result<Linux> {
    let namespace = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let mut namespaces: Vec<LinuxNamespace> = vec![
        namespace(LinuxNamespaceType::Mount)?,
        namespace(LinuxNamespaceType::Uts)?,
        namespace(LinuxNamespaceType::Pid)?,
        namespace(LinuxNamespaceType::Ipc)?,
        namespace(LinuxNamespaceType::Cgroup)?,
    ];
    let mut sysctl = std::collections::HashMap::new();
    if request.network != NetworkMode::Host {
        namespaces.push(namespace(LinuxNamespaceType::Network)?);
        let highest =
            identity.map.iter().map(|line| line.container + (line.size - 1)).max().unwrap_or(i32::MAX as u32);
        sysctl.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        // Under a user namespace only ids that it maps are taken; one line of the map is contiguous from 0.
        let highest = if request.user_namespace { highest.min(65_535) } else { highest };
        sysctl.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {highest}"));
    } else {
        namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Uts);
    }
    sysctl.extend(request.options.sysctls.clone());
    let mut linux = LinuxBuilder::default()
        .resources(resources::resources(request, facts)?)
        .cgroups_path(Path::new("/").join(identity.cgroup))
        .sysctl(sysctl)
        .devices(resources::nodes(request, facts)?)
        .build()?;
    if request.user_namespace {
        namespaces.push(namespace(LinuxNamespaceType::User)?);
        let lines: Vec<LinuxIdMapping> = identity
            .map
            .iter()
            .map(|line| {
                LinuxIdMappingBuilder::default()
                    .container_id(line.container)
                    .host_id(line.host)
                    .size(line.size)
                    .build()
            })
            .collect::<Result<_, _>>()?;
        linux.set_uid_mappings(Some(lines.clone())).set_gid_mappings(Some(lines));
    }
    linux.set_namespaces(Some(namespaces));
    let owned = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
    if request.privileged {
        linux.set_masked_paths(None).set_readonly_paths(None).set_seccomp(None);
    } else {
        let profile = runtime::seccomp::profile::default_profile(request.capabilities, Machine::NATIVE);
        let masked = owned(&MASKED).map(|masked: Vec<String>| [masked, facts.throttles.clone()].concat());
        linux.set_masked_paths(masked).set_readonly_paths(owned(&READ_ONLY)).set_seccomp(Some(profile));
    }
    Ok(linux)
}
