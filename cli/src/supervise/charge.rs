//! What a monitor is in charge of: needed at the start and at the end, and kept small in between.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use network::{AttachPlan, Lease, Reserved};
use runtime::cgroup::Layout;
use runtime::plan::InitPlan;
use runtime::record::Record;
use runtime::state::{Dirs, State};
use serde::{Deserialize, Serialize};

use crate::plan::RunPlan;
use crate::plan::ids::IdLease;

/// What a container's start needs, and nobody afterwards.
pub(crate) struct Start {
    pub(crate) plan: RunPlan,
    pub(crate) init: InitPlan,
    pub(crate) layout: Layout,
    /// The size of the client's terminal: (rows, columns).
    pub(crate) window: Option<(u16, u16)>,
    /// The detached monitor's own group.
    pub(crate) monitor_group: PathBuf,
}

/// What a container needs as long as it runs, and that is given back when this is dropped or its holder dies.
pub(crate) struct Charge {
    pub(crate) words: Words,
    pub(crate) held: Held,
}

/// What is written in words.
#[derive(Serialize, Deserialize)]
pub(crate) struct Words {
    pub(crate) state: State,
    pub(crate) record: Record,
    pub(crate) dirs: Dirs,
    /// Its place on the bridge.
    pub(crate) attach: Option<AttachPlan>,
    /// `PARENT/ID`.
    pub(crate) cgroup: PathBuf,
    /// Bytes.
    pub(crate) memory_limit: Option<u64>,
    /// What stops it, signal(7).
    pub(crate) stop_signal: i32,
}

/// What is held by descriptors.
pub(crate) struct Held {
    /// The container's lock.
    pub(crate) _lock: OwnedFd,
    pub(crate) ids: Option<IdLease>,
    pub(crate) ports: Option<Reserved>,
    pub(crate) lease: Option<Lease>,
}

/// A charge between start and end: its words as one piece of text, instead of in a hundred places of the heap.
pub(super) struct Resting {
    text: Vec<u8>,
    held: Held,
}

impl Charge {
    /// Packs the words up: from now on the monitor sleeps.
    pub(super) fn rest(self) -> Resting {
        let text = serde_json::to_vec(&self.words).expect("words can be written as JSON");
        Resting { text, held: self.held }
    }
}

impl Resting {
    /// Unpacks them.
    pub(super) fn wake(self) -> Charge {
        let words = serde_json::from_slice(&self.text).expect("this process wrote it");
        Charge { words, held: self.held }
    }
}
