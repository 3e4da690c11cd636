//! Inflated bytes from one thread to the next: a few buffers that go round.
//!
//! The buffers are allocated once. New ones for each piece would cost a page fault for every 4 KiB of the
//! archive.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, RecvError, Sender, SyncSender, channel, sync_channel};

use super::deflate::fill;
use crate::digest::{Digest, Hasher};

const BUFFER: usize = 256 * 1024;
const BUFFERS: usize = 6;

/// The end that inflated bytes are put into.
pub(crate) struct PipeWriter {
    full: SyncSender<Message>,
    empty: Receiver<Vec<u8>>,
}

/// The end that they are read from, hashed on arrival.
pub(crate) struct PipeReader {
    full: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    position: usize,
    is_at_end: bool,
    /// Nobody asks for the digest of what is the blob itself.
    hasher: Option<Hasher>,
}

enum Message {
    Bytes(Vec<u8>),
    End,
}

/// The reader gave up; it has its own error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReaderIsGone;

/// A pipe of [`BUFFERS`] buffers; with `hash` the reader knows the digest of all at the end.
pub(crate) fn pipe(hash: bool) -> (PipeWriter, PipeReader) {
    let (full_in, full_out) = sync_channel(BUFFERS);
    let (empty_in, empty_out) = channel();
    for _ in 0..BUFFERS {
        empty_in.send(Vec::with_capacity(BUFFER)).expect("the receiver is in this function");
    }
    let reader = PipeReader {
        full: full_out,
        empty: empty_in,
        buffer: Vec::new(),
        position: 0,
        is_at_end: false,
        hasher: hash.then(Hasher::default),
    };
    (PipeWriter { full: full_in, empty: empty_out }, reader)
}

impl PipeWriter {
    /// Fills one buffer from `input` and hands it over; returns the number of bytes, 0 at the end of `input`.
    pub(crate) fn copy_from(&mut self, input: &mut impl Read) -> io::Result<Result<usize, ReaderIsGone>> {
        let Ok(mut buffer) = self.empty.recv() else { return Ok(Err(ReaderIsGone)) };
        buffer.resize(BUFFER, 0);
        let filled = fill(input, &mut buffer)?;
        buffer.truncate(filled);
        let message = if filled == 0 { Message::End } else { Message::Bytes(buffer) };
        Ok(self.full.send(message).map(|()| filled).map_err(|_| ReaderIsGone))
    }
}

impl PipeReader {
    /// The digest of all bytes, once the end was read.
    pub(crate) fn digest(self) -> Option<Digest> {
        self.hasher.map(Hasher::finish)
    }
}

impl BufRead for PipeReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.buffer.len() && !self.is_at_end {
            match self.full.recv() {
                Ok(Message::Bytes(bytes)) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&bytes);
                    }
                    let used = std::mem::replace(&mut self.buffer, bytes);
                    self.position = 0;
                    // The writer may have ended: then nobody needs the buffer.
                    let _is_needed = self.empty.send(used);
                }
                Ok(Message::End) => self.is_at_end = true,
                Err(RecvError) => return Err(io::Error::other("the layer could not be read to its end")),
            }
        }
        Ok(&self.buffer[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_and_hashed() {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let (mut writer, mut reader) = pipe(true);
        let received = std::thread::scope(|scope| {
            let received = scope.spawn(move || {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).unwrap();
                (received, reader.digest())
            });
            let mut input = sent.as_slice();
            while writer.copy_from(&mut input).unwrap().unwrap() > 0 {}
            received.join().unwrap()
        });
        assert!(received.0 == sent);
        assert_eq!(received.1, Some(Digest::of(&sent)));
    }

    #[test]
    fn neither_end_waits_for_one_that_is_gone() {
        let (mut writer, reader) = pipe(false);
        drop(reader);
        let mut input = io::repeat(0);
        let sent = (0..100).map(|_| writer.copy_from(&mut input).unwrap()).find_map(Result::err);
        assert_eq!(sent, Some(ReaderIsGone));
        let (writer, mut reader) = pipe(false);
        drop(writer);
        assert!(reader.fill_buf().is_err(), "an end without a mark is no end");
    }
}
