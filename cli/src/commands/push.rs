//! `mini push`: give an image to its registry.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result, bail};
use image::{Packing, Platform, PushError, PushOptions, Pushed, Reference, Stop, Store};
use runtime::sys::signal;

use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};
use crate::output;
use crate::output::progress::{Progress, ProgressArgs};
use crate::registries;

/// Give an image to its registry
///
/// The registry and the repository are those of the image's name. Manifest and layers are sent byte for byte as they came, so that
/// the digest stays the same; what the registry has already, in this repository or in another one, is not sent.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini push localhost:5000/app:1\n  mini push -q -a localhost:5000/app\n\nSee also: mini images, mini pull, mini save"
)]
pub(crate) struct PushArgs {
    /// All tags that the repository has here
    #[arg(short, long)]
    all_tags: bool,
    /// How layers are compressed that were made here, and were not pushed before
    #[arg(long, value_name = "FORMAT", default_value = "gzip")]
    compression_format: Format,
    /// How small they become: 1 to 9 for gzip, 1 to 19 for zstd; more takes longer
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=19))]
    compression_level: Option<u32>,
    /// Only where the image is of this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Print only the image's name
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The image
    image: String,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Everybody reads it
    Gzip,
    /// Smaller and faster; docker reads it from version 23 on
    Zstd,
}

impl PushArgs {
    fn packing(&self) -> Result<Packing> {
        let level = self.compression_level.unwrap_or(3);
        match self.compression_format {
            Format::Gzip if level > 9 => bail!("--compression-level {level}: gzip has 1 to 9"),
            Format::Gzip => Ok(Packing::Gzip(level)),
            Format::Zstd => Ok(Packing::Zstd(i32::try_from(level)?)),
        }
    }
}

/// Pushes, and says what came of it, in docker's words.
pub(crate) fn push(context: &Context, args: &PushArgs) -> Result<ExitCode> {
    let reference: Reference = args.image.parse()?;
    if args.all_tags && (reference.tag().is_some() || reference.digest().is_some()) {
        bail!("tag can't be used with --all-tags/-a");
    }
    args.packing()?;
    let story = context.listen(args.explain.form())?;
    let store = context.store()?;
    let is_named = reference.tag().is_some() || reference.digest().is_some();
    if !args.quiet {
        if !is_named && !args.all_tags {
            output::print_line("Using default tag: latest")?;
        }
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        output::print_line(&format!("The push refers to repository [{repository}]"))?;
    }
    let failed = || format!("cannot push {}", reference.familiar());
    let tags = match args.all_tags {
        true => store.tags_of(&reference).with_context(failed)?,
        false => vec![reference.clone().with_default_tag()],
    };
    // The registry is told first; who interrupts a second time does not wait for that.
    let notes = signal::once(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
    let stop = Stop::new(notes.try_clone()?);
    for tag in &tags {
        let pushed = match one(context, &store, tag, args, &stop) {
            Err(error) if matches!(error.downcast_ref(), Some(PushError::Stopped)) => {
                signal::die_of(signal::noted(notes.as_fd()).unwrap_or(libc::SIGTERM))
            }
            pushed => pushed?,
        };
        if !args.quiet {
            let Pushed { digest, size, .. } = pushed;
            let tag = tag.tag().unwrap_or_default();
            output::print_line(&format!("{tag}: digest: {digest} size: {size}"))?;
        }
    }
    if args.quiet {
        let all = || reference.clone();
        output::print_line(
            &tags.first().filter(|_| !args.all_tags).cloned().unwrap_or_else(all).to_string(),
        )?;
    }
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}

fn one(
    context: &Context,
    store: &Store,
    reference: &Reference,
    args: &PushArgs,
    stop: &Stop,
) -> Result<Pushed> {
    let progress = Progress::new(args.progress.form(args.quiet));
    let options = PushOptions {
        platform: args.platform.clone(),
        packing: args.packing()?,
        docker_config: registries::docker_config(),
        offline: registries::offline(),
        hosts: registries::hosts(&context.config, reference.registry())?,
        stop: Some(stop.clone()),
        ..PushOptions::default()
    };
    let pushed = image::push(store, reference, &options, &|event| progress.show(event))
        .with_context(|| format!("cannot push {}", reference.familiar()))?;
    let name = reference.familiar();
    context
        .journal()
        .record(&[Event::new(Kind::Image, "push", &name).with("name", reference.familiar_name())]);
    Ok(pushed)
}
