//! `mini system prune`: remove everything that nobody needs.

use anyhow::{Result, ensure};

use super::filter::{COMMON, Filters};
use super::{Mode, Spare, agreed, container, image, network, print_total};
use crate::clock;
use crate::commands::{Failures, volume};
use crate::context::Context;
use crate::exit_code::ExitCode;

/// Remove everything that no container needs
///
/// Containers that do not run; the bridge, where nobody is on it; images without a name; volumes only where that is asked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini system prune -f\n  mini system prune -a --volumes\n  mini system prune -f --filter until=24h\n  mini system prune -a --dry-run\n  mini system prune -a -f --unused-for 7d\n\nSee also: mini container prune, mini image prune, mini network prune, mini volume prune, mini system df"
)]
pub(crate) struct PruneArgs {
    /// Images with a name, too
    #[arg(short, long)]
    all: bool,
    /// Volumes without a name, too
    #[arg(long)]
    volumes: bool,
    /// Only those that are so: until=TIME (not of volumes), label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    spare: Spare,
}

/// Asks, removes kind by kind, says what became free. Containers first: what they used may go then.
pub(crate) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let filters = Filters::new(&args.filter, COMMON, clock::now())?;
    ensure!(
        !(args.volumes && filters.ask_for_times()),
        "the \"until\" filter is not supported with \"--volumes\""
    );
    ensure!(
        !(args.volumes && args.spare.unused_for.is_some()),
        "--unused-for does not go with --volumes: nobody writes down when a volume was last used"
    );
    if !args.force && !args.dry_run && !agreed(&warning(args))? {
        return Ok(ExitCode::Success);
    }
    let mut failures = Failures::default();
    let mut bytes = 0;
    let mode = Mode::new(args.dry_run, args.spare);
    let mut gone = Vec::new();
    for kind in [Kind::Containers, Kind::Networks, Kind::Volumes, Kind::Images] {
        let mode = Mode { gone: &gone, ..mode };
        let pruned = match kind {
            Kind::Containers => {
                container::remove(context, &filters, mode, &mut failures).map(|(pruned, all)| {
                    gone = all;
                    pruned
                })
            }
            Kind::Networks => network::remove(context, &filters, mode),
            Kind::Volumes if !args.volumes => continue,
            Kind::Volumes => volume::prune::remove(context, &filters, false, mode, &mut failures),
            Kind::Images => image::remove(context, &filters, args.all, mode),
        };
        match pruned {
            Ok(pruned) => {
                pruned.print()?;
                bytes += pruned.bytes;
            }
            Err(error) => failures.add(&error),
        }
    }
    print_total(bytes, args.dry_run)?;
    Ok(failures.code())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Containers,
    Networks,
    Volumes,
    Images,
}

/// docker's words. PURE.
fn warning(args: &PruneArgs) -> String {
    let mut all = vec!["all stopped containers", "all networks not used by at least one container"];
    if args.volumes {
        all.push("all anonymous volumes not used by at least one container");
    }
    all.push(match args.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    });
    let list = |texts: &[&str]| texts.iter().map(|text| format!("  - {text}\n")).collect::<String>();
    let mut text = format!("This will remove:\n{}", list(&all));
    if !args.filter.is_empty() {
        let filters: Vec<&str> = args.filter.iter().map(String::as_str).collect();
        text += &format!("\n  Items to be pruned will be filtered with:\n{}", list(&filters));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_is_dockers() {
        let args = |all, volumes, filter: &[&str]| PruneArgs {
            all,
            volumes,
            filter: filter.iter().map(|text| (*text).to_owned()).collect(),
            force: false,
            dry_run: false,
            spare: Spare::default(),
        };
        assert_eq!(
            warning(&args(false, false, &[])),
            "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  - all dangling images\n"
        );
        assert_eq!(
            warning(&args(true, true, &["label=x", "label!=y"])),
            "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  \
             - all anonymous volumes not used by at least one container\n  \
             - all images without at least one container associated to them\n\n  \
             Items to be pruned will be filtered with:\n  - label=x\n  - label!=y\n"
        );
    }
}
