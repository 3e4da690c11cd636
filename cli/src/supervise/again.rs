//! Between two runs of a container: the wait, whoever comes in meanwhile, and the next start.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result};
use runtime::create::Running;
use runtime::op::step;
use runtime::record::LastRun;
use runtime::state::StateError;
use runtime::sys::signal;
use runtime::{Failure, FailureKind};
use rustix::event::{PollFd, PollFlags};

use super::clients::Clients;
use super::protocol::{Exit, Message};
use super::pump::Told;
use super::{Charge, Start, Words, cleanup};
use crate::clock::{self, Moment};
use crate::exit_code::ExitCode;
use crate::settings::Settings;

/// Waits, and starts it again, until it runs or somebody has told it to end. A start that fails is a run that failed.
pub(super) fn start_again(
    mut charge: Charge,
    clients: &mut Clients,
    mut delay: u64,
) -> Option<(Charge, Running)> {
    crate::explain::fall_silent();
    loop {
        let told = wait(clients, Moment::after(delay));
        if told.is_last {
            give_up(&mut charge, clients, told);
            return None;
        }
        let failure = match unchanged(|| next(&charge)) {
            Ok((mut next, start)) => match super::begin(&next, start) {
                Ok(running) => return Some((next, running)),
                Err(failure) => {
                    cleanup::between_runs(&mut next);
                    failure
                }
            },
            Err(error) => Failure::said(FailureKind::Other, error.chain().map(ToString::to_string).collect()),
        };
        let Some(longer) = failed(&mut charge, &failure) else {
            give_up(&mut charge, clients, Told::default());
            return None;
        };
        delay = longer;
    }
}

/// Whoever comes in while nothing runs is told so, unless it is to say that nothing is to run any more.
fn wait(clients: &mut Clients, until: Moment) -> Told {
    step("Wait a moment before it is started again: one that always fails must not use up the machine");
    let signals = signal::as_descriptor(&[libc::SIGTERM]).ok();
    while !until.is_past() {
        let mut waits = Vec::new();
        let mut places = Vec::new();
        for (place, client, socket) in clients.present() {
            let also = if client.is_busy() { PollFlags::OUT } else { PollFlags::empty() };
            waits.push(PollFd::from_borrowed_fd(socket, PollFlags::IN | also));
            places.push(place);
        }
        waits.extend(clients.listener().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        waits.extend(signals.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // An interrupted wait is tried again by the loop.
        let _interrupted = rustix::event::poll(&mut waits, Some(&until.left()));
        let said: Vec<bool> = waits.iter().map(|wait| wait.revents().contains(PollFlags::IN)).collect();
        if signals.as_ref().is_some_and(|signals| signal::next(signals.as_fd()).is_some()) {
            return Told { is_last: true, ..Told::default() };
        }
        clients.let_in();
        for (place, said) in places.into_iter().zip(said) {
            let Some(client) = clients.at(place) else { continue };
            client.flush();
            let Some(packet) = said.then(|| client.receive()).flatten() else { continue };
            match Message::decode(&packet) {
                Some(Message::End(end)) => {
                    client.dismiss(&Message::Taken);
                    if end.last {
                        clients.forget_gone();
                        return Told { is_last: true, by_user: true, ..Told::default() };
                    }
                }
                Some(Message::Attach(_)) => {
                    let words = vec!["it is restarting: wait until it is running".to_owned()];
                    client.dismiss(&Message::Failed(Failure::said(FailureKind::Other, words)));
                }
                _ => {}
            }
        }
        clients.forget_gone();
    }
    Told::default()
}

/// Once more where `mini update` came in between the reading and the writing.
fn unchanged<T>(mut prepare: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match prepare() {
            Err(error) if matches!(error.downcast_ref(), Some(StateError::Changed(_))) => {}
            other => return other,
        }
    }
}

/// Everything that the next run needs, from what is written down by now.
fn next(charge: &Charge) -> Result<(Charge, Start)> {
    let Words { context, record, backoff, .. } = &charge.words;
    let entry = context.state().load(&record.id)?.context("it was removed meanwhile")?;
    let mut request =
        Settings::of(&entry.record).request.context("nothing is written down of how it was made")?;
    request.detached = true;
    let found = crate::donors::find(context, &mut request)?;
    let (image, _pin) = context.image_of(&entry.record)?;
    let facts = crate::commands::run::facts(context, &request)?;
    let lock = charge.held.lock.try_clone().context("cannot keep the container's lock")?;
    let (mut next, start) =
        crate::prepare::prepare_again(context, entry.record, &request, &image, facts, found, lock)?;
    next.words.backoff = *backoff;
    next.words.between.clone_from(&record.last);
    Ok((next, start))
}

/// Writes down that a start failed; how long to wait for the next one, where there is one.
fn failed(charge: &mut Charge, failure: &Failure) -> Option<u64> {
    let now = clock::now();
    let code = ExitCode::from(failure.kind).number();
    let last = LastRun {
        started: Some(now),
        finished: now,
        code,
        oom_killed: false,
        reason: Some(failure.to_string()),
    };
    let Words { backoff, life, record, .. } = &mut charge.words;
    let delay = backoff.next(life.restart, code, 0);
    record.restarts = backoff.restarts();
    cleanup::before_the_word(charge, last.clone(), delay.is_some());
    charge.words.ended(&last);
    delay
}

/// It stays as it is now.
fn give_up(charge: &mut Charge, clients: &mut Clients, told: Told) {
    charge.words.record.stopped_by_user |= told.by_user;
    if let Some(last) = charge.words.record.last.clone() {
        let left = cleanup::before_the_word(charge, last.clone(), false);
        // Others may have come in meanwhile, to say the same.
        clients.dismiss(&Message::Exit(Exit { code: last.code, reason: last.reason, left }));
    }
    cleanup::after_the_word(charge);
    clients.wait_until_heard();
}
