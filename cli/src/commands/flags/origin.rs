//! Where the container's files and surroundings come from.

use std::path::PathBuf;

/// Where the container's files and surroundings come from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct OriginArgs {
    /// Take a directory of the host instead of an image; it is never changed
    #[arg(long)]
    pub(crate) rootfs: bool,
    /// The image's platform, of several that its name has
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// The runtime: mini is its own
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// Time zone: local for the host's, or a name as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Set every variable that is set here
    #[arg(long)]
    pub(crate) env_host: bool,
    /// Leave a variable of the image out
    #[arg(long, value_name = "NAME")]
    pub(crate) unsetenv: Vec<String>,
    /// Leave the image's /etc/hosts alone
    #[arg(long)]
    pub(crate) no_hosts: bool,
    /// Write the process number of its first process into a file, as long as it runs
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Remove the container that has the name before
    #[arg(long)]
    pub(crate) replace: bool,
}
