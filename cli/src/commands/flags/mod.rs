//! What `run` and `create` understand alike: everything about a container but how it is started.
//!
//! The everyday flags are here; what is said of fewer containers has a file a subject.

mod devices;
mod health;
mod life;
mod limits;
mod log;
mod more;
mod origin;
mod refused;
mod security;
mod spaces;
mod stay;
mod storage;
mod without;

use super::run::PullPolicy;
pub(crate) use devices::DeviceArgs;
pub(crate) use health::HealthArgs;
pub(crate) use life::LifeArgs;
pub(crate) use limits::{LimitArgs, ResourceArgs};
pub(crate) use log::LogArgs;
pub(crate) use more::MoreArgs;
pub(crate) use origin::OriginArgs;
pub(crate) use refused::RefusedArgs;
pub(crate) use security::SecurityArgs;
pub(crate) use spaces::SpacesArgs;
pub(crate) use stay::{KeysArgs, StayArgs};
pub(crate) use storage::StorageArgs;
pub(crate) use without::{Isolation, WithoutArgs};

/// A container that is to be.
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerArgs {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Stay with these streams alone: stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM")]
    pub(crate) attach: Vec<String>,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// The container's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Set an environment variable; without a value, copy it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Run as this user of the container
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Publish a port of the container on the host
    #[arg(short, long, value_name = "[[IP:]PORT:]PORT[/tcp]")]
    pub(crate) publish: Vec<String>,
    /// Publish every tcp port that image and --expose name on a free port of the host
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// The container's host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Run this program instead of the image's; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// The network: bridge, none, host, container:NAME or ns:PATH
    #[arg(long, visible_alias = "net", value_name = "NETWORK", default_value = "bridge")]
    pub(crate) network: String,
    /// Whose users it has: private (auto), host, keep-id or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// When to pull the image
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub(crate) pull: PullPolicy,
    /// Lift nearly every restriction; shares the host's user namespace
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Let nothing in the root be written
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Read variables from a file, a line each; -e comes after them
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<String>,
    /// Write the container's id into a file that must not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) life: LifeArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) more: MoreArgs,
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) spaces: SpacesArgs,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    #[command(flatten)]
    pub(crate) origin: OriginArgs,
    #[command(flatten)]
    pub(crate) without: WithoutArgs,
    #[command(flatten)]
    pub(crate) refused: RefusedArgs,
    /// Pull without a word
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The image, the program to run instead of its own, and its arguments
    // One list: whatever follows the image is the program's, flags too.
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND [ARG]…]")]
    words: Vec<String>,
}

impl ContainerArgs {
    /// The image, as it was typed.
    pub(crate) fn image(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The program and its arguments; empty for the image's own.
    pub(crate) fn command(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}
