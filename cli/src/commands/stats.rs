//! `mini stats`: what running containers use, now and again.

use anyhow::Result;
use runtime::cgroup::{Layout, Usage};
use runtime::state::{Entry, FindError};
use rustix::time::Timespec;
use serde_json::Value as Json;

use crate::clock::Moment;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::format::{Format, FormatArg, Row};
use crate::output::{self, size};
use crate::plan::NetworkMode;
use crate::settings::Settings;

/// Print what containers use of processors, memory, network and disks
///
/// The processor's share is of the time between two looks, a second apart, or a tenth of one with --no-stream: 100% is one processor.
/// What the kernel does not count for a container is --.
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

/// How long between two looks.
const INTERVAL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The same for one look: the kernel counts in nanoseconds, and nobody waits for an answer longer than he must.
const SHORT_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The plain table.
const TABLE: [&str; 8] = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

/// Looks, waits, looks again, prints.
pub(crate) fn stats(context: &Context, args: &StatsArgs) -> Result<ExitCode> {
    let format = Format::new::<Stats>(args.format.asked(), &TABLE)?;
    let layout = Layout::detect()?;
    let interval = if args.no_stream { SHORT_INTERVAL } else { INTERVAL };
    let host_memory = host_memory();
    // Who is named must be there at first; one that goes later is no more shown.
    let mut before = look(context, args, &layout, true)?;
    let mut screen = Screen::default();
    loop {
        // An interrupted pause is a shorter one: shares are of the time that really went by.
        let _interrupted = rustix::thread::nanosleep(&interval);
        let after = look(context, args, &layout, false)?;
        let rows: Vec<Stats> =
            after.iter().map(|now| Stats::new(now, &before, host_memory, args.no_trunc)).collect();
        let text = format.text(&rows)?;
        let redrawn = !args.no_stream && format.is_table();
        output::print(if redrawn { screen.redraw(&text) } else { text }.as_bytes())?;
        if args.no_stream {
            return Ok(ExitCode::Success);
        }
        before = after;
    }
}

/// What is drawn over what was there, as docker draws it: nothing is ever empty in between.
#[derive(Default)]
struct Screen {
    drawn: bool,
}

impl Screen {
    /// To the left upper corner, each line to its end, and nothing below. PURE.
    fn redraw(&mut self, text: &str) -> String {
        // The first time whatever was there before goes.
        let clear = if self.drawn { "" } else { "\x1b[2J" };
        self.drawn = true;
        let lines = text.lines().map(|line| format!("{line}\x1b[K\n"));
        format!("{clear}\x1b[H{}\x1b[J", lines.collect::<String>())
    }
}

/// One look at one container.
struct Look {
    entry: Entry,
    /// What it was called on the command line.
    word: Option<String>,
    at: Moment,
    usage: Usage,
    /// Bytes received and sent.
    network: Option<(u64, u64)>,
}

/// `all`: whoever is named must be there.
fn look(context: &Context, args: &StatsArgs, layout: &Layout, all: bool) -> Result<Vec<Look>> {
    let state = context.state();
    if args.containers.is_empty() {
        let mut all = state.list()?;
        all.retain(|entry| args.all || entry.status.is_running());
        all.sort_by_key(|entry| std::cmp::Reverse(entry.record.created));
        return Ok(all.into_iter().map(|entry| Look::new(context, layout, entry, None)).collect());
    }
    let mut looks = Vec::new();
    for word in &args.containers {
        match state.find(word) {
            Err(FindError::NotFound(_)) if !all => {}
            entry => looks.push(Look::new(context, layout, entry?, Some(word.clone()))),
        }
    }
    Ok(looks)
}

impl Look {
    fn new(context: &Context, layout: &Layout, entry: Entry, word: Option<String>) -> Look {
        let pid = entry.live.as_ref().filter(|_| entry.status.is_running()).map(|live| live.init.pid);
        let Some(pid) = pid else {
            // As docker: of what does not run, nothing is used.
            let nothing =
                Usage { cpu: Some(0), memory: Some(0), pids: Some(0), io: Some((0, 0)), ..Usage::default() };
            return Look { at: Moment::now(), usage: nothing, network: Some((0, 0)), entry, word };
        };
        // The host's own traffic is nobody's.
        let hosts = Settings::of(&entry.record).network == Some(NetworkMode::Host);
        Look {
            at: Moment::now(),
            usage: layout.usage(&context.group(&entry.record)),
            network: if hosts { Some((0, 0)) } else { network(pid) },
            entry,
            word,
        }
    }
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
    fn new(now: &Look, before: &[Look], host_memory: u64, whole: bool) -> Stats {
        let Look { entry, word, at, usage, network } = now;
        let record = &entry.record;
        let earlier = before.iter().find(|look| look.entry.record.id == record.id);
        let cpu = earlier.and_then(|earlier| {
            let used = usage.cpu?.checked_sub(earlier.usage.cpu?)?;
            Some(used as f64 * 100.0 / earlier.at.before(*at).max(1) as f64)
        });
        let running = entry.status.is_running();
        let limit = if running { usage.memory_limit.unwrap_or(u64::MAX).min(host_memory) } else { 0 };
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
            container: word.clone().unwrap_or_else(|| id.clone()),
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
    fn a_screen_is_drawn_over_not_emptied() {
        let mut screen = Screen::default();
        assert_eq!(screen.redraw("a\nbb\n"), "\x1b[2J\x1b[Ha\x1b[K\nbb\x1b[K\n\x1b[J");
        assert_eq!(screen.redraw("c\n"), "\x1b[Hc\x1b[K\n\x1b[J");
    }

    #[test]
    fn traffic_is_that_of_all_cards_but_the_loopback() {
        let text = "Inter-|   Receive   |  Transmit\n face |bytes packets errs\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  \
                    eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n  eth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(text), (101, 202));
    }
}
