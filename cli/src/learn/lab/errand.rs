//! Children that go into the lab: they join what a process is in, do one thing there, answer through a pipe, and end. What
//! they leave behind, contained, lives on.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use runtime::op::enter_process;
use runtime::sys::ns::{self, Kinds};
use runtime::sys::{self, pidfd, process, signal};
use rustix::process::Pid;

use super::{Lab, PATIENCE, answer};
use crate::clock::Moment;

/// What a contained process does when it has been set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing, until it is killed.
    Sleep,
    /// Uses all the processor time it gets.
    Burn,
    /// Wakes up every few milliseconds: who looks at its counters sees whether it goes on.
    Tick,
}

impl Lab {
    /// Does something in the lab itself, as its root.
    ///
    /// # Errors
    /// What went wrong there.
    pub(crate) fn outside(&self, act: &dyn Fn() -> Result<()>) -> Result<()> {
        self.errand(self.keeper(), &|| act().map(|()| String::new())).map(drop)
    }

    /// Has a child join every namespace of a process that is not ours, do something there as root, if there is one, and answer.
    ///
    /// # Errors
    /// What went wrong there, or on the way.
    pub(super) fn errand(&self, target: i32, act: &dyn Fn() -> Result<String>) -> Result<String> {
        let (read, write) = sys::socket::pipe()?;
        let Some(child) = self.birth()? else {
            drop(read);
            let answer = self.go(target).and_then(|()| {
                enter_process("lab");
                act()
            });
            answer::give(&write, answer);
            process::exit(0)
        };
        drop(write);
        answer::understood(&self.hear(&read, child)?, "the helper in the lab has died")
    }

    /// Leaves a process in the lab, in new namespaces of these kinds, set up by `setup`.
    ///
    /// # Errors
    /// What went wrong there, or on the way.
    pub(crate) fn contain(&self, kinds: Kinds, life: Life, setup: &dyn Fn() -> Result<()>) -> Result<()> {
        self.contain_as(0, kinds, life, setup)
    }

    /// The same as another user of the lab than root, who keeps root's capabilities for the making.
    ///
    /// # Errors
    /// What went wrong there, or on the way.
    pub(crate) fn contain_as(
        &self,
        user: u32,
        kinds: Kinds,
        life: Life,
        setup: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let (read, write) = sys::socket::pipe()?;
        let Some(child) = self.birth()? else {
            drop(read);
            let born = self.go(self.keeper()).and_then(|()| {
                // Only who is in a pid namespace, and not on the way, may make another one in it (pid_namespaces(7)).
                if let Some(inner) = ns::fork()? {
                    wait(inner)?;
                    return Ok(false);
                }
                enter_process("lab");
                if user != 0 {
                    become_user(user)?;
                }
                Ok(matches!(ns::clone3(kinds, None)?, ns::Cloned::Child))
            });
            match born {
                Ok(true) => live(setup, life, &write),
                Ok(false) => {}
                Err(error) => answer::give(&write, Err(error)),
            }
            process::exit(0)
        };
        drop(write);
        answer::understood(&self.hear(&read, child)?, "the process in the lab has died").map(drop)
    }

    /// The answer of a child, and its end. Where a signal comes first the child is killed, whatever it was at; on version 1 one that
    /// is frozen does not end.
    fn hear(&self, read: &OwnedFd, child: Pid) -> Result<String> {
        let held = pidfd::open(child)?;
        let mut answer = Vec::new();
        let mut listen = || -> Result<()> {
            loop {
                self.signals.wait(Some(read.as_fd()), None)?;
                let mut buffer = [0u8; 4096];
                match rustix::io::read(read, &mut buffer)? {
                    0 => return Ok(()),
                    length => answer.extend_from_slice(&buffer[..length]),
                }
            }
        };
        let heard = listen();
        if heard.is_err() {
            pidfd::send_signal(held.as_fd(), child.as_raw_nonzero().get(), libc::SIGKILL)?;
            ensure!(self.signals.wait(Some(held.as_fd()), Moment::deadline(PATIENCE))?, self.stuck());
        }
        pidfd::wait(held.as_fd())?;
        heard.map(|()| String::from_utf8_lossy(&answer).into_owned())
    }

    /// A child in the lab's group of version 2; where there is none it enters those of version 1 itself. `None` in the child.
    pub(super) fn birth(&self) -> Result<Option<Pid>> {
        process::assert_single_threaded()?;
        Ok(match self.shells.as_ref().and_then(runtime::cgroup::Cgroup::birthplace) {
            None => ns::fork()?,
            Some(group) => match ns::clone3(Kinds::empty(), Some(group))? {
                ns::Cloned::Child => None,
                ns::Cloned::Parent { pid, .. } => Some(pid),
            },
        })
    }

    /// Takes a child to where a process is. A pid namespace is its later children's (setns(2)).
    pub(super) fn go(&self, target: i32) -> Result<()> {
        enter_process("helper");
        if let Some(shells) = &self.shells {
            shells.enter()?;
        }
        let kinds = ns::foreign(target);
        let target = Pid::from_raw(target).ok_or_else(|| anyhow!("there is no such process"))?;
        if !kinds.is_empty() {
            ns::join_process(pidfd::open(target)?.as_fd(), kinds)?;
        }
        if kinds.contains(Kinds::USER) {
            match process::become_user(0, 0, &[]) {
                // Nobody is mapped there yet.
                Err(error) if matches!(error.errno(), libc::EINVAL | libc::EPERM) => {}
                other => other?,
            }
        }
        Ok(process::die_with_parent()?)
    }
}

/// Where unprivileged users may make no user namespaces, one with the capability still may.
fn become_user(user: u32) -> Result<()> {
    process::keep_capabilities(true)?;
    process::become_user(user, user, &[])?;
    let kept = process::own_capabilities().bits();
    Ok(process::set_capabilities(kept, kept, 0, 0)?)
}

/// The life of what is contained.
fn live(setup: &dyn Fn() -> Result<()>, life: Life, answer: &OwnedFd) -> ! {
    enter_process("helper");
    let prepared = || -> Result<()> {
        process::new_session()?;
        signal::reset()?;
        // Before it may get another root, without a /dev.
        let null = sys::terminal::open_null()?;
        enter_process("container");
        setup()?;
        enter_process("helper");
        process::set_stdio([null.as_fd(), null.as_fd(), null.as_fd()])?;
        // What it was copied from is no secret, and it is there to be looked at: /proc/PID/ns as the lab's root sees it.
        Ok(process::show_memory()?)
    };
    if let Err(error) = prepared() {
        answer::give(answer, Err(error));
        process::exit(1)
    }
    sys::memory::overwrite_arguments("contained");
    process::set_name(c"contained");
    answer::give(answer, Ok(String::new()));
    // The learner's gate above all: the lab lives as long as somebody has it open. Nothing is told from here on.
    let _open = process::close_descriptors(&[], false);
    let pause =
        rustix::time::Timespec { tv_sec: if life == Life::Sleep { 3600 } else { 0 }, tv_nsec: 5_000_000 };
    loop {
        match life {
            Life::Burn => std::hint::spin_loop(),
            Life::Sleep | Life::Tick => {
                let _interrupted = rustix::thread::nanosleep(&pause);
            }
        }
    }
}

/// Waits for a child that has answered.
pub(crate) fn wait(child: Pid) -> Result<i32> {
    let held = pidfd::open(child)?;
    Ok(pidfd::wait(held.as_fd())?.code())
}

/// A new directory of the lab, or the one that is there.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    match sys::fs::make_dir(path, 0o755) {
        Err(error) if error.errno() == libc::EEXIST => Ok(()),
        other => Ok(other?),
    }
}
