//! The channels between a monitor and its init, and the failure that may come back.
//!
//! ```text
//! monitor                                                        init
//!    │ ── gate: contents + [overlay, /dev, secrets, streams, binds]►│  builds its root with them
//!    │ ◄─ gate: [pty master] ────────────────────────────────────── │  only with a terminal
//!    │ ── start: one byte ────────────────────────────────────────► │  becomes the program
//!    │ ◄─ report: end of file = execve succeeded; else a Failure ── │
//! ```
//!
//! The gate is a socket pair, start and report are pipes. The end of `gate` or `start` tells init that its monitor died.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::op::OpError;
use crate::sys;

/// Descriptors in one message: SCM_MAX_FD is 253 (unix(7)).
const IN_ONE_MESSAGE: usize = 240;

/// The monitor's ends, then init's.
#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) monitor: MonitorEnds,
    pub(crate) init: InitEnds,
}

/// What the monitor holds.
#[derive(Debug)]
pub(crate) struct MonitorEnds {
    pub(crate) gate: OwnedFd,
    pub(crate) start: OwnedFd,
    pub(crate) report: OwnedFd,
}

/// What init holds.
#[derive(Debug)]
pub(crate) struct InitEnds {
    pub(crate) gate: OwnedFd,
    pub(crate) start: OwnedFd,
    pub(crate) report: OwnedFd,
}

impl Gates {
    pub(crate) fn new() -> Result<Gates, OpError> {
        let (monitor_gate, init_gate) = sys::socket::pair()?;
        let (start_read, start_write) = sys::socket::pipe()?;
        let (report_read, report_write) = sys::socket::pipe()?;
        Ok(Gates {
            monitor: MonitorEnds { gate: monitor_gate, start: start_write, report: report_read },
            init: InitEnds { gate: init_gate, start: start_read, report: report_write },
        })
    }
}

/// Everything that the monitor made for init, by descriptor.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The overlay, detached.
    pub(crate) root: OwnedFd,
    /// The tmpfs for /dev, filled and detached.
    pub(crate) dev: Option<OwnedFd>,
    /// The tmpfs with secrets, detached.
    pub(crate) secrets: Option<OwnedFd>,
    /// Standard output, error and, where the container reads something, input; empty where they are a terminal.
    pub(crate) streams: Vec<OwnedFd>,
    /// For each bind mount of the plan, in order: what is placed where below its target (first: the target itself).
    pub(crate) binds: Vec<Vec<(PathBuf, OwnedFd)>>,
}

/// How the descriptors of a [`Handover`] are to be read.
#[derive(Serialize, Deserialize)]
struct Contents {
    dev: bool,
    secrets: bool,
    streams: usize,
    binds: Vec<Vec<PathBuf>>,
}

impl Handover {
    /// Sends it, in as many messages as the descriptors need; the text goes with the first.
    pub(crate) fn send(&self, gate: BorrowedFd<'_>) -> Result<(), OpError> {
        let contents = Contents {
            dev: self.dev.is_some(),
            secrets: self.secrets.is_some(),
            streams: self.streams.len(),
            binds: self
                .binds
                .iter()
                .map(|bind| bind.iter().map(|(below, _)| below.clone()).collect())
                .collect(),
        };
        let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(&self.root)
            .chain(&self.dev)
            .chain(&self.secrets)
            .chain(&self.streams)
            .chain(self.binds.iter().flatten().map(|(_, mount)| mount))
            .map(AsFd::as_fd)
            .collect();
        let text = serde_json::to_vec(&contents).expect("a plain structure can be written as JSON");
        for (index, chunk) in descriptors.chunks(IN_ONE_MESSAGE).enumerate() {
            sys::socket::send(gate, if index == 0 { &text } else { b"+" }, chunk)?;
        }
        Ok(())
    }

    /// Receives it; `None` where the monitor is gone.
    pub(crate) fn receive(gate: BorrowedFd<'_>) -> Result<Option<Handover>, OpError> {
        let mut text = vec![0u8; 64 << 10];
        let (length, mut taken) = sys::socket::receive(gate, &mut text)?;
        if length == 0 {
            return Ok(None);
        }
        let contents: Contents = serde_json::from_slice(&text[..length])
            .map_err(|error| OpError { call: "read(gate)".to_owned(), source: error.into() })?;
        let bound: usize = contents.binds.iter().map(Vec::len).sum();
        let made = usize::from(contents.dev) + usize::from(contents.secrets);
        let expected = 1 + made + contents.streams + bound;
        while taken.len() < expected {
            let (length, more) = sys::socket::receive(gate, &mut text)?;
            if length == 0 {
                return Ok(None);
            }
            taken.extend(more);
        }
        let mut taken = taken.into_iter();
        let mut next = || taken.next().expect("as many descriptors as the contents say were received");
        Ok(Some(Handover {
            root: next(),
            dev: contents.dev.then(&mut next),
            secrets: contents.secrets.then(&mut next),
            streams: (0..contents.streams).map(|_| next()).collect(),
            binds: contents
                .binds
                .into_iter()
                .map(|bind| bind.into_iter().map(|below| (below, next())).collect())
                .collect(),
        }))
    }
}

/// What an exit code must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The program is not there (127).
    NotFound,
    /// It is there and cannot be executed (126).
    NotExecutable,
    /// The container could not be made (125).
    Other,
}

/// Why init, or a process of exec, did not become its program: the whole chain, first what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For the exit code.
    pub kind: FailureKind,
    /// Messages, each the reason of the one before.
    pub chain: Vec<String>,
    /// A remedy, where the one who tells it knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// Takes an error and all its sources.
    pub fn new(kind: FailureKind, error: &dyn std::error::Error) -> Failure {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        Failure::said(kind, chain)
    }

    /// Says it in words.
    pub fn said(kind: FailureKind, chain: Vec<String>) -> Failure {
        Failure { kind, chain, hint: None }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.chain.join(": "))
    }
}

impl std::error::Error for Failure {}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Failure {
        Failure::new(FailureKind::Other, &error)
    }
}

/// Writes the failure; the monitor is the only reader.
pub(crate) fn report(report: BorrowedFd<'_>, failure: &Failure) {
    if let Ok(text) = serde_json::to_vec(failure) {
        // Nobody to tell where the monitor has died: init ends either way.
        let _unread = sys::fs::write_all(report, &text);
    }
}

/// Reads until the end: nothing means that execve(2) closed the other end.
///
/// # Errors
/// The failure that came back.
pub(crate) fn read_report(report: &OwnedFd) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::read(report.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                return Err(Failure::said(
                    FailureKind::Other,
                    vec!["read(report)".into(), errno.to_string()],
                ));
            }
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    Err(serde_json::from_slice(&text).unwrap_or_else(|_| {
        Failure::said(FailureKind::Other, vec![String::from_utf8_lossy(&text).into_owned()])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_descriptors_than_a_message_holds_arrive_in_order() {
        let null = || sys::terminal::open_null().unwrap();
        let (one, other) = sys::socket::pair().unwrap();
        let binds: Vec<Vec<(PathBuf, OwnedFd)>> = (0..100)
            .map(|n| (0..n % 7).map(|m| (PathBuf::from(format!("{n}/{m}")), null())).collect())
            .collect();
        let names = |binds: &[Vec<(PathBuf, OwnedFd)>]| -> Vec<Vec<PathBuf>> {
            binds.iter().map(|bind| bind.iter().map(|(below, _)| below.clone()).collect()).collect()
        };
        let expected = names(&binds);
        let streams = vec![null(), null()];
        let sent = Handover { root: null(), dev: None, secrets: Some(null()), streams, binds };
        sent.send(one.as_fd()).unwrap();
        let arrived = Handover::receive(other.as_fd()).unwrap().unwrap();
        assert_eq!(names(&arrived.binds), expected);
        assert!(arrived.dev.is_none() && arrived.secrets.is_some() && arrived.streams.len() == 2);
        drop(one);
        assert!(Handover::receive(other.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_failure_crosses_with_its_whole_chain() {
        let (read, write) = sys::socket::pipe().unwrap();
        let source = std::io::Error::from_raw_os_error(libc::EACCES);
        let failure = Failure::from(OpError { call: "mount(x)".into(), source });
        report(write.as_fd(), &failure);
        drop(write);
        let arrived = read_report(&read).unwrap_err();
        assert_eq!(arrived, failure);
        assert_eq!(arrived.chain, ["mount(x)", "Permission denied (os error 13)"]);
    }
}
