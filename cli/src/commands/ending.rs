//! A container that is told to end, or whose end is waited for.
//!
//! Its processes are held by descriptor and signalled directly. Only where its monitor would start it again, the monitor is told
//! instead: it alone decides, one thing after the other, so that nothing can come in between.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use runtime::cgroup::Layout;
use runtime::op::{OpError, step};
use runtime::record::{Live, ProcessId, Record};
use runtime::state::Entry;
use runtime::sys::{pidfd, socket};
use rustix::event::{PollFd, PollFlags};

use crate::clock::Moment;
use crate::context::Context;
use crate::events::{Event, Journal};
use crate::plan::STOP_TIMEOUT;
use crate::plan::life::RestartPolicy;
use crate::session;
use crate::settings::Settings;
use crate::supervise::protocol::{End, LONGEST, Message};

/// A container that was found up.
pub(crate) struct Ending {
    /// `None` between two runs, and where it has ended already.
    init: Option<OwnedFd>,
    pid: i32,
    /// Whoever writes down how it ended; `None` where it lost its monitor.
    monitor: Option<OwnedFd>,
    /// Its control groups, where it may be frozen.
    group: PathBuf,
    /// Its run directory.
    run: PathBuf,
    record: Record,
    journal: Journal,
    /// Its monitor may start it again.
    comes_back: bool,
    /// When SIGKILL follows.
    kill_at: Option<Moment>,
}

impl Ending {
    /// Holds a container that is up, and does nothing to it.
    ///
    /// # Errors
    /// Where it is not.
    pub(crate) fn hold(context: &Context, entry: &Entry) -> Result<Ending> {
        step("Hold the container's first process and its monitor, so that no other can be mistaken for them");
        let name = &entry.record.name;
        let live = entry.live.as_ref().filter(|_| entry.status.is_up());
        let live: &Live = live.with_context(|| format!("container {name} is not running"))?;
        let monitor = held(live.monitor);
        let init = held(live.init);
        ensure!(init.is_some() || monitor.is_some(), "container {name} has ended");
        Ok(Ending {
            init,
            pid: live.init.pid,
            comes_back: monitor.is_some() && policy(&entry.record) != RestartPolicy::No,
            monitor,
            group: context.group(&entry.record),
            run: entry.dirs.run.clone(),
            record: entry.record.clone(),
            journal: context.journal(),
            kill_at: None,
        })
    }

    /// Tells it to end for good, in its own way; [`Ending::wait`] insists when its time is over.
    ///
    /// `signal` and `time` (seconds; negative is for ever) are what was asked for now, instead of what it was made with.
    ///
    /// # Errors
    /// Where it is not up, or the kernel refuses.
    pub(crate) fn stop(
        context: &Context,
        entry: &Entry,
        signal: Option<i32>,
        time: Option<i64>,
    ) -> Result<Ending> {
        let mut ending = Ending::hold(context, entry)?;
        let seconds = time.or(stop_timeout(&entry.record)).unwrap_or(STOP_TIMEOUT);
        step("Tell it to end");
        let signal = signal.unwrap_or(stop_signal(&entry.record));
        ending.write_down(signal);
        ending.tell(signal, Some(seconds))?;
        ending.kill_at = Moment::deadline(seconds);
        // A paused one is to hear it.
        ending.thaw()?;
        Ok(ending)
    }

    /// Sends a signal; a container that has ended meanwhile is fine.
    ///
    /// # Errors
    /// Where it is not up, or the kernel refuses.
    pub(crate) fn signal(context: &Context, entry: &Entry, signal: i32) -> Result<Ending> {
        let ending = Ending::hold(context, entry)?;
        step("Send it the signal");
        let ends = signal == libc::SIGKILL || signal == stop_signal(&entry.record);
        ending.write_down(signal);
        ending.tell(signal, ends.then_some(-1))?;
        if signal == libc::SIGKILL {
            ending.thaw()?;
        }
        Ok(ending)
    }

    /// Whose end it is.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// For `mini events`; before it is sent, so that what it brings about comes after it.
    fn write_down(&self, signal: i32) {
        self.journal.record(&[Event::container("kill", &self.record).with("signal", signal)]);
    }

    /// `seconds`: this is meant to end it, and SIGKILL follows then; negative is never.
    fn tell(&self, signal: i32, seconds: Option<i64>) -> Result<()> {
        if self.comes_back {
            let patience = seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let patience = patience.map(|seconds| seconds.saturating_mul(1_000_000_000));
            let told = self.tell_monitor(End { signal, patience, last: seconds.is_some() });
            // A monitor that cannot be reached has ended by now, or will never start anything again.
            if told.is_ok() || self.init.is_none() {
                return told;
            }
        }
        let Some(init) = &self.init else { return Ok(()) };
        match pidfd::send_signal(init.as_fd(), self.pid, signal) {
            Err(error) if error.errno() != libc::ESRCH => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn tell_monitor(&self, end: End) -> Result<()> {
        step("Tell its monitor, which would start it again");
        let gone = |error: &OpError| [libc::ENOENT, libc::ECONNREFUSED].contains(&error.errno());
        let monitor = match session::connect(&self.run) {
            // It hears nobody any more, and starts nothing.
            Err(error) if self.init.is_none() && error.downcast_ref().is_some_and(gone) => return Ok(()),
            other => other?,
        };
        let hung_up = |error: &OpError| [libc::ECONNRESET, libc::EPIPE].contains(&error.errno());
        match socket::send(monitor.as_fd(), &Message::End(end).encode(), &[]) {
            Err(error) if hung_up(&error) => return Ok(()),
            other => other?,
        }
        // How it ended may be a long story.
        let mut packet = vec![0u8; LONGEST + 16];
        loop {
            let (length, _) = match socket::receive(monitor.as_fd(), &mut packet) {
                // It hangs up where it ends: nothing is started any more.
                Err(error) if hung_up(&error) => return Ok(()),
                other => other?,
            };
            match Message::decode(&packet[..length]) {
                None | Some(Message::Taken | Message::Exit(_)) => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// How it ended, once it has; `None` before Linux 6.15.
    pub(crate) fn of(&self) -> Option<pidfd::Ending> {
        pidfd::ending(self.init.as_ref()?.as_fd())
    }

    /// A frozen process takes no signal, on control groups of version 1 not even SIGKILL.
    fn thaw(&self) -> Result<()> {
        Ok(Layout::detect()?.thaw(&self.group)?)
    }

    /// Waits until it has ended for good and that is written down; SIGKILL where its time is over.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn wait(&self) -> Result<()> {
        step("Wait for the end, and for its monitor to write it down");
        if let Some(init) = self.init.as_ref().filter(|_| !self.comes_back)
            && !wait_until(init, self.kill_at)?
        {
            step("It did not end in time");
            self.write_down(libc::SIGKILL);
            match pidfd::send_signal(init.as_fd(), self.pid, libc::SIGKILL) {
                Err(error) if error.errno() != libc::ESRCH => return Err(error.into()),
                _ => self.thaw()?,
            }
            wait_until(init, None)?;
        }
        if let Some(monitor) = &self.monitor {
            wait_until(monitor, None)?;
        }
        Ok(())
    }
}

/// Ends a container at once, without waiting for it; `None` where it has ended by itself.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn end_now(context: &Context, entry: &Entry) -> Result<Option<Ending>> {
    match Ending::signal(context, entry, libc::SIGKILL) {
        Ok(ending) => Ok(Some(ending)),
        Err(_) if !super::still_runs(entry) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A process that was written down, held, if it is still there.
pub(crate) fn held(process: ProcessId) -> Option<OwnedFd> {
    let held = rustix::process::Pid::from_raw(process.pid).and_then(|pid| pidfd::open(pid).ok());
    // Asked after it is held: from here on the number is this process's.
    held.filter(|_| runtime::state::is_alive(process))
}

fn policy(record: &Record) -> RestartPolicy {
    Settings::of(record).request.map_or(RestartPolicy::No, |request| request.options.life.restart)
}

/// What it was made with, s.
fn stop_timeout(record: &Record) -> Option<i64> {
    Settings::of(record).request.and_then(|request| request.options.stop_timeout)
}

/// What stops it: the image's word, or SIGTERM.
fn stop_signal(record: &Record) -> i32 {
    match Settings::of(record).stop_signal {
        0 => libc::SIGTERM,
        signal => signal,
    }
}

/// Whether the process ended before the deadline.
fn wait_until(process: &OwnedFd, deadline: Option<Moment>) -> Result<bool> {
    loop {
        let timeout = deadline.map(Moment::left);
        let mut polled = [PollFd::new(process, PollFlags::IN)];
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("cannot wait for the container's end"),
        }
    }
}
