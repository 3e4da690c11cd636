//! `mini run`: from an image's name to a program that runs.

use std::io::{IsTerminal, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use runtime::op::step;
use runtime::state::FindError;
use runtime::sys;

use super::flags::{ContainerArgs, StayArgs};
use super::pull::Wanted;
use super::rm::How;
use crate::context::Context;
use crate::donors::{self, Found};
use crate::events::Event;
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Form};
use crate::launch;
use crate::output;
use crate::own_root;
use crate::plan::Request;
use crate::plan::facts::{self, HostFacts};
use crate::plan::request::Caller;
use crate::plan::storage::Bind;
use crate::prepare::{foresee, prepare, storage};
use crate::session::Outcome;

/// Make a container of an image and run a program in it
///
/// The image is pulled where it is not here yet. The container gets namespaces of its own, the user namespace among them: its
/// root is nobody on the host.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    override_usage = "mini run [OPTIONS] IMAGE [COMMAND [ARG]…]",
    after_help = "Examples:\n  mini run -it --rm busybox\n  mini run -d --name web -p 8080:80 nginx\n  mini run --rm --explain busybox true\n  mini run --rm --explain=1,ko busybox true\n\nSee also: mini exec, mini ps, mini logs, mini stop"
)]
pub(crate) struct RunArgs {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) stay: StayArgs,
    #[command(flatten)]
    pub(crate) explain: ExplainArgs,
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

/// How a container is run, beside what it is.
pub(crate) struct Manner<'a> {
    pub(crate) detach: bool,
    pub(crate) stay: &'a StayArgs,
    pub(crate) explain: Option<Form>,
    pub(crate) dry_run: bool,
    /// It is removed when it ends, whatever its flags say.
    pub(crate) removes: bool,
}

/// Runs the container that the flags describe.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<ExitCode> {
    let RunArgs { detach, stay, explain, dry_run, container } = args;
    let (detach, dry_run) = (*detach, *dry_run);
    let manner = Manner { detach, stay, explain: explain.form(), dry_run, removes: container.rm };
    carry_out(context, container, &manner)
}

/// Plans the container, writes it down, launches it, and becomes its exit code.
///
/// # Errors
/// The first thing that makes no sense or cannot be made.
pub(crate) fn carry_out(context: &Context, flags: &ContainerArgs, args: &Manner<'_>) -> Result<ExitCode> {
    let mut request = request(context, flags, args.detach)?;
    request.auto_remove = args.removes;
    let streams = request.attached();
    if flags.tty && streams.input && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal (-it): it is not a terminal; leave -t out");
    }
    seal(context, &request)?;
    let story = context.listen(args.explain)?;
    let found = donors::find(context, &mut request)?;
    announce(&request, &found);
    let (image, pin) = image(context, flags, &request, args.dry_run)?;
    storage::complete(context, &mut request, &image.config)?;
    let facts = facts(context, &request)?;
    if args.dry_run {
        output::print_json(&foresee(context, &request, &image, &facts, found)?)?;
        return Ok(ExitCode::Success);
    }
    let stay = args.stay.stay(context, streams, flags.tty)?;
    replace(context, flags)?;
    let (charge, start) = prepare(context, flags, &request, &image, facts, found)?;
    // The container's record keeps the image from now on; its monitor is not to.
    drop(pin);
    if flags.origin.replace {
        context.let_images_go();
    }
    let record = charge.words.record.clone();
    let id = &record.id;
    let mut events = vec![Event::container("create", &record)];
    events.extend((!args.detach).then(|| Event::container("attach", &record)));
    context.journal().record(&events);
    if let Err(error) = write_id(flags, id) {
        charge.held.give_back();
        abandon(context, id);
        return Err(error);
    }
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
            hint_at_flags(code, flags.command(), "image");
            code
        }
    })
}

/// A program that is not there may be a flag that stands too far behind.
pub(crate) fn hint_at_flags(code: ExitCode, command: &[String], behind: &str) {
    if code == ExitCode::NotFound && command.first().is_some_and(|word| word.starts_with('-')) {
        output::say(&format!(
            "hint: flags of mini stand before the {behind}: what follows it is the program's"
        ));
    }
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
    let variables = || {
        let all = std::env::vars_os();
        all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
    };
    let read = |path: &str| read(path).with_context(|| format!("cannot read {path}"));
    let state = context.state();
    let [ids] = context.id_block();
    let mut request = Request::new(
        flags,
        detached,
        &Caller {
            cwd: &cwd,
            strict: context.config.userns.strict,
            own,
            first_users: &facts::lives_in_first_users,
            ids,
            init: context.config.init,
            kernel: runtime::running_kernel(),
            variables: &variables,
            environment: &environment,
            read: &read,
            find: &|name| Ok(state.find(name)?.record.id),
        },
    )?;
    storage::inherit(context, &mut request)?;
    Ok(request)
}

/// The largest file of variables, labels or rules that is read, bytes.
const LARGEST: u64 = 4 << 20;

/// A file whole, as long as it has an end: a device may not.
///
/// # Errors
/// What open or read answered; a file that is too large.
pub(crate) fn read(path: &str) -> Result<String> {
    let mut text = String::new();
    let length = std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    ensure!(u64::try_from(length)? <= LARGEST, "it is larger than {LARGEST} bytes");
    Ok(text)
}

/// Runs from a sealed copy of mini where this container's root could be the host's: what it shares with others may belong to
/// the host, and is looked at later.
pub(crate) fn seal(context: &Context, request: &Request) -> Result<()> {
    let spaces = &request.options.spaces;
    let apart = request.user_namespace && !spaces.joins();
    match spaces.uid_map.as_slice() {
        [] => super::seal(apart, &context.id_block()),
        by_hand => super::seal(apart, by_hand),
    }
}

/// Writes `--cidfile`.
///
/// # Errors
/// Where the file exists by now, or cannot be made.
pub(crate) fn write_id(flags: &ContainerArgs, id: &str) -> Result<()> {
    let Some(path) = &flags.cidfile else { return Ok(()) };
    sys::fs::create_new(path, id.as_bytes(), 0o644).context("cannot write the container's id")
}

/// Nobody learns of a container whose id could not be handed over: it goes, and what was made or taken for it.
pub(crate) fn abandon(context: &Context, id: &str) {
    let state = context.state();
    // The cause of all this is told; what cannot be taken back is found by `mini system check`.
    if let Ok(Some(entry)) = state.load(id) {
        let _left = super::rm::remove(context, &state, &entry, How { force: false, volumes: true });
    }
}

/// The image, pulled where the flags say so, and kept from removal until the pin is dropped.
///
/// # Errors
/// Where it is not here and cannot be fetched.
pub(crate) fn image(
    context: &Context,
    flags: &ContainerArgs,
    request: &Request,
    dry_run: bool,
) -> Result<(image::Image, image::Pin)> {
    let origin = &request.options.origin;
    if let Some(directory) = &origin.rootfs {
        let pin = context.store()?.pin().context("cannot hold the image store")?;
        return Ok((crate::rootfs::image_of(directory)?, pin));
    }
    step("Look the image up, and keep it from being removed meanwhile");
    let store = if dry_run { context.existing_store(flags.image())? } else { context.store()? };
    let wanted = Wanted {
        name: flags.image(),
        policy: flags.pull,
        platform: origin.platform.as_deref().map(str::parse).transpose()?,
    };
    super::pull::ensure(context, &store, &wanted, flags.quiet, dry_run)
}

/// `--replace`: the container that has the name goes, running or not.
///
/// # Errors
/// Where it cannot be removed.
pub(crate) fn replace(context: &Context, flags: &ContainerArgs) -> Result<()> {
    let (true, Some(name)) = (flags.origin.replace, &flags.name) else { return Ok(()) };
    let state = context.state();
    match state.find(name) {
        // An id that begins so is not meant.
        Ok(entry) if entry.record.name == *name => {
            step("Remove the container that has the name");
            super::rm::remove(context, &state, &entry, How { force: true, volumes: false })
                .with_context(|| format!("cannot replace {name}"))?;
            Ok(())
        }
        Ok(_) | Err(FindError::NotFound(_) | FindError::Ambiguous { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The host, as far as this request is concerned.
///
/// # Errors
/// Where the host cannot be looked at.
pub(crate) fn facts(context: &Context, request: &Request) -> Result<HostFacts> {
    Ok(HostFacts { copied: own_root::is_wanted(context)?, ..HostFacts::detect(request)? })
}

/// A container's exit code, with the reason where one is known.
pub(crate) fn ended(code: i32, reason: Option<String>) -> ExitCode {
    if let Some(reason) = reason {
        output::notice(&reason);
    }
    ExitCode::Program(code)
}

/// What a user should know before it happens.
pub(crate) fn announce(request: &Request, found: &Found) {
    if let Some(flag) = &request.implied_by {
        step(&format!("{flag} shares the host's user namespace: root in the container is root on the host"));
        output::notice(&format!(
            "{flag} implies --userns=host: root in this container is root on the host (--userns=private keeps them apart)"
        ));
    }
    if request.user_namespace && request.binds.iter().any(|bind| bind.propagation.ends_with("slave")) {
        output::notice(
            "what is mounted on the host later belongs to nobody in the container: it has ids of its own",
        );
    }
    let plain = |bind: &&Bind| image::lies_on_overlay(&bind.source).unwrap_or(false);
    if let Some(bind) = request.binds.iter().filter(|_| request.user_namespace).find(plain) {
        output::warn(&format!(
            "{} lies on an overlay, where no ids can be shifted: its files belong to nobody in the container (--userns=host: \
             to whom they belong)",
            bind.source.display()
        ));
    }
    for limit in donors::limits(request, found) {
        step(&format!("with a user namespace of its own, {limit}"));
        output::notice(&format!("with a user namespace of its own, {limit}"));
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
