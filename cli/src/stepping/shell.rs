//! A shell at a moment of the making of a container: outside, or inside as far as there is an inside.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use runtime::sys::{exec, ns, pidfd, process, signal, terminal};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;

use crate::plan::spec::PATH;

/// Where it looks from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Outside,
    /// In the namespaces of this process.
    Inside(i32),
}

/// What a shell is told of processes: the one that waits, and the container's first one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) waits: i32,
    pub(super) init: Option<i32>,
}

/// Runs a shell, or one command, to its end; it has the terminal meanwhile. False where a signal came first: it is ended then.
///
/// # Errors
/// What the kernel answered.
pub(super) fn run(place: Place, command: Option<&str>, told: Told, signals: BorrowedFd<'_>) -> Result<bool> {
    let on_terminal = terminal::is_terminal(rustix::stdio::stdin());
    process::assert_single_threaded()?;
    terminal::remember(rustix::stdio::stdin());
    let Some(child) = ns::fork()? else {
        let Err(error) = become_shell(place, command, told, on_terminal);
        crate::output::error(&error);
        process::exit(127)
    };
    let held = pidfd::open(child)?;
    let undisturbed = wait(&held, child.as_raw_nonzero().get(), signals)?;
    if on_terminal {
        // The shell had the keys; SIGTTOU is blocked here.
        terminal::to_foreground(rustix::stdio::stdin())?;
        terminal::restore();
    }
    Ok(undisturbed)
}

/// Waits for its end, or for a signal, by which it is ended.
fn wait(held: &OwnedFd, pid: i32, signals: BorrowedFd<'_>) -> Result<bool> {
    let mut undisturbed = true;
    while !pidfd::has_ended(held.as_fd()) {
        let mut waits = [PollFd::new(held, PollFlags::IN), PollFd::from_borrowed_fd(signals, PollFlags::IN)];
        // An interrupted wait is tried again by the loop.
        let _interrupted = rustix::event::poll(&mut waits, None);
        while let Some(number) = signal::next(signals) {
            if super::ENDING.contains(&number) && undisturbed {
                undisturbed = false;
                pidfd::send_signal(held.as_fd(), pid, libc::SIGKILL)?;
            }
        }
    }
    pidfd::wait(held.as_fd())?;
    Ok(undisturbed)
}

/// Returns only where that fails.
fn become_shell(place: Place, command: Option<&str>, told: Told, on_terminal: bool) -> Result<Infallible> {
    process::die_with_parent()?;
    if on_terminal {
        process::new_group()?;
        terminal::to_foreground(rustix::stdio::stdin())?;
    } else {
        let null = terminal::open_null()?;
        process::set_stdio([null.as_fd(), rustix::stdio::stdout(), rustix::stdio::stderr()])?;
    }
    signal::reset()?;
    if let Place::Inside(pid) = place {
        enter(pid)?;
    }
    let mut words = vec![c"sh".to_owned()];
    if let Some(command) = command {
        words.extend([c"-c".to_owned(), CString::new(command)?]);
    }
    let mut variables = vec![
        format!("PATH={PATH}"),
        format!("TERM={}", std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned())),
        format!("MINI_PID={}", told.waits),
    ];
    variables.extend(told.init.map(|pid| format!("MINI_INIT={pid}")));
    let variables = variables.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
    Err(exec::execute(c"/bin/sh", &words, &variables).into())
}

/// Enters the namespaces of a process that are not this one's, and its root; is root there where there is a root user.
fn enter(pid: i32) -> Result<()> {
    let kinds = ns::foreign(pid);
    let held = Pid::from_raw(pid).map(pidfd::open).transpose()?;
    // Another one than its mount namespace's, until it has pivoted.
    let root = pidfd::open_root_of(pid)?;
    if let Some(held) = held.filter(|_| !kinds.is_empty()) {
        ns::join_process(held.as_fd(), kinds)?;
    }
    process::change_root(root.as_fd(), Path::new("/proc/PID/root"))?;
    if kinds.contains(ns::Kinds::PROCESS_ID)
        && let Some(child) = ns::fork()?
    {
        // A pid namespace is its children's (setns(2)).
        let held = pidfd::open(child)?;
        process::exit(pidfd::wait(held.as_fd())?.code());
    }
    process::die_with_parent()?;
    if kinds.contains(ns::Kinds::USER) {
        // Before the maps are written there is nobody to become.
        let _nobody = process::become_user(0, 0, &[]);
    }
    Ok(())
}
