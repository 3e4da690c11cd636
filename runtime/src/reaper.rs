//! `--init`: the container's first process stays what it is, and the program becomes its child.
//!
//! ```text
//! init                                            program
//!   │ confined, every signal blocked
//!   │ fork ─────────────────────────────────────► │ a process group of its own, in the foreground of a terminal
//!   │ closes its copies, forgets its memory       │ execve: the report's end
//!   │ a signal ─────────────────────────────────► │
//!   │ ◄─ SIGCHLD: buries whoever has ended ────── │
//!   │ ends with its code, or 128+n                │
//! ```
//!
//! It executes nothing: what it is was mini before, and has the program's own ids, capabilities and filter by now. What its
//! memory held of the monitor's is given back to the kernel, and the rest stays closed (`PR_SET_DUMPABLE`).

use std::os::fd::{AsFd, BorrowedFd};

use crate::gate::{self, Failure};
use crate::op::{OpError, enter_process, step};
use crate::plan::ProcessPlan;
use crate::sys::reap::{self, Memory};
use crate::sys::{self, ns};

/// What the reaper is called by those who look: docker's name for its own.
const NAME: &str = "/sbin/docker-init";

/// Splits this process: returns in the program's half; the other one never returns.
///
/// # Errors
/// What fork(2) or the preparations of either half answered.
pub(crate) fn split(
    plan: &ProcessPlan,
    memory: Option<&Memory>,
    report: BorrowedFd<'_>,
) -> Result<(), OpError> {
    step("Stay as the container's init, and let the program be our child");
    // A change of ids may have made it readable again, where the host has fs.suid_dumpable set (proc(5)).
    sys::process::hide_memory()?;
    let first = rustix::process::getpid().is_init();
    if !first {
        sys::process::become_subreaper()?;
    }
    sys::signal::block_all()?;
    if let Some(child) = ns::fork()? {
        become_reaper(plan, child, memory)
    }
    enter_process("program");
    let prepared = || -> Result<(), OpError> {
        if !first {
            // In a pid namespace of its own it dies with the first process; here nobody else takes it along.
            sys::process::die_with_parent()?;
        }
        sys::process::new_group()?;
        if plan.terminal {
            sys::terminal::to_foreground(rustix::stdio::stdin())?;
        }
        sys::signal::reset()
    };
    if let Err(error) = prepared() {
        gate::report(report.as_fd(), &Failure::from(error));
        sys::process::exit(125);
    }
    Ok(())
}

fn become_reaper(plan: &ProcessPlan, child: rustix::process::Pid, memory: Option<&Memory>) -> ! {
    // What cannot be closed or renamed costs descriptors and a name, not the container.
    let _still_open = sys::process::close_descriptors(&[], false);
    sys::process::set_name(c"docker-init");
    let words = plan.args.iter().map(|word| word.to_string_lossy());
    let title = [NAME.into(), "--".into()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    sys::memory::overwrite_arguments(&title);
    reap::reap(child, memory)
}
