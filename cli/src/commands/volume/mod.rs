//! `mini volume`: directories that outlive containers.

mod create;
mod inspect;
mod ls;
pub(super) mod prune;
mod rm;

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::volume::Store;

pub(super) use inspect::shown;
pub(super) use ls::VolumeRow;

/// Directories that outlive containers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume create data\n  mini run --rm -v data:/data busybox touch /data/file\n  mini volume rm data\n\nSee also: mini run, mini rm -v"
)]
pub(crate) struct VolumeArgs {
    #[command(subcommand)]
    command: VolumeCommand,
}

#[derive(Debug, clap::Subcommand)]
enum VolumeCommand {
    Create(create::CreateArgs),
    #[command(visible_alias = "list")]
    Ls(ls::LsArgs),
    Inspect(inspect::InspectArgs),
    #[command(visible_alias = "remove")]
    Rm(rm::RmArgs),
    Prune(prune::PruneArgs),
}

/// Carries the subcommand out.
pub(crate) fn volume(context: &Context, args: &VolumeArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let store = Store::new(&context.dirs.root);
    match &args.command {
        VolumeCommand::Create(args) => create::create(context, &store, args),
        VolumeCommand::Ls(args) => ls::ls(context, &store, args),
        VolumeCommand::Inspect(args) => inspect::inspect(&store, args),
        VolumeCommand::Rm(args) => rm::rm(context, &store, args),
        VolumeCommand::Prune(args) => prune::prune(context, args),
    }
}
