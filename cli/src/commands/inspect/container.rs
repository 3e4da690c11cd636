//! A container under docker's field names.

use std::path::Path;

use anyhow::Result;
use oci_spec::runtime::Spec;
use runtime::cgroup::Layout;
use runtime::record::Status;
use runtime::state::Entry;
use serde_json::{Map, Value, json};

use super::host_config::host_config;
use super::mounts;
use super::network::network_settings;
use crate::clock;
use crate::commands::{filter, pause};
use crate::context::Context;
use crate::health::Health;
use crate::own_root;
use crate::plan::Request;
use crate::plan::health::HealthPlan;
use crate::plan::options::Options;
use crate::plan::request::EnvRequest;
use crate::plan::stdio::Attach;
use crate::plan::values;
use crate::settings::Settings;

/// Everything that is known of a container.
///
/// # Errors
/// Where its spec cannot be read.
pub(super) fn container(context: &Context, entry: &Entry) -> Result<Value> {
    let record = &entry.record;
    let settings = Settings::of(record);
    let spec: Spec = serde_json::from_slice(&entry.config()?)?;
    let run = |name: &str| entry.dirs.run.join(name);
    let options = settings.request.as_ref().map(|request| request.options.clone()).unwrap_or_default();
    Ok(json!({
        "Id": record.id,
        "Created": clock::rfc3339_nano(record.created),
        "Path": record.command.first(),
        "Rootfs": options.origin.rootfs,
        "PidFile": options.origin.pidfile,
        "Args": record.command.get(1..).unwrap_or_default(),
        "State": state(entry, &settings, Layout::detect().is_ok_and(|layout| pause::is_paused(context, &layout, entry))),
        "Image": record.image_id,
        "ResolvConfPath": run("resolv.conf"),
        "HostnamePath": run("hostname"),
        "HostsPath": run("hosts"),
        "LogPath": entry.dirs.disk.join("container.log"),
        "Name": format!("/{}", record.name),
        "RestartCount": record.restarts,
        "Driver": own_root::driver(own_root::is_there(&entry.dirs.disk)),
        "Platform": "linux",
        "HostConfig": host_config(entry, &settings, &spec, &options),
        "GraphDriver": graph_driver(&entry.dirs.disk),
        "Mounts": mounts::mounts(context, &settings, &spec, entry),
        "Config": config(entry, &settings, &spec, &options),
        "NetworkSettings": network_settings(entry, &settings),
    }))
}

/// Where its files lie. docker's vfs says nothing more of it than its name.
fn graph_driver(disk: &Path) -> Value {
    let copied = own_root::is_there(disk);
    let data = match copied {
        true => json!({ "MergedDir": own_root::files(disk) }),
        false => json!({ "UpperDir": disk.join("upper"), "WorkDir": disk.join("work") }),
    };
    json!({ "Name": own_root::driver(copied), "Data": data })
}

/// The part of it that an image made of it takes over.
///
/// # Errors
/// Where its spec cannot be read.
pub(in crate::commands) fn config_of(entry: &Entry) -> Result<Value> {
    let settings = Settings::of(&entry.record);
    let spec: Spec = serde_json::from_slice(&entry.config()?)?;
    let options = settings.request.as_ref().map(|request| request.options.clone()).unwrap_or_default();
    Ok(config(entry, &settings, &spec, &options))
}

/// What its image and its user made of it.
fn config(entry: &Entry, settings: &Settings, spec: &Spec, options: &Options) -> Value {
    let record = &entry.record;
    let process = spec.process().as_ref();
    let of_spec = process.and_then(|process| process.user().username().clone()).filter(|user| user != "0");
    let asked = settings.request.as_ref().and_then(|request| request.user.clone());
    let user = asked.or(of_spec);
    let attach = settings.request.as_ref().map_or(Attach::NONE, Request::attached);
    json!({
        "Hostname": spec.hostname(),
        "Domainname": spec.domainname().clone().unwrap_or_default(),
        "User": user.unwrap_or_default(),
        "AttachStdin": attach.input,
        "AttachStdout": attach.output,
        "AttachStderr": attach.error,
        "Tty": record.terminal,
        "OpenStdin": record.interactive,
        "StdinOnce": attach.input,
        "Env": env(spec, settings, &record.id),
        "Cmd": some(&settings.cmd),
        "Image": record.image,
        "WorkingDir": process.map(|process| process.cwd().clone()),
        "Entrypoint": some(&settings.entrypoint),
        "ExposedPorts": settings.exposed.iter().map(|port| (port.clone(), json!({}))).collect::<Map<_, _>>(),
        "Volumes": mounts::volumes(settings),
        "Secrets": mounts::secrets(settings),
        "Labels": settings.labels,
        "StopSignal": values::signal_name(settings.stop_signal),
        "StopTimeout": options.stop_timeout,
        "Umask": format!("{:04o}", options.security.umask.unwrap_or(0o022)),
        "Healthcheck": settings.health.as_ref().map(healthcheck),
    })
}

/// docker's null for an empty list.
fn some(list: &[String]) -> Option<&[String]> {
    Some(list).filter(|list| !list.is_empty())
}

/// What image and user say of the environment, as docker keeps it: what every container gets besides is left out.
fn env(spec: &Spec, settings: &Settings, id: &str) -> Option<Vec<String>> {
    let all = spec.process().as_ref()?.env().clone()?;
    let asked = settings.request.as_ref().map(|request| request.env.as_slice()).unwrap_or_default();
    let is_asked =
        |name: &str| asked.iter().any(|one| matches!(one, EnvRequest::Set(asked, _) if asked == name));
    let own = |variable: &String| match variable.split_once('=') {
        Some((name @ "HOSTNAME", value)) => {
            let is_own = spec.hostname().as_ref().is_none_or(|own| own == value);
            (is_own || id.starts_with(value)) && !is_asked(name)
        }
        Some((name @ "TERM", "xterm")) => !is_asked(name),
        _ => false,
    };
    Some(all.into_iter().filter(|variable| !own(variable)).collect())
}

fn healthcheck(plan: &HealthPlan) -> Value {
    json!({
        "Test": plan.test,
        "Interval": plan.interval,
        "Timeout": plan.timeout,
        "StartPeriod": plan.start_period,
        "StartInterval": plan.start_interval,
        "Retries": plan.retries,
    })
}

fn state(entry: &Entry, settings: &Settings, paused: bool) -> Value {
    let record = &entry.record;
    let (code, running) = match &entry.status {
        Status::Created => (record.last.as_ref().map_or(0, |last| last.code), false),
        Status::Running { .. } => (0, true),
        // docker's rule: one that is about to run again counts as running.
        Status::Restarting { code, .. } => (*code, true),
        Status::Exited { code, .. } => (*code, false),
    };
    let restarting = matches!(entry.status, Status::Restarting { .. });
    let time = |nanoseconds: Option<u64>| {
        nanoseconds.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), clock::rfc3339_nano)
    };
    let live = entry.live.as_ref();
    let last = record.last.as_ref();
    let started = live.and_then(|live| live.started).or_else(|| last.and_then(|last| last.started));
    let finished = last.filter(|_| !entry.status.is_running()).map(|last| last.finished);
    let reason = match &entry.status {
        Status::Exited { reason, .. } => reason.clone(),
        _ => last.and_then(|last| last.reason.clone()),
    };
    let mut state = json!({
        "Status": filter::word(&entry.status, paused),
        "Running": running,
        "Paused": paused,
        "Restarting": restarting,
        "OOMKilled": last.is_some_and(|last| last.oom_killed),
        "Dead": false,
        "Pid": if entry.status.is_running() { live.map_or(0, |live| live.init.pid) } else { 0 },
        "ExitCode": code,
        "Error": reason.unwrap_or_default(),
        "StartedAt": time(started),
        "FinishedAt": time(finished),
    });
    if let Some(health) = Health::of(entry, settings.health.as_ref()) {
        state["Health"] = json!(health);
    }
    state
}
