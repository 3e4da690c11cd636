//! `mini class`: for who teaches in a room full of machines.

mod bundle;
mod check;
mod reset;

use anyhow::Result;

use crate::commands::later::Later;
use crate::context::Context;
use crate::exit_code::ExitCode;

/// Prepare machines for lessons, and make them ready for the next student
///
/// Nothing of it needs a network.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini class check\n  mini class bundle lessons.sh\n  mini class reset -f\n\nSee also: mini learn, mini system check"
)]
pub(crate) struct ClassArgs {
    #[command(subcommand)]
    command: ClassCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClassCommand {
    Check(Later<check::CheckArgs>),
    Bundle(Later<bundle::BundleArgs>),
    Reset(Later<reset::ResetArgs>),
}

/// Carries the subcommand out.
pub(crate) fn class(context: &Context, args: &ClassArgs) -> Result<ExitCode> {
    match &args.command {
        ClassCommand::Check(args) => check::check(context, args),
        ClassCommand::Bundle(args) => bundle::bundle(context, args),
        ClassCommand::Reset(args) => reset::reset(context, args),
    }
}
