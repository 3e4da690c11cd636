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
use crate::survey::{Known, survey_leases};
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
    pub(crate) table: Table,
    _lock: File,
}

/// Finds the host ready, or makes it so.
pub(crate) fn ready(config: &NetworkConfig) -> Result<Host, HostError> {
    step("See whether the bridge, forwarding and the table of translations are there");
    let (route, state) = open(config)?;
    let lock = sys::lock(&state.lock(), Hold::Shared)?;
    let table = Table::open(&config.bridge)?;
    if let Some(bridge) = bridge::find_ready(&route, &config.bridge)?
        && table.comment()? == Some(ruleset(&config.bridge, bridge.gateway).version())
        && forwarding::is_on()?
    {
        return Ok(Host { route, state, bridge, table, _lock: lock });
    }
    drop(lock);
    let lock = sys::lock(&state.lock(), Hold::Alone)?;
    let bridge = make(config, &route, &table, &state)?;
    Ok(Host { route, state, bridge, table, _lock: lock })
}

/// Makes what is missing. The caller holds the lock alone.
pub(crate) fn make(
    config: &NetworkConfig,
    route: &Socket,
    table: &Table,
    state: &State,
) -> Result<Bridge, HostError> {
    let bridge = bridge::make(route, config, &bridge::find(route, &config.bridge)?)?;
    forwarding::switch_on(state)?;
    // The subnet may be known only now.
    let ruleset = ruleset(&config.bridge, bridge.gateway);
    let comment = table.comment()?;
    if comment.as_deref() != Some(&ruleset.version()) {
        step("Make the table of translations in one transaction, with the ports of the containers that run");
        let leases = survey_leases(route, state)?;
        let elements: Vec<Element> = leases.iter().flat_map(Known::elements).collect();
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

impl Look {
    /// Whether nothing of ours is there; forwarding may be anybody's.
    pub(crate) fn is_nothing(&self) -> bool {
        self.found == Found::Nothing && self.table == Content::Nothing
    }
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

pub(crate) fn look(config: &NetworkConfig, route: &Socket, table: &Table) -> Result<Look, HostError> {
    let found = bridge::find(route, &config.bridge)?;
    let comment = table.comment()?;
    let table = match (&found, comment) {
        (_, None) => Content::Nothing,
        (Found::Ready(bridge), Some(comment))
            if comment == ruleset(&config.bridge, bridge.gateway).version() =>
        {
            Content::Current
        }
        _ => Content::Other,
    };
    Ok(Look { found, forwarding: forwarding::is_on()?, table })
}

/// A socket in this network namespace, and where its state lives.
pub(crate) fn open(config: &NetworkConfig) -> Result<(Socket, State), HostError> {
    let route = open_route()?;
    let state = state_of(config, &route)?;
    Ok((route, state))
}

pub(crate) fn open_route() -> Result<Socket, OpError> {
    let call = format_args!("socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)");
    Op { call, shell: format_args!("# ip opens one each time") }.perform(Socket::route)
}

/// Where the state of a bridge lives, in the network namespace that a socket is of.
pub(crate) fn state_of(config: &NetworkConfig, route: &Socket) -> Result<State, HostError> {
    let name = config.bridge.as_str();
    // The kernel's rule is looser (dev_valid_name), but the name is also that of a directory and stands in nft's text.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..16).contains(&name.len()) || name.starts_with('.') || !name.bytes().all(allowed) {
        return Err(HostError::BridgeName(name.to_owned()));
    }
    Ok(State::new(config, sys::netns_cookie(route)?))
}
