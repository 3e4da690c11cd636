//! One look at one process, and what of the host makes its numbers meaningful (proc(5)).

use std::fs;

use anyhow::{Context as _, Result};

use crate::clock;

/// What makes the numbers of /proc/PID/stat meaningful.
pub(super) struct Host {
    /// When it booted, seconds since 1970.
    pub(super) boot: u64,
    /// Seconds since 1970.
    pub(super) now: u64,
    /// Clock ticks since it booted.
    uptime: u64,
    /// Clock ticks in a second.
    pub(super) ticks: u64,
    /// Bytes.
    pub(super) page: u64,
    /// Bytes.
    pub(super) memory: u64,
    passwd: String,
    group: String,
}

impl Host {
    pub(super) fn look() -> Result<Host> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let ticks = rustix::param::clock_ticks_per_second();
        let uptime = fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
        let seconds: f64 = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
        Ok(Host {
            uptime: (seconds * ticks as f64) as u64,
            boot: boot.context("/proc/stat does not say when the host booted")?,
            now: clock::now() / 1_000_000_000,
            ticks,
            page: rustix::param::page_size() as u64,
            memory: super::super::stats::host_memory(),
            passwd: fs::read_to_string("/etc/passwd").unwrap_or_default(),
            group: fs::read_to_string("/etc/group").unwrap_or_default(),
        })
    }

    /// A user's name, or its number where the host has none for it.
    pub(super) fn user(&self, uid: u32) -> String {
        name(&self.passwd, uid)
    }

    /// A group's name, or its number where the host has none for it.
    pub(super) fn group(&self, gid: u32) -> String {
        name(&self.group, gid)
    }
}

/// `NAME:x:ID:…`, a line each (passwd(5), group(5)). PURE.
pub(crate) fn name(text: &str, id: u32) -> String {
    let id = id.to_string();
    let mut lines = text.lines().map(|line| line.split(':'));
    let found =
        lines.find_map(|mut fields| Some((fields.next()?, fields.nth(1)?)).filter(|(_, known)| *known == id));
    found.map_or(id.clone(), |(name, _)| name.to_owned())
}

/// A process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) name: String,
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Device number of its terminal.
    pub(super) terminal: i32,
    /// The terminal's foreground process group.
    pub(super) foreground: i32,
    /// Processor time, clock ticks.
    pub(super) used: u64,
    pub(super) priority: i64,
    pub(super) nice: i64,
    pub(super) threads: u64,
    /// Clock ticks after the boot.
    pub(super) started: u64,
    /// Bytes.
    pub(super) size: u64,
    /// In memory, kB: status counts exactly, stat by guess.
    pub(super) resident: u64,
    pub(super) processor: u64,
    /// Real and effective.
    pub(super) uids: [u32; 2],
    /// Real and effective.
    pub(super) gids: [u32; 2],
    /// It keeps pages from being swapped out.
    pub(super) locks_memory: bool,
    /// Program and arguments, each ended by a NUL.
    pub(super) arguments: Vec<u8>,
}

impl Process {
    /// `None` where it has ended meanwhile.
    pub(super) fn look(pid: i32) -> Option<Process> {
        // Both have the name that the program calls itself by, which need be no text.
        let text = |name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (stat, status) = (text("stat")?, text("status")?);
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Process::parse(&stat, &status, arguments)
    }

    /// PURE.
    fn parse(stat: &str, status: &str, arguments: Vec<u8>) -> Option<Process> {
        // A process may call itself what it likes, with brackets and blanks: its name ends at the last bracket.
        let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
        let fields: Vec<&str> = stat.get(end + 2..)?.split_whitespace().collect();
        // As proc_pid_stat(5) numbers them; the third is the first behind the name.
        fn number<T: std::str::FromStr>(fields: &[&str], field: usize) -> Option<T> {
            fields.get(field - 3)?.parse().ok()
        }
        let ids = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            let mut ids = line.split_whitespace().filter_map(|id| id.parse().ok());
            Some([ids.next()?, ids.next()?])
        };
        // A kernel thread has none of these.
        let kilobytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
        };
        Some(Process {
            pid: stat.get(..begin)?.trim().parse().ok()?,
            name: stat.get(begin + 1..end)?.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: number(&fields, 4)?,
            group: number(&fields, 5)?,
            session: number(&fields, 6)?,
            terminal: number(&fields, 7)?,
            foreground: number(&fields, 8)?,
            used: number::<u64>(&fields, 14)? + number::<u64>(&fields, 15)?,
            priority: number(&fields, 18)?,
            nice: number(&fields, 19)?,
            threads: number(&fields, 20)?,
            started: number(&fields, 22)?,
            size: number(&fields, 23)?,
            resident: kilobytes("VmRSS:"),
            processor: number(&fields, 39)?,
            uids: ids("Uid:")?,
            gids: ids("Gid:")?,
            locks_memory: kilobytes("VmLck:") > 0,
            arguments,
        })
    }

    /// Where it sleeps in the kernel.
    pub(super) fn sleeps_in(&self) -> String {
        let place = fs::read_to_string(format!("/proc/{}/wchan", self.pid)).unwrap_or_default();
        if place.is_empty() || place == "0" { "-".to_owned() } else { place }
    }

    /// Seconds since 1970.
    pub(super) fn started_at(&self, host: &Host) -> u64 {
        host.boot + self.started / host.ticks
    }

    /// Seconds.
    pub(super) fn age(&self, host: &Host) -> u64 {
        host.uptime.saturating_sub(self.started) / host.ticks
    }

    /// Processor time, seconds.
    pub(super) fn seconds(&self, host: &Host) -> u64 {
        self.used / host.ticks
    }

    /// The share of one processor that it has used since it was made, thousandths.
    pub(super) fn share(&self, host: &Host) -> u64 {
        self.used * 1000 / host.ticks / self.age(host).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_calls_itself() {
        let stat = "12 (a) b (c) S 7 12 11 34817 13 4194560 1 2 3 4 150 50 0 0 20 -5 3 0 9000 4096 25 18446744073709551615 \
                    1 2 3 4 5 6 7 8 9 0 0 0 17 1 0 0 0 0 0";
        let status =
            "Name:\ta) b (c\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t6\t6\nVmLck:\t       0 kB\nVmRSS:\t    25 kB\n";
        let expected = Process {
            pid: 12,
            name: "a) b (c".into(),
            state: 'S',
            parent: 7,
            group: 12,
            session: 11,
            terminal: 34817,
            foreground: 13,
            used: 200,
            priority: 20,
            nice: -5,
            threads: 3,
            started: 9000,
            size: 4096,
            resident: 25,
            processor: 1,
            uids: [1000, 0],
            gids: [5, 6],
            locks_memory: false,
            arguments: b"x\0".to_vec(),
        };
        assert_eq!(Process::parse(stat, status, b"x\0".to_vec()), Some(expected));
        assert_eq!(Process::parse("12 (x", status, Vec::new()), None);
        assert_eq!(Process::parse(stat, "", Vec::new()), None);
    }

    #[test]
    fn names_are_looked_up_by_whole_numbers() {
        let text = "root:x:0:0:root:/root:/bin/sh\nsync:x:4:65534:sync:/bin:/bin/sync\n";
        assert_eq!([name(text, 0), name(text, 4), name(text, 40)], ["root", "sync", "40"]);
    }
}
