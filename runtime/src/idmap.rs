//! Id maps: container ids 0 to n are a range of the host's that belongs to nobody else (user_namespaces(7)).

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::Pid;

use crate::op::{OpError, step};
use crate::plan::IdMap;
use crate::sys;

/// Writes both maps of `pid`'s new user namespace and returns a descriptor of that namespace.
///
/// # Errors
/// What open(2) or write(2) answered: `EPERM` where this process may not map these ids.
pub fn write_maps(pid: Pid, uid_map: &[IdMap], gid_map: &[IdMap]) -> Result<OwnedFd, OpError> {
    step("Give the container's ids a range of the host's own: its root is nobody here");
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    sys::control::write_control(&proc.join("gid_map"), &text(gid_map))?;
    sys::control::write_control(&proc.join("uid_map"), &text(uid_map))?;
    user_namespace(pid)
}

/// A descriptor of `pid`'s user namespace.
///
/// # Errors
/// What open(2) answered.
pub fn user_namespace(pid: Pid) -> Result<OwnedFd, OpError> {
    sys::control::open_namespace(pid, "user")
}

/// A map as the kernel tells it: `FIRST-INSIDE FIRST-OUTSIDE HOW-MANY`, a line an entry (user_namespaces(7)). PURE.
pub fn parse(text: &str) -> Vec<IdMap> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(IdMap { container: next()?, host: next()?, size: next()? })
    };
    text.lines().filter_map(line).collect()
}

/// The form that the kernel reads: one line an entry.
fn text(map: &[IdMap]) -> String {
    map.iter().map(|line| format!("{} {} {}\n", line.container, line.host, line.size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_a_line_an_entry() {
        let map = [
            IdMap { container: 0, host: 2_147_483_648, size: 65_536 },
            IdMap { container: 1_000_000, host: 2_147_549_184, size: 1 },
        ];
        assert_eq!(text(&map), "0 2147483648 65536\n1000000 2147549184 1\n");
        assert_eq!(parse(&text(&map)), map);
        let all = [IdMap { container: 0, host: 0, size: u32::MAX }];
        assert_eq!(parse("         0          0 4294967295\n"), all);
        assert_eq!(parse(""), []);
    }
}
