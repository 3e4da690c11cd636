//! Limits as the files of both versions take them (Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst). PURE.

use super::{CgroupError, Disk, Limits, Rate, RateKind};

/// One value that is to be written into one of a group's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// What asks for it, as its flag.
    pub(super) limit: &'static str,
    /// The controller that enforces it.
    pub(super) controller: &'static str,
    /// File and value; of several the first whose file the kernel has.
    pub(super) choices: Vec<(&'static str, String)>,
    /// Where the kernel has no such file, there is nothing to limit.
    pub(super) dispensable: bool,
}

pub(super) const MEMORY: &str = "--memory";
pub(super) const SWAP: &str = "--memory-swap";
pub(super) const RT_RUNTIME: &str = "--cpu-rt-runtime";
pub(super) const RT_PERIOD: &str = "--cpu-rt-period";
const PIDS: &str = "--pids-limit";
const WEIGHT: &str = "--blkio-weight";
const DEVICE_WEIGHT: &str = "--blkio-weight-device";

/// Where nobody said: docker's and the kernel's period, µs.
const PERIOD: u64 = 100_000;

/// Where there is a value, the setting that it comes to.
fn setting(
    limit: &'static str,
    controller: &'static str,
    file: &'static str,
    value: Option<impl ToString>,
) -> Option<Setting> {
    let choices = vec![(file, value?.to_string())];
    Some(Setting { limit, controller, choices, dispensable: false })
}

/// For kernels without swap, or that do not count it: there is nothing to limit.
fn dispensable(setting: Option<Setting>) -> Option<Setting> {
    setting.map(|setting| Setting { dispensable: true, ..setting })
}

/// What version 1 is told, in this order: memory before memory and swap together.
pub(super) fn v1(limits: &Limits) -> Vec<Setting> {
    let oom = limits.oom_kill_disable.then_some(1);
    let memory = [
        setting(MEMORY, "memory", "memory.limit_in_bytes", limits.memory),
        dispensable(setting(SWAP, "memory", "memory.memsw.limit_in_bytes", limits.memory_swap)),
        setting("--memory-reservation", "memory", "memory.soft_limit_in_bytes", limits.memory_reservation),
        setting("--memory-swappiness", "memory", "memory.swappiness", limits.swappiness),
        setting("--oom-kill-disable", "memory", "memory.oom_control", oom),
    ];
    let (period, quota) = quota_flags(limits);
    let processors = [
        setting(period, "cpu", "cpu.cfs_period_us", limits.cpu_period),
        setting(quota, "cpu", "cpu.cfs_quota_us", limits.cpu_quota),
        setting("--cpu-shares", "cpu", "cpu.shares", limits.cpu_shares),
        setting(RT_PERIOD, "cpu", "cpu.rt_period_us", limits.rt_period),
        setting(RT_RUNTIME, "cpu", "cpu.rt_runtime_us", limits.rt_runtime),
        setting("--cpuset-cpus", "cpuset", "cpuset.cpus", limits.cpus.as_ref()),
        setting("--cpuset-mems", "cpuset", "cpuset.mems", limits.mems.as_ref()),
        setting(PIDS, "pids", "pids.max", limits.pids),
    ];
    let weight = limits.io_weight.map(|weight| {
        // The first went with the CFQ scheduler in Linux 5.0.
        let choices = ["blkio.weight", "blkio.bfq.weight"].map(|file| (file, weight.to_string()));
        Setting { limit: WEIGHT, controller: "blkio", choices: choices.into(), dispensable: false }
    });
    let device_weights = limits.io_device_weights.iter().map(|(disk, weight)| {
        let files = ["blkio.weight_device", "blkio.bfq.weight_device"];
        let choices = files.map(|file| (file, format!("{disk} {weight}"))).into();
        Setting { limit: DEVICE_WEIGHT, controller: "blkio", choices, dispensable: false }
    });
    let rates = limits.io_rates.iter().filter_map(|Rate { kind, disk, rate }| {
        let file = match kind {
            RateKind::ReadBytes => "blkio.throttle.read_bps_device",
            RateKind::WriteBytes => "blkio.throttle.write_bps_device",
            RateKind::ReadOperations => "blkio.throttle.read_iops_device",
            RateKind::WriteOperations => "blkio.throttle.write_iops_device",
        };
        setting(rate_flag(*kind), "blkio", file, Some(format!("{disk} {rate}")))
    });
    let first = memory.into_iter().chain(processors).flatten();
    first.chain(weight).chain(device_weights).chain(rates).collect()
}

/// What version 2 is told.
///
/// # Errors
/// What it has nothing like.
pub(super) fn v2(limits: &Limits) -> Result<Vec<Setting>, CgroupError> {
    let unknown = [
        ("--memory-swappiness", limits.swappiness.is_some()),
        ("--oom-kill-disable", limits.oom_kill_disable),
        (RT_PERIOD, limits.rt_period.is_some()),
        (RT_RUNTIME, limits.rt_runtime.is_some()),
    ];
    if let Some((limit, _)) = unknown.into_iter().find(|(_, asked)| *asked) {
        return Err(CgroupError::Version2 { limit });
    }
    // Version 1 limits memory and swap together, version 2 swap alone.
    let swap = limits.memory.zip(limits.memory_swap).map(|(memory, both)| {
        u64::try_from(both).map_or_else(|_| "max".to_owned(), |both| both.saturating_sub(memory).to_string())
    });
    let quota = (limits.cpu_quota.is_some() || limits.cpu_period.is_some()).then(|| {
        let quota = limits.cpu_quota.filter(|quota| *quota >= 0);
        let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        format!("{quota} {}", limits.cpu_period.unwrap_or(PERIOD))
    });
    let all = [
        setting(MEMORY, "memory", "memory.max", limits.memory),
        dispensable(setting(SWAP, "memory", "memory.swap.max", swap)),
        setting("--memory-reservation", "memory", "memory.low", limits.memory_reservation),
        setting(quota_flags(limits).1, "cpu", "cpu.max", quota),
        setting("--cpu-shares", "cpu", "cpu.weight", limits.cpu_shares.map(cpu_weight)),
        setting("--cpuset-cpus", "cpuset", "cpuset.cpus", limits.cpus.as_ref()),
        setting("--cpuset-mems", "cpuset", "cpuset.mems", limits.mems.as_ref()),
        setting(PIDS, "pids", "pids.max", limits.pids),
    ];
    let weight = limits.io_weight.map(|weight| {
        // As runc: BFQ's own file takes version 1's weights as they are.
        let choices = vec![
            ("io.bfq.weight", weight.to_string()),
            ("io.weight", format!("default {}", io_weight(weight))),
        ];
        Setting { limit: WEIGHT, controller: "io", choices, dispensable: false }
    });
    let device_weights = limits.io_device_weights.iter().map(|(disk, weight)| {
        let choices = vec![
            ("io.bfq.weight", format!("{disk} {weight}")),
            ("io.weight", format!("{disk} {}", io_weight(*weight))),
        ];
        Setting { limit: DEVICE_WEIGHT, controller: "io", choices, dispensable: false }
    });
    let rates = limits.io_rates.iter().filter_map(|Rate { kind, disk, rate }| {
        let key = match kind {
            RateKind::ReadBytes => "rbps",
            RateKind::WriteBytes => "wbps",
            RateKind::ReadOperations => "riops",
            RateKind::WriteOperations => "wiops",
        };
        setting(rate_flag(*kind), "io", "io.max", Some(io_max(*disk, key, *rate)))
    });
    Ok(all.into_iter().flatten().chain(weight).chain(device_weights).chain(rates).collect())
}

/// What takes back a setting that there was `before`, in the same file; `None` where it is never taken back.
pub(super) fn without(before: &Setting) -> Option<Setting> {
    let (file, _) = before.choices.first()?;
    setting(before.limit, before.controller, file, (before.limit == PIDS).then_some("max"))
}

/// The flags that asked for period and quota, as far as that can be told.
fn quota_flags(limits: &Limits) -> (&'static str, &'static str) {
    match (limits.cpu_period, limits.cpu_quota) {
        (Some(_), Some(_)) => ("--cpus", "--cpus"),
        _ => ("--cpu-period", "--cpu-quota"),
    }
}

fn rate_flag(kind: RateKind) -> &'static str {
    match kind {
        RateKind::ReadBytes => "--device-read-bps",
        RateKind::WriteBytes => "--device-write-bps",
        RateKind::ReadOperations => "--device-read-iops",
        RateKind::WriteOperations => "--device-write-iops",
    }
}

/// No limit is `max` there.
fn io_max(disk: Disk, key: &str, rate: u64) -> String {
    if rate == 0 { format!("{disk} {key}=max") } else { format!("{disk} {key}={rate}") }
}

/// v1's shares (2 to 262144, 1024 is normal) as v2's weight (1 to 10000, 100 is normal), as runc and crun convert.
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// v1's weight (10 to 1000) as v2's (1 to 10000), as runc and crun convert.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9_999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let disk = Disk { major: 8, minor: 0 };
        Limits {
            memory: Some(64 << 20),
            memory_swap: Some(128 << 20),
            memory_reservation: Some(32 << 20),
            cpu_quota: Some(30_000),
            cpu_shares: Some(1024),
            cpus: Some("0-1".into()),
            mems: Some("0".into()),
            pids: Some(7),
            io_weight: Some(500),
            io_device_weights: vec![(disk, 10)],
            io_rates: vec![
                Rate { kind: RateKind::ReadBytes, disk, rate: 1 << 20 },
                Rate { kind: RateKind::WriteOperations, disk, rate: 0 },
            ],
            ..Limits::default()
        }
    }

    fn files(settings: &[Setting]) -> Vec<String> {
        let choice = |(file, value): &(&str, String)| format!("{file}={value}");
        settings.iter().map(|one| one.choices.iter().map(choice).collect::<Vec<_>>().join(" or ")).collect()
    }

    #[test]
    fn limits_become_files_of_version_1() {
        let limits = Limits { swappiness: Some(0), oom_kill_disable: true, rt_runtime: Some(9), ..limits() };
        assert_eq!(
            files(&v1(&limits)),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=134217728",
                "memory.soft_limit_in_bytes=33554432",
                "memory.swappiness=0",
                "memory.oom_control=1",
                "cpu.cfs_quota_us=30000",
                "cpu.shares=1024",
                "cpu.rt_runtime_us=9",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "pids.max=7",
                "blkio.weight=500 or blkio.bfq.weight=500",
                "blkio.weight_device=8:0 10 or blkio.bfq.weight_device=8:0 10",
                "blkio.throttle.read_bps_device=8:0 1048576",
                "blkio.throttle.write_iops_device=8:0 0",
            ]
        );
        assert_eq!(v1(&Limits::default()), []);
    }

    #[test]
    fn limits_become_files_of_version_2() {
        assert_eq!(
            files(&v2(&limits()).unwrap()),
            [
                "memory.max=67108864",
                "memory.swap.max=67108864",
                "memory.low=33554432",
                "cpu.max=30000 100000",
                "cpu.weight=39",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "pids.max=7",
                "io.bfq.weight=500 or io.weight=default 4950",
                "io.bfq.weight=8:0 10 or io.weight=8:0 1",
                "io.max=8:0 rbps=1048576",
                "io.max=8:0 wiops=max",
            ]
        );
        let unlimited = Limits {
            memory: Some(1),
            memory_swap: Some(-1),
            cpu_quota: Some(-1),
            cpu_period: Some(5),
            ..Limits::default()
        };
        let unlimited = files(&v2(&unlimited).unwrap());
        assert_eq!(unlimited, ["memory.max=1", "memory.swap.max=max", "cpu.max=max 5"]);
    }

    #[test]
    fn what_version_2_has_not_is_refused_by_name() {
        for (limits, flag) in [
            (Limits { swappiness: Some(0), ..Limits::default() }, "--memory-swappiness"),
            (Limits { oom_kill_disable: true, ..Limits::default() }, "--oom-kill-disable"),
            (Limits { rt_period: Some(1), ..Limits::default() }, "--cpu-rt-period"),
            (Limits { rt_runtime: Some(1), ..Limits::default() }, "--cpu-rt-runtime"),
        ] {
            let error = v2(&limits).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }

    #[test]
    fn weights_cover_the_whole_range() {
        let cpu = [2, 1024, 262_144, 0].map(cpu_weight);
        assert_eq!(cpu, [1, 39, 10_000, 1]);
        assert_eq!([10, 1000, 0, 5000].map(io_weight), [1, 10_000, 1, 10_000]);
    }
}
