//! Commands that are about mini itself: they need neither root nor places.

use anyhow::Result;

use super::later::Later;
use super::{completion, generate, help, man, version};
use crate::exit_code::ExitCode;

/// What mini is, and how it is used.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AboutMini {
    Version(Later<version::VersionArgs>),
    Help(Later<help::HelpArgs>),
    Completion(Later<completion::CompletionArgs>),
    Man(Later<man::ManArgs>),
    #[command(name = "__complete", hide = true)]
    Complete(Later<completion::CompleteArgs>),
    #[command(name = "__generate", hide = true)]
    Generate(Later<generate::GenerateArgs>),
}

impl AboutMini {
    /// Carries it out.
    pub(crate) fn carry_out(&self) -> Result<ExitCode> {
        match self {
            AboutMini::Version(args) => version::version(args),
            AboutMini::Help(args) => Ok(help::help(args)),
            AboutMini::Completion(args) => completion::completion(args),
            AboutMini::Man(args) => man::man(args),
            AboutMini::Complete(args) => completion::complete(args),
            AboutMini::Generate(args) => generate::generate(args),
        }
    }
}
