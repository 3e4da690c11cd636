//! `mini start` and `mini restart`: containers that are written down run, once more or for the first time.

use std::io::IsTerminal;

use anyhow::{Context as _, Result, bail, ensure};
use runtime::op::step;
use runtime::state::Entry;

use super::ending::Ending;
use super::flags::StayArgs;
use super::{Failures, rm, run};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::launch;
use crate::output;
use crate::plan::stdio::Attach;
use crate::plan::values;
use crate::prepare::prepare_again;
use crate::session::{Outcome, Session, Stay};
use crate::settings::Settings;
use crate::supervise::{Charge, Start};

/// Start containers that are not running
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini start web db\n  mini start -a job\n\nSee also: mini create, mini restart, mini stop"
)]
pub(crate) struct StartArgs {
    /// Stay with the container, and end with its exit code
    #[arg(short, long)]
    attach: bool,
    /// Stay with it, and pass standard input on where the container keeps its own open
    #[arg(short, long)]
    interactive: bool,
    /// Do not start it again when it has ended, whatever its restart policy: a service manager does
    #[arg(long)]
    no_restart: bool,
    #[command(flatten)]
    stay: StayArgs,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Stop containers and start them again
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini restart web\n  mini restart -t 1 web db\n\nSee also: mini start, mini stop"
)]
pub(crate) struct RestartArgs {
    /// Seconds to wait before SIGKILL; -1 waits for ever [default: the container's, or 10]
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// The signal, instead of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Starts each; the others go on where one fails.
pub(crate) fn start(context: &Context, args: &StartArgs) -> Result<ExitCode> {
    seal(context, &args.containers)?;
    context.listen(None)?;
    let attach = args.attach || args.interactive;
    if attach {
        let [word] = args.containers.as_slice() else {
            bail!("cannot stay with several containers at once: start them without -a and -i");
        };
        let entry = context.state().find(word)?;
        return attached(context, &entry, args);
    }
    let mut failures = Failures::default();
    for word in &args.containers {
        let started = context.state().find(word).map_err(anyhow::Error::from).and_then(|entry| {
            in_background(context, &entry, args.no_restart).context(format!("cannot start {word}"))
        });
        match started {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error),
        }
    }
    Ok(failures.code())
}

/// Stops and starts each; the others go on where one fails.
pub(crate) fn restart(context: &Context, args: &RestartArgs) -> Result<ExitCode> {
    seal(context, &args.containers)?;
    context.listen(None)?;
    let signal = args.signal.as_deref().map(values::signal).transpose()?;
    let mut failures = Failures::default();
    for word in &args.containers {
        let restarted = context.state().find(word).map_err(anyhow::Error::from).and_then(|entry| {
            ensure!(
                !entry.record.auto_remove || !entry.status.is_up(),
                "container {word} has --rm: it is removed when it stops, and cannot be started again"
            );
            if entry.status.is_up() {
                Ending::stop(context, &entry, signal, args.time)?.wait()?;
            }
            in_background(context, &entry, false)?;
            context.happened("restart", &entry.record);
            Ok(())
        });
        match restarted {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error.context(format!("cannot restart {word}"))),
        }
    }
    Ok(failures.code())
}

/// Starts a container that nobody stays with; one that runs is left alone.
fn in_background(context: &Context, entry: &Entry, no_restart: bool) -> Result<()> {
    let Some((mut charge, start)) = ready(context, entry, true)? else { return Ok(()) };
    charge.words.restarted_elsewhere = no_restart;
    let stay = Stay::no_longer(entry.record.terminal);
    launch::launch(charge, start, stay, None).map(|_detached| ())
}

/// Starts a container and stays with it; with one that runs already, too.
fn attached(context: &Context, entry: &Entry, args: &StartArgs) -> Result<ExitCode> {
    let record = &entry.record;
    let streams = Attach { input: args.interactive && record.interactive, ..Attach::ALL };
    if streams.input && record.terminal && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal (-i): it is not a terminal");
    }
    let stay = args.stay.stay(context, streams, record.terminal)?;
    context.happened("attach", record);
    let outcome = match ready(context, entry, false)? {
        Some((mut charge, start)) => {
            charge.words.restarted_elsewhere = args.no_restart;
            launch::launch(charge, start, stay, None)
        }
        None => {
            let stayed = Session::attach(&entry.dirs.run, stay).and_then(|session| session.stay(&mut None));
            stayed.map_err(|error| super::meanwhile(context, entry, error))
        }
    };
    Ok(match outcome {
        Ok(Outcome::Detached) => {
            context.happened("detach", record);
            ExitCode::Success
        }
        Ok(Outcome::Ended { code, reason }) => run::ended(code, reason),
        Err(error) => {
            output::error(&error);
            ExitCode::Failure
        }
    })
}

/// Everything that a start needs; `None` where it runs already.
fn ready(context: &Context, entry: &Entry, detached: bool) -> Result<Option<(Charge, Start)>> {
    let state = context.state();
    let id = &entry.record.id;
    step("Take the container's lock: nobody else starts, changes or removes it now");
    let Some(lock) = super::lock_at_rest(&state, id)? else {
        ensure!(state.load(id)?.is_some(), "it was removed meanwhile");
        return Ok(None);
    };
    // Asked again under the lock: it may have been removed, or started, meanwhile.
    let Some(mut entry) = state.load(id)? else { bail!("it was removed meanwhile") };
    if entry.status.is_up() {
        return Ok(None);
    }
    step("Remove what its last run may have left");
    rm::clear(context, &entry)?;
    if entry.live.as_ref().is_some_and(|live| live.between.is_some()) {
        // How it ended is written there alone.
        state.save(&entry.dirs, &entry.record)?;
    }
    if entry.live.is_some() {
        runtime::sys::fs::remove_file(&entry.dirs.run.join("live.json"))?;
    }
    let Some(mut request) = Settings::of(&entry.record).request else {
        bail!("it was made by a mini that could not start a container again");
    };
    request.detached = detached;
    entry.record.restarts = 0;
    let found = crate::donors::find(context, &mut request)?;
    let (image, _pin) = context.image_of(&entry.record)?;
    if let Some(layer) = context.store()?.damaged_layer(&image)? {
        return Err(crate::error::Damaged { image: entry.record.image.clone(), layer }.into());
    }
    let facts = run::facts(context, &request)?;
    prepare_again(context, entry.record, &request, &image, facts, found, lock).map(Some)
}

/// Before anything is started: what executes a sealed copy begins all over.
fn seal(context: &Context, words: &[String]) -> Result<()> {
    for entry in words.iter().filter_map(|word| context.state().find(word).ok()) {
        let settings = Settings::of(&entry.record);
        match &settings.request {
            Some(request) => run::seal(context, request)?,
            None => super::seal(settings.user_namespace, &context.id_block())?,
        }
    }
    Ok(())
}
