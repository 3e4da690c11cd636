//! Where init joins namespaces of others: a helper goes there first and leaves init behind, as the monitor's own child.
//!
//! ```text
//! monitor                          helper                                     init
//!   │ fork ───────────────────────► │ setns(user), then pid, net, ipc, uts
//!   │                               │ clone3(CLONE_PARENT, the rest new;
//!   │                               │   v2: into the group) ─────────────────► │ the monitor's own child
//!   │ ◄─ told: pid ──────────────── │ exits                                    │ as any other: gate, start, report
//!   │ ◄─ report: a Failure ──────── │ where it could not go there              │
//! ```
//!
//! The order is the kernel's:
//! - the user namespace first: what else is joined belongs to it, and setns(2) asks for CAP_SYS_ADMIN there; once inside, a
//!   namespace of the host's could not be joined any more (EPERM), so the plan has none of those then;
//! - a pid namespace is that of later children alone, so somebody must be born there: hence a helper at all. The monitor
//!   itself stays on the host, where ports, addresses and files are;
//! - namespaces that init has to itself are made by that clone3(2), and so belong to the user namespace that was joined;
//! - a cgroup namespace comes last, in init: with nsdelegate nobody inside can be moved to a group outside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;

use crate::cgroup::Cgroup;
use crate::create::CreateError;
use crate::gate::{self, InitEnds, MonitorEnds};
use crate::op::{OpError, enter_process, step};
use crate::plan::InitPlan;
use crate::sys::pidfd::{self, Ending};
use crate::sys::{self, ns};

/// Namespaces of others, opened by who checked that they are the ones that the plan means: a path below /proc may be
/// another process's a moment later, a descriptor may not.
#[derive(Debug, Default)]
pub struct Joins {
    /// One for each that the plan joins.
    pub namespaces: Vec<(ns::Kinds, OwnedFd)>,
    /// The mount namespace out of which [`crate::plan::MountSource::Foreign`] is cloned; it is not joined.
    pub mounts: Option<OwnedFd>,
}

impl Joins {
    /// The namespace of this kind, where one is joined.
    pub fn of(&self, kind: ns::Kinds) -> Option<BorrowedFd<'_>> {
        self.namespaces.iter().find(|(joined, _)| *joined == kind).map(|(_, namespace)| namespace.as_fd())
    }
}

/// In this order.
const ORDER: [ns::Kinds; 5] = [
    ns::Kinds::USER,
    ns::Kinds::PROCESS_ID,
    ns::Kinds::NETWORK,
    ns::Kinds::INTER_PROCESS_COMMUNICATION,
    ns::Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME,
];

/// The helper's channel to its monitor.
pub(crate) struct Told {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Told {
    pub(crate) fn new() -> Result<Told, OpError> {
        let (ours, theirs) = sys::socket::pair()?;
        Ok(Told { ours, theirs })
    }
}

/// Makes the helper; `None` in it.
pub(crate) fn send_ahead() -> Result<Option<Pid>, OpError> {
    step("Send a helper ahead: what this container shares is joined from there, and we stay where we are");
    ns::fork()
}

/// The helper: goes to what is joined and leaves a sibling there. Returns in the sibling alone.
pub(crate) fn go(plan: &InitPlan, joins: &Joins, cgroup: &Cgroup, told: Told, ends: &InitEnds) {
    enter_process("helper");
    drop(told.ours);
    match enter(plan, joins, cgroup) {
        Ok(None) => return,
        Ok(Some(sibling)) => {
            let pid = sibling.as_raw_nonzero().get().to_le_bytes();
            // Where the monitor has died, its child learns it at the gate.
            let _told = sys::socket::send(told.theirs.as_fd(), &pid, &[]);
            sys::process::exit(0)
        }
        Err(error) => gate::report(ends.report.as_fd(), &error.into()),
    }
    sys::process::exit(125)
}

/// Returns the sibling's pid in the helper, `None` in the sibling.
fn enter(plan: &InitPlan, joins: &Joins, cgroup: &Cgroup) -> Result<Option<Pid>, OpError> {
    step("Join what the container shares with others");
    for kind in ORDER {
        let Some(joined) = plan.joined.iter().find(|joined| joined.kind == kind) else { continue };
        let namespace = joins.of(kind).ok_or_else(|| OpError {
            call: format!("setns({:?})", joined.path),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "nobody has opened it"),
        })?;
        ns::join_namespace(namespace, kind, &joined.path)?;
    }
    step("Leave the container's first process there, as our monitor's own child");
    ns::clone3_sibling(plan.namespaces, cgroup.birthplace())
}

/// Waits for the helper and takes its sibling over.
pub(crate) fn await_sibling(
    helper: Pid,
    told: Told,
    ends: &MonitorEnds,
) -> Result<(Pid, OwnedFd), CreateError> {
    drop(told.theirs);
    let helper = pidfd::open(helper)?;
    let mut pid = [0u8; 4];
    let received = sys::socket::receive(told.ours.as_fd(), &mut pid);
    let ending = pidfd::wait(helper.as_fd())?;
    let (length, _) = received?;
    if let (4, Some(pid)) = (length, Pid::from_raw(i32::from_le_bytes(pid))) {
        // No race: our own child, not waited for yet.
        return Ok((pid, pidfd::open(pid)?));
    }
    if matches!(ending, Ending::Exited(_)) {
        gate::read_report(&ends.report)?;
    }
    // One that was killed may have left a sibling, which holds the report open: it ends when we close the gate.
    let source = std::io::ErrorKind::UnexpectedEof.into();
    Err(OpError { call: "recvmsg(the pid that the helper tells)".to_owned(), source }.into())
}
