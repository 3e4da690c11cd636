//! What a forked monitor must shed of its client: terminal, descriptors, directory, arguments, control groups.

use std::os::fd::AsFd;

use runtime::op::{OpError, step};
use runtime::sys;

use super::{Charge, Start};

/// Becomes a process of its own.
///
/// # Errors
/// What the kernel answered.
pub(super) fn shed(charge: &Charge, start: &Start) -> Result<(), OpError> {
    step("Become the container's monitor: a session of our own, nothing of the caller's left");
    sys::process::new_session()?;
    if start.init.has_own_processes() || start.init.joins(sys::ns::Kinds::PROCESS_ID) {
        sys::process::become_subreaper()?;
    }
    // Else its orphans, among the host's processes, are the host's init's to bury.
    sys::process::change_dir(std::path::Path::new("/"))?;
    sys::signal::ignore(libc::SIGPIPE)?;
    sys::signal::ignore(libc::SIGHUP)?;
    let null = sys::terminal::open_null()?;
    sys::process::set_stdio([null.as_fd(); 3])?;
    // What the caller had open beside these three was closed when mini began; what mini opened, it knows.
    drop(null);
    sys::memory::overwrite_arguments(&super::handover::title(&charge.words));
    if start.plan.lifecycle.detached {
        // A group that cannot be made or entered leaves the monitor where it is: less safe from a service manager, not wrong.
        let _stays = start.layout.move_self(&start.monitor_group);
    }
    Ok(())
}
