//! What a container may use.

use super::{Line, size};
use crate::plan::devices::{Devices, Shown};
use crate::plan::limits::{DiskRate, DiskRateKind, Resources};

pub(super) fn of_resources(line: &mut Line, resources: &Resources) {
    let Resources {
        memory_reservation,
        memory_swappiness,
        oom_kill_disable,
        cpu_rt_period,
        cpu_rt_runtime,
        cpuset_cpus,
        cpuset_mems,
        blkio_weight,
        blkio_weight_devices,
        rates,
        cgroup_parent,
    } = resources;
    line.values("--memory-reservation", memory_reservation.map(size));
    line.values("--memory-swappiness", memory_swappiness);
    line.switch("--oom-kill-disable", *oom_kill_disable);
    line.values("--cpu-rt-period", cpu_rt_period);
    line.values("--cpu-rt-runtime", cpu_rt_runtime);
    line.values("--cpuset-cpus", cpuset_cpus);
    line.values("--cpuset-mems", cpuset_mems);
    line.values("--blkio-weight", blkio_weight);
    let weights = blkio_weight_devices.iter().map(|(disk, weight)| format!("{}:{weight}", disk.display()));
    line.values("--blkio-weight-device", weights);
    for DiskRate { kind, path, rate } in rates {
        let flag = match kind {
            DiskRateKind::ReadBps => "--device-read-bps",
            DiskRateKind::WriteBps => "--device-write-bps",
            DiskRateKind::ReadIops => "--device-read-iops",
            DiskRateKind::WriteIops => "--device-write-iops",
        };
        line.values(flag, [format!("{}:{rate}", path.display())]);
    }
    line.values("--cgroup-parent", cgroup_parent.as_ref().map(|path| format!("/{}", path.display())));
}

pub(super) fn of_devices(line: &mut Line, devices: &Devices) {
    let Devices { shown, rules } = devices;
    line.values("--device", shown.iter().map(device));
    line.values("--device-cgroup-rule", rules);
}

fn device(shown: &Shown) -> String {
    let Shown { host, container, access } = shown;
    let (host, container) = (host.display(), container.display());
    if access == "rwm" { format!("{host}:{container}") } else { format!("{host}:{container}:{access}") }
}
