//! What a monitor is in charge of: for its start, and as long as it runs.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use network::{AttachPlan, Lease};
use runtime::birth::Joins;
use runtime::cgroup::Layout;
use runtime::plan::InitPlan;
use runtime::record::{LastRun, Record};
use runtime::state::{Dirs, State};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::events::Event;
use crate::networks::Network;
use crate::plan::RunPlan;
use crate::plan::health::HealthPlan;
use crate::plan::ids::IdLease;
use crate::plan::life::{Backoff, Life, RestartPolicy};
use crate::plan::logging::LogPlan;
use crate::settings::{Brief, Settings};
use crate::volume;

/// What a container's start needs, and nobody afterwards.
pub(crate) struct Start {
    pub(crate) plan: RunPlan,
    pub(crate) init: InitPlan,
    /// The namespaces that it joins.
    pub(crate) joins: Joins,
    pub(crate) layout: Layout,
    /// The size of the client's terminal: (rows, columns).
    pub(crate) window: Option<(u16, u16)>,
    /// The detached monitor's own group.
    pub(crate) monitor_group: PathBuf,
    /// Its record is not on the disk for sure yet.
    pub(crate) unsynced: bool,
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
    /// What stops it, signal(7).
    pub(crate) stop_signal: i32,
    /// After how long SIGKILL follows, ns; `None` for never.
    pub(crate) stop_patience: Option<u64>,
    /// The first client that ends its input ends the container's.
    pub(crate) input_once: bool,
    pub(crate) life: Life,
    /// Whoever started it starts it again, too (`--no-restart`).
    pub(crate) restarted_elsewhere: bool,
    /// How it is found out how it does.
    pub(crate) health: Option<HealthPlan>,
    /// What becomes of its output.
    pub(crate) log: LogPlan,
    /// How its last run ended, as long as the next one has not begun.
    pub(crate) between: Option<LastRun>,
    pub(crate) backoff: Backoff,
    /// What it takes to start it again.
    pub(crate) context: Context,
    /// Its pid namespace is not its own: its processes do not end with the first one.
    pub(crate) shares_processes: bool,
    /// Where the number of its first process is written.
    pub(crate) pidfile: Option<PathBuf>,
}

impl Words {
    /// For `mini events`: its program runs.
    pub(super) fn began(&self) {
        let record = &self.record;
        let network = self.network().map(|network| Event::network("connect", record, network));
        let volumes = Event::of_volumes("mount", record);
        let events: Vec<_> = volumes.chain(network).chain([Event::container("start", record)]).collect();
        self.context.journal().record(&events);
    }

    /// For `mini events`: how a run ended, and that nothing is left of it where nobody wants it.
    pub(super) fn ended(&self, last: &LastRun) {
        let record = &self.record;
        let seconds = last.finished.saturating_sub(last.started.unwrap_or(last.finished)) / 1_000_000_000;
        let die = Event::container("die", record).with("exitCode", last.code).with("execDuration", seconds);
        let volumes = record.auto_remove.then(|| volume::users::gone_with(&self.context, record));
        let volumes = volumes.into_iter().flatten();
        let events: Vec<_> = [
            last.oom_killed.then(|| Event::container("oom", record)),
            Some(die),
            self.network().map(|network| Event::network("disconnect", record, network)),
        ]
        .into_iter()
        .flatten()
        .chain(Event::of_volumes("unmount", record))
        .chain(record.auto_remove.then(|| Event::container("destroy", record)))
        .chain(volumes)
        .collect();
        self.context.journal().record(&events);
    }

    /// The one that it is in; another container's is not its own.
    fn network(&self) -> Option<Network> {
        Brief::of(&self.record).network.and_then(Network::of)
    }

    /// Takes over what `mini update` may have changed of a container's life.
    pub(crate) fn keep_up(&mut self) {
        // With --rm it lives once, whatever is said.
        let settings = self.state.settings(&self.dirs).filter(|_| !self.record.auto_remove);
        if let Some(request) = settings.and_then(|settings| Settings::read(&settings).request) {
            self.life = request.options.life;
        }
        if self.restarted_elsewhere {
            self.life.restart = RestartPolicy::No;
        }
    }
}

/// What is held by descriptors.
pub(crate) struct Held {
    /// The container's lock.
    pub(crate) lock: OwnedFd,
    pub(crate) ids: Option<IdLease>,
    /// Sockets that nobody else can bind.
    pub(crate) ports: Vec<OwnedFd>,
    pub(crate) lease: Option<Lease>,
}

impl Held {
    /// Gives everything back: no container comes of it.
    pub(crate) fn give_back(self) {
        // The cause of that is told; what cannot be given back is found by `mini system check`.
        let _ids = self.ids.map(IdLease::release);
        let _address = self.lease.map(Lease::release);
    }
}
