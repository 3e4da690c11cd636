//! Which bridge, and where what must be remembered about it lives.
//!
//! One bridge is one nf_tables table of the same name and one directory of leases: a second network is a second of each,
//! and none knows of the others. The directory is keyed by the network namespace, so two `--root`s in one namespace share
//! addresses (they share the bridge), and two namespaces never meet.

use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// The bridge that containers are attached to, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Name of the bridge and of its nf_tables table; at most 15 bytes (`IFNAMSIZ`).
    pub bridge: String,
    /// What to number the bridge with when it is made; `None` takes the first candidate that collides with no route.
    /// From then on the bridge's own address is the truth, and this is not read.
    pub subnet: Option<Ipv4Net>,
    /// A run directory for the whole host, the same for every `--root`: on a tmpfs, gone after a reboot, as namespaces are.
    pub state: PathBuf,
    /// Whose containers these are, any text: `--root`. Where a container outlived its monitor, [`check`](crate::check())
    /// judges only its own owner's.
    pub owner: String,
}

impl NetworkConfig {
    /// Bridge `mini0` with a subnet of its own choice.
    pub fn new(state: impl Into<PathBuf>, owner: impl Into<String>) -> Self {
        Self { bridge: "mini0".into(), subnet: None, state: state.into(), owner: owner.into() }
    }
}
