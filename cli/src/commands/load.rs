//! `mini load`: take images out of an archive.

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;

/// Load images from an archive
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// The archive; standard input where none is given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<std::path::PathBuf>,
    /// Print only what was loaded
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

pub(crate) fn load(_context: &Context, _args: &LoadArgs) -> Result<ExitCode> {
    anyhow::bail!("later")
}
