//! `mini pull`: fetch an image from its registry.

use anyhow::{Context as _, Result};
use image::{Image, Pin, Store};

use super::run::PullPolicy;
use crate::context::Context;
use crate::exit_code::ExitCode;

/// Fetch an image from its registry
#[derive(Debug, clap::Args)]
pub(crate) struct PullArgs {
    /// The image
    pub(crate) image: String,
}

pub(crate) fn pull(_context: &Context, _args: &PullArgs) -> Result<ExitCode> {
    anyhow::bail!("later")
}

/// The image, pulled where the policy says so, and kept from removal until the pin is dropped.
///
/// # Errors
/// Where it is not here and cannot be fetched.
pub(crate) fn ensure(
    _context: &Context,
    store: &Store,
    name: &str,
    _policy: PullPolicy,
    _quiet: bool,
    _dry_run: bool,
) -> Result<(Image, Pin)> {
    let pin = store.pin().context("cannot hold the image store")?;
    Ok((store.resolve(name)?, pin))
}
