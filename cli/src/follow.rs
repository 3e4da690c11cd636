//! Files of lines that somebody else appends to and turns over: what is there, and what comes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::io::log::{inode_of_packed, packed, rotated};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;

/// Told when something in a directory changes.
pub(crate) struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// What inotify_add_watch(2) answered.
    pub(crate) fn new(directory: &Path) -> Result<Watch> {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVE
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&inotify, directory, flags)
            .with_context(|| format!("cannot follow what is written in {}", directory.display()))?;
        Ok(Watch { inotify })
    }

    /// Waits for a change, and no longer than `limit`.
    pub(crate) fn wait(&self, limit: Timespec) {
        let mut polled = [PollFd::new(&self.inotify, PollFlags::IN)];
        // An interrupted wait is a shorter one.
        let _interrupted = rustix::event::poll(&mut polled, Some(&limit));
        let mut buffer = [0u8; 4096];
        while rustix::io::read(self.inotify.as_fd(), &mut buffer).is_ok() {}
    }
}

/// Reads the current file, and moves to its successor when it was turned over.
pub(crate) struct Follower {
    path: PathBuf,
    current: Option<Part>,
}

/// One of the files.
struct Part {
    /// Of the file that it was when it was written to. As long as it is open, no other has it.
    inode: u64,
    file: File,
    /// Read up to here, bytes.
    offset: u64,
    packed: bool,
}

/// What takes a line, without its end.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Vec<u8>);

impl Follower {
    /// Of the file at `path` and those that it became.
    pub(crate) fn new(path: PathBuf) -> Follower {
        Follower { path, current: None }
    }

    /// All lines of older files, oldest first; [`Follower::new_lines`] goes on where they end.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub(crate) fn older(&mut self, take: Take<'_>) -> Result<()> {
        // The current one first, then back in time: what is turned over meanwhile is met again, and known by its inode.
        let Some(current) = Part::plain(&self.path)? else { return Ok(()) };
        let mut known = vec![current.inode];
        self.current = Some(current);
        let mut parts = Vec::new();
        for number in 1.. {
            let Some(part) = Part::older(&self.path, number)? else { break };
            if !known.contains(&part.inode) {
                known.push(part.inode);
                parts.push(part);
            }
        }
        parts.into_iter().rev().try_for_each(|mut part| part.read(take))
    }

    /// Whole lines that were not read yet; what has no end of line yet is read next time.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) fn new_lines(&mut self, take: Take<'_>) -> Result<()> {
        loop {
            if self.current.is_none() {
                self.current = Part::plain(&self.path)?;
            }
            let Some(part) = &mut self.current else { return Ok(()) };
            part.read(take)?;
            let Some(next) = successor(&self.path, part.inode)? else { return Ok(()) };
            // Turned over: nothing more is written to it, but something may have been since we read it.
            part.read(take)?;
            self.current = Some(next);
        }
    }
}

/// The file after the one with this inode; `None` where it is the youngest. Of several turns at once the oldest file that is
/// still there comes next.
fn successor(path: &Path, inode: u64) -> Result<Option<Part>> {
    let Some(mut younger) = Part::plain(path)?.filter(|part| part.inode != inode) else { return Ok(None) };
    for number in 1.. {
        match Part::older(path, number)?.filter(|part| part.inode != inode) {
            Some(part) => younger = part,
            None => break,
        }
    }
    Ok(Some(younger))
}

impl Part {
    fn plain(path: &Path) -> Result<Option<Part>> {
        let Some(file) = open(path)? else { return Ok(None) };
        Ok(Some(Part { inode: file.metadata()?.ino(), file, offset: 0, packed: false }))
    }

    /// The file of this number: 1 is the youngest.
    fn older(path: &Path, number: u32) -> Result<Option<Part>> {
        let plain = rotated(path, number);
        if let Some(part) = Part::plain(&plain)? {
            return Ok(Some(part));
        }
        let Some(file) = open(&packed(&plain))? else { return Ok(None) };
        // A damaged one says so when it is read.
        let inode = inode_of_packed(&file).unwrap_or(0);
        Ok(Some(Part { inode, file, offset: 0, packed: true }))
    }

    /// Whole lines from where it was read to.
    fn read(&mut self, take: Take<'_>) -> Result<()> {
        if !self.packed {
            self.file.seek(SeekFrom::Start(self.offset))?;
            self.offset += lines(&self.file, take)?;
        } else if self.offset == 0 {
            // Once: nothing more comes to it. To know which file it is, its beginning was read.
            self.file.seek(SeekFrom::Start(0))?;
            let unpacked = flate2::read::MultiGzDecoder::new(&self.file);
            self.offset = lines(unpacked, take).context("cannot unpack an older file of the log")?;
        }
        Ok(())
    }
}

/// Gives whole lines on; returns their length in bytes, ends included.
fn lines(from: impl Read, take: Take<'_>) -> std::io::Result<u64> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut length = 0;
    loop {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(length);
        }
        length += line.len() as u64 + 1;
        take(line);
    }
}

fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
