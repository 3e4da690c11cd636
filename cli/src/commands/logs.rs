//! `mini logs`: what a container has written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::io::log::rotated;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use serde::Deserialize;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::launch;

/// Print what a container has written
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini logs --tail 20 web\n  mini logs -f web\n  mini logs -t --since 10m web\n\nSee also: mini ps, mini inspect"
)]
pub(crate) struct LogsArgs {
    /// Go on as long as the container runs
    #[arg(short, long)]
    follow: bool,
    /// Print when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Only what was written since then: a time, or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was written until then: a time, or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only so many lines from the end
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", value_parser = tail)]
    tail: Tail,
    /// The container
    container: String,
}

/// How many lines from the end.
#[derive(Debug, Clone, Copy)]
enum Tail {
    All,
    Last(usize),
}

/// As docker: anything that is no number is all.
fn tail(text: &str) -> Result<Tail, String> {
    match (text, text.parse::<i64>()) {
        ("all", _) => Ok(Tail::All),
        (_, Ok(lines)) => Ok(usize::try_from(lines).map_or(Tail::All, Tail::Last)),
        _ => Err(format!("{text:?} is neither a number of lines nor \"all\"")),
    }
}

/// One line of the file.
#[derive(Debug, Deserialize)]
struct Entry {
    log: String,
    stream: String,
    time: String,
}

/// Which lines, and how.
#[derive(Debug, Clone, Copy)]
struct Form {
    timestamps: bool,
    /// ns since 1970.
    since: u64,
    /// ns since 1970.
    until: u64,
}

/// Prints the files from the oldest on, then follows.
pub(crate) fn logs(context: &Context, args: &LogsArgs) -> Result<ExitCode> {
    let state = context.state();
    let now = clock::now();
    let moment = |text: &Option<String>| text.as_deref().map(|text| clock::moment(text, now)).transpose();
    let form = Form {
        timestamps: args.timestamps,
        since: moment(&args.since)?.unwrap_or(0),
        until: moment(&args.until)?.unwrap_or(u64::MAX),
    };
    let entry = state.find(&args.container)?;
    let path = entry.dirs.disk.join("container.log");
    // Before the first look, so that nothing written in between is missed.
    let watch = args.follow.then(|| Watch::new(&entry.dirs.disk)).transpose()?;
    let mut reader = LogReader::new(path, form);
    match args.tail {
        Tail::All => reader.print_older()?,
        Tail::Last(lines) => reader.print_last(lines)?,
    }
    reader.print_new()?;
    let Some(watch) = watch else { return Ok(ExitCode::Success) };
    loop {
        let running = state
            .load(&entry.record.id)?
            .is_some_and(|entry| entry.status.is_up() && super::is_looked_after(&entry));
        reader.print_new()?;
        if !running || clock::now() > form.until {
            // Its monitor may be writing the last lines.
            if !running {
                super::wait_for_monitor(&entry)?;
                reader.print_new()?;
            }
            return Ok(ExitCode::Success);
        }
        watch.wait()?;
    }
}

/// Told when something in the directory changes.
struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    fn new(directory: &Path) -> Result<Watch> {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVE
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&inotify, directory, flags)
            .with_context(|| format!("cannot follow the log in {}", directory.display()))?;
        Ok(Watch { inotify })
    }

    /// Waits for a change, at most a second: the container's end changes nothing here.
    fn wait(&self) -> Result<()> {
        let mut polled = [PollFd::new(&self.inotify, PollFlags::IN)];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        // An interrupted wait is a shorter one.
        let _interrupted = rustix::event::poll(&mut polled, Some(&second));
        let mut buffer = [0u8; 4096];
        while rustix::io::read(self.inotify.as_fd(), &mut buffer).is_ok() {}
        Ok(())
    }
}

/// Reads the current file, and moves to its successor when it was rotated away.
struct LogReader {
    path: PathBuf,
    form: Form,
    current: Option<(File, u64)>,
}

impl LogReader {
    fn new(path: PathBuf, form: Form) -> LogReader {
        LogReader { path, form, current: None }
    }

    /// All rotated files, oldest first.
    fn older(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            (1..).map(|number| rotated(&self.path, number)).take_while(|path| path.exists()).collect();
        files.reverse();
        files
    }

    fn print_older(&self) -> Result<()> {
        for path in self.older() {
            for line in BufReader::new(File::open(&path)?).split(b'\n') {
                self.form.print(&line?);
            }
        }
        Ok(())
    }

    /// The last lines of everything; afterwards the current file has been read.
    fn print_last(&mut self, lines: usize) -> Result<()> {
        let mut last: VecDeque<Vec<u8>> = VecDeque::with_capacity(lines.min(1024));
        let mut keep = |line: Vec<u8>| {
            if lines > 0 {
                if last.len() == lines {
                    last.pop_front();
                }
                last.push_back(line);
            }
        };
        for path in self.older() {
            BufReader::new(File::open(&path)?).split(b'\n').try_for_each(|line| line.map(&mut keep))?;
        }
        self.read_new(&mut keep)?;
        last.iter().for_each(|line| self.form.print(line));
        Ok(())
    }

    fn print_new(&mut self) -> Result<()> {
        let form = self.form;
        self.read_new(&mut |line| form.print(&line))
    }

    /// Whole lines that were not read yet; what has no end of line yet is read next time.
    fn read_new(&mut self, take: &mut dyn FnMut(Vec<u8>)) -> Result<()> {
        loop {
            if self.current.is_none() {
                let Some(file) = self.open(&self.path)? else { return Ok(()) };
                self.current = Some((file, 0));
            }
            self.read_current(take)?;
            let Some((file, _)) = &self.current else { return Ok(()) };
            let Some(next) = self.successor(file.metadata()?.ino())? else { return Ok(()) };
            // Rotated away: nothing more is written to it, but something may have been since we read it.
            self.read_current(take)?;
            self.current = Some((next, 0));
        }
    }

    fn read_current(&mut self, take: &mut dyn FnMut(Vec<u8>)) -> Result<()> {
        let Some((file, offset)) = &mut self.current else { return Ok(()) };
        file.seek(SeekFrom::Start(*offset))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        *offset += whole as u64;
        text[..whole]
            .split_inclusive(|byte| *byte == b'\n')
            .for_each(|line| take(line[..line.len() - 1].to_vec()));
        Ok(())
    }

    /// The file after the one with this inode; `None` where it is the youngest. Of several rotations at once the oldest file that
    /// is still there comes next.
    fn successor(&self, inode: u64) -> Result<Option<File>> {
        let mut younger = self.open(&self.path)?;
        let is = |file: &Option<File>| -> Result<bool> {
            Ok(file.as_ref().map(File::metadata).transpose()?.is_some_and(|metadata| metadata.ino() == inode))
        };
        if younger.is_none() || is(&younger)? {
            return Ok(None);
        }
        for number in 1.. {
            let older = self.open(&rotated(&self.path, number))?;
            if older.is_none() || is(&older)? {
                break;
            }
            younger = older;
        }
        Ok(younger)
    }

    fn open(&self, path: &Path) -> Result<Option<File>> {
        match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

impl Form {
    /// To the stream that it came from. A line that is no entry (a full disk cut it short) is left out.
    fn print(self, line: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return };
        if !self.shows(&entry.time) {
            return;
        }
        let text = match self.timestamps {
            true => format!("{} {}", entry.time, entry.log),
            false => entry.log,
        };
        match entry.stream.as_str() {
            "stderr" => launch::write(&mut std::io::stderr().lock(), text.as_bytes()),
            _ => launch::write(&mut std::io::stdout().lock(), text.as_bytes()),
        }
    }

    /// What has no time that can be read is shown.
    fn shows(self, time: &str) -> bool {
        if self.since == 0 && self.until == u64::MAX {
            return true;
        }
        clock::moment(time, 0).map_or(true, |time| (self.since..=self.until).contains(&time))
    }
}
