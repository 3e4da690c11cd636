//! What the container's processes may do, and as whom.

/// What the container's processes may do, and as whom.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SecurityArgs {
    /// Let an init of mini's own be process 1: it passes signals on and buries orphans
    #[arg(long)]
    pub(crate) init: bool,
    /// A security option: seccomp=FILE|builtin|unconfined, no-new-privileges, systempaths=unconfined, mask=, unmask=
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    /// Add a group of the container to those of its user
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// File mode mask, octal [default: 0022]
    #[arg(long, value_name = "MASK")]
    pub(crate) umask: Option<String>,
}
