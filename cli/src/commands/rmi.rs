//! `mini rmi`: remove images.

use anyhow::Result;
use image::{Removed, Use};
use runtime::state::Entry;

use super::Failures;
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};
use crate::output;

/// Remove images
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini rmi localhost:5000/app:1\n  mini rmi -f --no-prune localhost:5000/app:1\n\nSee also: mini images, mini image prune"
)]
pub(crate) struct RmiArgs {
    /// Also where an image has several names, or a stopped container uses it, which can still be started
    #[arg(short, long)]
    force: bool,
    /// Keep what an image was made of, where that has no name
    #[arg(long)]
    no_prune: bool,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The images
    #[arg(required = true)]
    images: Vec<String>,
}

/// Removes each; the others go on where one fails.
pub(crate) fn rmi(context: &Context, args: &RmiArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain.form())?;
    let store = context.store()?;
    let uses = users(context);
    let mut failures = Failures::default();
    for name in &args.images {
        match store.remove(name, args.force, !args.no_prune, &|id| uses(id)) {
            Ok(removed) => {
                context.journal().record(&events(&removed));
                removed.iter().try_for_each(|one| output::print_line(&line(one)))?;
            }
            Err(error) => failures.add(&error.into()),
        }
    }
    story.into_iter().for_each(Story::tell_what_is_there);
    // As docker: with -f what is not there is as good as removed, and said.
    Ok(if args.force { failures.code_but_not_found() } else { failures.code() })
}

/// What `mini events` shows of it.
pub(super) fn events(removed: &[Removed]) -> Vec<Event> {
    let event = |one: &Removed| {
        let (action, what) = match one {
            Removed::Untagged(name) => ("untag", name.to_string()),
            Removed::Deleted(digest) => ("delete", digest.to_string()),
        };
        Event::new(Kind::Image, action, &what).with("name", &what)
    };
    removed.iter().map(event).collect()
}

/// docker's words.
fn line(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {name}"),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}

/// Tells which container uses an image: a running one first. Asked while the store is locked, so that one that is being made is
/// seen: its maker holds the store until it is written down.
pub(crate) fn users(context: &Context) -> impl Fn(&image::Digest) -> Option<Use> {
    users_but(context, |_| false)
}

/// The same, without containers that are as good as gone, told by their ids.
pub(super) fn users_but(
    context: &Context,
    has_gone: impl Fn(&str) -> bool,
) -> impl Fn(&image::Digest) -> Option<Use> {
    let state = context.state();
    move |id: &image::Digest| {
        let id = id.to_string();
        let Ok(entries) = state.list() else {
            return Some(Use { container: "whose record is not understood".to_owned(), is_running: true });
        };
        let users = entries.iter().filter(|entry| entry.record.image_id == id && !has_gone(&entry.record.id));
        let user = |entry: &Entry| Use {
            container: entry.record.id[..12].to_owned(),
            is_running: entry.status.is_up(),
        };
        users.map(user).max_by_key(|user| user.is_running)
    }
}
