//! Where the state of one bridge lives. PURE.
//!
//! ```text
//! STATE/netns-COOKIE/lock               held shared while a lease is taken or a port changed, alone while more is made
//! STATE/netns-COOKIE/sysctls            what forwarding was before us
//! STATE/netns-COOKIE/BRIDGE/cursor      the address that was leased last
//! STATE/netns-COOKIE/BRIDGE/leases/ADDRESS
//! ```

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::config::NetworkConfig;

/// The paths for one bridge in one network namespace.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// What all bridges of this network namespace share.
    pub(crate) netns: PathBuf,
    /// The directory of this bridge.
    pub(crate) bridge: PathBuf,
}

impl State {
    pub(crate) fn new(config: &NetworkConfig, cookie: u64) -> Self {
        let netns = config.state.join(format!("netns-{cookie}"));
        Self { bridge: netns.join(&config.bridge), netns }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.netns.join("lock")
    }

    pub(crate) fn sysctls(&self) -> PathBuf {
        self.netns.join("sysctls")
    }

    /// What `sysctls` is called until it is whole.
    pub(crate) fn sysctls_unfinished(&self) -> PathBuf {
        self.netns.join("sysctls.new")
    }

    pub(crate) fn cursor(&self) -> PathBuf {
        self.bridge.join("cursor")
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.bridge.join("leases")
    }

    pub(crate) fn lease(&self, address: Ipv4Addr) -> PathBuf {
        self.leases().join(address.to_string())
    }
}
