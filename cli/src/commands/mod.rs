//! The command line: one file a command, each a documented `Args` and one function that plans, calls, prints.

pub(crate) mod run;

mod about;
mod attach;
mod class;
mod commit;
mod completion;
mod cp;
mod create;
mod df;
mod diff;
mod ending;
mod events;
mod exec;
mod explore;
mod export;
mod failures;
pub(crate) mod filter;
pub(crate) mod flags;
mod forest;
mod generate;
mod groups;
mod help;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod later;
mod learn;
mod leave;
mod load;
mod login;
mod logs;
mod man;
mod network;
mod ns;
mod objects;
mod pattern;
mod pause;
mod port;
mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
mod push;
mod rename;
mod rm;
pub(crate) mod rmi;
mod save;
mod script;
mod secret;
mod start;
mod stats;
mod step;
mod stop;
mod system;
mod tag;
mod top;
mod units;
mod update;
pub(crate) mod version;
mod view;
mod volume;
mod wait;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

pub(crate) use self::failures::Failures;
use self::later::Later;
use crate::context::Context;
use crate::dirs::Dirs;
use crate::exit_code::ExitCode;
use crate::output;
use crate::tree::{self, Answer};

/// Above the flags that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Run containers, without a daemon, and see how they are made
#[derive(Debug, Parser)]
#[command(
    name = "mini",
    bin_name = "mini",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    // As docker's: of a flag that stands there twice, the last one counts.
    args_override_self = true,
    max_term_width = 100,
    after_help = "Examples:\n  mini run -it --rm busybox\n  mini ps -a\n  mini help run\n\nSee also: mini help, mini man, mini completion"
)]
struct Cli {
    /// Where images and containers are kept
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "MINI_ROOT",
        value_name = "DIR",
        default_value = "/var/lib/mini",
        hide_env_values = true
    )]
    root: PathBuf,
    /// Where it is written down what runs; gone after a reboot
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "MINI_RUN_ROOT",
        value_name = "DIR",
        default_value = "/run/mini",
        hide_env_values = true
    )]
    run_root: PathBuf,
    /// Print the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    OnContainers(groups::OnContainers),
    Ps(Later<ps::PsArgs>),
    Rm(Later<rm::RmArgs>),
    Inspect(Later<inspect::InspectArgs>),
    Container(Later<groups::ContainerGroup>),
    Image(Later<groups::ImageGroup>),
    Images(Later<images::ImagesArgs>),
    Pull(Later<pull::PullArgs>),
    Push(Later<push::PushArgs>),
    Login(Later<login::LoginArgs>),
    Logout(Later<login::LogoutArgs>),
    Rmi(Later<rmi::RmiArgs>),
    Load(Later<load::LoadArgs>),
    Save(Later<save::SaveArgs>),
    Import(Later<import::ImportArgs>),
    Tag(Later<tag::TagArgs>),
    History(Later<history::HistoryArgs>),
    Network(Later<network::NetworkArgs>),
    Volume(Later<volume::VolumeArgs>),
    Secret(Later<secret::SecretArgs>),
    Script(Box<Later<script::ScriptArgs>>),
    Ns(Later<ns::NsArgs>),
    Learn(Later<learn::LearnArgs>),
    Class(Later<class::ClassArgs>),
    View(Later<view::ViewArgs>),
    Step(Box<Later<step::StepArgs>>),
    Events(Later<events::EventsArgs>),
    Info(Later<info::InfoArgs>),
    System(Later<system::SystemArgs>),
    #[command(flatten)]
    AboutMini(about::AboutMini),
}

/// Reads the command line, carries it out, and says how it ended.
pub(crate) fn main() -> ExitCode {
    tell_panics();
    // What mini makes has the mode it says, whatever the caller's shell thinks of others.
    runtime::sys::process::set_umask(0o022);
    let line: Vec<_> = std::env::args_os().collect();
    let cli = match tree::read::<Cli>(&line) {
        Ok(cli) => cli,
        Err(answer) => return tell(answer),
    };
    let done = dispatch(&cli);
    crate::explain::finish();
    match done {
        Ok(code) => code,
        Err((error, code)) => {
            output::error(&error);
            code
        }
    }
}

/// A defect is told as one, and leaves the user's terminal as it was.
pub(crate) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        runtime::sys::terminal::restore();
        output::panic(&panic.to_string());
    }));
}

/// The command tree, built.
fn whole() -> clap::Command {
    tree::whole(<Cli as clap::CommandFactory>::command())
}

/// Help and version are data; a line that makes no sense is an error like any other.
fn tell(answer: Answer) -> ExitCode {
    match answer {
        Answer::Told(help) => {
            output::print_styled(&help.render());
            ExitCode::Success
        }
        Answer::Unfinished(help) => {
            output::say(help.render().to_string().trim_end());
            ExitCode::Success
        }
        Answer::Wrong { text, code } => {
            output::say(&format!("mini: {text}"));
            code
        }
    }
}

fn dispatch(cli: &Cli) -> Result<ExitCode, (anyhow::Error, ExitCode)> {
    let own_code = match &cli.command {
        Command::OnContainers(command) => command.own_code(),
        Command::Container(group) => group.own_code(),
        Command::Step(_) => ExitCode::Mini,
        _ => ExitCode::Failure,
    };
    carry_out(cli).map_err(|error| (error, own_code))
}

fn carry_out(cli: &Cli) -> Result<ExitCode> {
    if let Command::AboutMini(command) = &cli.command {
        return command.carry_out();
    }
    close_inherited()?;
    runtime::sys::signal::await_children()?;
    let context = Context::new(Dirs::new(absolute(&cli.root)?, absolute(&cli.run_root)?))?;
    match &cli.command {
        Command::OnContainers(command) => command.carry_out(&context),
        Command::Ps(args) => ps::ps(&context, args),
        Command::Rm(args) => rm::rm(&context, args),
        Command::Inspect(args) => inspect::inspect(&context, args),
        Command::Container(group) => groups::container(&context, group),
        Command::Image(group) => groups::image(&context, group),
        Command::Images(args) => images::images(&context, args),
        Command::Pull(args) => pull::pull(&context, args),
        Command::Push(args) => push::push(&context, args),
        Command::Login(args) => login::login(&context, args),
        Command::Logout(args) => login::logout(args),
        Command::Rmi(args) => rmi::rmi(&context, args),
        Command::Load(args) => load::load(&context, args),
        Command::Save(args) => save::save(&context, args),
        Command::Import(args) => import::import(&context, args),
        Command::Tag(args) => tag::tag(&context, args),
        Command::History(args) => history::history(&context, args),
        Command::Network(args) => network::network(&context, args),
        Command::Volume(args) => volume::volume(&context, args),
        Command::Secret(args) => secret::secret(&context, args),
        Command::Script(args) => script::script(&context, args),
        Command::Ns(args) => ns::ns(&context, args),
        Command::Learn(args) => learn::learn(&context, args),
        Command::Class(args) => class::class(&context, args),
        Command::View(args) => view::view(&context, args),
        Command::Step(args) => step::step(&context, args),
        Command::Events(args) => events::events(&context, args),
        Command::Info(args) => info::info(&context, args),
        Command::System(args) => system::system(&context, args),
        Command::AboutMini(_) => unreachable!("done above, without root and without places"),
    }
}

/// What the caller had open beside the three streams is nothing to mini, less to its containers (CVE-2024-21626).
fn close_inherited() -> Result<()> {
    let stepper = std::env::var("MINI_STEP_FD").ok().and_then(|number| number.parse().ok());
    Ok(runtime::sys::process::close_descriptors(&stepper.into_iter().collect::<Vec<_>>(), false)?)
}

/// The monitor works from `/`: relative places would move.
fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

/// Runs from a sealed copy where a container's root could overwrite the file of this program.
pub(crate) fn seal(user_namespace: bool, map: &[runtime::plan::IdMap]) -> Result<()> {
    let (owner, sealed) = runtime::self_exe::running_binary()?;
    if !sealed && runtime::self_exe::needs_sealed_copy(user_namespace, map, owner) {
        let arguments = std::env::args_os().collect();
        return Err(runtime::self_exe::execute_sealed_copy(arguments, std::env::vars_os().collect()).into());
    }
    Ok(())
}

/// What runs of a container that must run.
pub(crate) fn running(entry: &runtime::state::Entry) -> Result<runtime::record::Live> {
    match (&entry.status, &entry.live) {
        (runtime::record::Status::Running { .. }, Some(live)) => Ok(live.clone()),
        (runtime::record::Status::Restarting { .. }, _) => {
            anyhow::bail!("container {} is restarting: wait until it is running", entry.record.name)
        }
        _ => anyhow::bail!("container {} is not running", entry.record.name),
    }
}

/// A container's init, held, and surely the one that was written down.
pub(crate) fn open_init(
    entry: &runtime::state::Entry,
    init: runtime::record::ProcessId,
) -> Result<std::os::fd::OwnedFd> {
    ending::held(init).ok_or_else(|| anyhow::anyhow!("container {} has ended", entry.record.name))
}

/// Whether the processes that were written down are still there.
pub(crate) fn still_runs(entry: &runtime::state::Entry) -> bool {
    entry.live.as_ref().is_some_and(|live| runtime::state::is_alive(live.init))
}

/// What failed on the way to a container's monitor failed for what became of the container meanwhile, where anything did: a
/// monitor that is done has not died.
pub(crate) fn meanwhile(
    context: &Context,
    entry: &runtime::state::Entry,
    error: anyhow::Error,
) -> anyhow::Error {
    if !entry.status.is_up() {
        return error;
    }
    let init = |entry: &runtime::state::Entry| entry.live.as_ref().map(|live| live.init);
    let became = match context.state().load(&entry.record.id) {
        Err(_) => return error,
        Ok(None) => "was removed meanwhile",
        Ok(Some(now)) => match now.status {
            runtime::record::Status::Created => "is not running",
            runtime::record::Status::Exited { .. } => "has ended",
            runtime::record::Status::Restarting { .. } => "is restarting",
            runtime::record::Status::Running { .. } if init(&now) != init(entry) => {
                "was started again meanwhile"
            }
            runtime::record::Status::Running { .. } => return error,
        },
    };
    error.context(format!("container {} {became}", entry.record.name))
}

/// Whether its program runs, or its monitor will start it again.
pub(crate) fn is_looked_after(entry: &runtime::state::Entry) -> bool {
    let between = entry.live.as_ref().filter(|live| live.between.is_some());
    still_runs(entry) || between.is_some_and(|live| runtime::state::is_alive(live.monitor))
}

/// Whether a container of this id, or of one that begins so, runs.
pub(crate) fn is_live(state: &runtime::state::State, beginning: &str) -> bool {
    state.find(beginning).is_ok_and(|entry| still_runs(&entry))
}

/// Waits until the container's monitor has ended; false where there was none.
///
/// # Errors
/// What poll(2) answered.
pub(crate) fn wait_for_monitor(entry: &runtime::state::Entry) -> Result<bool> {
    let Some(live) = &entry.live else { return Ok(false) };
    let Some(held) = ending::held(live.monitor) else { return Ok(true) };
    let mut polled = [rustix::event::PollFd::new(&held, rustix::event::PollFlags::IN)];
    while rustix::event::poll(&mut polled, None) == Err(rustix::io::Errno::INTR) {}
    Ok(true)
}

/// How long another command may work on a container before this one gives up, s.
const PATIENCE: i64 = 10;

/// The lock of a container that does not run, once its last monitor has cleaned up and other commands are done with it; `None`
/// where it runs, or is gone.
///
/// # Errors
/// Where somebody works on it for longer than [`PATIENCE`].
pub(crate) fn lock_at_rest(state: &runtime::state::State, id: &str) -> Result<Option<std::os::fd::OwnedFd>> {
    let deadline = crate::clock::Moment::deadline(PATIENCE);
    loop {
        match state.lock(id) {
            Ok(lock) => return Ok(Some(lock)),
            Err(runtime::state::StateError::Gone(_)) => return Ok(None),
            Err(runtime::state::StateError::Busy(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if state.load(id)?.is_none_or(|entry| entry.status.is_up()) {
            return Ok(None);
        }
        anyhow::ensure!(
            deadline.is_none_or(|deadline| !deadline.is_past()),
            "another command, or its monitor, has been working on it for {PATIENCE} s"
        );
        // Whoever holds the lock tells nobody when it is done.
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let _interrupted = rustix::thread::nanosleep(&pause);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_is_what_clap_takes_for_one() {
        super::Cli::command().debug_assert();
    }
}
