//! A container's network namespace, joined to the bridge: two netlink sends, and one for published ports.
//!
//! Nothing here has to be undone but the ports: the veth pair dies with the container's namespace, addresses and routes with
//! it. So whatever is killed halfway leaves nothing that a later start would trip over.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::thread;
use std::time::Duration;

use crate::bridge;
use crate::config::NetworkConfig;
use crate::conntrack;
use crate::host::{self, HostError};
use crate::lease::Lease;
use crate::links;
use crate::message::Batch;
use crate::nat::Element;
use crate::netlink::{Refusal, Socket};
use crate::op::{Op, OpError, step};
use crate::plan::AttachPlan;
use crate::state::State;
use crate::sys::{self, Hold, Trip};
use crate::table::{Table, TableError};

/// After which pauses it is looked whether a card has gone, ms: the kernel takes some 30.
const LAST_LOOKS: [u64; 5] = [40, 60, 100, 150, 150];

/// Why a container could not be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Both ends of the pair are made at once; ENODEV: the bridge has gone meanwhile.
    #[error("could not join {veth} on {bridge} and eth0 in the container")]
    Veth {
        /// The host's end.
        veth: String,
        /// Its bridge.
        bridge: String,
        /// What the kernel answered.
        source: OpError,
    },
    /// Something inside the container's namespace.
    #[error("could not {what} in the container")]
    Inside {
        /// `give eth0 its address`, …
        what: &'static str,
        /// What the kernel answered.
        source: OpError,
    },
    /// The way back from the container's namespace failed. The thread is in it now and must not go on.
    #[error("could not return from the container's network namespace")]
    Abroad(#[source] OpError),
    /// The published ports.
    #[error("could not publish the ports")]
    Publish(#[source] HostError),
    /// A socket or a lock.
    #[error("could not attach the container to its network")]
    Op(#[from] OpError),
}

impl Lease {
    /// Joins a network namespace to the bridge and publishes the plan's ports.
    ///
    /// The calling thread enters the namespace for a moment, to open a socket there, and returns.
    ///
    /// # Errors
    /// Whatever fails leaves nothing behind that outlives the namespace.
    pub fn attach(&self, plan: &AttachPlan, netns: BorrowedFd<'_>) -> Result<(), AttachError> {
        join_bridge(plan, netns)?;
        if plan.ports.is_empty() {
            Ok(())
        } else {
            publish(&self.config, &self.state, &self.table, plan).map_err(AttachError::Publish)
        }
    }

    /// Takes the published ports back and gives the address back. The veth is left to die with its namespace: taking it away
    /// would cost 25 ms.
    ///
    /// Runs to the end whatever fails; the first error is the first cause.
    pub fn detach(&mut self, plan: &AttachPlan) -> Vec<HostError> {
        step("Take the published ports and the address back");
        let mut errors = Vec::new();
        let mut keep = |result: Result<(), HostError>| errors.extend(result.err());
        // Whoever makes the table again meanwhile would read the lease and publish the ports anew: the lock is held over both.
        let shared = sys::lock(&self.state.lock(), Hold::Shared).map_err(HostError::from);
        keep(self.table.take(&elements(plan)).map_err(HostError::from));
        keep(self.give_back().map_err(HostError::from));
        keep(shared.map(drop));
        errors
    }
}

fn join_bridge(plan: &AttachPlan, netns: BorrowedFd<'_>) -> Result<(), AttachError> {
    let route = host::open_route()?;
    step(
        "Go inside for a socket of that namespace; no IPv6 on what comes there, or a neighbour could advertise itself as router",
    );
    // Of cards to come: on one that is there, it waits for the lock of all links of the machine, and turns in circles meanwhile.
    let inside = visit(&route, netns, || sys::set_sysctl_inside("net/ipv6/conf/default/disable_ipv6", "1"))?;
    step(
        "Join the container to the bridge: a pair of virtual network cards, ours on the bridge, the other one inside",
    );
    join(&route, plan, netns)?;
    step("From here: both cards up, the address, and the way out by the bridge");
    let (address, gateway) = (plan.endpoint.address, plan.endpoint.gateway);
    let prefix = plan.endpoint.prefix_len;
    let op = Op {
        call: format_args!(
            "sendto(rtnetlink, {{RTM_NEWLINK{{lo, IFF_UP}}, RTM_NEWLINK{{eth0, IFF_UP}}, RTM_NEWADDR{{{address}/{prefix} dev eth0}}, RTM_NEWROUTE{{default via {gateway}}}}})"
        ),
        shell: format_args!(
            "nsenter --net=NETNS sh -c 'ip link set lo up; ip link set eth0 up; ip addr add {address}/{prefix} dev eth0; ip route add default via {gateway}'"
        ),
    };
    send_inside(&inside, &links::inside(plan), op)
}

/// `lo` up, for a container without a network.
///
/// # Errors
/// As [`Lease::attach`].
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), AttachError> {
    step("No network but the container's own loopback");
    let inside = visit(&host::open_route()?, netns, || Ok(()))?;
    let shell = format_args!("nsenter --net=NETNS ip link set lo up");
    send_inside(
        &inside,
        &links::loopback(),
        Op { call: format_args!("sendto(rtnetlink, RTM_NEWLINK{{lo, IFF_UP}})"), shell },
    )
}

/// Has the kernel forget the connections that came by the container's published ports, once they are taken back. Nobody need
/// wait for this: it may take 10 ms.
///
/// # Errors
/// The kernel's.
pub fn forget_connections(plan: &AttachPlan) -> Result<(), OpError> {
    if plan.ports.is_empty() {
        return Ok(());
    }
    step("Forget the connections that came by the published ports");
    conntrack::forget(plan.endpoint.address)
}

/// A container's card on the host, when the container has ended.
#[derive(Debug)]
pub struct LastCard {
    route: Socket,
    veth: String,
    index: u32,
}

impl LastCard {
    /// The card that is still there. The caller keeps the container from being started again until this has returned.
    ///
    /// # Errors
    /// The kernel's.
    pub fn find(plan: &AttachPlan) -> Result<Option<LastCard>, OpError> {
        let route = host::open_route()?;
        let veth = plan.veth.clone();
        Ok(sys::index_of(&route, &veth).map(|index| LastCard { route, veth, index }))
    }

    /// Waits for the card to die with its namespace, and takes it away where it does not within half a second: a connection that
    /// was cut keeps the namespace as long as the kernel sends its last segments again, for minutes (ip-sysctl,
    /// `tcp_orphan_retries`).
    ///
    /// # Errors
    /// The kernel's.
    pub fn see_off(self) -> Result<(), OpError> {
        for pause in LAST_LOOKS {
            thread::sleep(Duration::from_millis(pause));
            if sys::index_of(&self.route, &self.veth) != Some(self.index) {
                return Ok(());
            }
        }
        step("A cut connection keeps the container's network namespace: take its card away alone");
        bridge::delete_index(&self.route, &self.veth, self.index)
    }
}

/// Makes the pair.
pub(crate) fn join(route: &Socket, plan: &AttachPlan, netns: BorrowedFd<'_>) -> Result<(), AttachError> {
    let (veth, bridge, mac) = (&plan.veth, &plan.endpoint.bridge, &plan.endpoint.mac);
    let batch = links::veth_pair(plan, netns.as_raw_fd());
    // Only for who may come back to itself by a port of the host.
    let (hairpin, and_hairpin) = match plan.ports.is_empty() {
        true => ("", String::new()),
        false => (", hairpin", format!("; bridge link set dev {veth} hairpin on")),
    };
    let make = || {
        let op = Op {
            call: format_args!(
                "sendto(rtnetlink, RTM_NEWLINK{{{veth}, kind veth, master {bridge}{hairpin}, IFF_UP, peer {{eth0, {mac}, netns}}}})"
            ),
            shell: format_args!(
                "ip link add {veth} master {bridge} up type veth peer eth0 address {mac} netns NETNS{and_hairpin}"
            ),
        };
        op.perform(|| route.send(&batch))
    };
    let failed = |source| AttachError::Veth { veth: veth.clone(), bridge: bridge.clone(), source };
    match make() {
        // The same container a moment ago: its namespace is still being taken apart.
        Err(error) if error.errno() == libc::EEXIST => {
            // The kernel may have been faster meanwhile.
            if bridge::link_named(route, veth)?.is_some() {
                step("The pair of the container's last start is still there: take it away");
                bridge::delete(route, veth)?;
            }
            make().map_err(failed)
        }
        result => result.map_err(failed),
    }
}

fn visit(
    home: &Socket,
    netns: BorrowedFd<'_>,
    inside: impl FnOnce() -> Result<(), OpError>,
) -> Result<Socket, AttachError> {
    sys::route_socket_inside(home, netns, inside).map_err(|trip| match trip {
        Trip::Failed(error) => error.into(),
        Trip::Abroad(error) => AttachError::Abroad(error),
    })
}

fn send_inside(socket: &Socket, batch: &Batch, op: Op<'_>) -> Result<(), AttachError> {
    let mut refused = 0;
    op.perform(|| socket.send(batch).inspect_err(|Refusal { message, .. }| refused = *message))
        .map_err(|source| AttachError::Inside { what: links::INSIDE[refused], source })
}

fn elements(plan: &AttachPlan) -> Vec<Element> {
    plan.ports.iter().map(|port| Element::new(port, plan.endpoint.address)).collect()
}

fn publish(config: &NetworkConfig, state: &State, table: &Table, plan: &AttachPlan) -> Result<(), HostError> {
    step("Publish the ports: what comes for them is translated to the container's address");
    let wanted = elements(plan);
    let shared = sys::lock(&state.lock(), Hold::Shared)?;
    match table.add(&wanted) {
        // Something has flushed the ruleset since the lease. What makes it again reads our ports from the lease.
        Err(error) if error.is_missing() => {
            drop(shared);
            host::ready(config).map(drop)
        }
        // We hold the port itself, so who has it in the table is gone: killed before it could take it back.
        Err(error) if error.is_taken() => {
            let same_key = |old: &Element| {
                wanted.iter().any(|new| (old.host_ip, old.host_port) == (new.host_ip, new.host_port))
            };
            let stale: Vec<_> = table.elements()?.into_iter().filter(same_key).collect();
            table.change(&stale, &wanted).map_err(TableError::into)
        }
        result => result.map_err(TableError::into),
    }
}
