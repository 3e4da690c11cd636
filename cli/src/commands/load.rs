//! `mini load`: take images out of an archive.

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use image::{LoadOptions, Loaded};

use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::explain::ExplainArgs;
use crate::output;
use crate::output::progress::{Progress, ProgressArgs};

/// Load images from an archive
///
/// docker's own form, old and new, with any number of images, and OCI image layouts; plain, gzip or zstd. A layout may be a
/// directory.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  docker save busybox | mini load\n  mini load -i image.tar.gz\n  mini load -i layout/\n\nSee also: mini images, mini pull, mini save"
)]
pub(crate) struct LoadArgs {
    /// The archive or directory; standard input where none is given
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print only what was loaded
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    explain: ExplainArgs,
}

/// Loads, and says what.
pub(crate) fn load(context: &Context, args: &LoadArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain.form())?;
    let input = match &args.input {
        Some(path) => File::open(path).with_context(|| format!("cannot open {}", path.display()))?,
        None if std::io::stdin().is_terminal() => bail!("give an archive with -i, or on standard input"),
        None => File::from(std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?),
    };
    runtime::sys::memory::map_large_allocations();
    let progress = Progress::new(ProgressArgs::default().form(args.quiet));
    let store = context.store()?;
    let loaded = image::load(&store, input, &LoadOptions::default(), &|event| progress.show(event))?;
    for one in &loaded {
        let id = one.id.to_string();
        context.journal().record(&[Event::new(Kind::Image, "load", &id).with("name", &id)]);
        say(one)?;
    }
    story.into_iter().for_each(crate::explain::Story::tell_what_is_there);
    Ok(ExitCode::Success)
}

/// docker's words.
fn say(loaded: &Loaded) -> Result<()> {
    for renamed in &loaded.renamed {
        output::say(&format!(
            "The image {} already exists, renaming the old one with ID {} to empty string",
            renamed.name.familiar(),
            renamed.from
        ));
    }
    match loaded.names.as_slice() {
        [] => output::print_line(&format!("Loaded image ID: {}", loaded.id)),
        names => names
            .iter()
            .try_for_each(|name| output::print_line(&format!("Loaded image: {}", name.familiar()))),
    }
}
