//! The network cards of a namespace, with their addresses and the ways out: for whoever shows both ends of a cable. Nothing is changed.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use ipnet::IpNet;

use crate::host;
use crate::links;
use crate::message::Batch;
use crate::netlink::Socket;
use crate::op::{Op, OpError, step};
use crate::sys::{self, Trip};

/// What a network namespace has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cards {
    /// By index.
    pub cards: Vec<Card>,
    /// Of the main table.
    pub ways: Vec<Way>,
}

/// A network card, made of hardware or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name, as whoever made it wants it to be.
    pub name: String,
    /// `bridge`, `veth`, …; empty for hardware and the loopback.
    pub kind: String,
    /// Its hardware address, as `02:42:0a:57:00:02`.
    pub mac: String,
    /// Whether it is set up.
    pub up: bool,
    /// The index of the bridge that it is on.
    pub master: Option<u32>,
    /// Of a veth: the index of its other end, in the namespace that this is in.
    pub peer: Option<u32>,
    /// With the lengths of their prefixes.
    pub addresses: Vec<IpNet>,
}

/// Where packets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// To whom; of length 0: to everybody else.
    pub to: IpNet,
    /// By whom, where they are not on the same wire.
    pub gateway: Option<IpAddr>,
    /// The index of the card by which they leave.
    pub card: Option<u32>,
}

/// Cards that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CardsError {
    /// The way back from the other namespace failed. The thread is in it now and must not go on.
    #[error("could not return from the container's network namespace")]
    Abroad(#[source] OpError),
    /// A question that the kernel did not answer.
    #[error("could not look at the network cards")]
    Op(#[from] OpError),
}

/// Looks at the cards of this network namespace, or of another: the calling thread goes there for a moment, to open a socket, and
/// returns.
///
/// # Errors
/// See [`CardsError`].
pub fn cards(netns: Option<BorrowedFd<'_>>) -> Result<Cards, CardsError> {
    step("Ask a network namespace for its cards, their addresses and its routes");
    let home = host::open_route()?;
    let socket = match netns {
        None => home,
        Some(netns) => sys::route_socket_inside(&home, netns, || Ok(())).map_err(|trip| match trip {
            Trip::Failed(error) => CardsError::Op(error),
            Trip::Abroad(error) => CardsError::Abroad(error),
        })?,
    };
    let links = ask(&socket, &links::all_links(), "RTM_GETLINK", "ip link show")?;
    let addresses = ask(&socket, &links::all_addresses(), "RTM_GETADDR", "ip addr show")?;
    let routes = ask(&socket, &links::routes(), "RTM_GETROUTE", "ip -4 route show")?;
    let mut cards: Vec<Card> = links.iter().filter_map(|answer| links::read_card(answer)).collect();
    for (index, address) in addresses.iter().filter_map(|answer| links::read_any_address(answer)) {
        if let Some(card) = cards.iter_mut().find(|card| card.index == index) {
            card.addresses.push(address);
        }
    }
    cards.sort_by_key(|card| card.index);
    Ok(Cards { cards, ways: routes.iter().filter_map(|answer| links::read_way(answer)).collect() })
}

fn ask(socket: &Socket, question: &Batch, name: &str, shell: &str) -> Result<Vec<Vec<u8>>, OpError> {
    Op { call: format_args!("sendto(rtnetlink, {name}{{dump}})"), shell: format_args!("{shell}") }
        .perform(|| socket.ask(question))
}
