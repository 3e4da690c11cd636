//! `mini volume rm`: remove volumes that no container refers to.

use anyhow::Result;

use crate::commands::Failures;
use crate::context::Context;
use crate::events::Event;
use crate::exit_code::ExitCode;
use crate::output;
use crate::volume::users::Users;
use crate::volume::{NotFound, Store};

/// Remove volumes that no container refers to
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume rm data\n  mini volume rm $(mini volume ls -q --filter dangling=true)\n\nSee also: mini volume prune, mini rm -v"
)]
pub(super) struct RmArgs {
    /// What is not there is as good as removed
    #[arg(short, long)]
    force: bool,
    /// The volumes
    #[arg(required = true)]
    volumes: Vec<String>,
}

/// Removes each; the others go on where one fails.
pub(super) fn rm(context: &Context, store: &Store, args: &RmArgs) -> Result<ExitCode> {
    let mut failures = Failures::default();
    for name in &args.volumes {
        match remove(context, store, name) {
            Ok(()) => output::print_line(name)?,
            Err(error) if args.force && error.is::<NotFound>() => output::print_line(name)?,
            Err(error) => failures.add(&error.context(format!("cannot remove volume {name}"))),
        }
    }
    Ok(failures.code())
}

/// Removes one.
///
/// # Errors
/// Where a container refers to it, or the kernel refuses.
pub(super) fn remove(context: &Context, store: &Store, name: &str) -> Result<()> {
    let alone = store.lock()?;
    let volume = store.find(name)?;
    // Under the lock: a container is written down before its volumes are made.
    Users::of(&context.state())?.nobody(&volume)?;
    store.take_away(&volume)?;
    context.journal().record(&[Event::volume("destroy", name)]);
    drop(alone);
    store.remove_gone(name)
}
