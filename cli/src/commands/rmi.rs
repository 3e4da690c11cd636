//! `mini rmi`: remove images.

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;

/// Remove images
#[derive(Debug, clap::Args)]
pub(crate) struct RmiArgs {
    /// Also where a stopped container uses it
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The images
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
}

pub(crate) fn rmi(_context: &Context, _args: &RmiArgs) -> Result<ExitCode> {
    anyhow::bail!("later")
}
