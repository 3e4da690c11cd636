//! `mini secret`: what containers are given and nothing shows.

mod create;
mod inspect;
mod ls;
mod rm;

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::secret::Store;

/// Secrets: given to containers in memory, and shown by nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini secret create password ./password.txt\n  mini run --rm --secret password busybox cat /run/secrets/password\n\nSee also: mini run --secret"
)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SecretCommand {
    Create(create::CreateArgs),
    #[command(visible_alias = "list")]
    Ls(ls::LsArgs),
    Inspect(inspect::InspectArgs),
    #[command(visible_alias = "remove")]
    Rm(rm::RmArgs),
}

/// Carries the subcommand out.
pub(crate) fn secret(context: &Context, args: &SecretArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let store = Store::new(&context.dirs.root);
    match &args.command {
        SecretCommand::Create(args) => create::create(&store, args),
        SecretCommand::Ls(args) => ls::ls(&store, args),
        SecretCommand::Inspect(args) => inspect::inspect(&store, args),
        SecretCommand::Rm(args) => rm::rm(&store, args),
    }
}
