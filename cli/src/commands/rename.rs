//! `mini rename`: another name for a container.

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::events::Event;
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
    let event = Event::container("rename", &entry.record).with("name", &name);
    // docker's names begin with a slash where programs read them.
    context.journal().record(&[event.with("oldName", format!("/{}", entry.record.name))]);
    Ok(ExitCode::Success)
}
