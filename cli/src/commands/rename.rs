//! `mini rename`: another name for a container.

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::plan::values;

/// Give a container another name
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini rename web old-web\n\nSee also: mini ps")]
pub(crate) struct RenameArgs {
    /// The container
    container: String,
    /// Its new name
    name: String,
}

/// Takes the new name, then gives the old one up.
pub(crate) fn rename(context: &Context, args: &RenameArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let name = values::name(&args.name)?;
    let state = context.state();
    let entry = state.find(&args.container)?;
    state.rename(&entry, &name).with_context(|| format!("cannot rename {}", args.container))?;
    Ok(ExitCode::Success)
}
