//! What a container may use, as an OCI spec says it: limits, device nodes, device rules. PURE.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpu, LinuxCpuBuilder, LinuxDevice, LinuxDeviceBuilder,
    LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemory, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
    LinuxWeightDeviceBuilder,
};
use runtime::cgroup::devices::{self, Access, DeviceRule};

use super::devices as asked;
use super::facts::{HostDevice, HostFacts};
use super::limits::{self, DiskRateKind, Resources};
use super::options::Options;
use super::request::{DEFAULT_PIDS, PidsLimit, Request};

/// µs; the kernel's and docker's default.
const PERIOD: u64 = 100_000;

/// Limits and device rules.
///
/// # Errors
/// What the host has not: processors, memory nodes, disks.
pub(crate) fn resources(request: &Request, facts: &HostFacts) -> Result<LinuxResources> {
    let mut resources = limits(request, facts)?;
    resources.set_devices(Some(device_rules(request, facts)?));
    Ok(resources)
}

/// Limits alone.
///
/// # Errors
/// What the host has not: processors, memory nodes, disks.
pub(crate) fn limits(request: &Request, facts: &HostFacts) -> Result<LinuxResources> {
    let mut resources = LinuxResourcesBuilder::default().build()?;
    resources.set_memory(memory(request)?).set_cpu(cpu(request, facts)?);
    resources.set_block_io(block_io(&request.options.resources, facts)?);
    let pids = match request.pids {
        PidsLimit::Default => facts.cgroups.has("pids").then_some(DEFAULT_PIDS),
        PidsLimit::None => None,
        PidsLimit::Most(limit) => Some(limit),
    };
    if let Some(limit) = pids {
        resources.set_pids(Some(LinuxPidsBuilder::default().limit(limit).build()?));
    }
    Ok(resources)
}

fn memory(request: &Request) -> Result<Option<LinuxMemory>> {
    let Resources { memory_reservation, memory_swappiness, oom_kill_disable, .. } = request.options.resources;
    let mut memory = LinuxMemoryBuilder::default().build()?;
    if let Some(bytes) = request.memory {
        let limit = i64::try_from(bytes)?;
        // docker's default: as much swap again.
        let both = request.options.memory_swap.unwrap_or(limit.saturating_mul(2));
        memory.set_limit(Some(limit)).set_swap(Some(both));
    }
    memory.set_reservation(memory_reservation.map(i64::try_from).transpose()?);
    memory.set_swappiness(memory_swappiness).set_disable_oom_killer(oom_kill_disable.then_some(true));
    Ok((memory != LinuxMemory::default()).then_some(memory))
}

fn cpu(request: &Request, facts: &HostFacts) -> Result<Option<LinuxCpu>> {
    let Options { cpu_period, cpu_quota, resources, .. } = &request.options;
    let mut cpu = LinuxCpuBuilder::default().build()?;
    cpu.set_shares(request.cpu_shares).set_period(*cpu_period).set_quota(*cpu_quota);
    if let Some(nano) = request.nano_cpus {
        let most = facts.processors.saturating_mul(1_000_000_000);
        let wanted = nano as f64 / 1e9;
        ensure!(
            (10_000_000..=most).contains(&nano),
            "--cpus {wanted}: from 0.01 to {}, as this host has {} processors",
            facts.processors,
            facts.processors
        );
        cpu.set_period(Some(PERIOD)).set_quota(Some(i64::try_from(nano * PERIOD / 1_000_000_000)?));
    }
    cpu.set_realtime_period(resources.cpu_rt_period).set_realtime_runtime(resources.cpu_rt_runtime);
    let there = |list: &Option<String>, available: &str, flag: &str, what: &str| -> Result<()> {
        let Some(list) = list else { return Ok(()) };
        ensure!(
            limits::is_within(list, available),
            "{flag} {list}: the requested {what} are not available, this host has {available}"
        );
        Ok(())
    };
    there(&resources.cpuset_cpus, &facts.online_processors, "--cpuset-cpus", "processors")?;
    there(&resources.cpuset_mems, &facts.memory_nodes, "--cpuset-mems", "memory nodes")?;
    cpu.set_cpus(resources.cpuset_cpus.clone()).set_mems(resources.cpuset_mems.clone());
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

fn block_io(resources: &Resources, facts: &HostFacts) -> Result<Option<LinuxBlockIo>> {
    let disk = |path: &Path| {
        let found = facts.disks.iter().find(|disk| disk.path == path);
        let found = found.with_context(|| format!("{} is no block device of this host", path.display()))?;
        Ok::<_, anyhow::Error>((i64::from(found.major), i64::from(found.minor)))
    };
    let weights = resources.blkio_weight_devices.iter().map(|(path, weight)| {
        let (major, minor) = disk(path)?;
        Ok(LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(*weight).build()?)
    });
    let weights = weights.collect::<Result<Vec<_>>>()?;
    let rates = |kind: DiskRateKind| -> Result<Option<Vec<LinuxThrottleDevice>>> {
        let asked = resources.rates.iter().filter(|one| one.kind == kind);
        let all = asked.map(|one| {
            let (major, minor) = disk(&one.path)?;
            Ok(LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(one.rate).build()?)
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        Ok((!all.is_empty()).then_some(all))
    };
    let mut io = LinuxBlockIoBuilder::default().build()?;
    io.set_weight(resources.blkio_weight).set_weight_device((!weights.is_empty()).then_some(weights));
    io.set_throttle_read_bps_device(rates(DiskRateKind::ReadBps)?);
    io.set_throttle_write_bps_device(rates(DiskRateKind::WriteBps)?);
    io.set_throttle_read_iops_device(rates(DiskRateKind::ReadIops)?);
    io.set_throttle_write_iops_device(rates(DiskRateKind::WriteIops)?);
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

/// A container that may use every device of the host.
fn has_all_devices(request: &Request) -> bool {
    request.privileged && !request.user_namespace
}

/// All of the host's devices, for a privileged container that shares the host's user namespace; those that were asked for.
///
/// # Errors
/// Never: every field has a default.
pub(crate) fn nodes(request: &Request, facts: &HostFacts) -> Result<Vec<LinuxDevice>> {
    let mut all: Vec<&HostDevice> = Vec::new();
    let host = if has_all_devices(request) { facts.devices.as_slice() } else { &[] };
    for device in host.iter().chain(facts.shown.iter().map(|(device, _)| device)) {
        // What was asked for last has the name.
        all.retain(|other| other.path != device.path);
        all.push(device);
    }
    let devices = all.into_iter().map(|device| {
        LinuxDeviceBuilder::default()
            .path(device.path.clone())
            .typ(if device.kind == 'b' { LinuxDeviceType::B } else { LinuxDeviceType::C })
            .major(i64::from(device.major))
            .minor(i64::from(device.minor))
            .file_mode(device.mode)
            .uid(0u32)
            .gid(0u32)
            .build()
    });
    Ok(devices.collect::<Result<_, _>>()?)
}

/// docker's, with what was asked for; everything for a privileged container that shares the host's user namespace.
fn device_rules(request: &Request, facts: &HostFacts) -> Result<Vec<LinuxDeviceCgroup>> {
    if has_all_devices(request) {
        let everything = DeviceRule { allow: true, devices: None, access: Access::ALL };
        return Ok(vec![LinuxDeviceCgroup::from(&everything)]);
    }
    let mut rules: Vec<_> = devices::DOCKER.iter().map(LinuxDeviceCgroup::from).collect();
    for (device, access) in &facts.shown {
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(if device.kind == 'b' { LinuxDeviceType::B } else { LinuxDeviceType::C })
            .major(i64::from(device.major))
            .minor(i64::from(device.minor))
            .access(access.as_str());
        rules.push(rule.build()?);
    }
    for text in &request.options.devices.rules {
        rules.push(asked::rule(text)?);
    }
    Ok(rules)
}
