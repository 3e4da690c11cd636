//! A container that stands still while its files are read, and goes on whatever becomes of who reads them.
//!
//! ```text
//! client ──── fork ────► watcher
//!   │ freezes                │ waits for the end of a pipe that only the client writes into
//!   │ reads                  │
//!   │ closes the pipe, or dies ─► thaws, ends
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;
use runtime::op::{enter_process, step};
use runtime::state::Entry;
use runtime::sys::{ns, pidfd, process, signal, socket};

use crate::commands::still_runs;
use crate::context::Context;

/// Processes that stand still until this ends.
#[derive(Debug)]
pub(super) struct Hold {
    layout: Layout,
    group: PathBuf,
    /// While it is open, they do.
    pipe: OwnedFd,
    watcher: OwnedFd,
}

impl Hold {
    /// Freezes a container's processes; nothing where they stand still already, and are somebody else's to let go.
    ///
    /// # Errors
    /// Where they do not stand still, and have not ended meanwhile.
    pub(super) fn begin(context: &Context, layout: &Layout, entry: &Entry) -> Result<Option<Hold>> {
        let group = context.group(&entry.record);
        if layout.is_frozen(&group) {
            return Ok(None);
        }
        step(
            "Let the container stand still while its files are read, and see that it goes on whatever happens to us",
        );
        process::assert_single_threaded()?;
        let (end, pipe) = socket::pipe()?;
        let Some(watcher) = ns::fork()? else {
            drop(pipe);
            enter_process("watcher");
            process::exit(i32::from(watch(layout, &group, &end).is_err()))
        };
        drop(end);
        let hold = Hold { layout: layout.clone(), group, pipe, watcher: pidfd::open(watcher)? };
        match hold.layout.freeze(&hold.group) {
            Ok(()) => context.happened("pause", &entry.record),
            // It has ended, or somebody let it go on: then that is how it is.
            Err(error) if !still_runs(entry) || error.errno() == libc::ECANCELED => {}
            Err(error) => {
                return Err(error).context("cannot pause the container: --pause=false does without");
            }
        }
        Ok(Some(hold))
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(super) fn end(self, context: &Context, entry: &Entry) -> Result<()> {
        step("Let the container go on");
        drop(self.pipe);
        pidfd::wait(self.watcher.as_fd())?;
        // Where somebody has killed the watcher.
        let thawed = self.layout.thaw(&self.group);
        if still_runs(entry) {
            thawed?;
            context.happened("unpause", &entry.record);
        }
        Ok(())
    }
}

/// The life of the watcher: it hears no signal that is meant for the client.
fn watch(layout: &Layout, group: &std::path::Path, end: &OwnedFd) -> Result<()> {
    process::new_session()?;
    for deaf in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
        signal::ignore(deaf)?;
    }
    let mut byte = [0];
    while rustix::io::read(end, &mut byte)
        .map_err(io::Error::from)
        .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
    {}
    Ok(layout.thaw(group)?)
}
