//! Whether this kernel has what a network is made of: found out by making it, in a namespace that its caller throws away.

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use ipnet::Ipv4Net;

use crate::attach::{self, AttachError};
use crate::bridge;
use crate::host::{self, HostError};
use crate::nat;
use crate::plan::{AttachPlan, Endpoint};
use crate::table::Table;

const BRIDGE: &str = "try0";
/// An id, as a container has one.
const WHOSE: &str = "0000000000000000";

fn gateway() -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::new(10, 99, 0, 1), 24).expect("24 is at most 32")
}

/// Makes a bridge.
///
/// # Errors
/// What the kernel answered: `EOPNOTSUPP` where it has none.
pub fn try_bridge() -> Result<(), HostError> {
    bridge::add(&host::open_route()?, BRIDGE, gateway()).map(drop)
}

/// Makes a pair of virtual network cards, one of them in another namespace, which has none yet but `lo`.
///
/// # Errors
/// What the kernel answered: `EOPNOTSUPP` where it has none.
pub fn try_veth(netns: BorrowedFd<'_>) -> Result<(), AttachError> {
    // 0 is no link: the pair belongs to no bridge.
    let endpoint = Endpoint::new(BRIDGE, 0, gateway(), Ipv4Addr::new(10, 99, 0, 2));
    attach::join(&host::open_route()?, &AttachPlan::new(WHOSE, &endpoint, &[]), netns)
}

/// Makes a table of translations, the very same that mini makes.
///
/// # Errors
/// What the kernel answered.
pub fn try_table() -> Result<(), HostError> {
    let table = Table::open(BRIDGE)?;
    Ok(table.make(&nat::ruleset(BRIDGE, gateway()), &[], false)?)
}
