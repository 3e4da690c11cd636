//! What a process of the lab sees: files of /proc opened from where it is, by somebody who is there.
//!
//! The kernel shows ids as the opener's user namespace has them, control groups and mounts as the reader's do: the same file
//! says one thing outside and another inside.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::Lab;
use crate::learn::signals::Interrupted;

/// The machine's /proc, carried into the namespaces of a process.
#[derive(Debug)]
pub(crate) struct View {
    proc: OwnedFd,
    /// Whose eyes these are, as the machine numbers it.
    pub(crate) pid: i32,
    /// The first process of each of the groups that lessons make.
    members: [(&'static str, Option<i32>); 2],
}

impl View {
    /// A file of this process's own directory below /proc; empty where it cannot be read.
    pub(crate) fn own(&self, file: &str) -> String {
        self.of(self.pid, file)
    }

    /// A file of another process's.
    pub(crate) fn of(&self, pid: i32, file: &str) -> String {
        self.file(&format!("{pid}/{file}"))
    }

    /// The first process in one of the groups that lessons make.
    pub(crate) fn member(&self, group: &str) -> Option<i32> {
        self.members.iter().find(|(name, _)| *name == group)?.1
    }

    /// What is in a directory of the own directory below /proc, in one line.
    pub(crate) fn list(&self, directory: &str) -> String {
        let path = format!("{}/{directory}", self.pid);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(self.proc.as_fd(), path.as_str(), flags, Mode::empty());
        let Ok(entries) = opened.and_then(rustix::fs::Dir::new) else { return String::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        names.join(" ")
    }

    /// A file below /proc; empty where it cannot be read.
    pub(crate) fn file(&self, path: &str) -> String {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(self.proc.as_fd(), path, flags, Mode::empty()) else {
            return String::new();
        };
        let mut text = Vec::new();
        // A process that ends meanwhile has nothing to read.
        let _gone = std::fs::File::from(file).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The name of one of the own namespaces: `uts:[4026531838]`.
    pub(crate) fn namespace(&self, kind: &str) -> String {
        let path = format!("{}/ns/{kind}", self.pid);
        let link = rustix::fs::readlinkat(self.proc.as_fd(), path.as_str(), Vec::new());
        link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// One field of the own `status` (proc_pid_status(5)).
    pub(crate) fn status(&self, field: &str) -> String {
        self::field(&self.own("status"), field)
    }
}

impl Lab {
    /// Looks with the eyes of a process; one that has ended meanwhile sees nothing.
    ///
    /// # Errors
    /// Where nobody can be sent there.
    pub(crate) fn see(&self, pid: i32, look: &dyn Fn(&View) -> String) -> Result<String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty()).context("open(\"/proc\")")?;
        let members = ["sub1", "sub2"].map(|name| (name, self.in_group(name)));
        let view = View { proc, pid, members };
        match self.errand(pid, &|| Ok(look(&view))) {
            Err(error) if !error.is::<Interrupted>() && has_ended(pid) => Ok(String::new()),
            seen => seen,
        }
    }

    /// Looks with the eyes of the lab itself.
    ///
    /// # Errors
    /// Where nobody can be sent there.
    pub(crate) fn see_outside(&self, look: &dyn Fn(&View) -> String) -> Result<String> {
        self.see(self.keeper(), look)
    }
}

/// The inode of one of a process's namespaces: its name (namespaces(7)).
pub(crate) fn inode(pid: i32, kind: &str) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    link.to_str()?.split_once('[')?.1.trim_end_matches(']').parse().ok()
}

/// Whether a process has ended, buried or not (proc_pid_status(5)).
fn has_ended(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    matches!(field(&status, "State").chars().next(), None | Some('Z' | 'X'))
}

/// When a process started, in ticks since the boot (proc_pid_stat(5), field 22).
pub(super) fn started(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

/// One field of a `status`, its blanks made one. PURE.
pub(crate) fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tx\nNSpid:\t12\t7\t1\nNSpidX:\t9\n";
        assert_eq!(field(status, "NSpid"), "12 7 1");
        assert_eq!(field(status, "Pid"), "");
    }
}
