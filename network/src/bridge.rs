//! The bridge: found by its name, or made and numbered.

use std::fmt;
use std::io::ErrorKind;

use ipnet::Ipv4Net;

use crate::address;
use crate::config::NetworkConfig;
use crate::host::HostError;
use crate::links::{self, Link};
use crate::message::Batch;
use crate::netlink::Socket;
use crate::op::{Op, OpError, step};
use crate::plan::mac_text;
use crate::sys;

/// A bridge that is up and has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) index: u32,
    /// Its address and the subnet's prefix.
    pub(crate) gateway: Ipv4Net,
}

/// What stands under the bridge's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Its maker was killed, or somebody has set it down: the index, and the address if it has one.
    Unfinished(u32, Option<Ipv4Net>),
    Ready(Bridge),
}

/// Looks for the bridge. It is set up last, so one that is up has had everything else done to it.
pub(crate) fn find(route: &Socket, name: &str) -> Result<Found, HostError> {
    let Some(link) = link_named(route, name)? else { return Ok(Found::Nothing) };
    if link.kind != "bridge" {
        return Err(HostError::NotABridge { name: name.to_owned(), kind: link.kind });
    }
    let index = link.index;
    Ok(match address_of(route, name, index)? {
        Some(gateway) if link.up => Found::Ready(Bridge { index, gateway }),
        address => Found::Unfinished(index, address),
    })
}

/// The same for who hopes to find it ready: it is not asked what kind of link it is. That the table was made for this name and
/// these addresses says so: its maker has asked.
pub(crate) fn find_ready(route: &Socket, name: &str) -> Result<Option<Bridge>, OpError> {
    let Some(index) = sys::index_if_up(route, name)? else { return Ok(None) };
    Ok(address_of(route, name, index)?.map(|gateway| Bridge { index, gateway }))
}

/// The first address of the bridge.
fn address_of(route: &Socket, name: &str, index: u32) -> Result<Option<Ipv4Net>, OpError> {
    let call = format_args!("sendto(rtnetlink, RTM_GETADDR{{ifindex {index}}})");
    let answers = Op { call, shell: format_args!("ip -4 addr show {name}") }
        .perform(|| route.ask(&links::addresses_of(index)))?;
    Ok(answers
        .iter()
        .filter_map(|answer| links::read_address(answer))
        .find(|(of, _)| *of == index)
        .map(|(_, address)| address))
}

/// Makes the bridge, or what is missing of it.
pub(crate) fn make(route: &Socket, config: &NetworkConfig, found: &Found) -> Result<Bridge, HostError> {
    let name = config.bridge.as_str();
    let (index, address) = match *found {
        Found::Ready(bridge) => (Some(bridge.index), Some(bridge.gateway)),
        Found::Unfinished(index, address) => (Some(index), address),
        Found::Nothing => (None, None),
    };
    let gateway = match address {
        Some(address) => address,
        None => choose(route, config)?,
    };
    let index = match index {
        Some(index) => index,
        None => add(route, name, gateway)?,
    };
    step(
        "Answers to the host's own connections to published ports come for 127.0.0.1 by this bridge: let them in",
    );
    sys::set_sysctl(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
    step("No IPv6 on the bridge: a container could advertise itself as the host's router (CVE-2020-13401)");
    sys::set_sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    step("Give the bridge its address; that it is up says that all this is done");
    if address.is_none() {
        let call = format_args!("sendto(rtnetlink, RTM_NEWADDR{{{gateway} dev {name}}})");
        let shell = format_args!("ip addr add {gateway} dev {name}");
        send(route, &links::address_of_bridge(index, gateway), Op { call, shell })?;
    }
    let call = format_args!("sendto(rtnetlink, RTM_NEWLINK{{{name}, IFF_UP}})");
    send(route, &links::set_up(index), Op { call, shell: format_args!("ip link set {name} up") })?;
    Ok(Bridge { index, gateway })
}

/// Takes the bridge away (50 ms); one that is gone already is as good.
pub(crate) fn delete(route: &Socket, name: &str) -> Result<(), OpError> {
    let call = format_args!("sendto(rtnetlink, RTM_DELLINK{{{name}}})");
    take_away(route, name, &links::delete(name), call)
}

/// Takes away the link of that name that has this index, and no younger one.
pub(crate) fn delete_index(route: &Socket, name: &str, index: u32) -> Result<(), OpError> {
    let call = format_args!("sendto(rtnetlink, RTM_DELLINK{{{name}, index {index}}})");
    take_away(route, name, &links::delete_index(index), call)
}

fn take_away(route: &Socket, name: &str, batch: &Batch, call: fmt::Arguments<'_>) -> Result<(), OpError> {
    Op { call, shell: format_args!("ip link delete {name}") }.perform(|| {
        match route.send(batch).map_err(|refusal| refusal.source) {
            Err(error) if is_no_device(&error) => Ok(()),
            result => result,
        }
    })
}

/// The link of that name, if there is one.
pub(crate) fn link_named(route: &Socket, name: &str) -> Result<Option<Link>, OpError> {
    let call = format_args!("sendto(rtnetlink, RTM_GETLINK{{{name}}})");
    Op { call, shell: format_args!("ip link show {name}") }.perform(|| {
        match route.ask(&links::link_named(name)) {
            Err(error) if is_no_device(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(answers) => {
                let link = answers.iter().find_map(|answer| links::read_link(answer));
                link.map(Some).ok_or_else(|| ErrorKind::InvalidData.into())
            }
        }
    })
}

fn is_no_device(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}

/// The address that a new bridge gets.
pub(crate) fn choose(route: &Socket, config: &NetworkConfig) -> Result<Ipv4Net, HostError> {
    if let Some(subnet) = config.subnet {
        return address::gateway(subnet).ok_or(HostError::SubnetTooSmall { subnet });
    }
    step("Choose a subnet that this host has no route to");
    let call = format_args!("sendto(rtnetlink, RTM_GETROUTE{{dump}})");
    let answers = Op { call, shell: format_args!("ip -4 route show table all") }
        .perform(|| route.ask(&links::routes()))?;
    let routes: Vec<_> = answers.iter().filter_map(|answer| links::read_route(answer)).collect();
    address::choose(address::candidates(), &routes).and_then(address::gateway).ok_or(HostError::NoFreeSubnet)
}

/// Makes the link alone.
pub(crate) fn add(route: &Socket, name: &str, gateway: Ipv4Net) -> Result<u32, HostError> {
    step("Make the bridge that joins all containers and the host");
    let mac = mac_text(gateway.addr());
    let call = format_args!("sendto(rtnetlink, RTM_NEWLINK{{{name}, kind bridge, {mac}}})");
    let shell = format_args!("ip link add {name} address {mac} type bridge");
    send(route, &links::make_bridge(name, gateway.addr()), Op { call, shell })?;
    // 0 is no link's: should somebody have taken it away already, the next message is refused.
    Ok(link_named(route, name)?.map_or(0, |link| link.index))
}

fn send(route: &Socket, batch: &Batch, op: Op<'_>) -> Result<(), OpError> {
    op.perform(|| route.send(batch))
}
