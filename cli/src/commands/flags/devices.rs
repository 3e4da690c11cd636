//! Which devices of the host a container may use.

/// Devices of the host.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DeviceArgs {
    /// Show a device of the host in the container, or all below a directory; rwm is read, write, mknod
    #[arg(long, value_name = "PATH[:PATH[:rwm]]")]
    pub(crate) device: Vec<String>,
    /// Allow devices that have nodes of their own in the container: 'c 1:3 rwm', with * for any number
    #[arg(long, value_name = "RULE")]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Refused: a GPU needs programs of its vendor
    #[arg(long, value_name = "REQUEST", hide = true)]
    pub(crate) gpus: Option<String>,
}
