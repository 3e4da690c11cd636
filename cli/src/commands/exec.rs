//! `mini exec`: another process in a running container, as a child of this one.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::runtime::{LinuxCapabilities, Process, Spec};
use runtime::caps::{CapSet, CapSets};
use runtime::cgroup::{Cgroup, Layout};
use runtime::join::{JoinError, World, join};
use runtime::plan::{IdMap, ProcessPlan};
use runtime::record::{Live, Record};
use runtime::state::Entry;
use runtime::sys::signal;

use super::flags::KeysArgs;
use super::leave;
use crate::context::Context;
use crate::events::{Event, Journal};
use crate::exit_code::ExitCode;
use crate::explain::ExplainArgs;
use crate::launch;
use crate::output;
use crate::plan::options;
use crate::plan::request::{EnvRequest, env};
use crate::relay::{Relayed, relay};
use crate::session::FORWARDED;
use crate::settings::Settings;

/// Run a program in a running container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "mini exec [OPTIONS] CONTAINER COMMAND [ARG]…",
    after_help = "Examples:\n  mini exec -it web sh\n  mini exec -u www-data web id\n\nSee also: mini run, mini logs"
)]
pub(crate) struct ExecArgs {
    /// Keep standard input open
    #[arg(short, long, conflicts_with = "detach")]
    interactive: bool,
    /// Give the program a terminal
    #[arg(short, long, conflicts_with = "detach")]
    tty: bool,
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    keys: KeysArgs,
    /// Set an environment variable; without a value, copy it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file, a line each; -e comes after them
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Give the program every capability and no filter of system calls
    #[arg(long)]
    privileged: bool,
    /// Run as this user of the container
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The container, the program and its arguments
    // One list: whatever follows the container is the program's, flags too.
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARG]…")]
    words: Vec<String>,
}

impl ExecArgs {
    /// The container, as it was typed.
    fn container(&self) -> &str {
        &self.words[0]
    }
}

/// Joins, passes the streams, and becomes the program's exit code.
pub(crate) fn exec(context: &Context, args: &ExecArgs) -> Result<ExitCode> {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal (-it): it is not a terminal; leave -t out");
    }
    let state = context.state();
    let entry = state.find(args.container())?;
    let live = super::running(&entry)?;
    ensure!(
        !Layout::detect().is_ok_and(|layout| super::pause::is_paused(context, &layout, &entry)),
        "container {} is paused: unpause it first",
        args.container()
    );
    let config = entry.config().map_err(|error| ended(&entry, &live, error.into()))?;
    let spec: Spec = serde_json::from_slice(&config).context("the container's config is damaged")?;
    let (namespaces, uid_map, gid_map) = runtime::plan::world_of(&spec);
    let user_namespace = namespaces.contains(runtime::sys::ns::Kinds::USER);
    super::seal(user_namespace, &uid_map)?;
    let keys = args.keys.keys(context)?;
    let story = context.listen(args.explain.form())?;
    let exit = match args.tty && args.interactive {
        true => match leave::split()? {
            Ok(exit) => Some(exit),
            Err(code) => return Ok(code),
        },
        false => None,
    };
    runtime::op::step("Hold the container's first process, so that no other can be mistaken for it");
    let init = super::open_init(&entry, live.init)?;
    let mut plan = plan(args, &spec)?;
    if args.privileged {
        let own = runtime::sys::process::own_capabilities();
        let all = if user_namespace { CapSet::ALL } else { own };
        plan.capabilities = CapSets::from(&LinuxCapabilities::from(all));
        (plan.seccomp, plan.no_new_privileges) = (None, false);
    }
    if let Some(request) = Settings::of(&entry.record).request {
        plan.groups = request.options.security.groups;
    }
    let cgroup = Cgroup::of_process(live.init.pid).map_err(|error| ended(&entry, &live, error.into()))?;
    let world =
        World { init: init.as_fd(), namespaces, cgroup: &cgroup, root_ids: (root(&uid_map), root(&gid_map)) };
    // Blocked before the fork, so that none is lost.
    let signals = signal::as_descriptor(&FORWARDED)?;
    let running = match join(&world, &plan, args.interactive, args.detach) {
        Ok(running) => running,
        Err(error) => {
            // docker's rule: what its runtime could not do in the container is 126, unless the program is not there.
            let (error, otherwise) = match error {
                JoinError::Process(failure) => (failure.into(), ExitCode::NotExecutable),
                error => (anyhow::Error::from(error), ExitCode::Failure),
            };
            let error = ended(&entry, &live, error);
            let code = launch::failure_code(&error);
            output::error(&error);
            super::run::hint_at_flags(code, &args.words[1..], "container");
            return Ok(if code == ExitCode::Mini { otherwise } else { code });
        }
    };
    let told = Told { journal: context.journal(), record: &entry.record, id: crate::random::new_id()? };
    let command = args.words[1..].join(" ");
    told.tell(&[("exec_create", &command), ("exec_start", &command)]);
    if args.detach {
        story.into_iter().for_each(crate::explain::Story::tell_what_is_there);
        return Ok(ExitCode::Success);
    }
    let relayed = relay(running, &signals, args.interactive, keys)?;
    story.into_iter().for_each(crate::explain::Story::tell_what_is_there);
    match (relayed, exit) {
        (Relayed::Ended(ending), _) => {
            told.ended(ending.code());
            Ok(ExitCode::Program(ending.code()))
        }
        (Relayed::Left(relay), Some(exit)) => {
            told.tell(&[("exec_detach", &command)]);
            exit.leave(relay)
        }
        (Relayed::Left(_), None) => bail!("only a program on a terminal can be left alone"),
    }
}

/// The container's own process, with what was asked for in its places.
fn plan(args: &ExecArgs, spec: &Spec) -> Result<ProcessPlan> {
    let mut process: Process = spec.process().clone().context("the container's config has no process")?;
    process.set_args(Some(args.words[1..].to_vec())).set_terminal(Some(args.tty));
    let mut variables = process.env().clone().unwrap_or_default();
    if args.tty {
        set(&mut variables, "TERM=xterm");
    } else {
        variables.retain(|variable| variable != "TERM=xterm");
    }
    let mut wanted = Vec::new();
    for file in &args.env_file {
        let text = super::run::read(file).with_context(|| format!("cannot read {file}"))?;
        wanted.extend(options::lines(&text).map(str::to_owned));
    }
    for text in wanted.iter().chain(&args.env) {
        match env(text, &|name| std::env::var(name).ok())? {
            EnvRequest::Set(name, value) => set(&mut variables, &format!("{name}={value}")),
            EnvRequest::Unset(name) => variables.retain(|variable| key(variable) != name),
        }
    }
    process.set_env(Some(variables));
    if let Some(user) = &args.user {
        runtime::user::check(user)?;
        let mut with = process.user().clone();
        with.set_username(Some(user.clone()));
        process.set_user(with);
    }
    if let Some(directory) = &args.workdir {
        ensure!(
            directory.starts_with('/'),
            "the working directory {directory:?} is invalid: it must be an absolute path"
        );
        process.set_cwd(directory.into());
    }
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
    Ok(runtime::plan::plan_process(&process, seccomp)?)
}

/// What `mini events` shows of it.
struct Told<'a> {
    journal: Journal,
    record: &'a Record,
    /// docker's id of an exec.
    id: String,
}

impl Told<'_> {
    fn event(&self, action: &str) -> Event {
        Event::container(action, self.record).with("execID", &self.id)
    }

    fn tell(&self, actions: &[(&str, &str)]) {
        let event = |(action, command): &(&str, &str)| self.event(&format!("{action}: {command}"));
        self.journal.record(&actions.iter().map(event).collect::<Vec<_>>());
    }

    fn ended(&self, code: i32) {
        self.journal.record(&[self.event("exec_die").with("exitCode", code)]);
    }
}

/// Whatever failed on the way into a container that is going failed for that. A process that ends gives its namespaces back some
/// time before it counts as ended.
fn ended(entry: &Entry, live: &Live, error: anyhow::Error) -> anyhow::Error {
    let is_whole = std::fs::metadata(format!("/proc/{}/ns/net", live.init.pid)).is_ok();
    match is_whole && super::still_runs(entry) {
        true => error,
        false => error.context(format!("container {} has ended", entry.record.name)),
    }
}

fn key(variable: &str) -> &str {
    variable.split('=').next().unwrap_or_default()
}

fn set(variables: &mut Vec<String>, variable: &str) {
    match variables.iter_mut().find(|old| key(old) == key(variable)) {
        Some(old) => variable.clone_into(old),
        None => variables.push(variable.to_owned()),
    }
}

/// The host's id of id 0 inside.
fn root(map: &[IdMap]) -> u32 {
    map.iter().find(|line| line.container == 0).map_or(0, |line| line.host)
}
