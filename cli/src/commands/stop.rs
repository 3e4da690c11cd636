//! `mini stop`: ask containers to end, and insist after a while.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;
use runtime::op::step;
use runtime::record::{Record, Status};
use runtime::state::Entry;
use runtime::sys::pidfd;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::Failures;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::Form;
use crate::output;
use crate::plan::values;
use crate::settings::Settings;

/// Stop running containers
///
/// Each gets its stop signal, and SIGKILL when it still runs after the time is over.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini stop web\n  mini stop -t 1 web db\n\nSee also: mini kill, mini rm")]
pub(crate) struct StopArgs {
    /// Seconds to wait before SIGKILL; -1 waits for ever [default: the container's, or 10]
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// The signal, instead of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Tell every kernel operation, in order
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<Form>,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Signals all, then waits for all.
pub(crate) fn stop(context: &Context, args: &StopArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain)?;
    let signal = args.signal.as_deref().map(values::signal).transpose()?;
    let state = context.state();
    let mut failures = Failures::default();
    let mut ending: Vec<(&String, Ending, Option<u64>)> = Vec::new();
    for word in &args.containers {
        let begun = state.find(word).map_err(anyhow::Error::from).and_then(|entry| match entry.status {
            Status::Running { .. } => {
                let ending = Ending::begin(context, &entry, signal.unwrap_or(stop_signal(&entry.record)))?;
                // A paused one is to hear it.
                ending.thaw()?;
                Ok(Some((ending, deadline(&entry.record, args.time))))
            }
            _ => Ok(None),
        });
        match begun {
            Ok(Some((one, deadline))) => ending.push((word, one, deadline)),
            Ok(None) => output::print_line(word)?,
            Err(error) => failures.add(&error),
        }
    }
    for (word, one, deadline) in ending {
        match one.wait(deadline) {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error.context(format!("cannot stop {word}"))),
        }
    }
    story.into_iter().for_each(crate::explain::Story::tell_what_is_there);
    Ok(failures.code())
}

/// When patience ends, ns since 1970: what was asked for now, what the container was made with, or 10 seconds.
pub(crate) fn deadline(record: &Record, asked: Option<i64>) -> Option<u64> {
    let own = Settings::of(record).request.and_then(|request| request.options.stop_timeout);
    clock::deadline(asked.or(own).unwrap_or(10))
}

/// What stops it: the image's word, or SIGTERM.
pub(crate) fn stop_signal(record: &Record) -> i32 {
    match Settings::of(record).stop_signal {
        0 => libc::SIGTERM,
        signal => signal,
    }
}

/// A container that has been told to end.
pub(crate) struct Ending {
    init: OwnedFd,
    pid: i32,
    /// Whoever writes down how it ended; `None` where it lost its monitor.
    monitor: Option<OwnedFd>,
    /// Its control groups, where it may be frozen.
    group: PathBuf,
}

impl Ending {
    /// Sends the signal; a container that has ended meanwhile is fine.
    ///
    /// # Errors
    /// Where the container does not run, or the kernel refuses.
    pub(crate) fn begin(context: &Context, entry: &Entry, signal: i32) -> Result<Ending> {
        let ending = Ending::hold(context, entry)?;
        step("Tell it to end");
        match pidfd::send_signal(ending.init.as_fd(), ending.pid, signal) {
            Err(error) if error.errno() != libc::ESRCH => return Err(error.into()),
            _ => {}
        }
        if signal == libc::SIGKILL {
            ending.thaw()?;
        }
        Ok(ending)
    }

    /// Holds a container that runs, and does nothing to it.
    ///
    /// # Errors
    /// Where it does not run.
    pub(crate) fn hold(context: &Context, entry: &Entry) -> Result<Ending> {
        step("Hold the container's first process and its monitor, so that no other can be mistaken for them");
        let live = super::running(entry)?;
        let monitor = rustix::process::Pid::from_raw(live.monitor.pid)
            .filter(|_| runtime::state::is_alive(live.monitor))
            .and_then(|pid| pidfd::open(pid).ok());
        let init = super::open_init(entry, live.init)?;
        let group = context.group(&entry.record.id);
        Ok(Ending { init, pid: live.init.pid, monitor, group })
    }

    /// How it ended, once it has; `None` before Linux 6.15.
    pub(crate) fn of(&self) -> Option<pidfd::Ending> {
        pidfd::ending(self.init.as_fd())
    }

    /// A frozen process takes no signal, on control groups of version 1 not even SIGKILL.
    pub(crate) fn thaw(&self) -> Result<()> {
        Ok(Layout::detect()?.thaw(&self.group)?)
    }

    /// Waits until it has ended and that is written down; SIGKILL at the deadline (ns since 1970).
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn wait(&self, deadline: Option<u64>) -> Result<()> {
        step("Wait for the end, and for its monitor to write it down");
        if !wait_until(&self.init, deadline)? {
            step("It did not end in time");
            match pidfd::send_signal(self.init.as_fd(), self.pid, libc::SIGKILL) {
                Err(error) if error.errno() != libc::ESRCH => return Err(error.into()),
                _ => self.thaw()?,
            }
            wait_until(&self.init, None)?;
        }
        if let Some(monitor) = &self.monitor {
            wait_until(monitor, None)?;
        }
        Ok(())
    }
}

/// Whether the process ended before the deadline.
fn wait_until(process: &OwnedFd, deadline: Option<u64>) -> Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_sub(clock::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_nsec: (left % 1_000_000_000).cast_signed(),
        });
        let mut polled = [PollFd::new(process, PollFlags::IN)];
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("cannot wait for the container's end"),
        }
    }
}

/// Ends a container at once and waits until its monitor has cleaned up.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn end_now(context: &Context, entry: &Entry) -> Result<()> {
    match Ending::begin(context, entry, libc::SIGKILL) {
        Ok(ending) => ending.wait(None),
        // It has ended by itself.
        Err(_) if !super::still_runs(entry) => Ok(()),
        Err(error) => Err(error),
    }
}
