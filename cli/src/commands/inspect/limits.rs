//! What a container may use beyond the everyday, under docker's field names.

use serde_json::{Value, json};

use crate::plan::limits::{DiskRateKind, Resources};
use crate::plan::options::Options;

/// The fields of `HostConfig` that are about it.
pub(super) fn limits(options: &Options) -> Value {
    let limits = &options.resources;
    json!({
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "KernelMemory": 0,
        "CpuRealtimePeriod": limits.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": limits.cpu_rt_runtime.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.as_deref().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.as_deref().unwrap_or_default(),
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": limits.blkio_weight_devices.iter().map(|(path, weight)| {
            json!({ "Path": path, "Weight": weight })
        }).collect::<Vec<_>>(),
        "BlkioDeviceReadBps": rates(limits, DiskRateKind::ReadBps),
        "BlkioDeviceWriteBps": rates(limits, DiskRateKind::WriteBps),
        "BlkioDeviceReadIOps": rates(limits, DiskRateKind::ReadIops),
        "BlkioDeviceWriteIOps": rates(limits, DiskRateKind::WriteIops),
        "Devices": options.devices.shown.iter().map(|one| json!({
            "PathOnHost": one.host, "PathInContainer": one.container, "CgroupPermissions": one.access,
        })).collect::<Vec<_>>(),
        "DeviceCgroupRules": options.devices.rules,
    })
}

/// What is limited in one way, a disk each.
fn rates(limits: &Resources, kind: DiskRateKind) -> Vec<Value> {
    let all = limits.rates.iter().filter(|rate| rate.kind == kind);
    all.map(|rate| json!({ "Path": rate.path, "Rate": rate.rate })).collect()
}
