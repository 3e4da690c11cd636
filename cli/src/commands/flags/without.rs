//! Which isolation a container is to lack, to see what it was good for.

/// What is left out.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct WithoutArgs {
    /// Leave isolation out, to see what leaks then; the container's users stay its own
    #[arg(long, value_name = "ISOLATION,…", value_delimiter = ',')]
    pub(crate) without: Vec<Isolation>,
}

/// One isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Isolation {
    /// Its own mounts: cannot be left out
    Mnt,
    /// Its own processes
    Pid,
    /// Its own network
    Net,
    /// Its own host name
    Uts,
    /// Its own shared memory and message queues
    Ipc,
    /// Its own users: only where mini runs in a throwaway user namespace
    User,
    /// Its own view of control groups
    Cgroup,
    /// The filter of system calls
    Seccomp,
    /// The limit of capabilities
    Caps,
}
