//! What processes use: seconds of processor, and memory at its peak, of whole trees of them (proc(5), stat and statm).

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A process, as far as anybody asks.
#[derive(Debug, PartialEq)]
struct Process {
    parent: u32,
    /// Its own, of all its threads, and of those of its children that were waited for; in ticks.
    ticks: u64,
    /// Resident, in pages.
    pages: u64,
}

/// proc(5): what `sysconf(_SC_CLK_TCK)` says on every architecture of today.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE: u64 = 4096;
/// How often to look at the memory.
const INTERVAL: Duration = Duration::from_millis(5);

/// The processor time that these processes and their trees have used so far, in ms.
pub(super) fn processor(roots: &[u32]) -> f64 {
    let all = processes();
    let ticks: u64 = tree(&all, roots).iter().map(|pid| all[pid].ticks).sum();
    ticks as f64 * 1000.0 / TICKS_PER_SECOND
}

/// Watches the memory of trees of processes.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Watch {
    /// Of these roots and all below them; of the process `but` only what is below.
    pub(super) fn begin(roots: Vec<u32>, but: u32) -> Watch {
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut peak = 0;
            while !is_over.load(Ordering::Relaxed) {
                let all = processes();
                let pids = tree(&all, &roots);
                let pages: u64 = pids.iter().filter(|pid| **pid != but).map(|pid| all[pid].pages).sum();
                peak = peak.max(pages);
                thread::sleep(INTERVAL);
            }
            peak
        });
        Watch { ended, thread }
    }

    /// The peak so far, in MB.
    pub(super) fn end(self) -> f64 {
        self.ended.store(true, Ordering::Relaxed);
        (self.thread.join().expect("looking does not panic") * PAGE) as f64 / 1e6
    }
}

fn processes() -> BTreeMap<u32, Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that has ended meanwhile uses nothing.
    pids.filter_map(|pid: u32| Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// A line of /proc/PID/stat. The name, in brackets, may hold anything. PURE.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // The first field here is proc(5)'s third.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let parent = u32::try_from(number(4)?).ok()?;
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    Some(Process { parent, ticks, pages: number(24)? })
}

/// The roots and everything below them. PURE.
fn tree(all: &BTreeMap<u32, Process>, roots: &[u32]) -> Vec<u32> {
    let mut found: Vec<u32> = roots.iter().copied().filter(|pid| all.contains_key(pid)).collect();
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let children: Vec<u32> =
            all.iter().filter(|(_, child)| child.parent == parent).map(|(pid, _)| *pid).collect();
        found.extend(children.into_iter().filter(|pid| !roots.contains(pid)));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_its_name() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 9 9 0 0 10 20 30 40 20 0 1 0 99 1048576 250 18446 1 1\n";
        assert_eq!(parse(line), Some(Process { parent: 3, ticks: 100, pages: 250 }));
        assert_eq!(parse("7 (a"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_tree_is_everything_below_its_roots_once() {
        let process = |parent| Process { parent, ticks: 0, pages: 0 };
        let all = BTreeMap::from([
            (1, process(0)),
            (2, process(1)),
            (3, process(2)),
            (4, process(1)),
            (5, process(4)),
        ]);
        assert_eq!(tree(&all, &[2]), [2, 3]);
        assert_eq!(tree(&all, &[4, 1]), [4, 1, 5, 2, 3]);
        assert!(tree(&all, &[9]).is_empty());
    }

    #[test]
    fn memory_that_was_used_is_seen() {
        let own = std::process::id();
        let watch = Watch::begin(vec![own], 0);
        let used = vec![1_u8; 64 << 20];
        while fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat)).is_none() {}
        thread::sleep(INTERVAL * 20);
        assert!(watch.end() > used.len() as f64 / 1e6);
        assert!(processor(&[own]) >= 0.0);
    }
}
