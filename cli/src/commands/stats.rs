//! `mini stats`: what running containers use, now and again.

use anyhow::Result;
use runtime::cgroup::{Layout, Usage};
use runtime::record::Status;
use runtime::state::Entry;
use serde_json::Value as Json;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::format::{Format, FormatArg, Row};
use crate::output::{self, size};

/// Print what containers use of processors, memory, network and disks
///
/// The processor's share is of the time between two looks, a second apart: 100% is one processor.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini stats\n  mini stats --no-stream web\n  mini stats --no-stream --format '{{.Name}} {{.MemUsage}}'\n\nPlaceholders: .Container .Name .ID .CPUPerc .MemUsage .MemPerc .NetIO .BlockIO .PIDs\n\nSee also: mini top, mini ps"
)]
pub(crate) struct StatsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Look once, and end
    #[arg(long)]
    no_stream: bool,
    /// Cut nothing short
    #[arg(long)]
    no_trunc: bool,
    #[command(flatten)]
    format: FormatArg,
    /// Only these
    containers: Vec<String>,
}

/// How long between two looks, ns.
const INTERVAL: u64 = 1_000_000_000;

/// The plain table.
const TABLE: [&str; 8] = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

/// Looks, waits, looks again, prints.
pub(crate) fn stats(context: &Context, args: &StatsArgs) -> Result<ExitCode> {
    let format = Format::new::<Stats>(args.format.asked(), &TABLE)?;
    let layout = Layout::detect()?;
    let mut before = look(context, args, &layout)?;
    loop {
        pause();
        let after = look(context, args, &layout)?;
        let rows: Vec<Stats> = after.iter().map(|now| Stats::new(now, &before, args.no_trunc)).collect();
        let mut text = String::new();
        if !args.no_stream && format.is_table() {
            // The screen is cleared, as docker clears it.
            text.push_str("\x1b[2J\x1b[H");
        }
        text += &format.text(&rows)?;
        output::print(text.as_bytes())?;
        if args.no_stream {
            return Ok(ExitCode::Success);
        }
        before = after;
    }
}

fn pause() {
    let second = rustix::time::Timespec { tv_sec: (INTERVAL / 1_000_000_000).cast_signed(), tv_nsec: 0 };
    // An interrupted pause is a shorter one: shares are of the time that really went by.
    let _interrupted = rustix::thread::nanosleep(&second);
}

/// One look at one container.
struct Look {
    entry: Entry,
    /// ns since 1970.
    at: u64,
    usage: Usage,
    /// Bytes received and sent.
    network: Option<(u64, u64)>,
    /// The host's memory, bytes.
    host_memory: u64,
}

fn look(context: &Context, args: &StatsArgs, layout: &Layout) -> Result<Vec<Look>> {
    let state = context.state();
    let mut entries = if args.containers.is_empty() {
        let mut all = state.list()?;
        all.retain(|entry| args.all || matches!(entry.status, Status::Running { .. }));
        all.sort_by_key(|entry| std::cmp::Reverse(entry.record.created));
        all
    } else {
        args.containers.iter().map(|word| state.find(word)).collect::<Result<Vec<_>, _>>()?
    };
    let host_memory = host_memory();
    Ok(entries
        .drain(..)
        .map(|entry| {
            let running = matches!(entry.status, Status::Running { .. });
            let pid = entry.live.as_ref().filter(|_| running).map(|live| live.init.pid);
            Look {
                at: clock::now(),
                usage: if running { layout.usage(&context.group(&entry.record)) } else { Usage::default() },
                network: pid.and_then(network),
                host_memory,
                entry,
            }
        })
        .collect())
}

/// Of the host, bytes.
pub(crate) fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|total| total.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

fn network(pid: i32) -> Option<(u64, u64)> {
    Some(traffic(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?))
}

/// Bytes received and sent by all cards but the loopback (proc_pid_net(5)). PURE.
fn traffic(text: &str) -> (u64, u64) {
    let (mut received, mut sent) = (0, 0);
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else { continue };
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if name.trim() != "lo" && counters.len() >= 9 {
            received += counters[0];
            sent += counters[8];
        }
    }
    (received, sent)
}

/// A container as it is listed.
#[derive(Debug)]
struct Stats {
    block_io: String,
    cpu: String,
    container: String,
    id: String,
    memory_share: String,
    memory: String,
    name: String,
    network: String,
    pids: String,
}

impl Row for Stats {
    const KIND: &'static str = "stats";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("BlockIO", "BLOCK I/O"),
        ("CPUPerc", "CPU %"),
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("MemPerc", "MEM %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("Name", "NAME"),
        ("NetIO", "NET I/O"),
        ("PIDs", "PIDS"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        let text = match name {
            "BlockIO" => &self.block_io,
            "CPUPerc" => &self.cpu,
            "Container" => &self.container,
            "ID" => &self.id,
            "MemPerc" => &self.memory_share,
            "MemUsage" => &self.memory,
            "Name" => &self.name,
            "NetIO" => &self.network,
            "PIDs" => &self.pids,
            _ => return None,
        };
        Some(text.as_str().into())
    }
}

impl Stats {
    fn new(now: &Look, before: &[Look], whole: bool) -> Stats {
        let Look { entry, at, usage, network, host_memory } = now;
        let record = &entry.record;
        let earlier = before.iter().find(|look| look.entry.record.id == record.id);
        let cpu = earlier.and_then(|earlier| {
            let used = usage.cpu?.checked_sub(earlier.usage.cpu?)?;
            Some(used as f64 * 100.0 / (at.saturating_sub(earlier.at)).max(1) as f64)
        });
        let limit = usage.memory_limit.unwrap_or(*host_memory).min(*host_memory);
        let missing = || "--".to_owned();
        let pair = |pair: Option<(u64, u64)>| {
            pair.map_or_else(missing, |(one, other)| {
                format!("{} / {}", size::decimal(one), size::decimal(other))
            })
        };
        let id = if whole { record.id.clone() } else { record.id[..12].to_owned() };
        Stats {
            block_io: pair(usage.io),
            cpu: cpu.map_or_else(missing, |share| format!("{share:.2}%")),
            container: id.clone(),
            id,
            memory_share: usage
                .memory
                .map_or_else(missing, |used| format!("{:.2}%", used as f64 * 100.0 / limit.max(1) as f64)),
            memory: usage.memory.map_or_else(
                || "-- / --".to_owned(),
                |used| format!("{} / {}", size::binary(used), size::binary(limit)),
            ),
            name: record.name.clone(),
            network: pair(*network),
            pids: usage.pids.map_or_else(missing, |pids| pids.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_that_of_all_cards_but_the_loopback() {
        let text = "Inter-|   Receive   |  Transmit\n face |bytes packets errs\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  \
                    eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n  eth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(text), (101, 202));
    }
}
