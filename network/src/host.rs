//! The host's side, which all containers share: bridge, forwarding, table. Looked at cheaply, made where it is missing.

use std::fs::File;

use ipnet::Ipv4Net;

use crate::bridge::{self, Bridge, Found};
use crate::config::NetworkConfig;
use crate::forwarding;
use crate::nat::{Element, ruleset};
use crate::netlink::Socket;
use crate::op::{Op, OpError, step};
use crate::state::State;
use crate::survey::survey_leases;
use crate::sys::{self, Hold};
use crate::table::{Table, TableError};

/// Why the host's side could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Not a name that Linux gives to a link.
    #[error("{0:?} cannot be the name of a bridge")]
    BridgeName(String),
    /// A link of another kind has the bridge's name.
    #[error("{name} exists and is {}, not a bridge", if kind.is_empty() { "a network card" } else { kind.as_str() })]
    NotABridge {
        /// The bridge's name.
        name: String,
        /// `dummy`, `vlan`, …; empty for hardware.
        kind: String,
    },
    /// The configured subnet has no room for a bridge and a container.
    #[error("subnet {subnet} has no two addresses to give")]
    SubnetTooSmall {
        /// As configured.
        subnet: Ipv4Net,
    },
    /// Every candidate collides with a route of this host.
    #[error("this host has routes into every subnet that a bridge could have (10.64.0.0/16 to 10.87.0.0/16)")]
    NoFreeSubnet,
    /// Masquerading and published ports.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A single operation failed: the bridge, forwarding, or the state directory.
    #[error("could not make the host's side of the network ready")]
    Op(#[from] OpError),
}

/// A host that is ready, and stays so while this is held: whoever takes it apart waits for the lock.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) route: Socket,
    pub(crate) state: State,
    pub(crate) bridge: Bridge,
    _lock: File,
}

/// Finds the host ready, or makes it so.
pub(crate) fn ready(config: &NetworkConfig) -> Result<Host, HostError> {
    step("See whether the bridge, forwarding and the table of translations are there");
    let (route, state) = open(config)?;
    let lock = sys::lock(&state.lock(), Hold::Shared)?;
    if let Look { found: Found::Ready(bridge), forwarding: true, table: Content::Current } = look(config, &route)? {
        return Ok(Host { route, state, bridge, _lock: lock });
    }
    drop(lock);
    let lock = sys::lock(&state.lock(), Hold::Alone)?;
    let bridge = make(config, &route, &state)?;
    Ok(Host { route, state, bridge, _lock: lock })
}

/// Makes what is missing. The caller holds the lock alone.
pub(crate) fn make(config: &NetworkConfig, route: &Socket, state: &State) -> Result<Bridge, HostError> {
    let seen = look(config, route)?;
    let bridge = bridge::make(route, config, &seen.found)?;
    forwarding::switch_on(state)?;
    // The subnet may be known only now.
    let ruleset = ruleset(&config.bridge, bridge.gateway);
    let table = Table::open(&config.bridge)?;
    let comment = table.comment()?;
    if comment.as_deref() != Some(&ruleset.version()) {
        step("Make the table of translations in one transaction, with the ports of the containers that run");
        let leases = survey_leases(route, state)?;
        let elements: Vec<Element> = leases.iter().flat_map(|lease| lease.elements()).collect();
        table.make(&ruleset, &elements, comment.is_some())?;
    }
    Ok(bridge)
}

/// The three things that make the host ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) found: Found,
    pub(crate) forwarding: bool,
    pub(crate) table: Content,
}

/// What stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is no table.
    Nothing,
    /// Another ruleset than ours of today.
    Other,
    Current,
}

pub(crate) fn look(config: &NetworkConfig, route: &Socket) -> Result<Look, HostError> {
    let found = bridge::find(route, &config.bridge)?;
    let comment = Table::open(&config.bridge)?.comment()?;
    let table = match (&found, comment) {
        (_, None) => Content::Nothing,
        (Found::Ready(bridge), Some(comment)) if comment == ruleset(&config.bridge, bridge.gateway).version() => Content::Current,
        _ => Content::Other,
    };
    Ok(Look { found, forwarding: forwarding::is_on()?, table })
}

/// A socket in this network namespace, and where its state lives.
pub(crate) fn open(config: &NetworkConfig) -> Result<(Socket, State), HostError> {
    let name = config.bridge.as_str();
    // The kernel's rule (dev_valid_name); the name is also that of a directory and stands in nft's text.
    if !(1..16).contains(&name.len()) || name.starts_with('.') || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(HostError::BridgeName(name.to_owned()));
    }
    let call = format_args!("socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)");
    let route = Op { call, shell: format_args!("# ip opens one each time") }.perform(Socket::route)?;
    let state = State::new(config, sys::netns_cookie(&route)?);
    Ok((route, state))
}
