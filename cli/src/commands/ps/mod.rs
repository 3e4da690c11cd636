//! `mini ps`: which containers there are, and what the kernel says they do.

mod look;
mod row;

use anyhow::Result;

use super::filter::Filters;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format::{Format, FormatArg};

pub(crate) use self::look::{Listed, Look, Shown};
pub(super) use self::row::{ContainerRow, Counted};

/// List containers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini ps -a\n  mini ps -a --filter status=exited --filter label=job\n  mini ps --format 'table {{.Names}}\\t{{.Status}}'\n  mini stop $(mini ps -q)\n\nPlaceholders: .ID .Image .Command .CreatedAt .RunningFor .Ports .State .Status .HealthStatus .Size .Names .Labels, \
                  {{.Label \"KEY\"}}, .Mounts .LocalVolumes .Networks .IPAddresses .Platform\n\nSee also: mini run, mini inspect, mini logs"
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
    /// Count the files of each: its own, and with its image's
    #[arg(short, long)]
    size: bool,
    /// Only the one that was made last, running or not
    #[arg(short, long)]
    latest: bool,
    /// Only so many that were made last, running or not
    #[arg(short = 'n', long, value_name = "NUMBER", allow_negative_numbers = true)]
    last: Option<i64>,
    /// Only those that are so: id, name, label, exited, status, ancestor, before, since, volume, network, publish, expose,
    /// health
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// The plain table; SIZE where it is asked for.
const TABLE: [&str; 8] = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];

/// docker's form for people without columns.
const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\n\
                   status: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";

/// Asks, sorts, prints.
pub(crate) fn ps(context: &Context, args: &PsArgs) -> Result<ExitCode> {
    let format = format(args)?;
    let look = Look::new(context, clock::now());
    let filters = Filters::new(&args.filter, &|word| look.made(word))?;
    let latest = args.latest.then_some(1);
    let most = args.last.or(latest).and_then(|last| usize::try_from(last).ok()).filter(|last| *last > 0);
    let all = args.all || most.is_some() || filters.ask_for_states();
    let mut entries = context.state().list_as::<Shown>()?;
    entries.retain(|(entry, _)| all || entry.status.is_up());
    entries.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.record.created));
    let sized = args.size || format.asks_for("Size");
    let counted = if sized { Counted::All } else { Counted::Nothing };
    let mut rows = Vec::new();
    for (entry, shown) in entries {
        let listed = Listed::new(entry, shown, &look);
        if filters.pass(&listed) {
            rows.push(ContainerRow { listed, whole: args.no_trunc, counted });
        }
        if most == Some(rows.len()) {
            break;
        }
    }
    output::print(format.text(&rows)?.as_bytes())?;
    Ok(ExitCode::Success)
}

fn format(args: &PsArgs) -> Result<Format> {
    let columns = if args.size { &TABLE[..] } else { &TABLE[..TABLE.len() - 1] };
    let raw = if args.size { RAW.to_owned() + "size: {{.Size}}\n" } else { RAW.to_owned() };
    Ok(match (args.format.asked(), args.quiet) {
        (Some("raw"), true) => Format::new::<ContainerRow<'_>>(Some("container_id: {{.ID}}"), columns)?,
        (Some("raw"), false) => Format::new::<ContainerRow<'_>>(Some(&raw), columns)?,
        (asked, quiet) => {
            // Checked in any case: a mistake is one with -q too.
            let format = Format::new::<ContainerRow<'_>>(asked, columns)?;
            if quiet && asked.is_some() {
                output::warn("--format is left aside: -q prints ids");
            }
            if quiet { Format::only("ID") } else { format }
        }
    })
}
