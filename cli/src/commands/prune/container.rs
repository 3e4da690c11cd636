//! `mini container prune`: remove all containers that do not run.

use std::io::BufRead as _;

use anyhow::{Context as _, Result, bail};
use runtime::state::Entry;

use super::Failures;
use super::filter::Label;
use super::rm::{self, How};
use crate::clock;
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::output::{self, size};
use crate::settings::Settings;

/// Remove all containers that do not run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini container prune -f --filter until=24h\n\nSee also: mini rm, mini ps"
)]
pub(crate) struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those that are so: until=TIME, label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

/// Which containers may go.
enum Filter {
    /// Made before, ns since 1970.
    Until(u64),
    /// With this label, or without it.
    Label(Label, bool),
}

/// Asks, removes, says what became free.
pub(crate) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    let filters = args.filter.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    if !args.force && !agreed("This will remove all stopped containers.")? {
        return Ok(ExitCode::Success);
    }
    let state = context.state();
    let mut failures = Failures::default();
    let (mut removed, mut bytes) = (Vec::new(), 0);
    for entry in state.list()? {
        let goes = !entry.status.is_up() && filters.iter().all(|filter| filter.pass(&entry));
        if !goes {
            continue;
        }
        let freed = runtime::changes::usage(&entry.dirs.disk);
        match rm::remove(context, &state, &entry, How { force: false, volumes: false }) {
            Ok(()) => {
                bytes += freed;
                removed.push(entry.record.id);
            }
            Err(error) => {
                failures.add(&error.context(format!("cannot remove container {}", entry.record.name)));
            }
        }
    }
    let event = Event::new(Kind::Container, "prune", "").with("reclaimed", bytes);
    context.journal().record(&[event]);
    if !removed.is_empty() {
        output::print_line(&format!("Deleted Containers:\n{}\n", removed.join("\n")))?;
    }
    output::print_line(&format!("Total reclaimed space: {}", size::decimal(bytes)))?;
    Ok(failures.code())
}

/// Warns, and asks.
///
/// # Errors
/// Where the answer cannot be read.
pub(crate) fn agreed(warning: &str) -> Result<bool> {
    output::print(format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] ").as_bytes())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn parse(text: &str) -> Result<Filter> {
    let (key, value) = text.split_once('=').with_context(|| format!("invalid filter {text:?}: KEY=VALUE"))?;
    Ok(match key {
        "until" => Filter::Until(clock::moment(value, clock::now())?),
        "label" => Filter::Label(Label::parse(value), true),
        "label!" => Filter::Label(Label::parse(value), false),
        other => bail!("invalid filter {other:?}: one of until, label, label!"),
    })
}

impl Filter {
    fn pass(&self, entry: &Entry) -> bool {
        match self {
            Filter::Until(time) => entry.record.created < *time,
            Filter::Label(label, wanted) => label.is_of(&Settings::of(&entry.record).labels) == *wanted,
        }
    }
}
