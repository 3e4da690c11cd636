//! `mini tag`: another name for an image.

use anyhow::{Context as _, Result, ensure};
use image::{Digest, Reference};

use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;

/// Give an image another name
///
/// The image keeps the names that it has. Where another image has the new one, that image goes on without.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini tag busybox localhost:5000/box:1\n  mini tag busybox box\n\nSee also: mini commit, mini images, mini rmi"
)]
pub(crate) struct TagArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    source: String,
    /// Its new name; the tag is latest where none is given
    #[arg(value_name = "NAME[:TAG]")]
    target: String,
}

/// Changes the list of names.
pub(crate) fn tag(context: &Context, args: &TagArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let name = new_name(&args.target)?;
    let id = context.existing_store(&args.source)?.tag(&args.source, &name)?;
    tagged(context, id, &name);
    Ok(ExitCode::Success)
}

/// A name that an image can be given: a digest is not given but computed.
///
/// # Errors
/// No name, or one by digest.
pub(super) fn new_name(text: &str) -> Result<Reference> {
    let parsed = text.parse::<Reference>();
    let name = parsed.with_context(|| format!("{text:?} is not a valid repository/tag"))?;
    ensure!(name.digest().is_none(), "refusing to create a tag with a digest reference");
    Ok(name.with_default_tag())
}

/// What `mini events` shows of it.
pub(super) fn tagged(context: &Context, id: Digest, name: &Reference) {
    let event = Event::new(Kind::Image, "tag", &id.to_string()).with("name", name.familiar());
    context.journal().record(&[event]);
}
