//! What is left when a container has ended, in two halves: what the user may rely on when the exit code arrives, and the rest.

use runtime::cgroup::Layout;
use runtime::op::step;
use runtime::record::LastRun;
use runtime::sys;

use super::{Charge, Words};

/// Before the client is told: ports and address are free, the record says what happened, or the name is free.
///
/// Runs to the end whatever fails; returns what could not be done, first cause first.
pub(super) fn before_the_word(charge: &mut Charge, last: Option<LastRun>) -> Vec<String> {
    step("Write down how it ended, and free what others may want: ports, address, name");
    let mut left: Vec<String> = Vec::new();
    if let (Some(plan), Some(lease)) = (&charge.words.attach, &mut charge.held.lease) {
        left.extend(lease.detach(plan).iter().map(|error| sentence(error)));
    }
    charge.held.ports.clear();
    let Words { state, record, dirs, .. } = &mut charge.words;
    record.last = last;
    let mut written = state.finish(dirs, record);
    if !record.auto_remove {
        written = written.and(sys::fs::remove_file(&dirs.run.join("live.json")));
    }
    left.extend(written.err().map(|error| sentence(&error)));
    left
}

/// After: groups, files, leases. Nobody waits for them.
pub(super) fn after_the_word(charge: &mut Charge) {
    step("Remove what nobody waits for: control groups and files");
    let Words { record, dirs, attach, cgroup, .. } = &charge.words;
    let mut results: Vec<_> = Layout::detect().iter().map(|layout| layout.remove(cgroup)).collect();
    if record.auto_remove {
        results.push(sys::removal::remove_tree(&dirs.disk));
    }
    results.push(sys::removal::remove_tree(&dirs.run));
    if let Some(plan) = attach {
        // As the others, it can only be left undone: the kernel forgets by itself in time.
        let _forgotten = network::forget_connections(plan);
    }
    charge.held.lease = None;
    if let Some(ids) = charge.held.ids.take() {
        results.push(ids.release());
    }
    // Nobody is left to be told. What could not be removed is found by `mini system check`.
    drop(results);
}

/// An error that cannot stop anything any more, with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
