//! `mini save`: images as one archive.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use image::{Platform, Save, Store};
use runtime::sys::whole::NewFile;

use crate::context::Context;
use crate::copy;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};

/// Write images as one archive
///
/// An OCI image layout that has docker's own list of images too: mini load, docker, podman and skopeo read it. Layers stay
/// compressed as they came, those that images share are there once, and the same images give the same bytes. A name without a
/// tag means all tags that it has here; an image that is asked for by its id has no name there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini save -o busybox.tar busybox\n  mini save busybox localhost:5000/app:1 | gzip > images.tar.gz\n\nSee also: mini class bundle, mini export, mini load"
)]
pub(crate) struct SaveArgs {
    /// Write it here instead of to standard output; the file appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only where the images are of this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Finds the images, and writes them.
pub(crate) fn save(context: &Context, args: &SaveArgs) -> Result<ExitCode> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    let story = context.listen(args.explain.form())?;
    let store = context.existing_store(&args.images[0])?;
    to(&store, context, args)?;
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}

fn to(store: &Store, context: &Context, args: &SaveArgs) -> Result<()> {
    let save = Save::find(store, &args.images, args.platform.as_ref())?;
    let written = match &args.output {
        None => save.write(&mut copy::Stdout).map_err(Into::into),
        Some(path) => to_file(&save, path),
    };
    let event = |saved: &image::Saved| {
        let id = saved.id.to_string();
        let name = saved.names.first().map_or_else(|| id.clone(), image::Reference::familiar);
        Event::new(Kind::Image, "save", &id).with("name", name)
    };
    let events: Vec<Event> = save.images().iter().map(event).collect();
    store.saved(save)?;
    written?;
    context.journal().record(&events);
    Ok(())
}

fn to_file(save: &Save<'_>, path: &Path) -> Result<()> {
    let mut file = NewFile::begin(path, 0o600)?;
    save.write(&mut file)?;
    file.sync()?;
    Ok(file.finish()?)
}
