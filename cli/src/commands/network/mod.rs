//! `mini network`: the networks that containers are in.

mod ls;

use anyhow::Result;

use super::later::Later;
use super::{inspect, prune};
use crate::context::Context;
use crate::exit_code::ExitCode;

/// The networks that containers are in: a bridge, the host's own, none
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini network ls\n  mini network inspect bridge\n  mini run --rm --network none busybox ip addr\n\nSee also: mini run, mini port, mini ns"
)]
pub(crate) struct NetworkArgs {
    #[command(subcommand)]
    command: NetworkCommand,
}

#[derive(Debug, clap::Subcommand)]
enum NetworkCommand {
    #[command(visible_alias = "list")]
    Ls(Later<ls::LsArgs>),
    Inspect(Later<inspect::NetworkArgs>),
    Prune(Later<prune::network::PruneArgs>),
}

/// Carries the subcommand out.
pub(crate) fn network(context: &Context, args: &NetworkArgs) -> Result<ExitCode> {
    match &args.command {
        NetworkCommand::Ls(args) => ls::ls(context, args),
        NetworkCommand::Inspect(args) => inspect::networks(context, args),
        NetworkCommand::Prune(args) => prune::network::prune(context, args),
    }
}
