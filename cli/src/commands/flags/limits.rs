//! What a container may use: limits that `update` can change later, and those that a container is made with.

/// Limits that can be changed while a container runs.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LimitArgs {
    /// Limit memory, in bytes or with k, m, g
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory: Option<String>,
    /// Limit memory and swap together; -1 for unlimited swap
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<String>,
    /// Leave it so much when memory runs short
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory_reservation: Option<String>,
    /// Refused: kernel memory has no limit of its own any more, and counts as memory
    #[arg(long, value_name = "SIZE", hide = true)]
    pub(crate) kernel_memory: Option<String>,
    /// Limit processors: 1.5 is one and a half
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) cpus: Option<String>,
    /// Relative weight of processor time; 1024 is normal
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) cpu_shares: Option<u64>,
    /// Length of the period of --cpu-quota, µs [default: 100000]
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// Processor time a period, µs; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Length of the period of --cpu-rt-runtime, µs [default: 1000000]
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// Processor time a period for realtime processes, µs
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// Run on these processors only
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Take memory from these nodes only
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Limit processes and threads; -1 for no limit [default: 4096]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Relative weight of disk traffic, 10 to 1000; 100 is normal
    #[arg(long, value_name = "NUMBER")]
    pub(crate) blkio_weight: Option<u16>,
}

/// Everything that a container is made with.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ResourceArgs {
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// How readily its memory is swapped out, 0 to 100 (control groups of version 1)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) memory_swappiness: Option<i64>,
    /// Let its processes wait for memory instead of killing one (control groups of version 1)
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Relative weight of the traffic of one disk, 10 to 1000
    #[arg(long, value_name = "DISK:NUMBER")]
    pub(crate) blkio_weight_device: Vec<String>,
    /// Limit what is read from a disk, in bytes a second or with kb, mb, gb
    #[arg(long, value_name = "DISK:RATE")]
    pub(crate) device_read_bps: Vec<String>,
    /// Limit what is written to a disk, in bytes a second or with kb, mb, gb
    #[arg(long, value_name = "DISK:RATE")]
    pub(crate) device_write_bps: Vec<String>,
    /// Limit how often a disk is read from in a second
    #[arg(long, value_name = "DISK:NUMBER")]
    pub(crate) device_read_iops: Vec<String>,
    /// Limit how often a disk is written to in a second
    #[arg(long, value_name = "DISK:NUMBER")]
    pub(crate) device_write_iops: Vec<String>,
    /// The control group in which it gets its own, below the root of every hierarchy [default: the configured one]
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
}
