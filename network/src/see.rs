//! What the network is, for whoever wants to know: nothing is made for looking.

use std::fs;
use std::time::SystemTime;

use ipnet::Ipv4Net;

use crate::bridge::{self, Found};
use crate::config::NetworkConfig;
use crate::host::{self, HostError};
use crate::op::step;

/// The network as it is, or as the next container would make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The bridge's address and the subnet's prefix.
    pub gateway: Ipv4Net,
    /// When the first container came to it; `None`: none has yet.
    pub made: Option<SystemTime>,
}

/// Looks at the bridge.
///
/// # Errors
/// What could not be looked at; no subnet is free for a bridge that is not there.
pub fn see(config: &NetworkConfig) -> Result<Seen, HostError> {
    step("Look at the bridge that joins all containers and the host");
    let (route, state) = host::open(config)?;
    let gateway = match bridge::find(&route, &config.bridge)? {
        Found::Ready(bridge) => bridge.gateway,
        Found::Unfinished(_, Some(gateway)) => gateway,
        Found::Unfinished(_, None) | Found::Nothing => bridge::choose(&route, config)?,
    };
    // The kernel does not tell how old a link is. What lies in this directory itself comes with the first lease, and stays.
    let made = fs::metadata(&state.bridge).and_then(|about| about.modified()).ok();
    Ok(Seen { gateway, made })
}
