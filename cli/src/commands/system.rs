//! `mini system`: check what is written down against what is there.

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;

/// Look after mini's own files
#[derive(Debug, clap::Args)]
pub(crate) struct SystemArgs {
    #[command(subcommand)]
    command: SystemCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SystemCommand {
    /// Find what no container needs and what is damaged
    Check {
        /// Remove and mend it
        #[arg(long)]
        repair: bool,
    },
}

pub(crate) fn system(_context: &Context, args: &SystemArgs) -> Result<ExitCode> {
    let SystemCommand::Check { repair: _ } = &args.command;
    anyhow::bail!("later")
}
