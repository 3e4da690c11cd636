//! Whose namespaces the container lives in, and which ids its users have.

/// Whose namespaces the container lives in; `--network` and `--userns` are among the everyday flags.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SpacesArgs {
    /// Whose processes it sees: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<String>,
    /// Whose shared memory and message queues it has: private, shareable, none, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<String>,
    /// Whose host name it has: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<String>,
    /// Whose control groups it sees as the root: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) cgroupns: Option<String>,
    /// Map user ids by hand: from this one inside, from that one on the host, so many
    #[arg(long, value_name = "INSIDE:HOST:COUNT")]
    pub(crate) uidmap: Vec<String>,
    /// Map group ids by hand [default: as --uidmap]
    #[arg(long, value_name = "INSIDE:HOST:COUNT")]
    pub(crate) gidmap: Vec<String>,
}
