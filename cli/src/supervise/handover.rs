//! The monitor becomes a fresh process: the same pid, the same descriptors, none of the memory of its client.
//!
//! A fork has the heap, the stack and the pages of everything that its parent did before: parsed, planned, pulled. Once its
//! container has run undisturbed for a moment, the monitor executes its own binary again (execve(2) keeps the process, its
//! children, its blocked signals and what descriptors are told to stay) and reads from a memory file what it was about.
//! A container that ends sooner never pays for that. Where it cannot be done, the monitor goes on as it is.

use std::ffi::CString;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use network::{Lease, NetworkConfig};
use runtime::op::OpError;
use runtime::sys::{exec, memory, process};
use serde::{Deserialize, Serialize};

use super::pump::{Carried, Pump};
use super::{Charge, Held, Words};
use crate::clock::Moment;
use crate::plan::ids::IdLease;

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// The container's lock.
    Lock,
    /// The lock of a range of ids; in the order of [`Handover::ids`].
    Ids,
    /// A socket that holds a published port.
    Port,
    /// The lock of the container's address.
    Lease,
    /// The socket to a client.
    Client,
    /// Where others come in.
    Listener,
    /// Init's pidfd.
    Init,
    /// Our end of the container's standard output, or its terminal.
    Output,
    /// Our end of its standard error.
    Error,
    /// Our end of its standard input.
    Input,
    /// The other side of its terminal.
    Slave,
}

/// What the new program is told, beside the words.
#[derive(Serialize, Deserialize)]
struct Handover<W> {
    words: W,
    began: Began,
    carried: Carried,
    /// First id and file of each range.
    ids: Vec<(u32, PathBuf)>,
    network: Option<NetworkConfig>,
    descriptors: Vec<(Role, i32)>,
}

/// When the container was started.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Began {
    /// ns since 1970.
    pub(super) time: u64,
    pub(super) moment: Moment,
}

/// Descriptors, each with what it is.
pub(super) struct Kept(Vec<(Role, OwnedFd)>);

impl Kept {
    /// The next one of a role.
    pub(super) fn take(&mut self, role: Role) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(kept, _)| *kept == role)?;
        Some(self.0.remove(at).1)
    }
}

/// Becomes a fresh process that goes on with this container ([`take_over`]). Returns where that cannot be done now.
pub(super) fn hand_over(charge: &Charge, pump: &Pump<'_>, began: Began) {
    // A listener is in this process's memory, and somebody may be waiting for what it has to say.
    if !pump.has_worked() || pump.is_in_the_middle() || tracing::dispatcher::has_been_set() {
        return;
    }
    let descriptors: Vec<(Role, BorrowedFd<'_>)> = held(&charge.held).chain(pump.descriptors()).collect();
    // An error is nobody's concern: the container is served all the same.
    let _stays = become_fresh(charge, pump.carried(), began, &descriptors);
    for (_, descriptor) in descriptors {
        let _closed_later = exec::keep_when_executing(descriptor, false);
    }
}

fn held(held: &Held) -> impl Iterator<Item = (Role, BorrowedFd<'_>)> {
    let lock = std::iter::once((Role::Lock, held.lock.as_fd()));
    let ids = held.ids.iter().flat_map(IdLease::ranges).map(|(_, _, lock)| (Role::Ids, lock));
    let ports = held.ports.iter().map(|socket| (Role::Port, socket.as_fd()));
    let lease = held.lease.iter().filter_map(Lease::descriptor).map(|lock| (Role::Lease, lock));
    lock.chain(ids).chain(ports).chain(lease)
}

fn become_fresh(
    charge: &Charge,
    carried: Carried,
    began: Began,
    descriptors: &[(Role, BorrowedFd<'_>)],
) -> Result<(), OpError> {
    let ids = charge.held.ids.iter().flat_map(IdLease::ranges);
    let handover = Handover {
        words: &charge.words,
        began,
        carried,
        ids: ids.map(|(base, path, _)| (base, path.to_owned())).collect(),
        network: charge.held.lease.as_ref().map(|lease| lease.config().clone()),
        descriptors: descriptors.iter().map(|(role, fd)| (*role, fd.as_raw_fd())).collect(),
    };
    let text = serde_json::to_vec(&handover).expect("words can be written as JSON");
    let text = memory::file_with(&text)?;
    for (_, descriptor) in descriptors {
        exec::keep_when_executing(*descriptor, true)?;
    }
    exec::keep_when_executing(text.as_fd(), true)?;
    let arguments = [title(&charge.words), text.as_raw_fd().to_string()]
        .map(|argument| CString::new(argument).expect("neither has a NUL"));
    Err(exec::execute(c"/proc/self/exe", &arguments, &[]))
}

/// Goes on where [`hand_over`] was called, if this process was begun by it; never returns then.
pub(crate) fn take_over() {
    // As bytes: nobody's command line needs to be UTF-8 for this.
    let mut arguments = std::env::args_os();
    let descriptor = match (arguments.next(), arguments.next()) {
        (Some(title), Some(number)) if title.as_encoded_bytes().starts_with(TITLE.as_bytes()) => {
            number.to_str().and_then(|number| number.parse().ok())
        }
        _ => None,
    };
    let Some(text) = descriptor.and_then(|number| exec::adopt(number).ok()) else { return };
    let mut bytes = Vec::new();
    let mut text = std::fs::File::from(text);
    let read = text.rewind().and_then(|()| text.read_to_end(&mut bytes));
    let Some(Handover { words, began, carried, ids, network, descriptors }) =
        read.ok().and_then(|_| serde_json::from_slice::<Handover<Words>>(&bytes).ok())
    else {
        return;
    };
    drop((text, bytes));
    process::set_name(c"mini");
    memory::overwrite_arguments(&title(&words));
    let adopted = |(role, number)| Some((role, exec::adopt(number).ok()?));
    let mut kept = Kept(descriptors.into_iter().filter_map(adopted).collect());
    let Some(lock) = kept.take(Role::Lock) else { return };
    let ids: Vec<_> =
        ids.into_iter().filter_map(|(base, path)| Some((base, path, kept.take(Role::Ids)?))).collect();
    let lease = match (network, &words.attach, kept.take(Role::Lease)) {
        // Without a socket the ports cannot be taken back: `mini system check` finds them.
        (Some(config), Some(plan), Some(lock)) => Lease::inherit(config, plan.endpoint.clone(), lock).ok(),
        _ => None,
    };
    let held = Held {
        lock,
        ids: (!ids.is_empty()).then(|| IdLease::inherit(ids)),
        ports: std::iter::from_fn(|| kept.take(Role::Port)).collect(),
        lease,
    };
    super::resume(Charge { words, held }, &carried, kept, began)
}

/// What a monitor's command line begins with.
const TITLE: &str = "mini: monitor of ";

/// The whole of it.
pub(super) fn title(words: &Words) -> String {
    format!("{TITLE}{}", &words.record.id[..12])
}
