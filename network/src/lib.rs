//! How a container gets its network: a bridge, a veth pair, addresses, a route, and nf_tables for everything that leaves or
//! comes in. All of it over netlink; no other program is run.
//!
//! ```text
//! reserve(ports)        ─► Reserved   bound sockets: nobody else has these host ports
//! lease(id, ports)      ─► Lease      bridge, forwarding and table are there; a locked file holds the address
//! AttachPlan::new(…)    ─► AttachPlan PURE
//! lease.attach(plan, netns)           veth, lo, eth0, address, route; the ports as elements of the table's maps
//! lease.detach(plan)                  the ports go, the address is given back; the veth dies with its namespace
//! forget_connections(plan)            and the lease is dropped: nobody waits for these two
//! LastCard::see_off                   nor for this: a veth whose namespace does not die
//! ```
//!
//! What must outlive no container belongs to something that dies with it: the address to a lock, the port to a socket, the
//! veth to the namespace. The rest, [`check`] finds. The bridge and the table stay until [`remove_all`].
//!
//! Modules in reading order.

mod attach;
mod cards;
mod check;
mod config;
mod hosts;
mod judge;
mod lease;
mod outline;
mod plan;
mod ports;
mod remove;
mod reserve;
mod see;
mod trial;

mod bridge;
mod conntrack;
mod forwarding;
mod host;
mod nat;
mod table;

mod address;
mod record;
mod state;
mod survey;

mod links;
mod message;
mod nft;

mod netlink;
pub mod op;
mod sys;

pub use attach::{AttachError, LastCard, forget_connections, loopback_up};
pub use cards::{Card, Cards, CardsError, Way, cards};
pub use check::{CheckError, check};
pub use config::NetworkConfig;
pub use host::HostError;
pub use hosts::{hosts_file, is_systemd_stub, resolv_conf};
pub use judge::{Finding, What};
pub use lease::{Lease, LeaseError, foresee, lease};
pub use op::OpError;
pub use outline::{Outline, lease_file};
pub use plan::{AttachPlan, Endpoint};
pub use ports::{HostPort, ParsePortError, PortMapping, PortRequest, Protocol, display_ports, parse_publish};
pub use remove::{RemoveError, remove_all, would_remove};
pub use reserve::{PortError, Reserved, reserve};
pub use see::{Seen, see};
pub use table::TableError;
pub use trial::{try_bridge, try_table, try_veth};
