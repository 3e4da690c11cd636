//! `mini ps`: which containers there are, and what the kernel says they do.

use anyhow::Result;
use runtime::record::Status;
use runtime::state::Entry;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, table};
use crate::settings::Settings;

/// List containers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini ps -a\n  mini rm $(mini ps -aq)\n\nSee also: mini run, mini inspect, mini logs"
)]
pub(crate) struct PsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// Asks, sorts, prints.
pub(crate) fn ps(context: &Context, args: &PsArgs) -> Result<ExitCode> {
    let mut entries = context.state().list()?;
    entries.retain(|entry| args.all || matches!(entry.status, Status::Running { .. }));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.record.created));
    if args.quiet {
        let ids: String = entries.iter().map(|entry| format!("{}\n", &entry.record.id[..12])).collect();
        output::print(ids.as_bytes())?;
        return Ok(ExitCode::Success);
    }
    let now = clock::now();
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(context, entry, now)).collect();
    let heading = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    output::print(table::table(&heading, &rows).as_bytes())?;
    Ok(ExitCode::Success)
}

fn row(context: &Context, entry: &Entry, now: u64) -> Vec<String> {
    let record = &entry.record;
    let settings = Settings::of(record);
    let ports = match entry.status {
        Status::Running { .. } => network::display_ports(&settings.ports, &exposed(&settings)),
        _ => String::new(),
    };
    vec![
        record.id[..12].to_owned(),
        record.image.clone(),
        format!("{:?}", table::shortened(&record.command.join(" "), 20)),
        format!("{} ago", clock::human(now.saturating_sub(record.created))),
        status(&entry.status, now) + if super::pause::is_paused(context, entry) { " (Paused)" } else { "" },
        ports,
        record.name.clone(),
    ]
}

/// The STATUS column, in docker's words. PURE.
pub(crate) fn status(status: &Status, now: u64) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running { since, supervised } => {
            let alone = if *supervised { "" } else { " (unsupervised)" };
            format!("Up {}{alone}", clock::human(now.saturating_sub(*since)))
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
            (exited(Some(10 * minute - 3_000_000_000), None), "Exited (137) 3 seconds ago"),
            (exited(None, Some("monitor lost")), "Exited (137) monitor lost"),
        ] {
            assert_eq!(status(&given, 10 * minute), expected);
        }
    }
}
