//! What is left when a container has ended, in two halves: what the user may rely on when the exit code arrives, and the rest.
//!
//! A container that is started again keeps its run directory and its lock; everything else is taken anew.

use runtime::cgroup::Layout;
use runtime::op::{OpError, step};
use runtime::record::{LastRun, Live};
use runtime::sys;

use super::{Charge, Words};
use crate::donors::NETWORK_IS_SHARED;
use crate::volume;

/// Before clients are told: ports and address are free, the record says what happened, or the name is free.
///
/// Runs to the end whatever fails; returns what could not be done, first cause first.
pub(super) fn before_the_word(charge: &mut Charge, last: LastRun, again: bool) -> Vec<String> {
    step("Write down how it ended, and free what others may want: ports, address, name");
    let mut left: Vec<String> = Vec::new();
    if charge.words.shares_processes {
        step("End what is left of its processes: they share a pid namespace with others, and live on in it");
        let ended = Layout::detect().map(|layout| layout.end_processes(&charge.words.cgroup));
        left.extend(ended.ok().and_then(Result::err).map(|error| sentence(&error)));
    }
    if let (Some(plan), Some(lease)) = (&charge.words.attach, &mut charge.held.lease) {
        let mark = charge.words.dirs.run.join(NETWORK_IS_SHARED);
        if mark.exists() {
            left.extend(lease.unplug(plan).err().map(|error| sentence(&error)));
            // The next run's network namespace is another one.
            left.extend(sys::fs::remove_file(&mark).err().map(|error| sentence(&error)));
        }
        left.extend(lease.detach(plan).iter().map(|error| sentence(error)));
    }
    charge.held.ports.clear();
    left.extend(remove_pidfile(&charge.words).err().map(|error| sentence(&error)));
    let Words { state, record, dirs, context, .. } = &mut charge.words;
    if record.auto_remove
        && let Err(error) = volume::users::take_away_with(context, record)
    {
        left.push(sentence(error.as_ref()));
    }
    // First, so that nobody takes the end of a run for the container's.
    let mut written = if again { state.save_between(dirs, last.clone()) } else { Ok(()) };
    record.last = Some(last.clone());
    let finished = state.finish(dirs, record);
    if !again && !record.auto_remove {
        written = written.and(match &finished {
            Ok(()) => sys::fs::remove_file(&dirs.run.join("live.json")),
            // The disk may be full: what runs until the next boot remembers it then, and `mini system check` writes it down.
            Err(_) => state.save_between(dirs, last),
        });
    }
    left.extend(finished.err().map(|error| sentence(&error)));
    left.extend(written.err().map(|error| sentence(&error)));
    left
}

/// Another container's, written over ours, is not ours to remove.
fn remove_pidfile(words: &Words) -> Result<(), OpError> {
    let Some(pidfile) = &words.pidfile else { return Ok(()) };
    let live = std::fs::read(words.dirs.run.join("live.json")).unwrap_or_default();
    let pid = serde_json::from_slice::<Live>(&live).map(|live| live.init.pid.to_string());
    match (pid, std::fs::read_to_string(pidfile)) {
        (Ok(pid), Ok(text)) if pid == text => sys::fs::remove_file(pidfile),
        _ => Ok(()),
    }
}

/// Before it is started again: nobody else's is what it had.
pub(super) fn between_runs(charge: &mut Charge) {
    step("Give back what the next run takes anew: control groups, address, ids");
    let _found_by_check = give_back(charge);
}

/// After: groups, files, leases. Nobody waits for them.
pub(super) fn after_the_word(charge: &mut Charge) {
    step("Remove what nobody waits for: control groups and files");
    let mut results = give_back(charge);
    let Words { record, dirs, .. } = &charge.words;
    if record.auto_remove {
        results.push(sys::removal::remove_tree(&dirs.disk));
        charge.words.context.image_was_used(record);
        charge.words.context.let_images_go();
        // As the others.
        let _left = volume::users::remove_gone(&charge.words.context, record);
    }
    // Where its record could not be written, its end is kept there.
    if record.auto_remove || !dirs.run.join("live.json").exists() {
        results.push(sys::removal::remove_tree(&dirs.run));
    }
    // Nobody is left to be told. What could not be removed is found by `mini system check`.
    drop(results);
}

/// At the very end: whether the container's card has gone. Whoever starts the container again need not wait for that.
pub(super) fn last_look(charge: Charge) {
    let card = charge.words.attach.as_ref().map(network::LastCard::find);
    drop(charge);
    if let Some(Ok(Some(card))) = card {
        // As before: it is found by `mini system check`.
        let _left = card.see_off();
    }
}

fn give_back(charge: &mut Charge) -> Vec<Result<(), OpError>> {
    let Words { attach, cgroup, .. } = &charge.words;
    let mut results: Vec<_> = Layout::detect().iter().map(|layout| layout.remove(cgroup)).collect();
    if let Some(plan) = attach {
        // As the others, it can only be left undone: the kernel forgets by itself in time.
        let _forgotten = network::forget_connections(plan);
    }
    charge.held.lease = None;
    if let Some(ids) = charge.held.ids.take() {
        results.push(ids.release());
    }
    results
}

/// An error that cannot stop anything any more, with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
