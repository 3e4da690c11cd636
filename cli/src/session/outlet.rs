//! Our own standard output and error, for what a container says: whoever reads one of them slowly holds up that one alone.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::io::log::Stream;
use runtime::sys::{signal, terminal};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FileType;
use rustix::io::Errno;

/// What a pipe that can be written to takes for sure without waiting, bytes (PIPE_BUF, pipe(7)).
const SURE: usize = 4096;

/// Both streams, and what waits for them.
pub(super) struct Outlets {
    /// Descriptors that do not wait, where such could be had; made when something is written first.
    outlets: Option<[Outlet; 2]>,
    /// Both are one file: what is said first must be there first.
    are_one: bool,
    /// What waits: the stream that it is of, and the bytes.
    waiting: [VecDeque<(Stream, Vec<u8>)>; 2],
}

/// How one of our streams is written.
enum Outlet {
    /// A file, which never waits for a reader.
    File,
    /// A pipe or terminal, opened once more so that only we do not wait for it.
    Own(OwnedFd),
    /// Whatever else: a little at a time, when it says that it can.
    Other,
}

/// So much of a stream was passed on, bytes.
pub(super) type Passed = (Stream, u32);

impl Outlets {
    pub(super) fn new() -> Outlets {
        Outlets { outlets: None, are_one: false, waiting: Default::default() }
    }

    /// Takes what a stream said, and writes what can be written.
    pub(super) fn take(&mut self, stream: Stream, bytes: Vec<u8>) -> Vec<Passed> {
        if self.outlets.is_none() {
            self.outlets = Some([Outlet::of(rustix::stdio::stdout()), Outlet::of(rustix::stdio::stderr())]);
            self.are_one = same_file(rustix::stdio::stdout(), rustix::stdio::stderr());
        }
        let queue = self.queue_of(stream);
        self.waiting[queue].push_back((stream, bytes));
        self.flush(queue)
    }

    fn queue_of(&self, stream: Stream) -> usize {
        if self.are_one { 0 } else { stream as usize }
    }

    /// What is to be waited for before a queue can be written, where anything waits in it.
    pub(super) fn awaited(&self, queue: usize) -> Option<BorrowedFd<'_>> {
        let (stream, _) = self.waiting[queue].front()?;
        match &self.outlets.as_ref()?[*stream as usize] {
            Outlet::Own(own) => Some(own.as_fd()),
            Outlet::File | Outlet::Other => Some(descriptor(*stream)),
        }
    }

    /// Writes of a queue what can be written without waiting.
    pub(super) fn flush(&mut self, queue: usize) -> Vec<Passed> {
        let mut passed = Vec::new();
        while let Some((stream, bytes)) = self.waiting[queue].front_mut() {
            let outlet = &self.outlets.as_ref().expect("made when something was taken")[*stream as usize];
            match outlet.write(*stream, bytes) {
                Ok(0) => break,
                Ok(length) => {
                    passed.push((*stream, u32::try_from(length).unwrap_or(u32::MAX)));
                    bytes.drain(..length);
                    if bytes.is_empty() {
                        self.waiting[queue].pop_front();
                    }
                }
                Err(_) => self.waiting[queue].clear(), // who cannot be written to hears nothing
            }
        }
        passed
    }

    /// Writes everything that waits, waiting for who reads it.
    pub(super) fn finish(&mut self) {
        while let Some(awaited) = (0..2).find_map(|queue| self.awaited(queue)) {
            let mut wait = [PollFd::from_borrowed_fd(awaited, PollFlags::OUT)];
            // An interrupted wait is tried again by the loop.
            let _interrupted = rustix::event::poll(&mut wait, None);
            self.flush(0);
            self.flush(1);
        }
    }
}

impl Outlet {
    fn of(stream: BorrowedFd<'_>) -> Outlet {
        let kind = rustix::fs::fstat(stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::RegularFile | FileType::BlockDevice) => Outlet::File,
            Ok(FileType::Fifo | FileType::CharacterDevice) => {
                terminal::open_again(stream).map_or(Outlet::Other, Outlet::Own)
            }
            _ => Outlet::Other,
        }
    }

    /// Writes what goes; 0 where nothing goes now. Who does not read any more ends us, as every program that writes to a closed
    /// pipe.
    fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Outlet::File => rustix::io::write(descriptor(stream), bytes),
            Outlet::Own(own) => rustix::io::write(own, bytes),
            Outlet::Other => {
                let mut wait = [PollFd::from_borrowed_fd(descriptor(stream), PollFlags::OUT)];
                match rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                    Ok(0) => return Ok(0),
                    _ => rustix::io::write(descriptor(stream), &bytes[..bytes.len().min(SURE)]),
                }
            }
        };
        match written {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(Errno::PIPE) => signal::die_of(libc::SIGPIPE),
            other => Ok(other?),
        }
    }
}

fn descriptor(stream: Stream) -> BorrowedFd<'static> {
    match stream {
        Stream::Output => rustix::stdio::stdout(),
        Stream::Error => rustix::stdio::stderr(),
    }
}

fn same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}
