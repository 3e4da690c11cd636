//! Files of lines that somebody else appends to and turns over: what is there, and what comes.

use std::ffi::OsStr;
use std::fs::{DirEntry, File};
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

    /// All whole lines of all files, oldest first; [`Follower::new_lines`] goes on where they end.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) fn all(&mut self, take: Take<'_>) -> Result<()> {
        let mut known = Vec::new();
        let mut found = Vec::new();
        for part in parts(&self.path) {
            let part = part?;
            // What is turned over meanwhile is met again.
            if !known.contains(&part.inode) {
                known.push(part.inode);
                found.push(part);
            }
        }
        let mut found = found.into_iter();
        self.current = found.next();
        found.rev().try_for_each(|mut part| part.read(take))?;
        self.new_lines(take)
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
    let mut younger = None;
    for part in parts(path) {
        let part = part?;
        if part.inode == inode {
            break;
        }
        younger = Some(part);
    }
    Ok(younger)
}

/// The files, from the youngest back in time: none that is turned over meanwhile is passed by, since they are renamed the other way.
fn parts(path: &Path) -> impl Iterator<Item = Result<Part>> {
    let mut numbers = 0..;
    std::iter::from_fn(move || {
        loop {
            let number = numbers.next()?;
            match Part::of(path, number).transpose() {
                // One is missing while they are turned over, and for good where whoever did that was killed.
                None if number <= oldest(path) => {}
                found => return found,
            }
        }
    })
}

/// The highest number that a file has; 0 where none has one.
fn oldest(path: &Path) -> u32 {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return 0;
    };
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let number = |file: DirEntry| {
        let file = file.file_name();
        let number = file.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        number.strip_suffix(".gz").unwrap_or(number).parse().ok()
    };
    files.filter_map(number).max().unwrap_or(0)
}

impl Part {
    fn plain(path: &Path) -> Result<Option<Part>> {
        let Some(file) = open(path)? else { return Ok(None) };
        Ok(Some(Part { inode: file.metadata()?.ino(), file, offset: 0, packed: false }))
    }

    /// The file of this number: 0 is the one that is written to.
    fn of(path: &Path, number: u32) -> Result<Option<Part>> {
        if number == 0 {
            return Part::plain(path);
        }
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    /// What a follower reads of these files, each with its own name in it, before and after one more is written.
    fn read(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(directory.path().join(name), format!("{name}\n")).unwrap();
        }
        let path = directory.path().join("log");
        let mut follower = Follower::new(path.clone());
        let mut first = Vec::new();
        follower.all(&mut |line| first.push(String::from_utf8(line).unwrap())).unwrap();
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"new\n").unwrap();
        let mut then = Vec::new();
        follower.new_lines(&mut |line| then.push(String::from_utf8(line).unwrap())).unwrap();
        (first, then)
    }

    #[test]
    fn a_file_that_is_missing_takes_no_other_with_it() {
        for names in [
            &["log.3", "log.2", "log.1", "log"][..],
            &["log.2", "log.1"],
            &["log.11", "log.3", "log.2", "log"],
            &["log.4", "log"],
            &["log.1"],
            &["log"],
            &[],
        ] {
            assert_eq!(
                read(names),
                (names.iter().map(|name| (*name).to_owned()).collect(), vec!["new".to_owned()])
            );
        }
        assert_eq!(read(&["log.0x", "log-1", "logs.1", "log.2.old", "log"]).0, ["log"]);
    }

    #[test]
    fn who_reads_late_reads_the_oldest_that_is_left_first() {
        let directory = tempfile::tempdir().unwrap();
        let [path, first, third] = ["log", "log.1", "log.3"].map(|name| directory.path().join(name));
        std::fs::write(&path, "1\n").unwrap();
        let mut follower = Follower::new(path.clone());
        let mut lines = Vec::new();
        follower.all(&mut |line| lines.push(line)).unwrap();
        // Turned over three times, and killed in the last one.
        std::fs::rename(&path, directory.path().join("log.4")).unwrap();
        std::fs::write(&third, "2\n").unwrap();
        std::fs::write(&first, "3\n").unwrap();
        std::fs::write(&path, "4\n").unwrap();
        follower.new_lines(&mut |line| lines.push(line)).unwrap();
        assert_eq!(lines, [b"1", b"2", b"3", b"4"]);
    }
}
