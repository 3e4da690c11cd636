//! What is left when a container has ended, in two halves: what the user may rely on when the exit code arrives, and the rest.

use runtime::op::step;
use runtime::record::LastRun;
use runtime::sys;

use super::Charge;

/// Before the client is told: ports and address are free, the record says what happened, or the name is free.
///
/// Runs to the end whatever fails; returns what could not be done, first cause first.
pub(super) fn before_the_word(charge: &mut Charge, last: Option<LastRun>) -> Vec<String> {
    step("Write down how it ended, and free what others may want: ports, address, name");
    let mut left: Vec<String> = Vec::new();
    if let (Some(plan), Some(lease)) = (&charge.attach, &mut charge.lease) {
        left.extend(lease.detach(plan).iter().map(|error| sentence(error)));
    }
    charge.ports = None;
    charge.record.last = last;
    let written = if charge.record.auto_remove {
        charge.state.forget(&charge.record.id, &charge.record.name)
    } else {
        let saved = charge.state.save(&charge.claim.dirs, &charge.record);
        saved.and(sys::fs::remove_file(&charge.claim.dirs.run.join("live.json")))
    };
    left.extend(written.err().map(|error| sentence(&error)));
    left
}

/// After: groups, files, leases. Nobody waits for them.
pub(super) fn after_the_word(charge: &mut Charge) {
    step("Remove what nobody waits for: control groups and files");
    let dirs = &charge.claim.dirs;
    let mut results = vec![charge.layout.remove(&charge.cgroup)];
    if charge.record.auto_remove {
        results.push(sys::fs::remove_tree(&dirs.disk));
    }
    results.push(sys::fs::remove_tree(&dirs.run));
    if let Some(plan) = &charge.attach {
        // As the others, it can only be left undone: the kernel forgets by itself in time.
        let _forgotten = network::forget_connections(plan);
    }
    charge.lease = None;
    if let Some(ids) = charge.ids.take() {
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
