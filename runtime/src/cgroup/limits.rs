//! What a container may use, as an OCI spec asks for it. PURE.

use std::fmt;

use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice};

/// Limits of a container; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, bytes.
    pub memory: Option<u64>,
    /// Memory and swap together, bytes; -1 is unlimited swap.
    pub memory_swap: Option<i64>,
    /// What is left to it when memory runs short, bytes.
    pub memory_reservation: Option<u64>,
    /// How readily its memory is swapped out, 0 to 100; version 1 alone.
    pub swappiness: Option<u64>,
    /// Its processes wait for memory instead of being killed; version 1 alone.
    pub oom_kill_disable: bool,
    /// Processor time per period, µs.
    pub cpu_quota: Option<i64>,
    /// The period, µs.
    pub cpu_period: Option<u64>,
    /// Relative weight, 2 to 262144 (v1's cpu.shares; converted for v2).
    pub cpu_shares: Option<u64>,
    /// Processor time per period for realtime processes, µs; version 1 alone.
    pub rt_runtime: Option<i64>,
    /// Their period, µs; version 1 alone.
    pub rt_period: Option<u64>,
    /// Processors that it may run on: `0-2,4` (cpuset(7), "List format").
    pub cpus: Option<String>,
    /// Memory nodes that it may allocate from, in the same form.
    pub mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<i64>,
    /// Relative weight of its disk traffic, 10 to 1000 (v1's; converted for v2).
    pub io_weight: Option<u16>,
    /// The same for single disks.
    pub io_device_weights: Vec<(Disk, u16)>,
    /// The most that it may read from and write to single disks.
    pub io_rates: Vec<Rate>,
}

/// A block device, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
}

/// As every file of the kernel names it.
impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What is counted in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WriteBytes,
    /// Read operations.
    ReadOperations,
    /// Write operations.
    WriteOperations,
}

/// So much a second of one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What is counted.
    pub kind: RateKind,
    /// The disk.
    pub disk: Disk,
    /// How much; 0 is no limit.
    pub rate: u64,
}

impl Limits {
    /// What an OCI spec asks for.
    pub fn from_oci(resources: &LinuxResources) -> Limits {
        let memory = resources.memory().unwrap_or_default();
        let cpu = resources.cpu().clone().unwrap_or_default();
        let io = resources.block_io().clone().unwrap_or_default();
        let bytes = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok());
        let weights = io.weight_device().iter().flatten();
        Limits {
            memory: bytes(memory.limit()),
            memory_swap: memory.swap(),
            memory_reservation: bytes(memory.reservation()),
            swappiness: memory.swappiness(),
            oom_kill_disable: memory.disable_oom_killer().unwrap_or(false),
            cpu_quota: cpu.quota(),
            cpu_period: cpu.period(),
            cpu_shares: cpu.shares(),
            rt_runtime: cpu.realtime_runtime(),
            rt_period: cpu.realtime_period(),
            cpus: cpu.cpus().clone(),
            mems: cpu.mems().clone(),
            pids: resources
                .pids()
                .as_ref()
                .map(oci_spec::runtime::LinuxPids::limit)
                .filter(|limit| *limit > 0),
            io_weight: io.weight(),
            io_device_weights: weights
                .filter_map(|one| Some((Disk { major: one.major(), minor: one.minor() }, one.weight()?)))
                .collect(),
            io_rates: rates(&io),
        }
    }
}

fn rates(io: &LinuxBlockIo) -> Vec<Rate> {
    let of = |list: &Option<Vec<LinuxThrottleDevice>>, kind| {
        let one = |one: LinuxThrottleDevice| {
            let disk = Disk { major: one.major(), minor: one.minor() };
            Rate { kind, disk, rate: one.rate() }
        };
        list.clone().unwrap_or_default().into_iter().map(one).collect::<Vec<_>>()
    };
    [
        of(io.throttle_read_bps_device(), RateKind::ReadBytes),
        of(io.throttle_write_bps_device(), RateKind::WriteBytes),
        of(io.throttle_read_iops_device(), RateKind::ReadOperations),
        of(io.throttle_write_iops_device(), RateKind::WriteOperations),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_says_it_in_its_own_words() {
        let text = r#"{
            "memory": { "limit": 100, "swap": -1, "reservation": 50, "swappiness": 7, "disableOOMKiller": true },
            "cpu": { "shares": 2, "quota": -1, "period": 5, "realtimeRuntime": 8, "realtimePeriod": 9, "cpus": "0-1", "mems": "0" },
            "pids": { "limit": 0 },
            "blockIO": {
                "weight": 300,
                "weightDevice": [{ "major": 8, "minor": 0, "weight": 200 }, { "major": 8, "minor": 16 }],
                "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1 }],
                "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 2 }]
            }
        }"#;
        let disk = Disk { major: 8, minor: 0 };
        let expected = Limits {
            memory: Some(100),
            memory_swap: Some(-1),
            memory_reservation: Some(50),
            swappiness: Some(7),
            oom_kill_disable: true,
            cpu_quota: Some(-1),
            cpu_period: Some(5),
            cpu_shares: Some(2),
            rt_runtime: Some(8),
            rt_period: Some(9),
            cpus: Some("0-1".into()),
            mems: Some("0".into()),
            pids: None,
            io_weight: Some(300),
            io_device_weights: vec![(disk, 200)],
            io_rates: vec![
                Rate { kind: RateKind::ReadBytes, disk, rate: 1 },
                Rate { kind: RateKind::WriteOperations, disk, rate: 2 },
            ],
        };
        assert_eq!(Limits::from_oci(&serde_json::from_str(text).unwrap()), expected);
        assert_eq!(Limits::from_oci(&LinuxResources::default()), Limits::default());
    }
}
