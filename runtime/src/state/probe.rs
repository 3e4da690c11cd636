//! What the kernel says about a process that was written down.

use std::fs;
use std::io;

use crate::op::OpError;
use crate::record::ProcessId;

/// Whether this very process lives: the same number, started at the same moment; a zombie does not.
pub fn is_alive(process: ProcessId) -> bool {
    start_time(process.pid).is_some_and(|(start_time, zombie)| start_time == process.start_time && !zombie)
}

/// A process by its number and start time.
///
/// # Errors
/// Where there is no such process.
pub fn identify(pid: rustix::process::Pid) -> Result<ProcessId, OpError> {
    let pid = pid.as_raw_nonzero().get();
    let gone =
        || OpError { call: format!("read(\"/proc/{pid}/stat\")"), source: io::ErrorKind::NotFound.into() };
    let (start_time, _) = start_time(pid).ok_or_else(gone)?;
    Ok(ProcessId { pid, start_time })
}

/// Field 22 of /proc/PID/stat, and whether field 3 says that it has ended (proc_pid_stat(5)).
fn start_time(pid: i32) -> Option<(u64, bool)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    Some((fields.get(19)?.parse().ok()?, matches!(fields.first(), Some(&"Z" | &"X"))))
}

/// This boot.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
