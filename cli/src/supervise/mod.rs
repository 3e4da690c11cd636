//! The monitor: one process a container, that starts it, keeps its streams and its log, and cleans up behind it.
//!
//! It is a fork of the client, single-threaded, and sheds what a daemon sheds ([`shed`]). It drives one loop
//! ([`stream`]); what happens before and after is a straight line, here.

mod cleanup;
mod client;
pub(crate) mod protocol;
mod shed;
mod stream;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use network::{AttachPlan, Lease, Reserved};
use runtime::cgroup::Layout;
use runtime::create::{Created, Running};
use runtime::plan::InitPlan;
use runtime::record::{LastRun, Live, Record, VERSION};
use runtime::state::{Claim, State, identify};
use runtime::sys::pidfd::Ending;
use runtime::{Failure, FailureKind};

use crate::clock;
use crate::plan::ids::IdLease;
use crate::plan::{NetworkMode, RunPlan};
use client::Client;
use protocol::{Exit, Message};

/// What a container's start needs, and nobody afterwards.
pub(crate) struct Start {
    pub(crate) plan: RunPlan,
    pub(crate) init: InitPlan,
    /// The size of the client's terminal: (rows, columns).
    pub(crate) window: Option<(u16, u16)>,
    /// The detached monitor's own group.
    pub(crate) monitor_group: PathBuf,
}

/// What a container needs as long as it runs, and that is given back when this is dropped or its holder dies.
pub(crate) struct Charge {
    pub(crate) layout: Layout,
    pub(crate) state: State,
    pub(crate) record: Record,
    pub(crate) claim: Claim,
    pub(crate) ids: Option<IdLease>,
    pub(crate) ports: Option<Reserved>,
    pub(crate) lease: Option<Lease>,
    /// Its place on the bridge.
    pub(crate) attach: Option<AttachPlan>,
    /// `PARENT/ID`.
    pub(crate) cgroup: PathBuf,
    /// Bytes.
    pub(crate) memory_limit: Option<u64>,
    /// What stops it, signal(7).
    pub(crate) stop_signal: i32,
}

/// Runs in the fork and never returns.
pub(crate) fn run(mut charge: Charge, start: Start, client: OwnedFd) -> ! {
    runtime::op::enter_process("monitor");
    let mut client = Client::new(client);
    client.send(&Message::Hello(protocol::VERSION));
    let started = shed::shed(&charge, &start).map_err(Failure::from).and_then(|()| begin(&charge, start));
    let code = match started {
        Ok(running) => supervise(&mut charge, &mut client, running),
        Err(failure) => fail(&mut charge, &mut client, &failure),
    };
    runtime::sys::process::exit(code)
}

/// From the plan to a running program.
fn begin(charge: &Charge, start: Start) -> Result<Running, Failure> {
    let Start { plan, init, window, .. } = start;
    let born = runtime::create::clone_init(&init, &charge.layout).map_err(other)?;
    save_live(charge, born.pid(), None)?;
    let created = born.furnish(&init, plan.stdio.interactive).map_err(|error| match error {
        runtime::create::CreateError::Init(failure) => failure,
        error => other(error),
    })?;
    if let (Some(terminal), Some((ws_row, ws_col))) = (created.terminal(), window) {
        let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        runtime::sys::terminal::set_size(terminal, size)?;
    }
    attach(charge, plan.network.mode, &created)?;
    let started = clock::now();
    let pid = created.pid();
    let running = created.start()?;
    save_live(charge, pid, Some(started))?;
    Ok(running)
}

/// The network, while init builds its root.
fn attach(charge: &Charge, mode: NetworkMode, created: &Created) -> Result<(), Failure> {
    match (mode, &charge.attach, &charge.lease) {
        (NetworkMode::Host, ..) => Ok(()),
        (_, Some(plan), Some(lease)) => lease.attach(plan, created.netns()?.as_fd()).map_err(other),
        _ => network::loopback_up(created.netns()?.as_fd()).map_err(other),
    }
}

fn save_live(charge: &Charge, pid: rustix::process::Pid, started: Option<u64>) -> Result<(), Failure> {
    let live = Live {
        version: VERSION,
        init: identify(pid)?,
        monitor: identify(rustix::process::getpid())?,
        started,
        settings: serde_json::json!({ "network": charge.attach }),
    };
    Ok(charge.state.save_live(&charge.claim.dirs, &live)?)
}

/// From a running program to its exit code.
fn supervise(charge: &mut Charge, client: &mut Client, running: Running) -> i32 {
    client.send(&Message::Started);
    let started = clock::now();
    let ending = stream::pump(charge, client, running);
    let last = last_run(charge, started, ending);
    let left = cleanup::before_the_word(charge, Some(last.clone()));
    let exit = Exit { code: last.code, reason: last.reason, left };
    client.send(&Message::Exit(exit));
    client.close();
    cleanup::after_the_word(charge);
    0
}

/// The program never ran: what was made goes, the record stays unless nobody wants it.
fn fail(charge: &mut Charge, client: &mut Client, failure: &Failure) -> i32 {
    let code = crate::exit_code::ExitCode::from(failure.kind).number();
    let last = LastRun {
        started: None,
        finished: clock::now(),
        code,
        oom_killed: false,
        reason: Some(failure.to_string()),
    };
    cleanup::before_the_word(charge, Some(last));
    client.send(&Message::Failed(failure.clone()));
    client.close();
    cleanup::after_the_word(charge);
    code
}

fn last_run(charge: &Charge, started: u64, ending: Ending) -> LastRun {
    let path = &charge.cgroup;
    let limit = charge.memory_limit;
    let killed = matches!(ending, Ending::Signaled(libc::SIGKILL)) || ending.code() == 137;
    let oom_killed = (killed || limit.is_some()) && charge.layout.oom_kills(path) > 0;
    let reason = oom_killed.then(|| {
        let peak =
            charge.layout.memory_peak(path).map_or_else(String::new, |bytes| format!(", peak {bytes} bytes"));
        let group = charge.layout.directory("memory", path).unwrap_or_default();
        match limit {
            Some(limit) => format!("out of memory: limit {limit} bytes{peak} in {}", group.display()),
            None => format!("out of memory{peak} in {}", group.display()),
        }
    });
    LastRun { started: Some(started), finished: clock::now(), code: ending.code(), oom_killed, reason }
}

fn other(error: impl std::error::Error + 'static) -> Failure {
    let mut failure = Failure::new(FailureKind::Other, &error);
    failure.hint = crate::error::hint_of(&error);
    failure
}
