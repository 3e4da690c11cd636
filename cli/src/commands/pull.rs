//! `mini pull`: fetch an image from its registry.

use anyhow::{Context as _, Result, bail};
use image::{Image, Pin, Platform, PullOptions, PullStatus, Pulled, Reference, ResolveError, Store};
use runtime::op::{enter_process, step};
use runtime::sys;
use runtime::sys::pidfd;

use super::run::PullPolicy;
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};
use crate::output;
use crate::output::progress::{Form, Progress, ProgressArgs};
use crate::registries;

/// Fetch an image from its registry
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini pull busybox\n  mini pull -q localhost:5000/app:1\n  mini pull -a --progress=plain localhost:5000/app\n\nSee also: mini images, mini push, mini run"
)]
pub(crate) struct PullArgs {
    /// All tags that the repository has there
    #[arg(short, long)]
    all_tags: bool,
    /// Print only the image's name
    #[arg(short, long)]
    quiet: bool,
    /// The image's platform, of several that its name has
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The image
    image: String,
}

/// Pulls, and says what came of it, in docker's words.
pub(crate) fn pull(context: &Context, args: &PullArgs) -> Result<ExitCode> {
    let reference: Reference = args.image.parse()?;
    let is_named = reference.tag().is_some() || reference.digest().is_some();
    if args.all_tags && is_named {
        bail!("tag can't be used with --all-tags/-a");
    }
    let story = context.listen(args.explain.form())?;
    let store = context.store()?;
    let how = How { platform: args.platform.as_ref(), form: args.progress.form(args.quiet), kept: false };
    let tags = match args.all_tags {
        true => image::tags(&reference, &options(context, &reference, how.platform)?, &|event| {
            Progress::new(how.form).show(event);
        })
        .with_context(|| format!("cannot pull {}", reference.familiar()))?,
        false => vec![reference.clone().with_default_tag()],
    };
    if !is_named && !args.all_tags && !args.quiet {
        output::print_line("Using default tag: latest")?;
    }
    let mut downloaded = false;
    for one in &tags {
        downloaded |= told(context, &store, one, how, args.quiet)? == PullStatus::Downloaded;
    }
    let named = if args.all_tags { reference } else { tags[0].clone() };
    if !args.quiet {
        let status = if downloaded { PullStatus::Downloaded } else { PullStatus::UpToDate };
        output::print_line(&status_line(status, &named))?;
    }
    output::print_line(&named.to_string())?;
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}

/// One of them, with what docker says of each.
fn told(
    context: &Context,
    store: &Store,
    reference: &Reference,
    how: How<'_>,
    quiet: bool,
) -> Result<PullStatus> {
    if !quiet {
        let digest = reference.digest().map(|digest| digest.to_string());
        let tag = digest.as_deref().or(reference.tag()).unwrap_or_default();
        output::print_line(&format!("{tag}: Pulling from {}", reference.repository()))?;
    }
    let pulled = fetch(context, store, reference, how)?;
    if !quiet {
        output::print_line(&format!("Digest: {}", pulled.digest))?;
    }
    Ok(pulled.status)
}

fn status_line(status: PullStatus, reference: &Reference) -> String {
    match status {
        PullStatus::Downloaded => format!("Status: Downloaded newer image for {}", reference.familiar()),
        PullStatus::UpToDate => format!("Status: Image is up to date for {}", reference.familiar()),
    }
}

/// How a pull is done and shown.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    platform: Option<&'a Platform>,
    form: Form,
    /// As [`PullOptions::kept`].
    kept: bool,
}

/// An image that is to be had.
pub(crate) struct Wanted<'a> {
    /// As it was typed.
    pub(crate) name: &'a str,
    pub(crate) policy: PullPolicy,
    /// Of several; the machine's own where nobody said.
    pub(crate) platform: Option<Platform>,
}

/// The image, pulled where the policy says so, and kept from removal until the pin is dropped.
///
/// # Errors
/// Where it is not here and cannot be fetched.
pub(crate) fn ensure(
    context: &Context,
    store: &Store,
    wanted: &Wanted<'_>,
    quiet: bool,
    dry_run: bool,
) -> Result<(Image, Pin)> {
    let Wanted { name, policy, platform } = wanted;
    // What a check found damaged is as good as not there: it is fetched again, whatever the name stands for there by now.
    let mut again = None;
    let fits = |image: &Image| platform.as_ref().is_none_or(|platform| image.is_of(platform));
    let (pin, found) = look(store, name)?;
    let missing = match found {
        Some(image) if let Some(layer) = store.damaged_layer(&image)? => {
            again = image.pinned.first().cloned();
            if *policy == PullPolicy::Never || dry_run || again.is_none() {
                return Err(crate::error::Damaged { image: (*name).to_owned(), layer }.into());
            }
            output::warn(&format!("{layer} of image {name} is damaged: it is fetched again"));
            false
        }
        Some(image) if fits(&image) => {
            if *policy != PullPolicy::Always || dry_run {
                warn_of_platform(&image, platform.as_ref());
                return Ok((image, pin));
            }
            false
        }
        // docker's words, and what it does then: one of another platform is as good as none.
        Some(image) if *policy == PullPolicy::Never || dry_run => return Err(other_platform(&image, wanted)),
        None if *policy == PullPolicy::Never || dry_run => {
            return Err(ResolveError::NotFound((*name).to_owned()).into());
        }
        Some(_) | None => true,
    };
    drop(pin);
    let reference = again.map_or_else(|| name.parse::<Reference>(), Ok)?.with_default_tag();
    if missing && !quiet {
        output::say(&format!("Unable to find image '{}' locally", reference.familiar()));
    }
    let how = How { platform: platform.as_ref(), form: ProgressArgs::default().form(quiet), kept: false };
    fetch_apart(context, store, &reference, how, quiet)?;
    let pin = store.pin().context("cannot hold the image store")?;
    let image = store.resolve(name)?;
    if !fits(&image) {
        return Err(other_platform(&image, wanted));
    }
    warn_of_platform(&image, platform.as_ref());
    Ok((image, pin))
}

/// What is here of that name.
fn look(store: &Store, name: &str) -> Result<(Pin, Option<Image>)> {
    let pin = store.pin().context("cannot hold the image store")?;
    match store.resolve(name) {
        Ok(image) => Ok((pin, Some(image))),
        Err(ResolveError::NotFound(_)) => Ok((pin, None)),
        Err(error) => Err(error.into()),
    }
}

fn other_platform(image: &Image, wanted: &Wanted<'_>) -> anyhow::Error {
    let asked = wanted.platform.as_ref().map(Platform::to_string).unwrap_or_default();
    anyhow::anyhow!(
        "image with reference {} was found but does not match the specified platform: wanted {asked}, actual: {}",
        wanted.name,
        image.platform()
    )
}

/// docker's warning; whether its programs run all the same is the kernel's to say (binfmt_misc).
fn warn_of_platform(image: &Image, wanted: Option<&Platform>) {
    let host = Platform::host();
    if wanted.is_none() && !image.is_of(&Platform { variant: None, ..host.clone() }) {
        output::warn(&format!(
            "The requested image's platform ({}) does not match the detected host platform ({host}) and no specific platform \
             was requested",
            image.platform()
        ));
    }
}

/// Pulls in a process that ends: a client that forks its monitor has no threads, no TLS state and little memory.
fn fetch_apart(
    context: &Context,
    store: &Store,
    reference: &Reference,
    how: How<'_>,
    quiet: bool,
) -> Result<()> {
    step("Pull in a process of its own, so that the one that forks the monitor stays small");
    sys::process::assert_single_threaded()?;
    let Some(child) = sys::ns::fork()? else {
        enter_process("pull");
        let code = match fetch(context, store, reference, how) {
            Ok(pulled) => {
                if !quiet {
                    let status = status_line(pulled.status, reference);
                    output::say(&format!("Digest: {}\n{status}", pulled.digest));
                }
                ExitCode::Success
            }
            Err(error) => {
                output::error(&error);
                ExitCode::Mini
            }
        };
        sys::process::exit(code.number());
    };
    let child = pidfd::open(child)?;
    match pidfd::wait(std::os::fd::AsFd::as_fd(&child))? {
        pidfd::Ending::Exited(0) => Ok(()),
        pidfd::Ending::Exited(_) => Err(crate::error::Told.into()),
        pidfd::Ending::Signaled(signal) => bail!("the pull was killed by signal {signal}"),
    }
}

/// Pulls what a check found damaged, and says nothing meanwhile.
///
/// # Errors
/// Where the image cannot be had.
pub(super) fn fetch_again(context: &Context, store: &Store, again: &image::Again<'_>) -> Result<()> {
    let how =
        How { platform: Some(&again.platform), form: ProgressArgs::default().form(true), kept: again.kept };
    fetch(context, store, again.name, how).map(drop)
}

fn fetch(context: &Context, store: &Store, reference: &Reference, how: How<'_>) -> Result<Pulled> {
    sys::memory::map_large_allocations();
    let progress = Progress::new(how.form);
    let options = PullOptions { kept: how.kept, ..options(context, reference, how.platform)? };
    let pulled = image::pull(store, reference, &options, &|event| {
        progress.show(event);
    })
    .with_context(|| format!("cannot pull {}", reference.familiar()))?;
    let name = reference.familiar().to_string();
    context
        .journal()
        .record(&[Event::new(Kind::Image, "pull", &name).with("name", reference.familiar_name())]);
    Ok(pulled)
}

fn options(context: &Context, reference: &Reference, platform: Option<&Platform>) -> Result<PullOptions> {
    Ok(PullOptions {
        platform: platform.cloned().unwrap_or_else(Platform::host),
        docker_config: registries::docker_config(),
        offline: registries::offline(),
        hosts: registries::hosts(&context.config, reference.registry())?,
        ..PullOptions::default()
    })
}
