//! `mini run`: from an image's name to a program that runs.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use runtime::op::step;
use runtime::sys;

use super::flags::{ContainerArgs, StayArgs};
use crate::context::Context;
use crate::events::Event;
use crate::exit_code::ExitCode;
use crate::explain::Form;
use crate::launch;
use crate::output;
use crate::plan::Request;
use crate::plan::facts::{self, HostFacts};
use crate::prepare::{foresee, prepare};
use crate::session::Outcome;

/// Make a container of an image and run a program in it
///
/// The image is pulled where it is not here yet. The container gets namespaces of its own, the user namespace among them: its
/// root is nobody on the host.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    override_usage = "mini run [OPTIONS] IMAGE [COMMAND [ARG]…]",
    after_help = "Examples:\n  mini run -it --rm busybox\n  mini run -d --name web -p 8080:80 nginx\n  mini run --rm --explain busybox true\n\nSee also: mini exec, mini ps, mini logs, mini stop"
)]
pub(crate) struct RunArgs {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) stay: StayArgs,
    /// Tell every kernel operation, in order
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) explain: Option<Form>,
    /// Print plan and OCI spec as JSON, and touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullPolicy {
    /// Before every run
    Always,
    /// Where it is not here
    Missing,
    /// Never
    Never,
}

/// Plans the container, writes it down, launches it, and becomes its exit code.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<ExitCode> {
    let flags = &args.container;
    let request = request(context, flags, args.detach)?;
    let streams = request.attached();
    if flags.tty && streams.input && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal (-it): it is not a terminal; leave -t out");
    }
    super::seal(request.user_namespace, &context.id_block())?;
    let story = context.listen(args.explain)?;
    announce(&request);
    let (image, pin) = image(context, flags, args.dry_run)?;
    let facts = facts(&request)?;
    if args.dry_run {
        output::print_json(&foresee(context, &request, &image, &facts)?)?;
        return Ok(ExitCode::Success);
    }
    let stay = args.stay.stay(context, streams, flags.tty)?;
    let (charge, start) = prepare(context, flags, &request, &image, facts)?;
    // The container's record keeps the image from now on; its monitor is not to.
    drop(pin);
    let record = charge.words.record.clone();
    let id = &record.id;
    let mut events = vec![Event::container("create", &record)];
    events.extend((!args.detach).then(|| Event::container("attach", &record)));
    context.journal().record(&events);
    write_id(flags, id)?;
    let shows = streams.output || streams.error;
    if !shows && !args.detach {
        // As docker: whoever passes input on alone learns whom it goes to.
        output::print_line(id)?;
    }
    Ok(match launch::launch(charge, start, stay, story) {
        Ok(Outcome::Detached) => {
            if args.detach {
                output::print_line(id)?;
            } else {
                context.happened("detach", &record);
            }
            ExitCode::Success
        }
        Ok(Outcome::Ended { code, reason }) => ended(code, reason),
        Err(error) => {
            let code = launch::failure_code(&error);
            output::error(&error);
            code
        }
    })
}

/// What the flags ask for.
///
/// # Errors
/// The first value that makes no sense.
pub(crate) fn request(context: &Context, flags: &ContainerArgs, detached: bool) -> Result<Request> {
    if let Some(path) = flags.cidfile.as_ref().filter(|path| path.exists()) {
        bail!("--cidfile {} exists already: it may be another container's", path.display());
    }
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let environment = |name: &str| std::env::var(name).ok();
    let own = sys::process::own_capabilities();
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    Request::new(flags, detached, &cwd, context.config.userns.strict, own, &environment, &read)
}

/// Writes `--cidfile`.
///
/// # Errors
/// Where the file exists by now, or cannot be made.
pub(crate) fn write_id(flags: &ContainerArgs, id: &str) -> Result<()> {
    let Some(path) = &flags.cidfile else { return Ok(()) };
    sys::fs::create_new(path, id.as_bytes(), 0o644).context("cannot write the container's id")
}

/// The image, pulled where the flags say so, and kept from removal until the pin is dropped.
///
/// # Errors
/// Where it is not here and cannot be fetched.
pub(crate) fn image(
    context: &Context,
    flags: &ContainerArgs,
    dry_run: bool,
) -> Result<(image::Image, image::Pin)> {
    step("Look the image up, and keep it from being removed meanwhile");
    let store = if dry_run { context.existing_store(flags.image())? } else { context.store()? };
    super::pull::ensure(&store, flags.image(), flags.pull, flags.quiet, dry_run, &context.journal())
}

/// The host, as far as this request is concerned.
///
/// # Errors
/// Where the host cannot be looked at.
pub(crate) fn facts(request: &Request) -> Result<HostFacts> {
    HostFacts::detect(request)
}

/// A container's exit code, with the reason where one is known.
pub(crate) fn ended(code: i32, reason: Option<String>) -> ExitCode {
    if let Some(reason) = reason {
        output::notice(&reason);
    }
    ExitCode::Program(code)
}

/// What a user should know before it happens.
pub(crate) fn announce(request: &Request) {
    if let Some(flag) = &request.implied_by {
        step(&format!("{flag} shares the host's user namespace: root in the container is root on the host"));
        output::notice(&format!(
            "{flag} implies --userns=host: root in this container is root on the host (--userns=private keeps them apart)"
        ));
    }
    let resources = &request.options.resources;
    if resources.oom_kill_disable && request.memory.is_none() {
        output::warn("--oom-kill-disable without --memory: the whole host may run out of memory");
    }
    if resources.blkio_weight.is_some() && !facts::disks_heed_weights() {
        output::warn(
            "--blkio-weight is heeded by disks with the BFQ scheduler, and none has it here (echo bfq >/sys/block/DISK/queue/scheduler)",
        );
    }
    if request.drops_ports() {
        output::warn("published ports are discarded: the container has no network of its own");
    }
}
