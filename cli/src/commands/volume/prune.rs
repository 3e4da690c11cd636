//! `mini volume prune`: remove volumes that no container refers to.

use anyhow::{Result, ensure};

use super::rm;
use crate::clock;
use crate::commands::Failures;
use crate::commands::prune::filter::Filters;
use crate::commands::prune::{Mode, Pruned, agreed, print_total};
use crate::context::Context;
use crate::events::Kind;
use crate::exit_code::ExitCode;
use crate::volume::users::Users;
use crate::volume::{InUse, NotFound, Store, Volume};

/// Remove volumes without a name that no container refers to
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume prune -f\n  mini volume prune -a --filter label=scratch\n  mini volume prune -a --dry-run\n\nSee also: mini volume rm, mini system prune"
)]
pub(super) struct PruneArgs {
    /// Those with a name, too
    #[arg(short, long)]
    all: bool,
    /// Only those that are so: label=NAME[=VALUE], label!=NAME[=VALUE]; all=true is --all
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Asks, removes, says what became free.
pub(super) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    let filters = Filters::new(&args.filter, &["label", "label!", "all"], clock::now())?;
    let asked = filters.all_volumes();
    ensure!(
        !(args.all && asked.is_some()),
        "conflicting options: cannot specify both --all and --filter all"
    );
    let all = args.all || asked == Some(true);
    let kind = if all { "all" } else { "anonymous" };
    let warning = format!("This will remove {kind} local volumes not used by at least one container.");
    if !args.force && !args.dry_run && !agreed(&warning)? {
        return Ok(ExitCode::Success);
    }
    let mut failures = Failures::default();
    let mode = Mode { dry_run: args.dry_run, ..Mode::default() };
    let pruned = remove(context, &filters, all, mode, &mut failures)?;
    pruned.print()?;
    print_total(pruned.bytes, args.dry_run)?;
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
    mode: Mode<'_>,
    failures: &mut Failures,
) -> Result<Pruned> {
    let store = Store::new(&context.dirs.root);
    let users = Users::but(&context.state(), |id| mode.has_gone(id))?;
    let goes = |volume: &Volume| {
        (all || volume.is_anonymous())
            && !users.has(&volume.record.name)
            && filters.pass(volume.record.created, |key| volume.label(key))
    };
    let Mode { dry_run, .. } = mode;
    let mut pruned = Pruned { heading: "Volumes", lines: Vec::new(), bytes: 0, dry_run };
    for volume in store.list()?.iter().filter(|volume| goes(volume)) {
        let (name, freed) = (&volume.record.name, volume.size());
        match if dry_run { Ok(()) } else { rm::remove(context, &store, name) } {
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
