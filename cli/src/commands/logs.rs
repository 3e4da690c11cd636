//! `mini logs`: what a container has written.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};
use rustix::event::Timespec;
use serde::Deserialize;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::follow::{Follower, Watch};
use crate::launch;
use crate::plan::logging::LogDriver;
use crate::settings::Settings;

/// Print what a container has written
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini logs --tail 20 web\n  mini logs -f web\n  mini logs -t --since 10m web\n\nSee also: mini attach, mini events, mini ps"
)]
pub(crate) struct LogsArgs {
    /// Go on as long as the container runs
    #[arg(short, long)]
    follow: bool,
    /// Print when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Print the labels and variables that --log-opt chose, and the tag, before each line
    #[arg(long)]
    details: bool,
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
struct Line {
    log: String,
    stream: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    time: String,
}

/// Which lines, and how.
#[derive(Debug, Clone, Copy)]
struct Form {
    timestamps: bool,
    details: bool,
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
        details: args.details,
        since: moment(&args.since)?.unwrap_or(0),
        until: moment(&args.until)?.unwrap_or(u64::MAX),
    };
    let entry = state.find(&args.container)?;
    let driver = Settings::of(&entry.record)
        .request
        .map_or_else(LogDriver::default, |request| request.options.log.driver);
    if driver == LogDriver::None {
        bail!(
            "configured logging driver does not support reading: {} keeps nothing (--log-driver none)",
            args.container
        );
    }
    // Before the first look, so that nothing written in between is missed.
    let watch = args.follow.then(|| Watch::new(&entry.dirs.disk)).transpose();
    let watch = watch.map_err(|error| match entry.dirs.disk.exists() {
        true => error,
        false => error.context(format!("container {} was removed meanwhile", entry.record.name)),
    })?;
    let mut follower = Follower::new(entry.dirs.disk.join("container.log"));
    let mut print = |line: Vec<u8>| form.print(&line);
    match args.tail {
        Tail::All => follower.all(&mut print)?,
        Tail::Last(lines) => last(&mut follower, lines)?.into_iter().for_each(&mut print),
    }
    let Some(watch) = watch else { return Ok(ExitCode::Success) };
    loop {
        let running = state
            .load(&entry.record.id)?
            .is_some_and(|entry| entry.status.is_up() && super::is_looked_after(&entry));
        follower.new_lines(&mut print)?;
        if !running || clock::now() > form.until {
            // Its monitor may be writing the last lines.
            if !running {
                super::wait_for_monitor(&entry)?;
                follower.new_lines(&mut print)?;
            }
            return Ok(ExitCode::Success);
        }
        // At most a second: the container's end changes nothing in its directory.
        watch.wait(Timespec { tv_sec: 1, tv_nsec: 0 });
    }
}

/// The last lines of everything that there is.
fn last(follower: &mut Follower, lines: usize) -> Result<VecDeque<Vec<u8>>> {
    let mut last = VecDeque::with_capacity(lines.min(1024));
    let mut keep = |line: Vec<u8>| {
        if lines > 0 {
            if last.len() == lines {
                last.pop_front();
            }
            last.push_back(line);
        }
    };
    follower.all(&mut keep)?;
    Ok(last)
}

impl Form {
    /// To the stream that it came from. A line that is no entry (a full disk cut it short) is left out.
    fn print(self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        if !self.shows(&line.time) {
            return;
        }
        let mut text = String::new();
        if self.timestamps {
            text += &format!("{} ", line.time);
        }
        if self.details {
            text += &format!("{} ", details(&line.attrs));
        }
        text += &line.log;
        match line.stream.as_str() {
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

/// `mode=a%3Db,tier=front`, as docker writes them: nothing in them is mistaken for what separates them. PURE.
fn details(attributes: &BTreeMap<String, String>) -> String {
    let pair = |(key, value): (&String, &String)| format!("{}={}", escaped(key), escaped(value));
    attributes.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// As in the query of a URL (Go's `url.QueryEscape`).
fn escaped(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => all.push('+'),
            b'-' | b'_' | b'.' | b'~' => all.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => all.push(char::from(byte)),
            byte => all += &format!("%{byte:02X}"),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_one_word() {
        let attributes = [("tier", "front"), ("a b", "c=d,e\n"), ("ü", "")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(details(&attributes), "a+b=c%3Dd%2Ce%0A,tier=front,%C3%BC=");
        assert_eq!(details(&BTreeMap::new()), "");
    }
}
