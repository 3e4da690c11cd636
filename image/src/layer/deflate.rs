//! Compression of layers that were made here, on all processors, with the same result on every machine.
//!
//! gzip's stream is cut into blocks that are compressed side by side and written one after the other, as pigz does: together they
//! are one member of RFC 1952, and everybody reads it. zstd does the like by itself.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, SyncSender};

use flate2::{Compress, Crc, FlushCompress, Status};

use crate::archive::confined::write_all;
use crate::digest::Hasher;
use crate::manifest::Descriptor;

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952, which everybody reads, at a level from 1 (fast) to 9 (small).
    Gzip(u32),
    /// RFC 8878, which docker reads from version 23 on, at a level from 1 (fast) to 19 (small).
    Zstd(i32),
}

/// Bytes that are compressed as one: larger ones leave processors idle, smaller ones cost size.
const BLOCK: usize = 1 << 20;
/// Of a member without a name or a time, made on Unix (RFC 1952, 2.3.1).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// Compresses all of `input` into `file`, on so many threads, and says what lies there then.
pub(crate) fn pack(
    packing: Packing,
    input: &mut impl Read,
    file: &File,
    threads: usize,
) -> io::Result<Descriptor> {
    let mut blob = Blob { file, hasher: Hasher::default(), size: 0 };
    pack_into(packing, input, &mut blob, threads)?;
    Ok(Descriptor { digest: blob.hasher.finish(), size: blob.size })
}

fn pack_into(
    packing: Packing,
    input: &mut impl Read,
    output: &mut impl Write,
    threads: usize,
) -> io::Result<()> {
    match packing {
        Packing::Gzip(level) => gzip(level, input, output, threads.max(1)),
        Packing::Zstd(level) => {
            let mut encoder = zstd::Encoder::new(output, level)?;
            encoder.include_checksum(true)?;
            // One worker gives the same bytes as many; none would give others.
            encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
            io::copy(input, &mut encoder)?;
            encoder.finish().map(drop)
        }
    }
}

/// A block, and whom to tell what became of it.
struct Job {
    bytes: Vec<u8>,
    is_last: bool,
    done: SyncSender<(Vec<u8>, Crc)>,
}

fn gzip(level: u32, input: &mut impl Read, output: &mut impl Write, threads: usize) -> io::Result<()> {
    let (jobs, queue) = mpsc::sync_channel::<Job>(threads);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let queue = &queue;
            let work = move || {
                while let Some(Job { bytes, is_last, done }) = next(queue) {
                    // Nobody waits for it any more where the output has failed.
                    let _is_awaited = done.send(deflate(level, &bytes, is_last));
                }
            };
            std::thread::Builder::new().name("deflate".to_owned()).spawn_scoped(scope, work)?;
        }
        let written = feed(input, output, &jobs, 2 * threads);
        drop(jobs);
        written
    })
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv().ok()
}

/// Reads blocks, hands them out, and writes what comes back in their order; at most `ahead` are under way.
fn feed(
    input: &mut impl Read,
    output: &mut impl Write,
    jobs: &SyncSender<Job>,
    ahead: usize,
) -> io::Result<()> {
    output.write_all(&HEADER)?;
    let mut sum = Crc::new();
    let mut under_way: VecDeque<Receiver<(Vec<u8>, Crc)>> = VecDeque::new();
    let mut write = |block: Receiver<(Vec<u8>, Crc)>| {
        let (bytes, crc) = block.recv().map_err(|_| io::Error::other("a thread that compresses has gone"))?;
        sum.combine(&crc);
        output.write_all(&bytes)
    };
    let mut next = block(input)?;
    loop {
        let following = if next.len() == BLOCK { block(input)? } else { Vec::new() };
        let is_last = following.is_empty();
        let (done, answer) = mpsc::sync_channel(1);
        let job = Job { bytes: std::mem::replace(&mut next, following), is_last, done };
        jobs.send(job).map_err(|_| io::Error::other("the threads that compress have gone"))?;
        under_way.push_back(answer);
        if is_last {
            break;
        }
        if under_way.len() >= ahead
            && let Some(first) = under_way.pop_front()
        {
            write(first)?;
        }
    }
    under_way.into_iter().try_for_each(&mut write)?;
    output.write_all(&sum.sum().to_le_bytes())?;
    output.write_all(&sum.amount().to_le_bytes())
}

/// The next block; a shorter one is the last.
fn block(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; BLOCK];
    let length = fill(input, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads until `buffer` is full; less is the end.
pub(super) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// One block as a piece of a raw deflate stream that begins and ends at a byte (RFC 1951; zlib's `Z_SYNC_FLUSH`).
fn deflate(level: u32, bytes: &[u8], is_last: bool) -> (Vec<u8>, Crc) {
    let mut crc = Crc::new();
    crc.update(bytes);
    let mut compress = Compress::new(flate2::Compression::new(level), false);
    let mut packed = Vec::with_capacity(bytes.len() / 2 + 1024);
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let consumed = usize::try_from(compress.total_in()).expect("a block is small");
        let status = compress
            .compress_vec(&bytes[consumed..], &mut packed, flush)
            .expect("deflate fails for no input (zlib.h: deflate)");
        let is_all_in = compress.total_in() == bytes.len() as u64;
        // What is left in the compressor comes while there is room for it.
        if status == Status::StreamEnd || (!is_last && is_all_in && packed.len() < packed.capacity()) {
            return (packed, crc);
        }
        packed.reserve(64 * 1024);
    }
}

/// A file that is counted and hashed while it is written.
struct Blob<'a> {
    file: &'a File,
    hasher: Hasher,
    size: u64,
}

impl Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(self.file, bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(packing: Packing, bytes: &[u8], threads: usize) -> Vec<u8> {
        let mut output = Vec::new();
        pack_into(packing, &mut &bytes[..], &mut output, threads).unwrap();
        output
    }

    /// Half of it can be compressed, half of it cannot.
    fn bytes(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let noise = |at: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (at / 4096).is_multiple_of(2) { (state >> 24) as u8 } else { b'x' }
        };
        (0..length).map(noise).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked_the_same_whatever_its_length() {
        for length in [0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 12345] {
            let bytes = bytes(length);
            for level in [1, 3, 9] {
                let gzip = packed(Packing::Gzip(level), &bytes, 2);
                let mut back = Vec::new();
                // A single member, not several.
                let mut decoder = flate2::read::GzDecoder::new(&gzip[..]);
                decoder.read_to_end(&mut back).unwrap();
                assert!(back == bytes, "{length} at {level}");
                assert!(decoder.into_inner().is_empty(), "{length}: something follows");
            }
            let zstd = packed(Packing::Zstd(3), &bytes, 2);
            assert!(zstd::decode_all(&zstd[..]).unwrap() == bytes, "{length}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let bytes = bytes(5 * BLOCK + 7);
        for packing in [Packing::Gzip(3), Packing::Zstd(3)] {
            let one = packed(packing, &bytes, 1);
            assert!(one.len() < bytes.len() * 2 / 3);
            assert!([2, 3, 16].iter().all(|threads| packed(packing, &bytes, *threads) == one), "{packing:?}");
        }
    }
}
