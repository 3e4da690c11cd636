//! `mini volume prune`: remove volumes that no container refers to.

use anyhow::Result;

use super::rm;
use crate::clock;
use crate::commands::Failures;
use crate::commands::prune::filter::Filters;
use crate::commands::prune::{Pruned, agreed, print_total};
use crate::context::Context;
use crate::events::Kind;
use crate::exit_code::ExitCode;
use crate::volume::users::Users;
use crate::volume::{InUse, NotFound, Store, Volume};

/// Remove volumes without a name that no container refers to
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume prune -f\n  mini volume prune -a --filter label=scratch\n\nSee also: mini volume rm, mini system prune"
)]
pub(super) struct PruneArgs {
    /// Those with a name, too
    #[arg(short, long)]
    all: bool,
    /// Only those that are so: label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Asks, removes, says what became free.
pub(super) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    let filters = Filters::new(&args.filter, &["label", "label!"], clock::now())?;
    let kind = if args.all { "all" } else { "anonymous" };
    let warning = format!("This will remove {kind} local volumes not used by at least one container.");
    if !args.force && !agreed(&warning)? {
        return Ok(ExitCode::Success);
    }
    let mut failures = Failures::default();
    let pruned = remove(context, &filters, args.all, &mut failures)?;
    pruned.print()?;
    print_total(pruned.bytes)?;
    Ok(failures.code())
}

/// Removes them; the others go on where one fails. `all`: those with a name, too.
///
/// # Errors
/// A record of a newer mini.
pub(in crate::commands) fn remove(
    context: &Context,
    filters: &Filters,
    all: bool,
    failures: &mut Failures,
) -> Result<Pruned> {
    let store = Store::new(&context.dirs.root);
    let users = Users::of(&context.state())?;
    let goes = |volume: &Volume| {
        (all || volume.is_anonymous())
            && !users.has(&volume.record.name)
            && filters.pass(volume.record.created, |key| volume.label(key))
    };
    let mut pruned = Pruned { heading: "Volumes", lines: Vec::new(), bytes: 0 };
    for volume in store.list()?.iter().filter(|volume| goes(volume)) {
        let (name, freed) = (&volume.record.name, volume.size());
        match rm::remove(context, &store, name) {
            Ok(()) => {
                pruned.bytes += freed;
                pruned.lines.push(name.clone());
            }
            // Somebody has begun to use it meanwhile, or has removed it.
            Err(error) if error.is::<InUse>() || error.is::<NotFound>() => {}
            Err(error) => failures.add(&error.context(format!("cannot remove volume {name}"))),
        }
    }
    pruned.record(context, Kind::Volume);
    Ok(pruned)
}
