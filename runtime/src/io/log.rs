//! The log of a container: docker's json-file, bounded by default.
//!
//! One JSON object a line: `{"log":"…\n","stream":"stdout","time":"RFC3339Nano"}`, with `"attrs":{…}` before the time where the
//! log has any; a line of more than 16 KiB is split. The file is made with the first byte. At its largest it becomes `.1`, that
//! one `.2`, and the oldest goes. Where older files are packed, a process of its own does that: `.1.gz`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::op::OpError;
use crate::sys;

/// Where a line is split, bytes, as docker does.
const LONGEST_LINE: usize = 16 << 10;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The largest that a file grows, bytes.
    pub file: u64,
    /// How many files there are, the current one among them; at least 1.
    pub files: u32,
    /// Older files are packed with gzip.
    pub packs: bool,
}

impl Default for Bounds {
    /// 10 MiB × 3.
    fn default() -> Self {
        Bounds { file: 10 << 20, files: 3, packs: false }
    }
}

/// Which stream a byte came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; with a terminal, everything.
    Output,
    /// Standard error.
    Error,
}

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    bounds: Bounds,
    /// A JSON object that every line has; empty for none.
    attributes: String,
    file: Option<OwnedFd>,
    size: u64,
    /// The process that packs the file that was turned over last.
    packer: Option<OwnedFd>,
    /// The beginnings of lines that have not ended yet.
    unfinished: [Vec<u8>; 2],
}

impl Log {
    /// A log at `path`; nothing is made before there is something to write.
    pub fn new(path: PathBuf, bounds: Bounds) -> Log {
        let (file, packer, unfinished) = (None, None, Default::default());
        Log { path, bounds, attributes: String::new(), file, size: 0, packer, unfinished }
    }

    /// Every line gets these, a JSON object.
    pub fn with_attributes(mut self, attributes: String) -> Log {
        self.attributes = attributes;
        self
    }

    /// A log that goes on: `unfinished` are the beginnings of lines that another process has taken already.
    pub fn resume(path: PathBuf, bounds: Bounds, unfinished: [Vec<u8>; 2]) -> Log {
        Log { unfinished, ..Log::new(path, bounds) }
    }

    /// The beginnings of lines that have not ended yet: of standard output, of standard error.
    pub fn unfinished(&self) -> &[Vec<u8>; 2] {
        &self.unfinished
    }

    /// Takes what a stream said at `now` (RFC 3339, ns).
    ///
    /// # Errors
    /// Where it cannot be written; the next call tries again.
    pub fn take(&mut self, stream: Stream, bytes: &[u8], now: &dyn Fn() -> String) -> Result<(), OpError> {
        let mut text = Vec::new();
        let mut time = None;
        let unfinished = &mut self.unfinished[stream as usize];
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LONGEST_LINE - unfinished.len();
            let end = rest
                .iter()
                .take(room)
                .position(|byte| *byte == b'\n')
                .map_or(room.min(rest.len()), |at| at + 1);
            let (part, later) = rest.split_at(end);
            unfinished.extend_from_slice(part);
            rest = later;
            if unfinished.ends_with(b"\n") || unfinished.len() == LONGEST_LINE {
                entry(&mut text, unfinished, stream, &self.attributes, time.get_or_insert_with(now));
                unfinished.clear();
            }
        }
        self.append(&text)
    }

    /// Writes lines that never ended.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn finish(&mut self, now: &dyn Fn() -> String) -> Result<(), OpError> {
        let mut text = Vec::new();
        for stream in [Stream::Output, Stream::Error] {
            let unfinished = std::mem::take(&mut self.unfinished[stream as usize]);
            if !unfinished.is_empty() {
                entry(&mut text, &unfinished, stream, &self.attributes, &now());
            }
        }
        let appended = self.append(&text);
        self.wait_for_packer();
        appended
    }

    fn append(&mut self, mut text: &[u8]) -> Result<(), OpError> {
        while !text.is_empty() {
            self.open()?;
            let room = usize::try_from(self.bounds.file.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let mut fits = whole_lines(text, room);
            if fits == 0 && self.size > 0 {
                self.rotate()?;
                continue;
            }
            // One line there is in any file.
            if fits == 0 {
                fits = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1);
            }
            let (now, later) = text.split_at(fits);
            let file = self.file.as_ref().expect("opened just now");
            let written = sys::fs::write_all(file.as_fd(), now);
            if written.is_err() {
                // How far it came is seen when it is opened again.
                self.file = None;
            }
            written
                .map_err(|source: io::Error| OpError { call: format!("write({:?})", self.path), source })?;
            self.size += now.len() as u64;
            text = later;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), OpError> {
        if self.file.is_none() {
            let file = sys::append::open(&self.path)?;
            if !sys::append::ends_a_line(file.as_fd()) {
                // Half a line, of a full disk or of a monitor that was killed, must not take the next one with it.
                let failed = |source| OpError { call: format!("write({:?})", self.path), source };
                sys::fs::write_all(file.as_fd(), b"\n").map_err(failed)?;
            }
            self.size = rustix::fs::fstat(&file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
            self.file = Some(file);
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), OpError> {
        self.file = None;
        self.size = 0;
        if self.bounds.files < 2 {
            return sys::fs::remove_file(&self.path);
        }
        self.wait_for_packer();
        for number in (1..self.bounds.files - 1).rev() {
            let (from, to) = (rotated(&self.path, number), rotated(&self.path, number + 1));
            for (from, to, other) in
                [(from.clone(), to.clone(), packed(&to)), (packed(&from), packed(&to), to)]
            {
                if from.exists() {
                    sys::fs::remove_file(&other)?;
                    sys::fs::rename(&from, &to)?;
                }
            }
        }
        let youngest = rotated(&self.path, 1);
        sys::fs::rename(&self.path, &youngest)?;
        if self.bounds.packs {
            self.packer = pack_apart(&youngest)?;
        }
        Ok(())
    }

    /// The process that packs an older file; when it can be read from, it has ended, and wants to be buried.
    pub fn packer(&self) -> Option<BorrowedFd<'_>> {
        self.packer.as_ref().map(AsFd::as_fd)
    }

    /// Until the packer has ended: two at a time would be in each other's way.
    pub fn wait_for_packer(&mut self) {
        if let Some(packer) = self.packer.take() {
            // One that failed has left the file as it was: it can be read all the same.
            let _left = sys::pidfd::wait(packer.as_fd());
        }
    }
}

/// Packs a file in a process of its own: whoever writes the log has no time for that.
fn pack_apart(path: &Path) -> Result<Option<OwnedFd>, OpError> {
    let Some(child) = sys::ns::fork()? else {
        // What its parent holds is not to be held any longer than by its parent.
        let code = sys::process::close_descriptors(&[], false).and_then(|()| pack(path));
        sys::process::exit(i32::from(code.is_err()))
    };
    sys::pidfd::open(child).map(Some)
}

/// `.1` becomes `.1.gz`, whole.
fn pack(path: &Path) -> Result<(), OpError> {
    let failed = |source| OpError { call: format!("gzip({path:?})"), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let inode = file.metadata().map_err(failed)?.ino();
    let mut text =
        flate2::GzBuilder::new().comment(inode.to_string()).write(Vec::new(), flate2::Compression::fast());
    io::copy(&mut file, &mut text).map_err(failed)?;
    let text = text.finish().map_err(failed)?;
    sys::fs::write_whole(&packed(path), &text, sys::fs::Durability::Cached)?;
    sys::fs::remove_file(path)
}

/// How many bytes of `text`, lines each with its end, are whole lines within `room`.
fn whole_lines(text: &[u8], room: usize) -> usize {
    if text.len() <= room {
        return text.len();
    }
    text[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// The name of an older file: 1 is the youngest of them.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Which file a packed one was, by its inode: whoever was reading it then goes on after it. It is in the header, as a comment.
pub fn inode_of_packed(file: &std::fs::File) -> Option<u64> {
    let gzip = flate2::read::GzDecoder::new(file);
    std::str::from_utf8(gzip.header()?.comment()?).ok()?.parse().ok()
}

/// The same file, packed.
pub fn packed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

fn entry(text: &mut Vec<u8>, line: &[u8], stream: Stream, attributes: &str, time: &str) {
    let stream = match stream {
        Stream::Output => "stdout",
        Stream::Error => "stderr",
    };
    text.extend_from_slice(b"{\"log\":");
    serde_json::to_writer(&mut *text, &String::from_utf8_lossy(line)).expect("text can be written to memory");
    text.extend_from_slice(b",\"stream\":\"");
    text.extend_from_slice(stream.as_bytes());
    text.extend_from_slice(b"\",");
    if !attributes.is_empty() {
        text.extend_from_slice(b"\"attrs\":");
        text.extend_from_slice(attributes.as_bytes());
        text.push(b',');
    }
    text.extend_from_slice(b"\"time\":\"");
    text.extend_from_slice(time.as_bytes());
    text.extend_from_slice(b"\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> String {
        "2026-11-23T17:00:00.000000001Z".to_owned()
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_dockers_and_long_ones_are_split() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = Log::new(path.clone(), Bounds::default());
        log.take(Stream::Output, b"", &now).unwrap();
        assert!(!path.exists(), "made before there is something to write");
        log.take(Stream::Output, b"one\ntwo", &now).unwrap();
        log.take(Stream::Error, b"\xff\n", &now).unwrap();
        log.take(Stream::Output, b" more\n", &now).unwrap();
        log.take(Stream::Output, &vec![b'x'; LONGEST_LINE + 1], &now).unwrap();
        log.finish(&now).unwrap();
        let found: Vec<(String, String)> = lines(&path)
            .iter()
            .map(|line| (line["stream"].as_str().unwrap().into(), line["log"].as_str().unwrap().into()))
            .collect();
        let expected = [
            ("stdout", "one\n".to_owned()),
            ("stderr", "\u{fffd}\n".to_owned()),
            ("stdout", "two more\n".to_owned()),
            ("stdout", "x".repeat(LONGEST_LINE)),
            ("stdout", "x".to_owned()),
        ];
        assert_eq!(found, expected.map(|(stream, log)| (stream.to_owned(), log)));
        let first = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(first, r#"{"log":"one\n","stream":"stdout","time":"2026-11-23T17:00:00.000000001Z"}"#);
    }

    #[test]
    fn a_log_is_bounded_and_the_oldest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = Log::new(path.clone(), Bounds { file: 200, files: 3, packs: false });
        for number in 0..20 {
            log.take(Stream::Output, format!("{number}\n").as_bytes(), &now).unwrap();
        }
        let numbers = |path: &Path| -> Vec<String> {
            lines(path).iter().map(|line| line["log"].as_str().unwrap().trim().to_owned()).collect()
        };
        assert_eq!(numbers(&path), ["18", "19"]);
        assert_eq!(numbers(&rotated(&path, 1)), ["16", "17"]);
        assert_eq!(numbers(&rotated(&path, 2)), ["14", "15"]);
        assert!(!rotated(&path, 3).exists());
        // Another monitor goes on where the first ended.
        let mut log = Log::new(path.clone(), Bounds { file: 200, files: 3, packs: false });
        log.take(Stream::Output, b"20\n", &now).unwrap();
        assert_eq!(
            (numbers(&rotated(&path, 1)), numbers(&path)),
            (vec!["18".into(), "19".into()], vec!["20".into()])
        );
    }

    #[test]
    fn older_files_are_packed_and_read_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = Log::new(path.clone(), Bounds { file: 200, files: 4, packs: true })
            .with_attributes(r#"{"tier":"front"}"#.to_owned());
        for number in 0..12 {
            log.take(Stream::Output, format!("{number}\n").as_bytes(), &now).unwrap();
        }
        log.finish(&now).unwrap();
        let unpacked = |path: &Path| {
            let mut text = String::new();
            let file = std::fs::File::open(packed(path)).unwrap();
            io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
            text
        };
        let all: String = [3, 2, 1].map(|number| unpacked(&rotated(&path, number))).concat();
        let all = all + &std::fs::read_to_string(&path).unwrap();
        let numbers: Vec<String> = all
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .inspect(|line| assert_eq!(line["attrs"]["tier"], "front"))
            .map(|line| line["log"].as_str().unwrap().trim().to_owned())
            .collect();
        let expected: Vec<String> = (12 - numbers.len()..12).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected);
        assert!(!rotated(&path, 1).exists() && !packed(&rotated(&path, 4)).exists());
    }
}
