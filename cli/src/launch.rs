//! How a container gets its monitor: the client forks it, and stays with the container as long as it was asked to.

use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::Result;
use runtime::Failure;
use runtime::op::step;
use runtime::sys::{self, signal};

use crate::exit_code::ExitCode;
use crate::explain::Story;
use crate::notify;
use crate::output;
use crate::session::{FORWARDED, Outcome, Session, Stay};
use crate::supervise::{self, Charge, Start};

/// Forks the monitor and stays with the container as long as it is not detached.
///
/// # Errors
/// The failure of the container's start; a monitor that died.
pub(crate) fn launch(charge: Charge, start: Start, stay: Stay, mut story: Option<Story>) -> Result<Outcome> {
    sys::process::assert_single_threaded()?;
    let (ours, theirs) = sys::socket::pair()?;
    // Blocked before the fork, so that none is lost; the monitor is not to be ended by a key either.
    let signals = signal::as_descriptor(&FORWARDED)?;
    let detached = start.plan.lifecycle.detached;
    let unsynced = start.unsynced.then(|| (charge.words.state.clone(), charge.words.dirs.clone()));
    let Some(monitor) = birth(&start)? else {
        drop((ours, signals, story));
        supervise::run(charge, start, theirs, stay.streams);
    };
    drop((charge, start, theirs));
    if let Some((state, dirs)) = unsynced {
        step("Bring its record to the disk, while it starts");
        if let Err(error) = state.sync(&dirs) {
            output::warn(&format!("its record may not be on the disk: {error}"));
        }
    }
    let outcome = Session::new(ours, signals, stay).stay(&mut story);
    if detached && outcome.is_ok() {
        notify::ready(Some(monitor));
    }
    if let Some(story) = story {
        if detached { story.tell_what_is_there() } else { story.tell_to_the_end() }
    }
    outcome
}

/// The monitor; `None` in it. A detached one is born outside its caller's group of version 2, and moves out of the others.
fn birth(start: &Start) -> Result<Option<rustix::process::Pid>> {
    step("Fork the monitor: it stays with the container, we stay with the terminal");
    let place = match start.plan.lifecycle.detached {
        // Where no group can be made it stays in its caller's: less safe from a service manager, not wrong.
        true => start.layout.birthplace(&start.monitor_group).ok().flatten(),
        false => None,
    };
    let Some(place) = place else { return Ok(sys::ns::fork()?) };
    Ok(match sys::ns::clone3(sys::ns::Kinds::empty(), Some(place.as_fd()))? {
        sys::ns::Cloned::Child => None,
        sys::ns::Cloned::Parent { pid, .. } => Some(pid),
    })
}

/// Writes to a stream of ours. Who does not read any more ends us, as every program that writes to a closed pipe.
pub(crate) fn write(stream: &mut dyn Write, bytes: &[u8]) {
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        signal::die_of(libc::SIGPIPE);
    }
}

/// The failure of a start, as an exit code.
pub(crate) fn failure_code(error: &anyhow::Error) -> ExitCode {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map_or(ExitCode::Mini, |failure| failure.kind.into())
}
