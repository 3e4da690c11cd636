//! What the kernel says about a process that was written down.

use std::fs;
use std::io::{self, Read as _};
use std::sync::OnceLock;

use crate::op::OpError;
use crate::record::ProcessId;

/// Whether this very process lives: the same number, started at the same moment; a zombie does not.
pub fn is_alive(process: ProcessId) -> bool {
    look(process).is_some()
}

/// A process by its number and start time.
///
/// # Errors
/// Where there is no such process.
pub fn identify(pid: rustix::process::Pid) -> Result<ProcessId, OpError> {
    let pid = pid.as_raw_nonzero().get();
    let gone =
        || OpError { call: format!("read(\"/proc/{pid}/stat\")"), source: io::ErrorKind::NotFound.into() };
    let seen = read(pid).ok_or_else(gone)?;
    Ok(ProcessId { pid, start_time: seen.start_time })
}

/// What /proc/PID/stat says of a process (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Field 3.
    pub(super) state: char,
    /// Field 4.
    pub(super) parent: i32,
    /// Field 22.
    start_time: u64,
}

/// One look at this very process; `None` where it has ended.
pub(super) fn look(process: ProcessId) -> Option<Seen> {
    read(process.pid).filter(|seen| seen.start_time == process.start_time && !matches!(seen.state, 'Z' | 'X'))
}

fn read(pid: i32) -> Option<Seen> {
    // One read: 51 numbers and a name of at most 64 bytes. Who lists containers asks this of each.
    let mut line = [0; 2048];
    let length = fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
    fields(&line[..length])
}

/// A program calls itself what it likes, also by what is no text. PURE.
fn fields(line: &[u8]) -> Option<Seen> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(line.get(name_end + 2..)?).ok()?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Seen { state, parent, start_time: fields.nth(17)?.parse().ok()? })
}

/// This boot.
pub fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    BOOT.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::{Seen, fields};

    #[test]
    fn a_name_may_be_anything() {
        let rest = b"S 12 5 5 0 -1 4194560 91 0 0 0 0 0 0 0 20 0 1 0 7788 0 0\n";
        for (name, state) in [(&b"sh"[..], 'S'), (b"a) R 1", 'S'), (b"\xff\xfe", 'S'), (b"sh", 'Z')] {
            let mut line = [b"5 (", name, b") ", &rest[..]].concat();
            let at = line.len() - rest.len();
            line[at] = u8::try_from(state).unwrap();
            let expected = Some(Seen { state, parent: 12, start_time: 7788 });
            assert_eq!(fields(&line), expected, "{}", String::from_utf8_lossy(name));
        }
        assert_eq!(fields(b""), None);
        assert_eq!(fields(b"5 (sh)"), None);
    }
}
