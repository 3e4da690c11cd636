//! `mini __generate`: what is made from the command tree for those who test and document it.

use anyhow::Result;

use crate::exit_code::ExitCode;
use crate::{output, tree};

/// What tests and documentation are made from
#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    #[command(subcommand)]
    command: GenerateCommand,
}

#[derive(Debug, clap::Subcommand)]
enum GenerateCommand {
    Reference(ReferenceArgs),
}

/// Print the whole command tree as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini __generate reference\n\nSee also: mini help, mini man")]
struct ReferenceArgs {}

/// Prints it.
pub(crate) fn generate(args: &GenerateArgs) -> Result<ExitCode> {
    match &args.command {
        GenerateCommand::Reference(ReferenceArgs {}) => {
            output::print_json(&tree::reference(&super::whole()))?;
        }
    }
    Ok(ExitCode::Success)
}
