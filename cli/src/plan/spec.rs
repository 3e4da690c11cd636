//! From an image's config and a request to an OCI spec: docker's defaults to the letter. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCapabilities, Mount, MountBuilder, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, User, UserBuilder,
};
use runtime::plan::IdMap;

use super::facts::HostFacts;
use super::mounts;
use super::options::Ulimit;
use super::places;
use super::request::{EnvRequest, NetworkMode, Request};
use super::resources;
use super::security::Security;
use super::spaces::Space;
use super::whose::{Neighbours, NetworkDonor};

/// docker's default PATH, and that of every shell that mini starts.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    /// That of groups.
    pub(crate) gid_map: &'a [IdMap],
    /// What it shares with others.
    pub(crate) neighbours: &'a Neighbours,
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
        .process(process(request, image, facts, identity)?)
        .mounts(mounts(request, facts, identity)?)
        .linux(linux(request, facts, identity)?)
        .build()?;
    let annotations = request.options.annotations.clone();
    spec.set_annotations((!annotations.is_empty()).then(|| annotations.into_iter().collect()));
    let donor = identity.neighbours.network.as_ref();
    if request.options.spaces.own_name(request.network) {
        let of_donor = donor.and_then(|donor| donor.domainname.clone());
        spec.set_domainname(request.options.domainname.clone().or(of_donor));
        spec.set_hostname(Some(hostname(request, identity.id, facts, donor)));
    } else {
        spec.set_hostname(None);
    }
    Ok(spec)
}

/// What the container calls itself: asked for, that of the container whose network it has, or its short id; the host's name
/// where that is shared.
pub(crate) fn hostname(
    request: &Request,
    id: &str,
    facts: &HostFacts,
    donor: Option<&NetworkDonor>,
) -> String {
    let hosts = request.network == NetworkMode::Host || request.options.spaces.uts == Some(Space::Host);
    match (&request.hostname, donor) {
        (Some(name), _) => name.clone(),
        (None, Some(donor)) => donor.hostname.clone(),
        (None, None) if hosts => facts.hostname.clone(),
        (None, None) => id[..12].to_owned(),
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

fn process(
    request: &Request,
    image: &ImageConfiguration,
    facts: &HostFacts,
    identity: &Identity<'_>,
) -> Result<Process> {
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
    let hostname = hostname(request, identity.id, facts, identity.neighbours.network.as_ref());
    let mut process = ProcessBuilder::default()
        .terminal(request.terminal)
        .user(spec_user(user.as_deref().unwrap_or("0"), &request.options.security)?)
        .args([entrypoint, command].concat())
        .env(env(request, image, &hostname))
        .cwd(cwd)
        .capabilities(LinuxCapabilities::from(request.capabilities))
        .no_new_privileges(request.options.no_new_privileges())
        .build()?;
    // The builder has defaults of its own.
    let limits: Vec<_> = request.options.ulimits.iter().map(Ulimit::of_oci).collect::<Result<_>>()?;
    process.set_rlimits((!limits.is_empty()).then_some(limits));
    process.set_oom_score_adj(request.options.oom_score_adj);
    Ok(process)
}

/// As docker says it in `username`, for init to look up; what is a number already also as a number, for other runtimes.
fn spec_user(user: &str, security: &Security) -> Result<User> {
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    let mut found = UserBuilder::default().uid(number(name)).gid(number(group)).username(user).build()?;
    let groups: Vec<u32> = security.groups.iter().filter_map(|group| group.parse().ok()).collect();
    found.set_additional_gids((!groups.is_empty()).then_some(groups)).set_umask(security.umask);
    Ok(found)
}

/// docker's order: PATH, HOSTNAME, TERM, then the image's, then the user's; a later one takes the place of an earlier.
pub(crate) fn env(request: &Request, image: &ImageConfiguration, hostname: &str) -> Vec<String> {
    let origin = &request.options.origin;
    let mut all = vec![format!("PATH={PATH}"), format!("HOSTNAME={hostname}")];
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
    origin.host_env.iter().for_each(|(name, value)| set(&mut all, format!("{name}={value}")));
    of_image.into_iter().for_each(|variable| set(&mut all, variable));
    all.retain(|variable| !origin.unset.contains(&key(variable)));
    for wanted in &request.env {
        match wanted {
            EnvRequest::Set(name, value) => set(&mut all, format!("{name}={value}")),
            EnvRequest::Unset(name) => all.retain(|old| key(old) != *name),
        }
    }
    all
}

fn mounts(request: &Request, facts: &HostFacts, identity: &Identity<'_>) -> Result<Vec<Mount>> {
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
    let mut all = vec![
        new("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        new("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        new(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        new("/sys", "sysfs", &["nosuid", "noexec", "nodev", writable])?,
        new("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", writable])?,
        new("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        new("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm])?,
    ];
    places::adapt(&mut all, request, facts, identity.neighbours, identity.gid_map)?;
    let mut own = Vec::new();
    let donor = identity.neighbours.network.as_ref();
    let has = |name: &str| donor.is_none_or(|donor| donor.files.iter().any(|(its, _)| its == name));
    let names = ["resolv.conf", "hostname", "hosts"].into_iter().filter(|name| has(name));
    for name in names.filter(|name| *name != "hosts" || !request.options.origin.no_hosts) {
        let writable = if request.read_only { "ro" } else { "rw" };
        let options = ["bind", "rprivate", writable];
        own.push(mount(&Path::new("/etc").join(name), "bind", &identity.files.join(name), &options)?);
    }
    if let Some(zone) = &request.options.origin.zone {
        own.push(mount(Path::new("/etc/localtime"), "bind", zone, &["bind", "rprivate", "ro"])?);
    }
    let ours = own.len();
    own.extend(mounts::asked_for(request)?);
    // The user's mount takes the place of ours; those closer to the root come first.
    let asked = |mount: &Mount| own[ours..].iter().any(|own| own.destination() == mount.destination());
    all.retain(|default| !asked(default));
    let taken: Vec<PathBuf> = own[ours..].iter().map(|mount| mount.destination().clone()).collect();
    let mut index = 0;
    own.retain(|mount| {
        index += 1;
        index > ours || !taken.contains(mount.destination())
    });
    own.sort_by_key(|mount| mount.destination().components().count());
    all.extend(own);
    Ok(all)
}

fn linux(request: &Request, facts: &HostFacts, identity: &Identity<'_>) -> Result<Linux> {
    let mut sysctl = std::collections::HashMap::new();
    if matches!(request.network, NetworkMode::Bridge | NetworkMode::None) {
        sysctl.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        // Under a user namespace only ids that it maps are taken: those of the line that begins at 0.
        let from_0 = identity.gid_map.iter().find(|line| line.container == 0);
        let highest =
            from_0.map_or((facts.groups - 1).min(i32::MAX as u32), |line| (line.size - 1).min(65_535));
        sysctl.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {highest}"));
    }
    sysctl.extend(request.options.sysctls.clone());
    let mut linux = LinuxBuilder::default()
        .resources(resources::resources(request, facts)?)
        .cgroups_path(Path::new("/").join(identity.cgroup))
        .sysctl(sysctl)
        .devices(resources::nodes(request, facts)?)
        .build()?;
    linux.set_namespaces(Some(places::namespaces(request, identity.neighbours)?));
    if request.user_namespace {
        linux.set_uid_mappings(Some(places::mappings(identity.map)?));
        linux.set_gid_mappings(Some(places::mappings(identity.gid_map)?));
    }
    let security = &request.options.security;
    let owned = |paths: &[&str]| -> Vec<String> { paths.iter().map(|path| (*path).to_owned()).collect() };
    let usual = |paths: Vec<String>| if request.privileged { Vec::new() } else { paths };
    let masked = security.paths(usual([owned(&MASKED), facts.throttles.clone()].concat()), &security.masked);
    let read_only = security.paths(usual(owned(&READ_ONLY)), &[]);
    let some = |paths: Vec<String>| (!paths.is_empty()).then_some(paths);
    linux
        .set_masked_paths(some(masked))
        .set_readonly_paths(some(read_only))
        .set_seccomp(security.filter(request.capabilities, request.privileged)?);
    Ok(linux)
}
