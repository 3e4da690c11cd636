//! The monitor: one process a container, that starts it, keeps its streams and its log, and cleans up behind it.
//!
//! It is a fork of the client, single-threaded, and sheds what a daemon sheds ([`shed`]). It drives one loop
//! ([`stream`]); what happens before and after is a straight line, here.

mod charge;
mod cleanup;
mod client;
mod handover;
pub(crate) mod protocol;
mod shed;
mod stream;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use runtime::cgroup::Layout;
use runtime::create::{Created, Running};
use runtime::record::{LastRun, Live, VERSION};
use runtime::state::identify;
use runtime::sys::pidfd::Ending;
use runtime::{Failure, FailureKind};

use crate::clock;
use crate::plan::NetworkMode;
pub(crate) use charge::{Charge, Held, Start, Words};
use client::Client;
pub(crate) use handover::take_over;
use protocol::{Exit, Message};

/// Runs in the fork and never returns.
pub(crate) fn run(charge: Charge, start: Start, client: OwnedFd) -> ! {
    runtime::op::enter_process("monitor");
    let mut client = Client::new(client);
    client.send(&Message::Hello(protocol::VERSION));
    let started = shed::shed(&charge, &start).map_err(Failure::from).and_then(|()| begin(&charge, start));
    let code = match started {
        Ok(running) => supervise(charge, &mut client, running),
        Err(failure) => fail(charge, &mut client, &failure),
    };
    runtime::sys::process::exit(code)
}

/// From the plan to a running program.
fn begin(charge: &Charge, start: Start) -> Result<Running, Failure> {
    let Start { plan, init, layout, window, .. } = start;
    let born = runtime::create::clone_init(&init, &layout).map_err(other)?;
    save_live(charge, born.pid(), None)?;
    let created = born.furnish(&init, plan.stdio.interactive).map_err(|error| match error {
        runtime::create::CreateError::Init(failure) => failure,
        error => other(error),
    })?;
    if let (Some(terminal), Some((ws_row, ws_col))) = (created.terminal(), window) {
        let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        runtime::sys::terminal::set_size(terminal, size)?;
    }
    attach(charge, plan.network.mode, &created).map_err(|failure| created.reason(failure))?;
    let started = clock::now();
    let pid = created.pid();
    let running = created.start()?;
    save_live(charge, pid, Some(started))?;
    Ok(running)
}

/// The network, while init builds its root.
fn attach(charge: &Charge, mode: NetworkMode, created: &Created) -> Result<(), Failure> {
    match (mode, &charge.words.attach, &charge.held.lease) {
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
        settings: serde_json::json!({ "network": charge.words.attach }),
    };
    Ok(charge.words.state.save_live(&charge.words.dirs, &live)?)
}

/// From a running program to its exit code.
fn supervise(charge: Charge, client: &mut Client, running: Running) -> i32 {
    client.send(&Message::Started);
    let pump = stream::Pump::new(&charge.words, client, running);
    let started = clock::now();
    let ending = pump.run(|pump| handover::hand_over(&charge, pump, started));
    end(charge, client, started, ending)
}

/// Goes on with a running program, in the process that its monitor has become.
fn resume(charge: Charge, streams: &stream::Streams, mut kept: handover::Kept, started: u64) -> ! {
    crate::commands::tell_panics();
    let mut client = kept.take(handover::Role::Client).map_or_else(Client::gone_away, Client::new);
    let code = match stream::Pump::resume(&charge.words, &mut client, streams, &mut kept) {
        Some(pump) => {
            let ending = pump.run(|_| ());
            end(charge, &mut client, started, ending)
        }
        None => crate::exit_code::ExitCode::Mini.number(),
    };
    runtime::sys::process::exit(code)
}

/// The last words, and what is left.
fn end(mut charge: Charge, client: &mut Client, started: u64, ending: Ending) -> i32 {
    let last = last_run(&charge, started, ending);
    let left = cleanup::before_the_word(&mut charge, Some(last.clone()));
    let exit = Exit { code: last.code, reason: last.reason, left };
    client.send(&Message::Exit(exit));
    client.close();
    cleanup::after_the_word(&mut charge);
    0
}

/// The program never ran: what was made goes, the record stays unless nobody wants it.
fn fail(mut charge: Charge, client: &mut Client, failure: &Failure) -> i32 {
    let code = crate::exit_code::ExitCode::from(failure.kind).number();
    let last = LastRun {
        started: None,
        finished: clock::now(),
        code,
        oom_killed: false,
        reason: Some(failure.to_string()),
    };
    cleanup::before_the_word(&mut charge, Some(last));
    client.send(&Message::Failed(failure.clone()));
    client.close();
    cleanup::after_the_word(&mut charge);
    code
}

fn last_run(charge: &Charge, started: u64, ending: Ending) -> LastRun {
    let Words { cgroup, memory_limit, .. } = &charge.words;
    let killed = matches!(ending, Ending::Signaled(libc::SIGKILL)) || ending.code() == 137;
    let oom_killed = (killed || memory_limit.is_some())
        && Layout::detect().is_ok_and(|layout| layout.oom_kills(cgroup) > 0);
    let reason = if oom_killed { out_of_memory(cgroup, *memory_limit) } else { None };
    LastRun { started: Some(started), finished: clock::now(), code: ending.code(), oom_killed, reason }
}

/// Names the limit, the group and the peak.
fn out_of_memory(cgroup: &Path, limit: Option<u64>) -> Option<String> {
    let layout = Layout::detect().ok()?;
    let peak = layout.memory_peak(cgroup).map_or_else(String::new, |bytes| format!(", peak {bytes} bytes"));
    let group = layout.directory("memory", cgroup).unwrap_or_default();
    Some(match limit {
        Some(limit) => format!("out of memory: limit {limit} bytes{peak} in {}", group.display()),
        None => format!("out of memory{peak} in {}", group.display()),
    })
}

fn other(error: impl std::error::Error + 'static) -> Failure {
    let mut failure = Failure::new(FailureKind::Other, &error);
    failure.hint = crate::error::hint_of(&error);
    failure
}
