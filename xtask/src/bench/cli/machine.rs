//! What there is of everything that a run could leave behind.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Below mini's root.
const EVENTS: &str = "events";

/// How large the journal of events grows, kB: two files of 4 MiB, and the last line of each.
const LARGEST_JOURNAL: u64 = (8 << 10) + 2;

/// Counts at one moment.
pub(super) struct Counts(Vec<Count>);

/// One of them.
struct Count {
    what: &'static str,
    number: u64,
    /// By how much it may grow without meaning anything: other processes of the machine open files too.
    slack: u64,
}

impl Counts {
    /// Looks at the machine, and at mini's directories.
    pub(super) fn look(directories: &[PathBuf]) -> Counts {
        let count = |what, number, slack| Count { what, number, slack };
        let events: u64 = directories.iter().map(|directory| files(&directory.join(EVENTS)).1 >> 10).sum();
        let files: Vec<(u64, u64)> = directories.iter().map(|directory| files(directory)).collect();
        Counts(vec![
            count("mounts here (/proc/self/mountinfo)", lines("/proc/self/mountinfo"), 0),
            count("open files of the machine", first_number("/proc/sys/fs/file-nr"), 256),
            count("processes here", processes(), 2),
            count("control groups, dying ones too", control_groups(), 64),
            count("network links here", lines("/proc/self/net/dev"), 0),
            count("slab, kB", memory("Slab:"), 32 << 10),
            count(
                "kernel's page tables and stacks, kB",
                memory("PageTables:") + memory("KernelStack:"),
                4 << 10,
            ),
            // The journal has three files at most, of which the first runs have made one.
            count("files in root, run root and leases", files.iter().map(|(number, _)| number).sum(), 2),
            count(
                "bytes in them but the journal, kB",
                files.iter().map(|(_, bytes)| bytes >> 10).sum::<u64>() - events,
                16,
            ),
            count("bytes in the journal of events, kB", events, LARGEST_JOURNAL.saturating_sub(events)),
        ])
    }

    /// A line each, with the judgement. PURE.
    pub(super) fn beside(&self, after: &Counts) -> String {
        let mut text = String::new();
        for (before, after) in self.0.iter().zip(&after.0) {
            let Count { what, number, slack } = before;
            let judgement = if after.number <= number + slack { "flat" } else { "GROWN" };
            let _infallible = writeln!(text, "  {what:<40} {number:>10} {:>10}  {judgement}", after.number);
        }
        text
    }
}

fn lines(path: &str) -> u64 {
    fs::read_to_string(path).unwrap_or_default().lines().count() as u64
}

fn first_number(path: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn processes() -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count() as u64
}

/// The third column of /proc/cgroups, of all controllers.
fn control_groups() -> u64 {
    let text = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

/// kB.
fn memory(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Files and directories below a directory, and the bytes of the files.
fn files(directory: &Path) -> (u64, u64) {
    let (mut number, mut bytes) = (0, 0);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        number += 1;
        if metadata.is_dir() {
            let (below, size) = files(&entry.path());
            number += below;
            bytes += size;
        } else {
            bytes += metadata.len();
        }
    }
    (number, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_at_every_depth() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b")).unwrap();
        fs::write(directory.path().join("a/b/c"), "12345").unwrap();
        assert_eq!(files(directory.path()), (3, 5));
    }

    #[test]
    fn what_grows_beyond_its_slack_is_told() {
        let counts = |number| Counts(vec![Count { what: "x", number, slack: 2 }]);
        assert!(counts(5).beside(&counts(7)).ends_with("flat\n"));
        assert!(counts(5).beside(&counts(8)).ends_with("GROWN\n"));
        assert!(counts(5).beside(&counts(1)).ends_with("flat\n"));
    }
}
