//! `mini help`: the help of a command, as `--help` behind it prints it.

use crate::exit_code::ExitCode;
use crate::tree;

/// Print the help of a command
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini help\n  mini help run\n  mini help container ls\n\nSee also: mini version"
)]
pub(crate) struct HelpArgs {
    /// The command; none for mini itself
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

/// Prints it.
pub(crate) fn help(args: &HelpArgs) -> ExitCode {
    super::tell(tree::help::<super::Cli>(&args.words))
}
