//! What a container was asked to be, under docker's field names.

use oci_spec::runtime::Spec;
use runtime::state::Entry;
use serde_json::{Map, Value, json};

use super::limits::limits;
use super::mounts::asked_for;
use super::network::ports;
use super::spaces;
use crate::plan::options::Options;
use crate::settings::Settings;

/// `HostConfig`.
pub(super) fn host_config(entry: &Entry, settings: &Settings, spec: &Spec, options: &Options) -> Value {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let memory = resources.memory().as_ref();
    let cpu = resources.cpu().as_ref();
    let nano = |quota: i64, period: u64| i128::from(quota) * 1_000_000_000 / i128::from(period.max(1));
    let bindings: Map<String, Value> = ports(settings);
    let (mounts, volumes_from) = asked_for(settings);
    let mut all = json!({
        "Binds": Some(&settings.binds).filter(|binds| !binds.is_empty()),
        "Mounts": mounts,
        "VolumesFrom": volumes_from,
        "PortBindings": bindings,
        "RestartPolicy": {
            "Name": options.life.restart.name(),
            "MaximumRetryCount": options.life.restart.most(),
        },
        "AutoRemove": entry.record.auto_remove,
        "CapAdd": Some(&settings.cap_add).filter(|names| !names.is_empty()),
        "CapDrop": Some(&settings.cap_drop).filter(|names| !names.is_empty()),
        "PublishAllPorts": settings.request.as_ref().is_some_and(|request| request.publish_all),
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
        "LogConfig": { "Type": options.log.driver.name(), "Config": options.log.shown() },
        "MaskedPaths": spec.linux().as_ref().and_then(|linux| linux.masked_paths().clone()),
        "ReadonlyPaths": spec.linux().as_ref().and_then(|linux| linux.readonly_paths().clone()),
    });
    for more in [limits(options), spaces::fields(settings, options)] {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}
