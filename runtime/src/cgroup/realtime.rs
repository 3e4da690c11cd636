//! Realtime processes in control groups of version 1: a group may have so much of a period as the one above it can give.
//!
//! Groups are made with nothing. Where a container is to have something, those above it are given as much as their children have
//! together (Documentation/scheduler/sched-rt-group.rst); what the root has is the host's, and is not touched.

use std::fs;
use std::path::{Path, PathBuf};

use super::subdirectories;
use crate::op::{OpError, step};
use crate::sys::control::write_control;

const RUNTIME: &str = "cpu.rt_runtime_us";
const PERIOD: &str = "cpu.rt_period_us";

/// Lets the groups above `path` have enough for a child of theirs that is to have `runtime` µs of its period.
///
/// # Errors
/// What write(2) answered: `EINVAL` where the host has no more to give.
pub(super) fn make_room(root: &Path, path: &Path, runtime: u64) -> Result<(), OpError> {
    step("Let the groups above have as much realtime as those below them");
    let mut share = runtime as f64 / number(&root.join(path), PERIOD).max(1) as f64;
    let mut wanted: Vec<(PathBuf, u64)> = Vec::new();
    let mut child = root.join(path);
    for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        let parent = root.join(parent);
        let others =
            subdirectories(&parent).into_iter().filter(|group| *group != child).map(|group| share_of(&group));
        let (own, enough) =
            enough(number(&parent, RUNTIME), number(&parent, PERIOD), share + others.sum::<f64>());
        share = own;
        wanted.extend(enough.map(|enough| (parent.clone(), enough)));
        child = parent;
    }
    // From the top: each may have only what the one above has.
    wanted
        .iter()
        .rev()
        .try_for_each(|(group, enough)| write_control(&group.join(RUNTIME), &enough.to_string()))
}

/// The share that a group comes to have, and the runtime that must be written for it, where it has not got it yet. PURE.
fn enough(runtime: u64, period: u64, share: f64) -> (f64, Option<u64>) {
    let needed = (share * period as f64).ceil() as u64;
    let most = needed.max(runtime);
    (most as f64 / period.max(1) as f64, (needed > runtime).then_some(needed))
}

fn share_of(group: &Path) -> f64 {
    number(group, RUNTIME) as f64 / number(group, PERIOD).max(1) as f64
}

fn number(group: &Path, file: &str) -> u64 {
    fs::read_to_string(group.join(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::enough;

    #[test]
    fn a_group_has_what_its_children_have_together() {
        assert_eq!(enough(0, 1_000_000, 0.25), (0.25, Some(250_000)));
        assert_eq!(enough(500_000, 1_000_000, 0.25), (0.5, None));
        assert_eq!(enough(0, 3, 0.5), (2.0 / 3.0, Some(2)));
        assert_eq!(enough(0, 0, 0.5), (0.0, None));
    }
}
