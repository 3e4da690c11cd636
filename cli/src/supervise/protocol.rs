//! What clients and monitor say to each other, one message a packet (SOCK_SEQPACKET keeps the boundaries).
//!
//! ```text
//! client                                    monitor
//!   │ ── Attach(streams) ───────────────────►  │  who comes later says first what it wants: to stay with the container,
//!   │ ── End(signal, patience) ─────────────►  │  or that it is to end and not to be started again; who forked the
//!   │                                          │  monitor says neither
//!   │ ◄─ Hello(version) ─────────────────────  │  first of all: an old monitor may serve a newer client
//!   │ ◄─ Started | Failed(kind, chain) ──────  │  the program runs, or never will
//!   │ ── Input(bytes) ──────────────────────►  │  one at a time:
//!   │ ◄─ Taken ──────────────────────────────  │  now the next; so that a signal never waits behind input
//!   │ ── InputEnd ──────────────────────────►  │
//!   │ ── Resize(rows, columns), Signal(n) ──►  │
//!   │ ◄─ Output(bytes), Error(bytes) ────────  │  everything, before the end, and no more ahead than AHEAD:
//!   │ ── Got(stream, bytes) ────────────────►  │  so much of it has been passed on
//!   │ ◄─ Exit(code, reason) ─────────────────  │  the name is free, the record written
//! ```

use std::borrow::Cow;

use runtime::Failure;
use runtime::io::log::Stream;
use serde::{Deserialize, Serialize};

use crate::plan::stdio::Attach;

/// The version of these messages.
pub(crate) const VERSION: u8 = 2;

/// The longest payload of a message, bytes: well below what a socket buffer takes as one packet.
pub(crate) const LONGEST: usize = 64 << 10;

/// How much of one stream a client may have that it has not passed on, bytes: beyond that the stream waits for it, and no other.
pub(crate) const AHEAD: usize = 256 << 10;

/// The name of the socket in a container's run directory.
pub(crate) const SOCKET: &str = "attach";

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Attach(Attach),
    End(End),
    Hello(u8),
    Started,
    Failed(Failure),
    Output(Cow<'a, [u8]>),
    Error(Cow<'a, [u8]>),
    Got(Stream, u32),
    Exit(Exit),
    Input(Cow<'a, [u8]>),
    InputEnd,
    Taken,
    Resize { rows: u16, columns: u16 },
    Signal(i32),
}

/// A container is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// signal(7).
    pub(crate) signal: i32,
    /// After how long SIGKILL follows, ns; `None` for never.
    pub(crate) patience: Option<u64>,
    /// This signal is meant to end it: it is not started again.
    pub(crate) last: bool,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// Exit code; 128+n for a signal.
    pub(crate) code: i32,
    /// Why, where more is known.
    pub(crate) reason: Option<String>,
    /// What could not be cleaned up.
    pub(crate) left: Vec<String>,
}

impl<'a> Message<'a> {
    /// What a stream said.
    pub(crate) fn said(stream: Stream, bytes: &'a [u8]) -> Message<'a> {
        match stream {
            Stream::Output => Message::Output(bytes.into()),
            Stream::Error => Message::Error(bytes.into()),
        }
    }

    /// The packet.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = |kind: u8, value: serde_json::Value| [vec![kind], value.to_string().into_bytes()].concat();
        let plain = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
        match self {
            Message::Attach(streams) => json(b'A', serde_json::json!(streams)),
            Message::End(end) => json(b'K', serde_json::json!(end)),
            Message::Hello(version) => vec![b'H', *version],
            Message::Started => vec![b'S'],
            Message::Failed(failure) => json(b'F', serde_json::json!(failure)),
            Message::Output(bytes) => plain(b'O', bytes),
            Message::Error(bytes) => plain(b'E', bytes),
            Message::Got(Stream::Output, bytes) => plain(b'G', &bytes.to_le_bytes()),
            Message::Got(Stream::Error, bytes) => plain(b'g', &bytes.to_le_bytes()),
            Message::Exit(exit) => json(b'X', serde_json::json!(exit)),
            Message::Input(bytes) => plain(b'I', bytes),
            Message::InputEnd => vec![b'i'],
            Message::Taken => vec![b'T'],
            Message::Resize { rows, columns } => {
                [&b"R"[..], &rows.to_le_bytes(), &columns.to_le_bytes()].concat()
            }
            Message::Signal(signal) => plain(b's', &signal.to_le_bytes()),
        }
    }

    /// Reads a packet; `None` where it is of no kind that this version knows.
    pub(crate) fn decode(packet: &[u8]) -> Option<Message<'_>> {
        let (kind, rest) = packet.split_first()?;
        let number = || rest.try_into().ok().map(u32::from_le_bytes);
        Some(match kind {
            b'A' => Message::Attach(serde_json::from_slice(rest).ok()?),
            b'K' => Message::End(serde_json::from_slice(rest).ok()?),
            b'H' => Message::Hello(*rest.first()?),
            b'S' => Message::Started,
            b'F' => Message::Failed(serde_json::from_slice(rest).ok()?),
            b'O' => Message::Output(rest.into()),
            b'E' => Message::Error(rest.into()),
            b'G' => Message::Got(Stream::Output, number()?),
            b'g' => Message::Got(Stream::Error, number()?),
            b'X' => Message::Exit(serde_json::from_slice(rest).ok()?),
            b'I' => Message::Input(rest.into()),
            b'i' => Message::InputEnd,
            b'T' => Message::Taken,
            b'R' => {
                let [a, b, c, d] = *rest else { return None };
                Message::Resize { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) }
            }
            b's' => Message::Signal(i32::from_le_bytes(rest.try_into().ok()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let failure = Failure::said(runtime::FailureKind::NotFound, vec!["a".into(), "b".into()]);
        for message in [
            Message::Attach(Attach { input: false, ..Attach::ALL }),
            Message::End(End { signal: 15, patience: Some(10), last: true }),
            Message::Hello(VERSION),
            Message::Started,
            Message::Failed(failure),
            Message::Output(b"\0\xff"[..].into()),
            Message::Error(b"e"[..].into()),
            Message::Exit(Exit { code: 137, reason: Some("out of memory".into()), left: vec![] }),
            Message::Got(Stream::Output, 70_000),
            Message::Got(Stream::Error, 0),
            Message::Input(b""[..].into()),
            Message::InputEnd,
            Message::Taken,
            Message::Resize { rows: 24, columns: 80 },
            Message::Signal(15),
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for packet in [&b""[..], b"?", b"R\x01", b"s\x01", b"X{", b"H", b"A{", b"g123"] {
            assert_eq!(Message::decode(packet), None);
        }
    }
}
