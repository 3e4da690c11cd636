//! Host ports, taken so that nobody else can: a bound socket on each, which never listens.
//!
//! Packets for a published port are translated before they would reach a socket, so the socket disturbs nothing; it is the
//! arbiter between containers of all roots, and between them and every other program on the host. A stray connection from
//! before the translation is there, or after, is refused and does not hang.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with, sockopt,
};

use crate::config::NetworkConfig;
use crate::host;
use crate::op::{Op, OpError, step};
use crate::ports::{HostPort, PortMapping, PortRequest, Protocol};
use crate::record::Record;
use crate::sys::{self, Locked};

/// Host ports that nobody else can take while this value lives, here or in a process forked from this one.
#[derive(Debug)]
pub struct Reserved {
    /// What was asked for, in that order, with the host ports that it became.
    pub mappings: Vec<PortMapping>,
    // Held for being bound.
    sockets: Vec<OwnedFd>,
}

impl Reserved {
    /// What holds the ports.
    pub fn into_sockets(self) -> Vec<OwnedFd> {
        self.sockets
    }
}

/// Why a host port cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Somebody else has it.
    #[error("port {address}/tcp is already allocated{}", holder.as_ref().map(|id| format!(" by container {id}")).unwrap_or_default())]
    Allocated {
        /// What was asked for; 0.0.0.0 is every address.
        address: SocketAddrV4,
        /// The container that published it; `None` where it is no container, or could not be found out.
        holder: Option<String>,
        /// What the kernel answered.
        source: OpError,
    },
    /// Every port of a range is taken.
    #[error("all ports from {first} to {last} of {host_ip} are already allocated")]
    NoneFree {
        /// 0.0.0.0 is every address.
        host_ip: Ipv4Addr,
        /// Both included.
        first: u16,
        /// Both included.
        last: u16,
    },
    /// `net.ipv4.ip_local_port_range` is used up.
    #[error("no ephemeral port of {host_ip} is free")]
    NoEphemeral {
        /// 0.0.0.0 is every address.
        host_ip: Ipv4Addr,
        /// What the kernel answered.
        source: OpError,
    },
    /// Only an address of the host can be published on.
    #[error("cannot publish on {host_ip}: this host has no such address")]
    NotOurs {
        /// As asked for.
        host_ip: Ipv4Addr,
        /// What the kernel answered.
        source: OpError,
    },
    /// Anything else.
    #[error("could not reserve {address}/tcp")]
    Bind {
        /// What was asked for.
        address: SocketAddrV4,
        /// What the kernel answered.
        source: OpError,
    },
}

/// Takes each host port; all or none.
///
/// # Errors
/// The first one that cannot be had, and why.
pub fn reserve(config: &NetworkConfig, requests: &[PortRequest]) -> Result<Reserved, PortError> {
    if !requests.is_empty() {
        step("Take the host's ports: bound sockets that never listen, so nobody else gets them");
    }
    // Those without a choice first: an ephemeral port must not be what a later request insists on.
    let mut order: Vec<_> = requests.iter().enumerate().collect();
    order.sort_by_key(|(_, request)| match request.host_port {
        HostPort::One(_) => 0,
        HostPort::FirstFree(..) => 1,
        HostPort::Ephemeral => 2,
    });
    let mut taken = Vec::new();
    for (index, request) in order {
        let (socket, port) = take(config, request)?;
        let host_ip = request.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let PortRequest { container_port, protocol, .. } = *request;
        taken.push((index, PortMapping { host_ip, host_port: port, container_port, protocol }, socket));
    }
    taken.sort_by_key(|(index, ..)| *index);
    let (mappings, sockets) = taken.into_iter().map(|(_, mapping, socket)| (mapping, socket)).unzip();
    Ok(Reserved { mappings, sockets })
}

fn take(config: &NetworkConfig, request: &PortRequest) -> Result<(OwnedFd, u16), PortError> {
    let Protocol::Tcp = request.protocol;
    let host_ip = request.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let one = |port| bind_port(SocketAddrV4::new(host_ip, port));
    let failed = |port| {
        move |source: OpError| {
            let address = SocketAddrV4::new(host_ip, port);
            match source.errno() {
                libc::EADDRINUSE if port == 0 => PortError::NoEphemeral { host_ip, source },
                libc::EADDRINUSE => PortError::Allocated { holder: holder(config, address), address, source },
                libc::EADDRNOTAVAIL => PortError::NotOurs { host_ip, source },
                _ => PortError::Bind { address, source },
            }
        }
    };
    match request.host_port {
        HostPort::Ephemeral => one(0).map_err(failed(0)),
        HostPort::One(port) => one(port).map_err(failed(port)),
        HostPort::FirstFree(first, last) => {
            for port in first..=last {
                match one(port) {
                    Err(error) if error.errno() == libc::EADDRINUSE => {}
                    result => return result.map_err(failed(port)),
                }
            }
            Err(PortError::NoneFree { host_ip, first, last })
        }
    }
}

/// Binds a socket, and says to which port.
fn bind_port(address: SocketAddrV4) -> Result<(OwnedFd, u16), OpError> {
    Op {
        call: format_args!("bind(TCP, {address})"),
        shell: format_args!("# no shell binds without listening"),
    }
    .perform(|| {
        match bind_idle(address) {
            Err(rustix::io::Errno::ADDRINUSE) if address.port() != 0 => bind_listening(address),
            result => result,
        }
        .map_err(io::Error::from)
    })
}

/// The usual way. Without SO_REUSEADDR, or two of us could both have the port: that option lets all bind who do not listen.
fn bind_idle(address: SocketAddrV4) -> rustix::io::Result<(OwnedFd, u16)> {
    let socket = open()?;
    bind(&socket, &address)?;
    let port = SocketAddrV4::try_from(getsockname(&socket)?)?.port();
    Ok((socket, port))
}

/// Where only connections in TIME_WAIT are left of a server that ran here a minute ago. With SO_REUSEADDR those do not count,
/// and listening tells whether anybody else does; it must then go on listening, to count itself.
fn bind_listening(address: SocketAddrV4) -> rustix::io::Result<(OwnedFd, u16)> {
    let socket = open()?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 0)?;
    Ok((socket, address.port()))
}

fn open() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))
}

/// The running container that published a port, from the leases; for an error message, so failures are no news.
fn holder(config: &NetworkConfig, address: SocketAddrV4) -> Option<String> {
    let state = host::open(config).ok()?.1;
    let meet = |a: Ipv4Addr, b: Ipv4Addr| a == b || a.is_unspecified() || b.is_unspecified();
    let conflicts =
        |port: &PortMapping| port.host_port == address.port() && meet(port.host_ip, *address.ip());
    sys::entries(&state.leases()).ok()?.iter().find_map(|name| {
        let path = state.leases().join(name);
        // A lease that can be locked is a killed monitor's, and its port another program's by now.
        let Locked::Held = sys::try_lock_existing(&path).ok()? else { return None };
        let record = Record::parse(&sys::read_path(&path).ok()??)?;
        record.ports.iter().any(conflicts).then_some(record.container)
    })
}
