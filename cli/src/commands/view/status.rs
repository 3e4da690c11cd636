//! /proc/PID/status, as far as both sides are compared (proc_pid_status(5)). PURE but for the reading.

use std::fs;

use anyhow::{Context as _, Result};
use runtime::caps::CapSet;

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) state: char,
    /// What it calls itself.
    pub(super) name: String,
    /// Its numbers, from this process's pid namespace to its own.
    pub(super) numbers: Vec<i32>,
    /// Real, effective, saved, of files.
    pub(super) uids: Vec<u32>,
    /// The same.
    pub(super) gids: Vec<u32>,
    pub(super) groups: Vec<u32>,
    pub(super) effective: CapSet,
    pub(super) bounding: CapSet,
    pub(super) no_new_privileges: bool,
    /// 0: none, 1: strict, 2: a filter.
    pub(super) seccomp: u32,
    /// How many filters; `None` before Linux 5.9.
    pub(super) filters: Option<u32>,
}

impl Status {
    /// Of a process by number, or of `self`.
    ///
    /// # Errors
    /// Where it has ended.
    pub(super) fn read(pid: &str) -> Result<Status> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            let bytes = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
            Ok::<_, anyhow::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let name = read("comm")?;
        Ok(Status::parse(&read("status")?, name.trim_end_matches('\n')))
    }

    /// `name` is the one of `comm`, which is not written in a form of its own.
    fn parse(text: &str, name: &str) -> Status {
        let field = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            found.unwrap_or_default().trim()
        };
        let bits = |key: &str| CapSet::from_bits(u64::from_str_radix(field(key), 16).unwrap_or(0));
        fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        }
        Status {
            pid: field("Pid").parse().unwrap_or(0),
            parent: field("PPid").parse().unwrap_or(0),
            state: field("State").chars().next().unwrap_or('?'),
            name: name.to_owned(),
            numbers: numbers(field("NSpid")),
            uids: numbers(field("Uid")),
            gids: numbers(field("Gid")),
            groups: numbers(field("Groups")),
            effective: bits("CapEff"),
            bounding: bits("CapBnd"),
            no_new_privileges: field("NoNewPrivs") == "1",
            seccomp: field("Seccomp").parse().unwrap_or(0),
            filters: field("Seccomp_filters").parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_whole_names() {
        let text = "Name:\tx\\ny\nState:\tS (sleeping)\nPid:\t88\nPPid:\t7\nUid:\t5\t6\t7\t8\nGid:\t0\t0\t0\t0\nGroups:\t3 4 \n\
                    NSpid:\t88\t1\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000003\nNoNewPrivs:\t1\nSeccomp:\t2\n\
                    Seccomp_filters:\t1\n";
        let expected = Status {
            pid: 88,
            parent: 7,
            state: 'S',
            name: "x\ny".into(),
            numbers: vec![88, 1],
            uids: vec![5, 6, 7, 8],
            gids: vec![0, 0, 0, 0],
            groups: vec![3, 4],
            effective: CapSet::from_bits(1),
            bounding: CapSet::from_bits(3),
            no_new_privileges: true,
            seccomp: 2,
            filters: Some(1),
        };
        assert_eq!(Status::parse(text, "x\ny"), expected);
        assert_eq!(Status::parse("", "").filters, None);
    }
}
