//! Connections to a container that is gone, forgotten.
//!
//! The kernel leads the packets of a connection that it knows where the first one went. A client that comes again from the
//! same port within two minutes, having lost its machine or its memory, would be led to the address of the container that
//! was there then.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{NLA_F_NESTED, NLM_F_ACK, NLM_F_DUMP};

use crate::message::{Attributes, Batch, attribute};
use crate::netlink::Socket;
use crate::op::{Op, OpError};

/// Length of `struct nfgenmsg`: family, version, resource id.
const HEADER: usize = 4;
/// Version 1 says that the family is meant.
const IPV4: [u8; HEADER] = [2, 1, 0, 0];
// linux/netfilter/nfnetlink_conntrack.h
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;

/// Forgets the connections that a container answers.
///
/// # Errors
/// The kernel's. One without conntrack's netlink interface is not asked further: the entries then time out.
pub(crate) fn forget(container: Ipv4Addr) -> Result<(), OpError> {
    let call = format_args!("sendto(nfnetlink, IPCTNL_MSG_CT_DELETE{{reply from {container}}})");
    Op { call, shell: format_args!("conntrack -D --reply-src {container}") }.perform(|| {
        let socket = Socket::netfilter()?;
        match socket.send(&delete_all(container)).map_err(io::Error::from) {
            Err(error) if is_unknown(&error) => one_by_one(&socket, container),
            result => result,
        }
    })
}

/// Before Linux 6.11: lists them, which locks every slot of the kernel's table (10 ms), and deletes each.
fn one_by_one(socket: &Socket, container: Ipv4Addr) -> io::Result<()> {
    let connections = match socket.ask(&list(container)) {
        Err(error) if is_unknown(&error) => return Ok(()),
        connections => connections?,
    };
    connections.iter().filter_map(|connection| delete(connection)).try_for_each(|batch| {
        match socket.send(&batch) {
            // It has ended meanwhile.
            Err(refusal) if refusal.source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(io::Error::from),
        }
    })
}

fn is_unknown(error: &io::Error) -> bool {
    [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&error.raw_os_error())
}

/// A kernel that does not know the filter for deleting takes the tuple for that of one connection, finds it incomplete, and
/// refuses (EINVAL): no kernel takes this for "all". PURE.
fn delete_all(source: Ipv4Addr) -> Batch {
    message(DELETE, NLM_F_ACK, &answered_by(source))
}

/// Linux 5.8 filters lists. PURE.
fn list(source: Ipv4Addr) -> Batch {
    message(GET, NLM_F_DUMP, &answered_by(source))
}

/// Deletes the very connection that an answer is about. PURE.
fn delete(answer: &[u8]) -> Option<Batch> {
    let mut attributes = Attributes::after(&IPV4);
    attributes.bytes(TUPLE_ORIG | NLA_F_NESTED, attribute(answer, HEADER, TUPLE_ORIG)?);
    attributes.bytes(ID, attribute(answer, HEADER, ID)?);
    Some(message(DELETE, NLM_F_ACK, &attributes))
}

fn answered_by(source: Ipv4Addr) -> Attributes {
    const IP_SOURCE: u32 = 1;
    let mut attributes = Attributes::after(&IPV4);
    attributes.nest(TUPLE_REPLY, |tuple| {
        tuple.nest(1, |ip| {
            ip.bytes(1, &source.octets());
        });
    });
    attributes.nest(FILTER, |filter| {
        filter.bytes(1, &0_u32.to_ne_bytes()).bytes(2, &IP_SOURCE.to_ne_bytes());
    });
    attributes
}

fn message(kind: u16, flags: u16, attributes: &Attributes) -> Batch {
    let mut batch = Batch::default();
    batch.raw(kind, flags, &attributes.0);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every kernel does with them is tested against one; that no filter is missing is tested here: without it
    /// DELETE means every connection of the host.
    #[test]
    fn nothing_is_deleted_without_saying_what() {
        for batch in [delete_all(Ipv4Addr::new(10, 87, 0, 2)), list(Ipv4Addr::new(10, 87, 0, 2))] {
            let body = &batch.bytes[16..];
            let ip = attribute(attribute(body, HEADER, TUPLE_REPLY).unwrap(), 0, 1).unwrap();
            assert_eq!(attribute(ip, 0, 1), Some(&[10, 87, 0, 2][..]));
            let filter = attribute(body, HEADER, FILTER).unwrap();
            assert_eq!(attribute(filter, 0, 2), Some(&1_u32.to_ne_bytes()[..]));
        }
        assert!(delete(&[]).is_none());
        let no_tuple = answered_by(Ipv4Addr::LOCALHOST);
        assert!(delete(&no_tuple.0).is_none());
    }
}
