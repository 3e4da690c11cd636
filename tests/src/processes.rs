//! Processes as `/proc` shows them: found, described, waited for and ended by pidfd.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::namespaces::inode;
use crate::wait;

/// The numbers of all processes, in the machine's pid namespace.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The inode of one of a process' namespaces (`net`, `mnt`, `user` …).
pub fn namespace(pid: i32, kind: &str) -> Option<u64> {
    inode(format!("/proc/{pid}/ns/{kind}"))
}

/// A file below `/proc/PID`, as text; none where the process has gone.
pub fn proc_file(pid: i32, name: &str) -> Option<String> {
    fs::read(format!("/proc/{pid}/{name}")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// One field of `/proc/PID/status`, such as `NSpid`, trimmed.
pub fn status(pid: i32, field: &str) -> Option<String> {
    let text = proc_file(pid, "status")?;
    let line = text.lines().find(|line| line.split(':').next() == Some(field))?;
    Some(line[field.len() + 1..].trim().to_owned())
}

/// The user ids (real, effective, saved, file system) on the machine.
pub fn uids(pid: i32) -> Option<Vec<u32>> {
    status(pid, "Uid")?.split_whitespace().map(|id| id.parse().ok()).collect()
}

/// The program a process runs.
pub fn exe(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The arguments, joined by blanks.
pub fn command_line(pid: i32) -> String {
    proc_file(pid, "cmdline").unwrap_or_default().trim_end_matches('\0').replace('\0', " ")
}

/// The processes whose parent is `pid`.
pub fn children(pid: i32) -> Vec<i32> {
    let is_child = |child: &i32| status(*child, "PPid") == Some(pid.to_string());
    all().into_iter().filter(is_child).collect()
}

/// A handle on a process that is never another's; none where it has gone.
pub fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Sends a signal by pidfd; a process that has gone already needs none.
pub fn signal(pidfd: &OwnedFd, signal: Signal) {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("pidfd_send_signal: {error}"),
    }
}

/// Ends a process and waits for its end.
pub fn kill(pid: i32) {
    if let Some(pidfd) = open(pid) {
        signal(&pidfd, Signal::KILL);
        wait::is_ready(&pidfd, Instant::now() + wait::PATIENCE);
    }
}

/// Waits until `pid` has ended.
///
/// # Panics
/// At the deadline, with what it is doing.
#[track_caller]
pub fn wait_for_end(pid: i32) {
    if let Some(pidfd) = open(pid) {
        assert!(wait::is_ready(&pidfd, Instant::now() + wait::PATIENCE), "still alive:\n{}", describe(pid));
    }
}

/// What a process is and where it stands in the kernel: for the message of a test that hangs.
pub fn describe(pid: i32) -> String {
    let state = status(pid, "State").unwrap_or_else(|| "gone".into());
    let exe = exe(pid).as_deref().map(Path::display).map_or_else(String::new, |path| path.to_string());
    let read = |name| proc_file(pid, name).unwrap_or_default().replace('\n', "\n    ");
    let parent = status(pid, "PPid").unwrap_or_default();
    let command = command_line(pid);
    format!(
        "  {pid} (child of {parent}) {state} [{command}] {exe}\n    in {}\n    {}",
        read("wchan"),
        read("stack").trim_end()
    )
}
