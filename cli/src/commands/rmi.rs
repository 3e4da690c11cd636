//! `mini rmi`: remove images.

use anyhow::Result;
use image::{Removed, Use};
use runtime::record::Status;

use super::Failures;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::{Form, Story};
use crate::output;

/// Remove images
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini rmi busybox\n\nSee also: mini images, mini pull")]
pub(crate) struct RmiArgs {
    /// Also where an image has several names, or a stopped container uses it
    #[arg(short, long)]
    force: bool,
    /// Tell every kernel operation, in order
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<Form>,
    /// The images
    #[arg(required = true)]
    images: Vec<String>,
}

/// Removes each; the others go on where one fails.
pub(crate) fn rmi(context: &Context, args: &RmiArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain)?;
    let store = context.store()?;
    let uses = users(context)?;
    let mut failures = Failures::default();
    for name in &args.images {
        match store.remove(name, args.force, &|id| uses(id)) {
            Ok(removed) => removed.iter().try_for_each(|one| output::print_line(&line(one)))?,
            Err(error) => failures.add(&error.into()),
        }
    }
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(failures.code())
}

/// docker's words.
fn line(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {name}"),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}

/// Tells which container uses an image: a running one first.
///
/// # Errors
/// Where a container's record cannot be understood.
pub(crate) fn users(context: &Context) -> Result<impl Fn(&image::Digest) -> Option<Use>> {
    let entries = context.state().list()?;
    Ok(move |id: &image::Digest| {
        let id = id.to_string();
        entries
            .iter()
            .filter(|entry| entry.record.image_id == id)
            .map(|entry| Use {
                container: entry.record.id[..12].to_owned(),
                is_running: matches!(entry.status, Status::Running { .. }),
            })
            .max_by_key(|user| user.is_running)
    })
}
