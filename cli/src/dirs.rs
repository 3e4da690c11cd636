//! Where things are: only here does mini read the environment for places.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The directories mini works in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dirs {
    /// Images and containers, on disk.
    pub(crate) root: PathBuf,
    /// What runs, until the next boot.
    pub(crate) run_root: PathBuf,
    /// What all roots on this host share, until the next boot: leases of addresses and ids.
    pub(crate) host: PathBuf,
}

impl Dirs {
    /// Fixed places, except where the caller says otherwise.
    pub(crate) fn new(root: PathBuf, run_root: PathBuf) -> Dirs {
        Dirs { root, run_root, host: PathBuf::from("/run/mini-host") }
    }

    /// The image store.
    pub(crate) fn image(&self) -> PathBuf {
        self.root.join("image")
    }

    /// Containers.
    pub(crate) fn state(&self) -> runtime::state::State {
        runtime::state::State::new(&self.root, &self.run_root)
    }

    /// The journal of what happened.
    pub(crate) fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// Leases of networks.
    pub(crate) fn network(&self) -> PathBuf {
        self.host.join("network")
    }

    /// Leases of id ranges.
    pub(crate) fn ids(&self) -> PathBuf {
        self.host.join("ids")
    }
}
