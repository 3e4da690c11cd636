//! What the kernel tells those inside: some answers depend on who asks, so a child goes there and asks.
//!
//! It enters the namespaces that the answers depend on, and no other: it executes nothing of the container's, opens nothing of its
//! files, and is in none of its control groups.

use std::io::Read as _;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::helper::{Helper, VisitError};
use crate::op::step;
use crate::sys::{self, ns, pidfd};

/// The kernel's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The host name (uname(2)): those inside may set any.
    pub hostname: String,
    /// /proc/PID/cgroup of its first process, as it is read from its control group namespace (cgroup_namespaces(7)).
    pub cgroup: String,
}

/// Asks from inside a running container. `init` is its first process and `pid` its number.
///
/// ```text
/// client                         child
///   │ fork ────────────────────► │ setns(init's pidfd, UTS and control group namespaces)
///   │                            │ uname(), read("/proc/PID/cgroup")
///   │ ◄─ pipe: both, a NUL ───── │
///   │ ◄─ report: a Failure ───── │ or this
/// ```
///
/// # Errors
/// See [`VisitError`].
pub fn ask(init: BorrowedFd<'_>, pid: i32) -> Result<Told, VisitError> {
    sys::process::assert_single_threaded()?;
    let (answer_read, answer_write) = sys::socket::pipe()?;
    step("Let a child go inside and ask, so that we stay out");
    let child = Helper::send(|| {
        ns::join_process(init, ns::Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME | ns::Kinds::CONTROL_GROUP)?;
        answer(&answer_write, pid);
        Ok(())
    })?;
    drop(answer_write);
    let mut bytes = Vec::new();
    let read = std::fs::File::from(answer_read).read_to_end(&mut bytes);
    child.wait()?;
    // Asked last: until here the number was this process's.
    if pidfd::has_ended(init) {
        return Err(VisitError::Ended);
    }
    let told = read.ok().and_then(|_| parse(&bytes));
    match told {
        Some(told) => Ok(told),
        None => {
            child.failure()?;
            Err(VisitError::Ended)
        }
    }
}

/// A pipe holds 64 KiB: a child that writes more waits until it is read.
fn answer(pipe: &OwnedFd, pid: i32) {
    let name = rustix::system::uname();
    let cgroup = std::fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let bytes = [name.nodename().to_bytes(), &[0], &cgroup].concat();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(pipe, rest) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            // Nobody waits for it any more.
            Err(_) => return,
        }
    }
}

/// PURE.
fn parse(bytes: &[u8]) -> Option<Told> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Told { hostname: text(&bytes[..end]), cgroup: text(&bytes[end + 1..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_whatever_the_host_is_called() {
        let told = parse(b"a\nb:\0");
        assert_eq!(told, Some(Told { hostname: "a\nb:".into(), cgroup: String::new() }));
        let told = parse(b"box\08:pids:/\n");
        assert_eq!(told, Some(Told { hostname: "box".into(), cgroup: "8:pids:/\n".into() }));
        assert_eq!(parse(b"box"), None);
    }
}
