//! `mini image prune`: remove images that no container uses.

use anyhow::{Context as _, Result};
use image::{Image, Interrupted, Removed};
use runtime::record::Record;

use super::filter::Filters;
use super::{Mode, Pruned, Spare, agreed, print_total};
use crate::clock;
use crate::commands::{images, rmi};
use crate::context::Context;
use crate::events::Kind;
use crate::exit_code::ExitCode;

/// Remove images without a name that no container uses
///
/// Pulls that were interrupted leave what came, for the next pull to go on with. It goes too: with -a, or once it is older than a week.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini image prune -f\n  mini image prune -a -f --filter until=240h\n  mini image prune -a --dry-run --unused-for 7d\n  mini image prune -a -f --keep-storage 10g\n\nSee also: mini rmi, mini images, mini system prune"
)]
pub(crate) struct PruneArgs {
    /// Those with a name, too
    #[arg(short, long)]
    all: bool,
    /// Only those that are so: until=TIME (when they were built), label=NAME[=VALUE], label!=NAME[=VALUE],
    /// dangling=true|false
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

/// Asks, removes, says what became free.
pub(crate) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let filters = Filters::new(&args.filter, &["until", "label", "label!", "dangling"], clock::now())?;
    let all = args.all || filters.all_images();
    let warning = match all {
        true => "This will remove all images without at least one container associated to them.",
        false => "This will remove all dangling images.",
    };
    if !args.force && !args.dry_run && !agreed(warning)? {
        return Ok(ExitCode::Success);
    }
    let pruned = remove(context, &filters, all, Mode::new(args.dry_run, args.spare))?;
    pruned.print()?;
    print_total(pruned.bytes, args.dry_run)?;
    Ok(ExitCode::Success)
}

/// Removes them, all at once.
///
/// # Errors
/// The store cannot be read or written.
pub(super) fn remove(context: &Context, filters: &Filters, all: bool, mode: Mode<'_>) -> Result<Pruned> {
    let store = context.store()?;
    let uses = rmi::users_but(context, |id| mode.has_gone(id));
    let goes = |image: &Image, used: u64| {
        let id = image.id.to_string();
        // Removing them would tell when they used it.
        let by_gone = mode.gone.iter().filter(|record| record.image_id == id).map(Record::last_used);
        let used = by_gone.fold(used, u64::max);
        let labels = image.config.config().as_ref().and_then(|config| config.labels().as_ref());
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        // When it was built is not known of every image: docker takes the beginning of time for that.
        (all || image.tags.is_empty())
            && mode.passes(used)
            && filters.pass(images::built(image).unwrap_or(0), label)
    };
    let Mode { dry_run, keep, .. } = mode;
    let interrupted = |one: &Interrupted| {
        (all || one.is_stale) && mode.passes(one.modified) && filters.pass(one.modified, |_| None)
    };
    let in_use = |id: &image::Digest| uses(id);
    let prune = image::Prune { goes: &goes, interrupted: &interrupted, in_use: &in_use, keep, dry_run };
    let taken = store.prune(&prune).context("cannot remove images")?;
    if !dry_run {
        context.journal().record(&rmi::events(&taken.removed));
    }
    let downloads = taken.interrupted.iter().map(|one| format!("deleted: interrupted download {}", one.name));
    let lines = taken.removed.iter().map(line).chain(downloads).collect();
    let pruned = Pruned { heading: "Images", lines, bytes: taken.bytes, dry_run };
    pruned.record(context, Kind::Image);
    Ok(pruned)
}

/// docker's words, which `rmi` begins with a capital.
fn line(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("untagged: {name}"),
        Removed::Deleted(digest) => format!("deleted: {digest}"),
    }
}
