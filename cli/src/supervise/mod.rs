//! The monitor: one process a container, that starts it, keeps its streams and its log, cleans up behind it, and starts it again
//! where that was asked for.
//!
//! It is a fork of the client, single-threaded, and sheds what a daemon sheds ([`shed`]). As long as the container runs it drives
//! one loop ([`pump`]); what happens before, between two runs ([`again`]) and after is a straight line, here.

mod again;
mod charge;
mod cleanup;
mod client;
mod clients;
mod handover;
mod health;
pub(crate) mod protocol;
mod pump;
mod shed;
mod stream;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use runtime::cgroup::Layout;
use runtime::create::{Created, Running};
use runtime::record::{LastRun, Live, Opaque, VERSION};
use runtime::state::identify;
use runtime::sys::pidfd::Ending;
use runtime::{Failure, FailureKind};

use crate::clock::{self, Moment};
use crate::plan::NetworkMode;
use crate::plan::stdio::Attach;
use crate::settings::LiveSettings;
pub(crate) use charge::{Charge, Held, Start, Words};
use clients::Clients;
use handover::Began;
pub(crate) use handover::take_over;
use protocol::{Exit, Message};
use pump::{Carried, Pump, Told};

/// Runs in the fork and never returns.
pub(crate) fn run(charge: Charge, start: Start, first: OwnedFd, streams: Attach) -> ! {
    runtime::op::enter_process("monitor");
    let mut clients = Clients::new(first, streams);
    let shed = shed::shed(&charge, &start).and_then(|()| clients.listen(charge.held.lock.as_fd()));
    let started = shed.map_err(Failure::from).and_then(|()| begin(&charge, start));
    let code = match started {
        Ok(running) => live(charge, clients, running),
        Err(failure) => fail(charge, clients, &failure),
    };
    runtime::sys::process::exit(code)
}

/// From the plan to a running program.
fn begin(charge: &Charge, start: Start) -> Result<Running, Failure> {
    let Start { plan, init, joins, layout, window, .. } = start;
    let born = runtime::create::clone_init(&init, &joins, &layout).map_err(|error| match error {
        runtime::create::CreateError::Init(failure) => failure,
        error => other(error),
    })?;
    save_live(charge, born.pid(), None)?;
    let created = born.furnish(&init, &joins, plan.stdio.interactive).map_err(|error| match error {
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
    if let Some(pidfile) = &charge.words.pidfile {
        let number = pid.as_raw_nonzero().to_string();
        runtime::sys::fs::write_for(pidfile, number.as_bytes(), 0o644, 0, 0)?;
    }
    let running = created.start()?;
    save_live(charge, pid, Some(started))?;
    charge.words.began();
    Ok(running)
}

/// The network, while init builds its root.
fn attach(charge: &Charge, mode: NetworkMode, created: &Created) -> Result<(), Failure> {
    match (mode, &charge.words.attach, &charge.held.lease) {
        (NetworkMode::Host | NetworkMode::Container | NetworkMode::Path, ..) => Ok(()),
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
        settings: Opaque::of(&LiveSettings { network: charge.words.attach.clone() }),
        between: charge.words.between.clone().filter(|_| started.is_none()),
    };
    Ok(charge.words.state.save_live(&charge.words.dirs, &live)?)
}

/// From a running program to its end, and as often as it is started again.
fn live(mut charge: Charge, mut clients: Clients, mut running: Running) -> i32 {
    loop {
        clients.tell(&Message::Started);
        let began = Began { time: clock::now(), moment: Moment::now() };
        let pump = Pump::new(&charge.words, &mut clients, running);
        let (ending, told) = pump.run(|pump| handover::hand_over(&charge, pump, began));
        match end(charge, &mut clients, began, ending, told) {
            Some(next) => (charge, running) = next,
            None => return 0,
        }
    }
}

/// Goes on with a running program, in the process that its monitor has become.
fn resume(charge: Charge, carried: &Carried, mut kept: handover::Kept, began: Began) -> ! {
    crate::commands::tell_panics();
    let mut clients = Clients::default();
    let code = match Pump::resume(&charge.words, &mut clients, carried, &mut kept) {
        Some(pump) => {
            let (ending, told) = pump.run(|pump| handover::hand_over(&charge, pump, began));
            match end(charge, &mut clients, began, ending, told) {
                Some((charge, running)) => live(charge, clients, running),
                None => 0,
            }
        }
        None => crate::exit_code::ExitCode::Mini.number(),
    };
    runtime::sys::process::exit(code)
}

/// The last words, and what is left; the next run where there is one.
fn end(
    mut charge: Charge,
    clients: &mut Clients,
    began: Began,
    ending: Ending,
    told: Told,
) -> Option<(Charge, Running)> {
    let mut last = last_run(&charge, began.time, ending);
    charge.words.keep_up();
    let Words { backoff, life, record, .. } = &mut charge.words;
    if let (true, Some(seconds)) = (told.timed_out, life.timeout) {
        last.reason.get_or_insert(format!("killed: it ran for longer than {seconds} s (--timeout)"));
    }
    record.stopped_by_user |= told.by_user;
    let delay = match told.is_last {
        true => None,
        false => backoff.next(life.restart, last.code, began.moment.ago()),
    };
    record.restarts = backoff.restarts();
    let left = cleanup::before_the_word(&mut charge, last.clone(), delay.is_some());
    charge.words.ended(&last);
    let word = Message::Exit(Exit { code: last.code, reason: last.reason, left });
    let Some(delay) = delay else {
        clients.dismiss(&word);
        cleanup::after_the_word(&mut charge);
        clients.wait_until_heard();
        cleanup::last_look(charge);
        return None;
    };
    clients.dismiss_who_stays(&word);
    cleanup::between_runs(&mut charge);
    again::start_again(charge, clients, delay)
}

/// The program never ran: what was made goes, the record stays unless nobody wants it.
fn fail(mut charge: Charge, mut clients: Clients, failure: &Failure) -> i32 {
    let code = crate::exit_code::ExitCode::from(failure.kind).number();
    let last = LastRun {
        started: None,
        finished: clock::now(),
        code,
        oom_killed: false,
        reason: Some(failure.to_string()),
    };
    cleanup::before_the_word(&mut charge, last.clone(), false);
    charge.words.ended(&last);
    clients.dismiss(&Message::Failed(failure.clone()));
    cleanup::after_the_word(&mut charge);
    clients.wait_until_heard();
    code
}

fn last_run(charge: &Charge, started: u64, ending: Ending) -> LastRun {
    let cgroup = &charge.words.cgroup;
    let layout = Layout::detect().ok().filter(|layout| layout.oom_kills(cgroup) > 0);
    let reason = layout.as_ref().map(|layout| out_of_memory(layout, cgroup));
    let oom_killed = layout.is_some();
    LastRun { started: Some(started), finished: clock::now(), code: ending.code(), oom_killed, reason }
}

/// Names the limit that it had at last, the group and the peak.
fn out_of_memory(layout: &Layout, cgroup: &Path) -> String {
    let peak = layout.memory_peak(cgroup).map_or_else(String::new, |bytes| format!(", peak {bytes} bytes"));
    let group = layout.directory("memory", cgroup).unwrap_or_default();
    match layout.memory_limit(cgroup) {
        Some(limit) => format!("out of memory: limit {limit} bytes{peak} in {}", group.display()),
        None => format!("out of memory{peak} in {}", group.display()),
    }
}

fn other(error: impl std::error::Error + 'static) -> Failure {
    let mut failure = Failure::new(FailureKind::Other, &error);
    failure.hint = crate::error::hint_of(&error);
    failure
}
