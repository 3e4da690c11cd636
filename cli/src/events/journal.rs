//! The journal's files: appended to by everybody, a line at a time; the older one goes when the younger is full.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use runtime::io::log::rotated;
use runtime::op::OpError;
use runtime::sys;

use super::Event;
use crate::follow::Follower;

/// The largest that a file grows, bytes: some 10 000 events.
const LARGEST: u64 = 4 << 20;

/// Where events are kept.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    directory: PathBuf,
}

impl Journal {
    /// In this directory, which need not exist.
    pub(crate) fn new(directory: PathBuf) -> Journal {
        Journal { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("journal")
    }

    /// Appends events. What cannot be written is lost: it must stop nothing.
    pub(crate) fn record(&self, events: &[Event]) {
        let mut text = Vec::new();
        for event in events {
            serde_json::to_writer(&mut text, event).expect("an event can be written as JSON");
            text.push(b'\n');
        }
        let _lost = self.append(&text, LARGEST);
    }

    fn append(&self, text: &[u8], largest: u64) -> Result<(), OpError> {
        let path = self.path();
        let file = match sys::append::open(&path) {
            Err(error) if error.errno() == libc::ENOENT => {
                sys::fs::make_dirs(&self.directory)?;
                sys::append::open(&path)?
            }
            other => other?,
        };
        // What a full disk cut short is one line, not the beginning of ours.
        let begin: &[u8] = if sys::append::ends_a_line(file.as_fd()) { b"" } else { b"\n" };
        // One write(2) to a file that is appended to is never mixed with another (write(2), O_APPEND).
        let failed = |source| OpError { call: format!("write({path:?}, {} bytes)", text.len()), source };
        sys::fs::write_all(file.as_fd(), &[begin, text].concat()).map_err(failed)?;
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if rustix::fs::fstat(&file).is_ok_and(|stat| u64::try_from(stat.st_size).unwrap_or(0) > largest) {
            let _alone = sys::fs::lock_file(&self.directory.join("lock"), true)?;
            // Asked again: another may have been faster.
            if size(&path) > largest {
                sys::fs::rename(&path, &rotated(&path, 1))?;
            }
        }
        Ok(())
    }

    /// What is there, oldest first, and what comes: lines for [`Journal::read`].
    ///
    /// # Errors
    /// Where the directory can be neither found nor made.
    pub(crate) fn follower(&self) -> Result<Follower> {
        if !self.directory.is_dir() {
            sys::fs::make_dirs(&self.directory)?;
        }
        Ok(Follower::new(self.path()))
    }

    /// With what code the last run of a container ended, where that was written down.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn exit_code(&self, id: &str) -> Result<Option<i32>> {
        let mut code = None;
        let mut look = |line: Vec<u8>| {
            let event = Journal::read(&line).filter(|event| event.id == id && event.action == "die");
            code = event.and_then(|event| event.attributes.get("exitCode")?.parse().ok()).or(code);
        };
        self.follower()?.all(&mut look)?;
        Ok(code)
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// An event; `None` for a line that was cut short.
    pub(crate) fn read(line: &[u8]) -> Option<Event> {
        serde_json::from_slice(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn the_journal_is_bounded_and_nothing_young_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path().join("events"));
        let mut ids = Vec::new();
        for number in 0..50 {
            let event = Event::new(Kind::Volume, "create", &format!("volume{number}"));
            let text = [serde_json::to_vec(&event).unwrap(), b"\n".to_vec()].concat();
            journal.append(&text, 1000).unwrap();
            ids.clear();
            let mut keep = |line: Vec<u8>| ids.extend(Journal::read(&line).map(|event| event.id));
            journal.follower().unwrap().all(&mut keep).unwrap();
            // Also where the last one has turned it over.
            assert_eq!(ids.last(), Some(&event.id));
            assert!(ids.len() > 4.min(number), "{ids:?}");
        }
        assert!(ids.len() > 8 && ids.len() < 30, "{ids:?}");
        assert!(ids.windows(2).all(|pair| pair[0].len() <= pair[1].len()), "in order");
        let files: u64 = std::fs::read_dir(directory.path().join("events"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(files < 2500, "{files} bytes");
        assert_eq!(Journal::read(b"{\"time\":1,"), None);
    }
}
