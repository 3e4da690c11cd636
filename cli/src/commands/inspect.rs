//! `mini inspect`: everything that is known of a container or an image, under docker's field names.

use anyhow::{Result, bail};
use oci_spec::runtime::Spec;
use runtime::cgroup::Layout;
use runtime::record::Status;
use runtime::state::{Entry, FindError};
use serde_json::{Map, Value, json};

use super::Failures;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::plan::NetworkMode;
use crate::plan::options::Options;
use crate::settings::{LiveSettings, Settings};

/// Print what is known of containers and images, as JSON
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini inspect web\n  mini inspect busybox\n\nSee also: mini ps, mini images"
)]
pub(crate) struct InspectArgs {
    /// Containers or images
    #[arg(required = true)]
    names: Vec<String>,
}

/// A container where there is one of that name, else an image.
pub(crate) fn inspect(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    print(args, |name| look(context, name))
}

/// Containers alone.
pub(crate) fn containers(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    print(args, |name| container(context, &context.state().find(name)?))
}

/// Images alone.
pub(crate) fn images(context: &Context, args: &InspectArgs) -> Result<ExitCode> {
    print(args, |name| Ok(image(&context.store()?.resolve(name)?)))
}

fn print(args: &InspectArgs, look: impl Fn(&str) -> Result<Value>) -> Result<ExitCode> {
    let mut failures = Failures::default();
    let mut found = Vec::new();
    for name in &args.names {
        match look(name) {
            Ok(value) => found.push(value),
            Err(error) => failures.add(&error),
        }
    }
    output::print_json(&found)?;
    Ok(failures.code())
}

fn look(context: &Context, name: &str) -> Result<Value> {
    match context.state().find(name) {
        Ok(entry) => container(context, &entry),
        Err(FindError::NotFound(_)) => match context.store()?.resolve(name) {
            Ok(found) => Ok(image(&found)),
            Err(image::ResolveError::NotFound(_)) => bail!("no such object: {name}"),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn container(context: &Context, entry: &Entry) -> Result<Value> {
    let record = &entry.record;
    let settings = Settings::of(record);
    let spec: Spec = serde_json::from_slice(&entry.config()?)?;
    let process = spec.process().as_ref();
    let user = process.and_then(|process| process.user().username().clone()).filter(|user| user != "0");
    let run = |name: &str| entry.dirs.run.join(name);
    let options = settings.request.as_ref().map(|request| request.options.clone()).unwrap_or_default();
    Ok(json!({
        "Id": record.id,
        "Created": clock::rfc3339_nano(record.created),
        "Path": record.command.first(),
        "Args": record.command.get(1..).unwrap_or_default(),
        "State": state(entry, Layout::detect().is_ok_and(|layout| super::pause::is_paused(context, &layout, entry))),
        "Image": record.image_id,
        "ResolvConfPath": run("resolv.conf"),
        "HostnamePath": run("hostname"),
        "HostsPath": run("hosts"),
        "LogPath": entry.dirs.disk.join("container.log"),
        "Name": format!("/{}", record.name),
        "RestartCount": 0,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": host_config(entry, &settings, &spec, &options),
        "GraphDriver": { "Name": "overlay", "Data": { "UpperDir": entry.dirs.disk.join("upper"), "WorkDir": entry.dirs.disk.join("work") } },
        "Mounts": mounts(&spec, entry),
        "Config": {
            "Hostname": spec.hostname(),
            "Domainname": spec.domainname().clone().unwrap_or_default(),
            "User": user.unwrap_or_default(),
            "Tty": record.terminal,
            "OpenStdin": record.interactive,
            "Env": process.and_then(|process| process.env().clone()),
            "Cmd": settings.cmd,
            "Image": record.image,
            "WorkingDir": process.map(|process| process.cwd().clone()),
            "Entrypoint": settings.entrypoint,
            "ExposedPorts": settings.exposed.iter().map(|port| (port.clone(), json!({}))).collect::<Map<_, _>>(),
            "Labels": settings.labels,
            "StopSignal": settings.stop_signal.to_string(),
            "StopTimeout": options.stop_timeout,
        },
        "NetworkSettings": network_settings(entry, &settings),
    }))
}

fn state(entry: &Entry, paused: bool) -> Value {
    let record = &entry.record;
    let (code, running) = match &entry.status {
        Status::Created => (record.last.as_ref().map_or(0, |last| last.code), false),
        Status::Running { .. } => (0, true),
        Status::Exited { code, .. } => (*code, false),
    };
    let time = |nanoseconds: Option<u64>| {
        nanoseconds.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), clock::rfc3339_nano)
    };
    let live = entry.live.as_ref();
    let last = record.last.as_ref();
    let started = live.and_then(|live| live.started).or_else(|| last.and_then(|last| last.started));
    let finished = last.filter(|_| !running).map(|last| last.finished);
    let reason = match &entry.status {
        Status::Exited { reason, .. } => reason.clone(),
        _ => last.and_then(|last| last.reason.clone()),
    };
    json!({
        "Status": super::filter::word(&entry.status, paused),
        "Running": running,
        "Paused": paused,
        "Restarting": false,
        "OOMKilled": last.is_some_and(|last| last.oom_killed),
        "Dead": false,
        "Pid": if running { live.map_or(0, |live| live.init.pid) } else { 0 },
        "ExitCode": code,
        "Error": reason.unwrap_or_default(),
        "StartedAt": time(started),
        "FinishedAt": time(finished),
    })
}

fn host_config(entry: &Entry, settings: &Settings, spec: &Spec, options: &Options) -> Value {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let memory = resources.memory().as_ref();
    let cpu = resources.cpu().as_ref();
    let nano = |quota: i64, period: u64| i128::from(quota) * 1_000_000_000 / i128::from(period.max(1));
    let bindings: Map<String, Value> = ports(settings);
    json!({
        "Binds": settings.binds,
        "NetworkMode": settings.network.unwrap_or(NetworkMode::Bridge),
        "PortBindings": bindings,
        "AutoRemove": entry.record.auto_remove,
        "CapAdd": settings.cap_add,
        "CapDrop": settings.cap_drop,
        "UsernsMode": if settings.user_namespace { "private" } else { "host" },
        "Privileged": settings.privileged,
        "ReadonlyRootfs": spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
        "Tmpfs": settings.tmpfs.iter().map(|text| {
            let (target, options) = text.split_once(':').unwrap_or((text, ""));
            (target.to_owned(), json!(options))
        }).collect::<Map<_, _>>(),
        "Memory": memory.and_then(oci_spec::runtime::LinuxMemory::limit).unwrap_or(0),
        "MemorySwap": memory.and_then(oci_spec::runtime::LinuxMemory::swap).unwrap_or(0),
        "NanoCpus": cpu.and_then(|cpu| Some(nano(cpu.quota()?, cpu.period()?))).unwrap_or(0) as i64,
        "CpuPeriod": options.cpu_period.unwrap_or(0),
        "CpuQuota": options.cpu_quota.unwrap_or(0),
        "Dns": options.dns,
        "DnsOptions": options.dns_options,
        "DnsSearch": options.dns_search,
        "ExtraHosts": options.hosts.iter().map(|(name, address)| match address {
            Some(address) => format!("{name}:{address}"),
            None => format!("{name}:host-gateway"),
        }).collect::<Vec<_>>(),
        "OomScoreAdj": options.oom_score_adj.unwrap_or(0),
        "SecurityOpt": options.no_new_privileges.then(|| json!(["no-new-privileges"])),
        "ShmSize": options.shm_size.unwrap_or(64 << 20),
        "Sysctls": options.sysctls,
        "Ulimits": options.ulimits.iter().map(|limit| {
            // docker's number for no limit is -1.
            json!({ "Name": limit.name, "Soft": limit.soft.cast_signed(), "Hard": limit.hard.cast_signed() })
        }).collect::<Vec<_>>(),
        "Annotations": options.annotations,
        "CpuShares": cpu.and_then(oci_spec::runtime::LinuxCpu::shares).unwrap_or(0),
        "PidsLimit": resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit),
        "CgroupParent": spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()?.parent().map(std::path::Path::to_owned)),
        "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "3" } },
        "MaskedPaths": spec.linux().as_ref().and_then(|linux| linux.masked_paths().clone()),
        "ReadonlyPaths": spec.linux().as_ref().and_then(|linux| linux.readonly_paths().clone()),
    })
}

/// `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}`
fn ports(settings: &Settings) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for port in &settings.ports {
        let binding = json!({ "HostIp": port.host_ip, "HostPort": port.host_port.to_string() });
        let list = all.entry(format!("{}/tcp", port.container_port)).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(binding);
        }
    }
    all
}

fn network_settings(entry: &Entry, settings: &Settings) -> Value {
    let live: LiveSettings = entry
        .live
        .as_ref()
        .and_then(|live| serde_json::from_value(live.settings.clone()).ok())
        .unwrap_or_default();
    let endpoint =
        live.network.filter(|_| matches!(entry.status, Status::Running { .. })).map(|attach| attach.endpoint);
    let running = endpoint.is_some();
    let address = endpoint.as_ref().map(|endpoint| endpoint.address.to_string()).unwrap_or_default();
    let gateway = endpoint.as_ref().map(|endpoint| endpoint.gateway.to_string()).unwrap_or_default();
    let mac = endpoint.as_ref().map(|endpoint| endpoint.mac.clone()).unwrap_or_default();
    let prefix = endpoint.as_ref().map_or(0, |endpoint| endpoint.prefix_len);
    let mode = settings.network.unwrap_or(NetworkMode::Bridge);
    let one = json!({ "IPAddress": address, "IPPrefixLen": prefix, "Gateway": gateway, "MacAddress": mac });
    json!({
        "Bridge": endpoint.map(|endpoint| endpoint.bridge).unwrap_or_default(),
        "Ports": if running { ports(settings) } else { Map::new() },
        "Gateway": gateway,
        "IPAddress": address,
        "IPPrefixLen": prefix,
        "MacAddress": mac,
        "Networks": { mode.name(): one },
    })
}

/// What the user asked for, not what every container has.
fn mounts(spec: &Spec, entry: &Entry) -> Vec<Value> {
    let binds = spec.mounts().iter().flatten().filter(|mount| mount.typ().as_deref() == Some("bind"));
    binds
        .filter(|mount| !mount.source().as_ref().is_some_and(|source| source.starts_with(&entry.dirs.run)))
        .map(|mount| {
            let options = mount.options().clone().unwrap_or_default();
            let read_only = options.iter().any(|option| option == "ro");
            let propagation =
                options.iter().find(|option| option.trim_start_matches('r').starts_with(['p', 's']));
            json!({
                "Type": "bind",
                "Source": mount.source(),
                "Destination": mount.destination(),
                "Mode": if read_only { "ro" } else { "" },
                "RW": !read_only,
                "Propagation": propagation,
            })
        })
        .collect()
}

fn image(image: &image::Image) -> Value {
    let config = &image.config;
    json!({
        "Id": image.id.to_string(),
        "RepoTags": image.tags.iter().map(image::Reference::familiar).collect::<Vec<_>>(),
        "RepoDigests": image.pinned.iter().map(image::Reference::familiar).collect::<Vec<_>>(),
        "Created": config.created(),
        "Author": config.author().clone().unwrap_or_default(),
        "Architecture": config.architecture(),
        "Variant": config.variant(),
        "Os": config.os(),
        "Size": image.size,
        "Config": config.config(),
        "RootFS": { "Type": "layers", "Layers": config.rootfs().diff_ids() },
    })
}
