//! The container's first process, from clone3 to execve: a straight line.
//!
//! It is a copy of the monitor in new namespaces, with nothing of its own yet. What it may not do itself (map ids, idmap
//! layers, make device nodes, attach a network) its monitor does at the same time; see [`crate::gate`] for how they meet.

use std::os::fd::AsFd;
use std::path::Path;

use crate::birth::Joins;
use crate::cgroup::{Cgroup, Layout};
use crate::gate::{self, Failure, Handover, InitEnds};
use crate::op::{enter_process, step};
use crate::plan::InitPlan;
use crate::process::{self, Streams};
use crate::sys::ns::Kinds;
use crate::{rootfs, sys};

/// Runs in the child of clone3 and never returns.
pub(crate) fn run(plan: &InitPlan, joins: &Joins, layout: &Layout, cgroup: &Cgroup, ends: &InitEnds) -> ! {
    enter_process("init");
    if let Err(failure) = become_container(plan, joins, layout, cgroup, ends) {
        gate::report(ends.report.as_fd(), &failure);
    }
    sys::process::exit(125)
}

fn become_container(
    plan: &InitPlan,
    joins: &Joins,
    layout: &Layout,
    cgroup: &Cgroup,
    ends: &InitEnds,
) -> Result<(), Failure> {
    step("Enter the container's control groups, and make them the root of what we see");
    cgroup.enter()?;
    if plan.cgroup_namespace {
        sys::ns::unshare_cgroup()?;
    } else if let Some(namespace) = joins.of(Kinds::CONTROL_GROUP) {
        sys::ns::join_namespace(namespace, Kinds::CONTROL_GROUP, Path::new("/proc/PID/ns/cgroup"))?;
    }
    step("Change nothing of the host's mounts any more");
    sys::mount::make_private()?;
    sys::process::new_session()?;
    let filter = process::assemble_filter(&plan.process)?;

    step("Wait at the gate until the monitor has mapped our ids and made our layers");
    let Some(handover) = Handover::receive(ends.gate.as_fd())? else {
        sys::process::exit(125); // the monitor has died: so do we
    };
    if plan.has_user_namespace() {
        step("Become root, inside");
        sys::process::become_user(0, 0, &[])?;
        // The first time: a monitor that dies from here on takes us along. The last change of ids clears it again.
        sys::process::die_with_parent()?;
    }
    let entered = rootfs::enter(plan, layout, handover)?;
    if let Some(name) = &plan.hostname {
        sys::ns::set_hostname(name)?;
    }
    if let Some(name) = &plan.domainname {
        sys::ns::set_domainname(name)?;
    }
    let streams = match entered.terminal {
        Some((master, slave)) => {
            sys::socket::send(ends.gate.as_fd(), b"t", &[master.as_fd()])?;
            Streams::Terminal(slave)
        }
        None => Streams::Given(entered.streams),
    };
    let prepared = process::prepare(&plan.process, entered.root.as_fd(), streams, filter)?;

    step("Wait for start: the monitor attaches the network meanwhile");
    let mut byte = [0u8];
    if !matches!(rustix::io::read(ends.start.as_fd(), &mut byte), Ok(1)) {
        sys::process::exit(125); // the monitor has died
    }
    Err(process::become_program(
        &plan.process,
        &entered.root,
        &prepared,
        process::Life::WithParent,
        ends.report.as_fd(),
    ))
}
