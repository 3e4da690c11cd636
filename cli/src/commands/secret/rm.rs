//! `mini secret rm`: remove secrets.

use anyhow::Result;

use crate::commands::Failures;
use crate::exit_code::ExitCode;
use crate::output;
use crate::secret::Store;

/// Remove secrets
///
/// Containers that run keep what they were given; those that refer to one that is not there do not start.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini secret rm password\n\nSee also: mini secret ls")]
pub(super) struct RmArgs {
    /// The secrets
    #[arg(required = true)]
    secrets: Vec<String>,
}

/// Removes each; the others go on where one fails.
pub(super) fn rm(store: &Store, args: &RmArgs) -> Result<ExitCode> {
    let mut failures = Failures::default();
    for word in &args.secrets {
        match store.remove(word) {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error.context(format!("cannot remove secret {word}"))),
        }
    }
    Ok(failures.code())
}
