//! What a container uses, as its control groups count it (cpuacct.rst, memory.rst and pids.rst of cgroup-v1; cgroup-v2.rst).

use std::fs;
use std::path::Path;

use super::Layout;

/// One look at the counters; `None` where the host does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since its group was made, ns.
    pub cpu: Option<u64>,
    /// Memory, bytes: without what the page cache would give up first.
    pub memory: Option<u64>,
    /// The limit of it, bytes; `None` where there is none.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes read from and written to disks.
    pub io: Option<(u64, u64)>,
}

impl Layout {
    /// Reads the counters of a container's groups.
    pub fn usage(&self, path: &Path) -> Usage {
        let read = |controller: &str, file: &str| {
            fs::read_to_string(self.directory(controller, path)?.join(file)).ok()
        };
        let number = |controller: &str, file: &str| read(controller, file)?.trim().parse::<u64>().ok();
        match self {
            Layout::V1(_) => {
                // First: the caller has looked at the clock just before.
                let cpu = number("cpuacct", "cpuacct.usage");
                let idle = read("memory", "memory.stat").and_then(|text| field(&text, "total_inactive_file"));
                Usage {
                    cpu,
                    memory: number("memory", "memory.usage_in_bytes")
                        .map(|bytes| bytes.saturating_sub(idle.unwrap_or(0))),
                    memory_limit: self.memory_limit(path),
                    pids: number("pids", "pids.current"),
                    // Only those with a limit of theirs are in a group of it.
                    io: read("blkio", "blkio.throttle.io_service_bytes_recursive").map(|text| served(&text)),
                }
            }
            Layout::V2(_) => {
                let micros = read("cpu", "cpu.stat").and_then(|text| field(&text, "usage_usec"));
                let idle = read("memory", "memory.stat").and_then(|text| field(&text, "inactive_file"));
                Usage {
                    cpu: micros.map(|micros| micros * 1000),
                    memory: number("memory", "memory.current")
                        .map(|bytes| bytes.saturating_sub(idle.unwrap_or(0))),
                    memory_limit: self.memory_limit(path),
                    pids: number("pids", "pids.current"),
                    io: read("io", "io.stat").map(|text| disks(&text)),
                }
            }
        }
    }
}

/// `KEY NUMBER`, a line each. PURE.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `8:0 rbytes=1 wbytes=2 …`, a line a disk: bytes read and written on all of them. PURE.
fn disks(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let words = text.split_whitespace();
        words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok()).sum()
    };
    (sum("rbytes"), sum("wbytes"))
}

/// `8:0 Read 1`, `8:0 Write 2` and others, a line each: bytes read and written on all disks. PURE.
fn served(text: &str) -> (u64, u64) {
    let sum = |what: &str| {
        let numbers = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().filter(|word| *word == what)?;
            words.next()?.parse::<u64>().ok()
        });
        numbers.sum()
    };
    (sum("Read"), sum("Write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_whole_name() {
        let text = "inactive_file_x 1\ntotal_inactive_file 5\ninactive_file 4096\n";
        assert_eq!(field(text, "inactive_file"), Some(4096));
        assert_eq!(field(text, "active_file"), None);
    }

    #[test]
    fn disks_are_added_up() {
        let text = "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2\n";
        assert_eq!(disks(text), (11, 22));
        assert_eq!(disks(""), (0, 0));
        let text =
            "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\n8:16 Read 1\n8:16 Write 2\nTotal 33\n";
        assert_eq!(served(text), (11, 22));
        assert_eq!(served("Total 0\n"), (0, 0));
    }
}
