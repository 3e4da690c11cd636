//! `mini volume prune`: remove volumes that no container refers to.

use anyhow::{Context as _, Result, bail};

use super::rm::remove;
use crate::commands::filter::Label;
use crate::commands::{Failures, prune};
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::output::{self, size};
use crate::volume::users::Users;
use crate::volume::{Store, Volume};

/// Remove volumes without a name that no container refers to
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume prune -f\n  mini volume prune -a --filter label=scratch\n\nSee also: mini volume rm, mini container prune"
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
pub(super) fn prune(context: &Context, store: &Store, args: &PruneArgs) -> Result<ExitCode> {
    let filters = args.filter.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    let kind = if args.all { "all" } else { "anonymous" };
    let warning = format!("This will remove {kind} local volumes not used by at least one container.");
    if !args.force && !prune::agreed(&warning)? {
        return Ok(ExitCode::Success);
    }
    let users = Users::of(&context.state())?;
    let goes = |volume: &Volume| {
        (args.all || volume.is_anonymous())
            && !users.has(&volume.record.name)
            && filters.iter().all(|(label, wanted)| label.is_among(|key| volume.label(key)) == *wanted)
    };
    let mut failures = Failures::default();
    let (mut removed, mut bytes) = (Vec::new(), 0);
    for volume in store.list()?.iter().filter(|volume| goes(volume)) {
        let (name, freed) = (&volume.record.name, volume.size());
        match remove(context, store, name) {
            Ok(()) => {
                bytes += freed;
                removed.push(name.clone());
            }
            Err(error) => failures.add(&error.context(format!("cannot remove volume {name}"))),
        }
    }
    context.journal().record(&[Event::new(Kind::Volume, "prune", "").with("reclaimed", bytes)]);
    if !removed.is_empty() {
        output::print_line(&format!("Deleted Volumes:\n{}\n", removed.join("\n")))?;
    }
    output::print_line(&format!("Total reclaimed space: {}", size::decimal(bytes)))?;
    Ok(failures.code())
}

/// A label, and whether it is wanted or not.
fn parse(text: &str) -> Result<(Label, bool)> {
    let (key, value) = text.split_once('=').with_context(|| format!("invalid filter {text:?}: KEY=VALUE"))?;
    match key {
        "label" => Ok((Label::parse(value), true)),
        "label!" => Ok((Label::parse(value), false)),
        other => bail!("invalid filter {other:?}: label or label!"),
    }
}
