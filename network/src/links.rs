//! The rtnetlink messages (rtnetlink(7)): bridge, veth pair, addresses, routes, and the questions about them. PURE.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage::{
    DelLink, GetAddress, GetLink, GetRoute, NewAddress, NewLink, NewRoute,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::cards::{Card, Way};
use crate::message::{Batch, attribute, attributes, name};
use crate::plan::{AttachPlan, mac_of};

/// `lo` and the container's end of the pair: in a new namespace `lo` is 1, and the pair's message asks for 2.
const LOOPBACK: u32 = 1;
const ETH0: u32 = 2;

/// A bridge with a hardware address of its own: else it takes the lowest of its ports', and changes when containers come
/// and go.
pub(crate) fn make_bridge(bridge: &str, gateway: Ipv4Addr) -> Batch {
    let mut link = LinkMessage::default();
    let data = InfoData::Bridge(Vec::<InfoBridge>::new());
    link.attributes = vec![
        LinkAttribute::IfName(bridge.into()),
        LinkAttribute::Address(mac_of(gateway).to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(data)]),
    ];
    batch([(NewLink(link), NLM_F_CREATE | NLM_F_EXCL)])
}

/// The bridge's address, where it has none yet.
pub(crate) fn address_of_bridge(index: u32, gateway: Ipv4Net) -> Batch {
    batch([(NewAddress(address(index, gateway)), NLM_F_CREATE | NLM_F_EXCL)])
}

/// Sets a link up.
pub(crate) fn set_up(index: u32) -> Batch {
    batch([(up(index), 0)])
}

/// Both ends of the pair at once: ours on the bridge and up, the other one in the container's namespace with the name and
/// index that it shall have there. The peer must not be up in this message (ENOTCONN).
///
/// A container with published ports may reach itself by one of them. Where the bridge passes its frames through netfilter
/// (`bridge-nf-call-iptables`), the translated frame must leave by the port that it came from: hairpin mode.
pub(crate) fn veth_pair(plan: &AttachPlan, netns: RawFd) -> Batch {
    let mut peer = LinkMessage::default();
    peer.header.index = ETH0;
    peer.attributes = vec![
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::Address(mac_of(plan.endpoint.address).to_vec()),
        LinkAttribute::NetNsFd(netns),
    ];
    let mut link = LinkMessage::default();
    (link.header.flags, link.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    link.attributes = vec![
        LinkAttribute::IfName(plan.veth.clone()),
        LinkAttribute::Controller(plan.endpoint.bridge_index),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let mut hairpin = LinkMessage::default();
    hairpin.attributes = vec![
        LinkAttribute::IfName(plan.veth.clone()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
        ]),
    ];
    let published = !plan.ports.is_empty();
    batch(
        [(NewLink(link), NLM_F_CREATE | NLM_F_EXCL)]
            .into_iter()
            .chain(published.then_some((NewLink(hairpin), 0))),
    )
}

/// What is done inside the container's namespace, in this order; the words are for the error that names the refused one.
pub(crate) const INSIDE: [&str; 4] =
    ["set lo up", "set eth0 up", "give eth0 its address", "add the default route"];

/// The container's side. IFA_F_NODAD: nobody else has the address, the lease says so.
pub(crate) fn inside(plan: &AttachPlan) -> Batch {
    let subnet = Ipv4Net::new_assert(plan.endpoint.address, plan.endpoint.prefix_len);
    let mut own = address(ETH0, subnet);
    own.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    let mut default = RouteMessage::default();
    default.header = RouteHeader {
        address_family: AddressFamily::Inet,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Boot,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    default.attributes = vec![
        RouteAttribute::Gateway(netlink_packet_route::route::RouteAddress::Inet(plan.endpoint.gateway)),
        RouteAttribute::Oif(ETH0),
    ];
    batch([
        (up(LOOPBACK), 0),
        (up(ETH0), 0),
        (NewAddress(own), NLM_F_CREATE | NLM_F_EXCL),
        (NewRoute(default), NLM_F_CREATE | NLM_F_EXCL),
    ])
}

/// `lo` alone.
pub(crate) fn loopback() -> Batch {
    set_up(LOOPBACK)
}

/// Takes a link away, by its name.
pub(crate) fn delete(link_name: &str) -> Batch {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(link_name.into())];
    batch([(DelLink(link), 0)])
}

/// Takes that very link away, whatever it is called and whatever is called like it by now.
pub(crate) fn delete_index(index: u32) -> Batch {
    let mut link = LinkMessage::default();
    link.header.index = index;
    batch([(DelLink(link), 0)])
}

/// Asks for a link by its name; ENODEV where there is none.
pub(crate) fn link_named(link_name: &str) -> Batch {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(link_name.into())];
    batch([(GetLink(link), 0)])
}

/// Asks for the links on a bridge.
pub(crate) fn links_on(bridge: u32) -> Batch {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::Controller(bridge)];
    batch([(GetLink(link), NLM_F_DUMP)])
}

/// Asks for the IPv4 addresses of a link.
pub(crate) fn addresses_of(index: u32) -> Batch {
    let mut message = AddressMessage::default();
    (message.header.family, message.header.index) = (AddressFamily::Inet, index);
    batch([(GetAddress(message), NLM_F_DUMP)])
}

/// Asks for all IPv4 routes, the local ones too.
pub(crate) fn routes() -> Batch {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    batch([(GetRoute(message), NLM_F_DUMP)])
}

/// Asks for all links.
pub(crate) fn all_links() -> Batch {
    batch([(GetLink(LinkMessage::default()), NLM_F_DUMP)])
}

/// Asks for all addresses, of both families.
pub(crate) fn all_addresses() -> Batch {
    batch([(GetAddress(AddressMessage::default()), NLM_F_DUMP)])
}

/// What an answer says about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `bridge`, `veth`, …; empty for hardware.
    pub(crate) kind: String,
    pub(crate) up: bool,
    /// Index of the bridge that it is on.
    pub(crate) master: Option<u32>,
    /// The other end's namespace is being taken apart, and the link will go with it in a moment.
    pub(crate) dying: bool,
}

/// Reads an answer about a link.
pub(crate) fn read_link(answer: &[u8]) -> Option<Link> {
    const HEADER: usize = 16; // struct ifinfomsg: family, type, index, flags, change mask
    const IFLA_IFNAME: u16 = 3;
    const IFLA_MASTER: u16 = 10;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_LINK_NETNSID: u16 = 37;
    const IFLA_INFO_KIND: u16 = 1;
    // NETNSA_NSID_NOT_ASSIGNED: a namespace that lives is given a number by asking (peernet2id_alloc).
    const NO_NAMESPACE: i32 = -1;
    let kind = attribute(answer, HEADER, IFLA_LINKINFO).and_then(|info| attribute(info, 0, IFLA_INFO_KIND));
    Some(Link {
        index: number(answer.get(4..8)?)?,
        name: name(attribute(answer, HEADER, IFLA_IFNAME)?),
        kind: kind.map(name).unwrap_or_default(),
        up: number(answer.get(8..12)?)? & LinkFlags::Up.bits() != 0,
        master: attribute(answer, HEADER, IFLA_MASTER).and_then(number),
        dying: attribute(answer, HEADER, IFLA_LINK_NETNSID) == Some(&NO_NAMESPACE.to_ne_bytes()),
    })
}

/// Reads an answer about an address: whose (the link's index) and which.
pub(crate) fn read_address(answer: &[u8]) -> Option<(u32, Ipv4Net)> {
    const HEADER: usize = 8; // struct ifaddrmsg: family, prefix length, flags, scope, index
    const IFA_LOCAL: u16 = 2;
    let address = attribute(answer, HEADER, IFA_LOCAL).and_then(ipv4)?;
    Some((number(answer.get(4..8)?)?, Ipv4Net::new(address, *answer.get(1)?).ok()?))
}

/// Reads an answer about a link as a card, without addresses.
pub(crate) fn read_card(answer: &[u8]) -> Option<Card> {
    const HEADER: usize = 16;
    const IFLA_ADDRESS: u16 = 1;
    const IFLA_LINK: u16 = 5;
    let Link { index, name, kind, up, master, .. } = read_link(answer)?;
    let mac = attribute(answer, HEADER, IFLA_ADDRESS).unwrap_or_default();
    let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    // Of other kinds, that is what they are on top of.
    let peer = attribute(answer, HEADER, IFLA_LINK).and_then(number).filter(|_| kind == "veth");
    Some(Card { index, name, kind, mac: mac.join(":"), up, master, peer, addresses: Vec::new() })
}

/// The same as [`read_address`], for both families.
pub(crate) fn read_any_address(answer: &[u8]) -> Option<(u32, IpNet)> {
    const HEADER: usize = 8;
    const IFA_ADDRESS: u16 = 1;
    if let Some((index, address)) = read_address(answer) {
        return Some((index, address.into()));
    }
    // Version 6 has no local one unless there is another at the other end.
    let octets: [u8; 16] = attribute(answer, HEADER, IFA_ADDRESS)?.try_into().ok()?;
    let address = Ipv6Net::new(octets.into(), *answer.get(1)?).ok()?;
    Some((number(answer.get(4..8)?)?, address.into()))
}

/// Reads a route of the main table to other machines.
pub(crate) fn read_way(answer: &[u8]) -> Option<Way> {
    const HEADER: usize = 12;
    const RTA_OIF: u16 = 4;
    const RTA_GATEWAY: u16 = 5;
    let (table, kind) = (*answer.get(4)?, *answer.get(7)?);
    if table != RouteHeader::RT_TABLE_MAIN || kind != u8::from(RouteType::Unicast) {
        return None;
    }
    Some(Way {
        to: read_route(answer)?.into(),
        gateway: attribute(answer, HEADER, RTA_GATEWAY).and_then(ipv4).map(IpAddr::V4),
        card: attribute(answer, HEADER, RTA_OIF).and_then(number),
    })
}

/// Reads where a route leads to.
pub(crate) fn read_route(answer: &[u8]) -> Option<Ipv4Net> {
    const HEADER: usize = 12; // struct rtmsg: family, length of destination, of source, tos, table, protocol, scope, type, flags
    const RTA_DST: u16 = 1;
    let destination = attributes(answer, HEADER).find(|(kind, _)| *kind == RTA_DST);
    let destination = destination.map_or(Some(Ipv4Addr::UNSPECIFIED), |(_, value)| ipv4(value))?;
    Ipv4Net::new(destination, *answer.get(1)?).ok()
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

fn up(index: u32) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    (link.header.flags, link.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    NewLink(link)
}

fn address(index: u32, address: Ipv4Net) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address.addr())),
        AddressAttribute::Address(IpAddr::V4(address.addr())),
    ];
    message
}

fn batch(messages: impl IntoIterator<Item = (RouteNetlinkMessage, u16)>) -> Batch {
    let mut batch = Batch::default();
    for (message, flags) in messages {
        batch.route(message, flags);
    }
    batch
}
