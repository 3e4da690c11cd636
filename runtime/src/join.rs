//! `exec`: join the world, become the process.
//!
//! ```text
//! client                      helper                                       process
//!   │ fork (v2: into the cgroup) ► │ v1: `0` into tasks
//!   │                              │ setns(init's pidfd, all namespaces)
//!   │                              │ clone3(CLONE_PARENT) ────────────────► │ the client's own child
//!   │ ◄─ gate: pid ─────────────── │ exits                                  │ root, user, streams
//!   │ ◄─ gate: [pty master] ──────────────────────────────────────────────  │ only with a terminal
//!   │ ◄─ report: end of file, or a Failure ───────────────────────────────  │ execve
//! ```
//!
//! The cgroup comes before its namespace: with nsdelegate, as on every systemd host, a process inside cannot be moved any
//! more. The client itself never enters the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::process::Pid;

use crate::cgroup::Cgroup;
use crate::create::{self, Running, Stdio};
use crate::gate::{self, Failure};
use crate::op::{OpError, enter_process, step};
use crate::plan::ProcessPlan;
use crate::process::{self, Life, Streams};
use crate::sys::{self, ns, pidfd};

/// A running container, as exec needs it.
#[derive(Debug)]
pub struct World<'a> {
    /// Init.
    pub init: BorrowedFd<'a>,
    /// Its namespaces, the cgroup namespace among them.
    pub namespaces: ns::Kinds,
    /// Its control groups.
    pub cgroup: &'a Cgroup,
    /// The host's ids of its root: (uid, gid).
    pub root_ids: (u32, u32),
}

/// A process that could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// An operation of the client failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The process failed before it became its program.
    #[error(transparent)]
    Process(#[from] Failure),
}

/// Starts a process in the container; it is this process's child.
///
/// `input`: it reads something from us. `detached`: it outlives us, and its streams are the container's /dev/null.
///
/// # Errors
/// See [`JoinError`].
pub fn join(
    world: &World<'_>,
    plan: &ProcessPlan,
    input: bool,
    detached: bool,
) -> Result<Running, JoinError> {
    sys::process::assert_single_threaded()?;
    let (streams, stdio) = match plan.terminal || detached {
        true => (Vec::new(), None),
        false => create::pipes(world.root_ids, input).map(|(streams, stdio)| (streams, Some(stdio)))?,
    };
    let (ours, theirs) = sys::socket::pair()?;
    let (report_read, report_write) = sys::socket::pipe()?;
    step("Make a helper that goes in, so that we stay out");
    let Some(helper) = birth(world.cgroup)? else {
        drop((ours, report_read));
        let ends = Ends { gate: theirs, report: report_write };
        help(world, plan, streams, &ends, if detached { Life::OfItsOwn } else { Life::WithParent })
    };
    drop((streams, theirs, report_write));
    let pid = pid_of(&ours, &report_read);
    let helper = pidfd::open(helper)?;
    pidfd::wait(helper.as_fd())?;
    let pid = pid?;
    // No race: our own child, not waited for yet.
    let process = pidfd::open(pid)?;
    let stdio = match stdio {
        Some(stdio) => stdio,
        None if detached => Stdio::None,
        None => Stdio::Terminal(terminal(&ours, &report_read, &process)?),
    };
    if let Err(failure) = gate::read_report(&report_read) {
        pidfd::wait(process.as_fd())?;
        return Err(failure.into());
    }
    Ok(Running { pid, pidfd: process, stdio })
}

struct Ends {
    gate: OwnedFd,
    report: OwnedFd,
}

/// v2: born into the container's group. v1: a plain fork, the group is entered afterwards. `None` in the child.
fn birth(cgroup: &Cgroup) -> Result<Option<Pid>, OpError> {
    match cgroup.birthplace() {
        None => ns::fork(),
        Some(group) => match ns::clone3(ns::Kinds::empty(), Some(group))? {
            ns::Cloned::Child => Ok(None),
            ns::Cloned::Parent { pid, .. } => Ok(Some(pid)),
        },
    }
}

/// The helper: enters everything, leaves a sibling, ends.
fn help(world: &World<'_>, plan: &ProcessPlan, streams: Vec<OwnedFd>, ends: &Ends, life: Life) -> ! {
    enter_process("helper");
    match enter(world) {
        Ok(Some(sibling)) => {
            let pid = sibling.as_raw_nonzero().get().to_le_bytes();
            // Where the client has died, its child learns it by the parent-death signal.
            let _told = sys::socket::send(ends.gate.as_fd(), &pid, &[]);
            sys::process::exit(0)
        }
        Ok(None) => {
            enter_process("exec");
            let failure = become_process(world, plan, streams, ends, life);
            gate::report(ends.report.as_fd(), &failure);
        }
        Err(error) => gate::report(ends.report.as_fd(), &error.into()),
    }
    sys::process::exit(125)
}

/// Returns the sibling's pid in the helper, `None` in the sibling.
fn enter(world: &World<'_>) -> Result<Option<Pid>, OpError> {
    process::shed_inherited()?;
    step("Join the container's control groups, then all of its namespaces at once");
    world.cgroup.enter()?;
    sys::process::hide_memory()?;
    ns::join_process(world.init, world.namespaces)?;
    step("Leave a process there, as our client's own child");
    ns::clone3_sibling(ns::Kinds::empty(), None)
}

fn become_process(
    world: &World<'_>,
    plan: &ProcessPlan,
    streams: Vec<OwnedFd>,
    ends: &Ends,
    life: Life,
) -> Failure {
    let prepared = || -> Result<(OwnedFd, process::Prepared), Failure> {
        sys::process::set_umask(0);
        if world.namespaces.contains(ns::Kinds::USER) {
            sys::process::become_user(0, 0, &[])?;
        }
        sys::process::new_session()?;
        let root = sys::fs::open_dir(Path::new("/"))?;
        let filter = process::assemble_filter(plan)?;
        let streams = match plan.terminal {
            false => Streams::Given(streams),
            true => {
                let (master, slave) = crate::rootfs::open_terminal(root.as_fd())?;
                sys::socket::send(ends.gate.as_fd(), b"t", &[master.as_fd()])?;
                Streams::Terminal(slave)
            }
        };
        let prepared = process::prepare(plan, root.as_fd(), streams, filter)?;
        Ok((root, prepared))
    };
    match prepared() {
        Ok((root, prepared)) => process::become_program(plan, &root, &prepared, life, ends.report.as_fd()),
        Err(failure) => failure,
    }
}

fn pid_of(gate: &OwnedFd, report: &OwnedFd) -> Result<Pid, JoinError> {
    let mut pid = [0u8; 4];
    let (length, _) = sys::socket::receive(gate.as_fd(), &mut pid)?;
    match Pid::from_raw(i32::from_le_bytes(pid)) {
        Some(pid) if length == 4 => Ok(pid),
        _ => Err(reason(report, "recvmsg(pid)")),
    }
}

fn terminal(gate: &OwnedFd, report: &OwnedFd, process: &OwnedFd) -> Result<OwnedFd, JoinError> {
    let mut word = [0u8; 1];
    let (_, mut descriptors) = sys::socket::receive(gate.as_fd(), &mut word)?;
    match descriptors.pop() {
        Some(master) => Ok(master),
        None => {
            let reason = reason(report, "recvmsg(terminal)");
            pidfd::wait(process.as_fd())?;
            Err(reason)
        }
    }
}

/// The other side's own report says why it went away.
fn reason(report: &OwnedFd, call: &str) -> JoinError {
    match gate::read_report(report) {
        Err(failure) => failure.into(),
        Ok(()) => OpError { call: call.to_owned(), source: std::io::ErrorKind::UnexpectedEof.into() }.into(),
    }
}
