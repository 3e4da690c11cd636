//! Connections to a container that is gone, forgotten: a client that comes again from the same port would be led to the old
//! address for minutes.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use crate::message::{Attributes, Batch, attribute};
use crate::netlink::Socket;
use crate::op::{Op, OpError};

/// Length of `struct nfgenmsg`: family, version, resource id (linux/netfilter/nfnetlink_conntrack.h for all numbers here).
const HEADER: usize = 4;
const IPV4: [u8; HEADER] = [2, 0, 0, 0];
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;

/// Forgets the connections that a container answered.
///
/// # Errors
/// The kernel's. One without conntrack's netlink interface is not asked again: the entries then time out.
pub(crate) fn forget(container: Ipv4Addr) -> Result<(), OpError> {
    let call = format_args!("sendto(nfnetlink, IPCTNL_MSG_CT_DELETE{{reply from {container}}})");
    Op { call, shell: format_args!("conntrack -D --reply-src {container}") }.perform(|| {
        let socket = Socket::netfilter()?;
        let connections = match socket.ask(&list(container)) {
            Err(error) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&error.raw_os_error()) => return Ok(()),
            connections => connections?,
        };
        // One each: a connection may end between the list and here.
        connections.iter().filter_map(|connection| delete(connection)).try_for_each(|batch| match socket.ask(&batch) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map(drop),
        })
    })
}

/// Asks for the connections whose answers come from an address (the filter is Linux 5.8's). PURE.
fn list(source: Ipv4Addr) -> Batch {
    const IP_SOURCE: u32 = 1;
    let mut message = Attributes::after(&IPV4);
    message.nest(TUPLE_REPLY, |tuple| {
        tuple.nest(1, |ip| {
            ip.bytes(1, &source.octets());
        });
    });
    message.nest(FILTER, |filter| {
        filter.bytes(1, &0_u32.to_ne_bytes()).bytes(2, &IP_SOURCE.to_ne_bytes());
    });
    let mut batch = Batch::default();
    batch.raw(GET, NLM_F_DUMP, &message.0);
    batch
}

/// Deletes the very connection that an answer is about. PURE.
fn delete(answer: &[u8]) -> Option<Batch> {
    let mut message = Attributes::after(&IPV4);
    message.bytes(TUPLE_ORIG | netlink_packet_core::NLA_F_NESTED, attribute(answer, HEADER, TUPLE_ORIG)?);
    message.bytes(ID, attribute(answer, HEADER, ID)?);
    let mut batch = Batch::default();
    batch.raw(DELETE, NLM_F_ACK, &message.0);
    Some(batch)
}
