//! What the kernel says about a process that was written down.

use std::fs;
use std::io::{self, Read as _};
use std::sync::OnceLock;

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
    // One read: 51 numbers and a name of at most 64 bytes. Who lists containers asks this twice of each.
    let mut line = [0; 2048];
    let length = fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
    fields(&line[..length])
}

/// A program calls itself what it likes, also by what is no text. PURE.
fn fields(line: &[u8]) -> Option<(u64, bool)> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(line.get(name_end + 2..)?).ok()?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    Some((fields.nth(18)?.parse().ok()?, matches!(state, "Z" | "X")))
}

/// This boot.
pub fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    BOOT.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn a_name_may_be_anything() {
        let rest = b"S 1 5 5 0 -1 4194560 91 0 0 0 0 0 0 0 20 0 1 0 7788 0 0\n";
        for (name, state, expected) in [
            (&b"sh"[..], 'S', Some((7788, false))),
            (b"a) R 1", 'S', Some((7788, false))),
            (b"\xff\xfe", 'S', Some((7788, false))),
            (b"sh", 'Z', Some((7788, true))),
        ] {
            let mut line = [b"5 (", name, b") ", &rest[..]].concat();
            let at = line.len() - rest.len();
            line[at] = u8::try_from(state).unwrap();
            assert_eq!(fields(&line), expected, "{}", String::from_utf8_lossy(name));
        }
        assert_eq!(fields(b""), None);
        assert_eq!(fields(b"5 (sh)"), None);
    }
}
