//! What is said of fewer containers: labels, names, limits, kernel settings.

/// What is said of fewer containers.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct MoreArgs {
    /// Keep a label with the container
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Read labels from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<String>,
    /// Keep an annotation in the OCI spec
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// The signal that stops it
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Seconds until SIGKILL follows it; -1 waits for ever [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) stop_timeout: Option<i64>,
    /// The container's NIS domain name
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
    /// Add a line to /etc/hosts; host-gateway is the host
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Ask this name server instead of the host's
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
    /// Search this domain instead of the host's; . for none
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_search: Vec<String>,
    /// A resolver option, resolv.conf(5)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub(crate) dns_option: Vec<String>,
    /// Say that the container listens on a port
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    pub(crate) expose: Vec<String>,
    /// Set a limit of each process; -1 for none
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    pub(crate) ulimit: Vec<String>,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
    /// Set a kernel parameter of the container's namespaces
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) sysctl: Vec<String>,
    /// Which processes the kernel kills first for want of memory: -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) oom_score_adj: Option<i32>,
}
