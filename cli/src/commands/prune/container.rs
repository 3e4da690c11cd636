//! `mini container prune`: remove all containers that do not run.

use anyhow::Result;
use runtime::record::{Record, Status};
use runtime::state::{Entry, State, StateError};

use super::filter::{COMMON, Filters};
use super::{Mode, Pruned, agreed, print_total};
use crate::clock;
use crate::commands::Failures;
use crate::commands::rm::{self, How};
use crate::context::Context;
use crate::error::StillRuns;
use crate::events::Kind;
use crate::exit_code::ExitCode;
use crate::settings::Settings;

/// Remove all containers that do not run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini container prune -f --filter until=24h\n  mini container prune --dry-run\n\nSee also: mini rm, mini ps, mini system prune"
)]
pub(crate) struct PruneArgs {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those that are so: until=TIME, label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

/// Asks, removes, says what became free.
pub(crate) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let filters = Filters::new(&args.filter, COMMON, clock::now())?;
    if !args.force && !args.dry_run && !agreed("This will remove all stopped containers.")? {
        return Ok(ExitCode::Success);
    }
    let mut failures = Failures::default();
    let mode = Mode { dry_run: args.dry_run, ..Mode::default() };
    let (pruned, _) = remove(context, &filters, mode, &mut failures)?;
    pruned.print()?;
    print_total(pruned.bytes, args.dry_run)?;
    Ok(failures.code())
}

/// Removes them; the others go on where one fails. Returns their records too.
///
/// # Errors
/// A record of a newer mini.
pub(super) fn remove(
    context: &Context,
    filters: &Filters,
    mode: Mode<'_>,
    failures: &mut Failures,
) -> Result<(Pruned, Vec<Record>)> {
    let state = context.state();
    let Mode { dry_run, .. } = mode;
    let mut pruned = Pruned { heading: "Containers", lines: Vec::new(), bytes: 0, dry_run };
    let mut gone = Vec::new();
    for entry in state.list()? {
        let labels = Settings::of(&entry.record).labels;
        let passes = filters.pass(entry.record.created, |key| labels.get(key).map(String::as_str));
        let passes = passes && mode.passes(entry.record.last_used());
        if entry.status.is_up() || !passes || is_being_started(&state, &entry) {
            continue;
        }
        let freed = runtime::changes::usage(&entry.dirs.disk);
        let removed = match dry_run {
            true => Ok(true),
            false => rm::remove(context, &state, &entry, How { force: false, volumes: false }),
        };
        match removed {
            Ok(true) => {
                pruned.bytes += freed;
                pruned.lines.push(entry.record.id.clone());
                gone.push(entry.record);
            }
            // Somebody has removed it meanwhile, or started it.
            Ok(false) => {}
            Err(error) if error.is::<StillRuns>() => {}
            Err(error) => {
                failures.add(&error.context(format!("cannot remove container {}", entry.record.name)));
            }
        }
    }
    if !dry_run {
        context.let_images_go();
    }
    pruned.record(context, Kind::Container);
    Ok((pruned, gone))
}

/// Nothing of it has run, and somebody works on it right now. Of one that has, it may be the last monitor, which tells of the end
/// before it tidies up: who removes it waits for that, or learns that it runs again.
fn is_being_started(state: &State, entry: &Entry) -> bool {
    if entry.live.is_some() && entry.status != Status::Created {
        return false;
    }
    match state.lock(&entry.record.id) {
        Err(StateError::Busy(_)) => entry.record.last.is_none(),
        Err(StateError::Gone(_)) => true,
        _ => false,
    }
}
