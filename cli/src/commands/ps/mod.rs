//! `mini ps`: which containers there are, and what the kernel says they do.

use anyhow::Result;
use runtime::cgroup::Layout;
use runtime::record::Status;
use runtime::state::Entry;
use serde::Serialize;

use super::filter::{self, Filters};
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::health::Health;
use crate::output::{self, table};
use crate::plan::NetworkMode;
use crate::settings::Settings;

/// List containers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini ps -a\n  mini ps -a --filter status=exited --filter label=job\n  mini rm $(mini ps -aq)\n\nSee also: mini run, mini inspect, mini logs"
)]
pub(crate) struct PsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Cut nothing short
    #[arg(long)]
    no_trunc: bool,
    /// Only the one that was made last, running or not
    #[arg(short, long)]
    latest: bool,
    /// Only so many that were made last, running or not; -1 for all
    #[arg(short = 'n', long, value_name = "NUMBER", allow_negative_numbers = true)]
    last: Option<i64>,
    /// Only those that are so: id, name, label, exited, status, ancestor, before, since, volume, network, publish, expose
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// A table, or one JSON object a line
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Listing,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Listing {
    /// Columns for people
    Table,
    /// One object a line, for programs
    Json,
}

/// Asks, sorts, prints.
pub(crate) fn ps(context: &Context, args: &PsArgs) -> Result<ExitCode> {
    let filters = Filters::new(&args.filter)?;
    let most = if args.latest { Some(1) } else { args.last.and_then(|last| usize::try_from(last).ok()) };
    let all = args.all || most.is_some() || args.last.is_some() || filters.asks_for_states();
    let layout = Layout::detect().ok();
    let mut listed: Vec<Listed> = Vec::new();
    for entry in context.state().list()? {
        if !all && !entry.status.is_up() {
            continue;
        }
        let paused = layout.as_ref().is_some_and(|layout| super::pause::is_paused(context, layout, &entry));
        let settings = Settings::of(&entry.record);
        let image = |name: &str| image(context, name);
        if filters.pass(&entry, &settings, paused, &image, &|word| made(context, word))? {
            listed.push(Listed { entry, settings, paused });
        }
    }
    listed.sort_by_key(|one| std::cmp::Reverse(one.entry.record.created));
    listed.truncate(most.unwrap_or(usize::MAX));
    let now = clock::now();
    let rows: Vec<Row> = listed.iter().map(|one| Row::new(one, now, args.no_trunc)).collect();
    let text: String = match (args.quiet, args.format) {
        (true, _) => rows.iter().map(|row| format!("{}\n", row.id)).collect(),
        (false, Listing::Json) => output::json_lines(&rows)?,
        (false, Listing::Table) => {
            let heading = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
            table::table(&heading, &rows.iter().map(Row::cells).collect::<Vec<_>>())
        }
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::Success)
}

/// A container that is listed.
struct Listed {
    entry: Entry,
    settings: Settings,
    paused: bool,
}

/// The id of an image that a filter names.
fn image(context: &Context, name: &str) -> Option<String> {
    context.store().ok()?.resolve(name).ok().map(|image| image.id.to_string())
}

/// When a container that a filter names was made, ns since 1970.
fn made(context: &Context, word: &str) -> Result<u64> {
    Ok(context.state().find(word)?.record.created)
}

/// A container as it is listed, under docker's names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    command: String,
    created_at: String,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    labels: String,
    mounts: String,
    names: String,
    networks: &'static str,
    ports: String,
    running_for: String,
    state: &'static str,
    status: String,
}

impl Row {
    fn new(listed: &Listed, now: u64, whole: bool) -> Row {
        let Listed { entry, settings, paused } = listed;
        let record = &entry.record;
        let running = matches!(entry.status, Status::Running { .. });
        let health = Health::of(entry, settings).filter(|_| running);
        let addition = match (*paused, health) {
            (true, _) => " (Paused)",
            (false, Some(health)) => health.status.in_brackets(),
            (false, None) => "",
        };
        let command = record.command.join(" ");
        let command = if whole { command } else { table::shortened(&command, 20) };
        let labels = settings.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let mounts = settings.binds.iter().map(|bind| bind.split(':').next().unwrap_or_default());
        Row {
            command: format!("{command:?}"),
            created_at: clock::human_time(record.created),
            id: if whole { record.id.clone() } else { record.id[..12].to_owned() },
            image: record.image.clone(),
            labels: labels.collect::<Vec<_>>().join(","),
            mounts: mounts.collect::<Vec<_>>().join(","),
            names: record.name.clone(),
            networks: settings.network.unwrap_or(NetworkMode::Bridge).name(),
            ports: if running {
                network::display_ports(&settings.ports, &exposed(settings))
            } else {
                String::new()
            },
            running_for: format!("{} ago", clock::human(now.saturating_sub(record.created))),
            state: filter::word(&entry.status, *paused),
            status: status(&entry.status, now) + addition,
        }
    }

    fn cells(&self) -> Vec<String> {
        let Row { id, image, command, running_for, status, ports, names, .. } = self;
        [id, image, command, running_for, status, ports, names].map(Clone::clone).into()
    }
}

/// The STATUS column, in docker's words. PURE.
pub(crate) fn status(status: &Status, now: u64) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running { since, supervised } => {
            let alone = if *supervised { "" } else { " (unsupervised)" };
            format!("Up {}{alone}", clock::human(now.saturating_sub(*since)))
        }
        Status::Restarting { code, finished } => {
            format!("Restarting ({code}) {} ago", clock::human(now.saturating_sub(*finished)))
        }
        Status::Exited { code, finished: Some(finished), .. } => {
            format!("Exited ({code}) {} ago", clock::human(now.saturating_sub(*finished)))
        }
        Status::Exited { code, finished: None, reason } => {
            format!("Exited ({code}) {}", reason.as_deref().unwrap_or("at an unknown time"))
        }
    }
}

/// `80/tcp` → (80, "tcp").
fn exposed(settings: &Settings) -> Vec<(u16, &str)> {
    settings
        .exposed
        .iter()
        .filter_map(|text| {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            Some((port.parse().ok()?, protocol))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_dockers_words() {
        let minute = 60_000_000_000;
        let exited = |finished, reason: Option<&str>| Status::Exited {
            code: 137,
            finished,
            reason: reason.map(Into::into),
        };
        for (given, expected) in [
            (Status::Created, "Created"),
            (Status::Running { since: 8 * minute, supervised: true }, "Up 2 minutes"),
            (Status::Running { since: 8 * minute, supervised: false }, "Up 2 minutes (unsupervised)"),
            (
                Status::Restarting { code: 1, finished: 10 * minute - 5_000_000_000 },
                "Restarting (1) 5 seconds ago",
            ),
            (exited(Some(10 * minute - 3_000_000_000), None), "Exited (137) 3 seconds ago"),
            (exited(None, Some("monitor lost")), "Exited (137) monitor lost"),
        ] {
            assert_eq!(status(&given, 10 * minute), expected);
        }
    }
}
