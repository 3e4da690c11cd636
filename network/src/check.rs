//! What belongs to no live container, found and removed; and the whole of it taken back.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bridge::{self, Found};
use crate::config::NetworkConfig;
use crate::forwarding;
use crate::host::{self, Content, HostError, Look};
use crate::links::{self, Link};
use crate::nat::Element;
use crate::netlink::Socket;
use crate::op::{Op, OpError, step};
use crate::plan::{container_of, veth_of};
use crate::ports::PortMapping;
use crate::state::State;
use crate::survey::{Known, Standing, survey_leases};
use crate::sys::{self, Hold};
use crate::table::{Table, TableError};

/// Something that is there without a live container behind it, or missing from one that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub what: What,
    /// Whether it has been put right.
    pub repaired: bool,
}

/// What a [`Finding`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum What {
    /// A killed monitor's lease.
    StaleLease {
        /// The address that it kept.
        address: Ipv4Addr,
        /// Whose it was, where the file says so.
        container: Option<String>,
    },
    /// A published port that leads to no container.
    StalePort {
        /// `None`: every address of the host.
        host_ip: Option<Ipv4Addr>,
        /// The port of the host.
        host_port: u16,
        /// The container's address and port that it leads to.
        to: SocketAddrV4,
    },
    /// A veth on the bridge whose container is not running: some process or mount keeps the network namespace.
    StaleVeth {
        /// The interface.
        name: String,
        /// The container's id, or its first ten digits where no lease is left.
        container: String,
    },
    /// A running container's published port that the table does not have.
    MissingPort {
        /// Whose it is.
        container: String,
        /// Its address.
        address: Ipv4Addr,
        /// What was to be published.
        port: PortMapping,
    },
    /// Bridge, forwarding or table are not as they must be; starting a container repairs that too.
    Incomplete {
        /// Which of them.
        missing: Vec<String>,
    },
}

/// Why the check came to an end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Bridge, forwarding or table.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The table's elements.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A single operation.
    #[error("could not check the network")]
    Op(#[from] OpError),
}

/// Why the network could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Containers are on it.
    #[error("network {bridge} is in use by {}", containers.join(", "))]
    InUse {
        /// The bridge.
        bridge: String,
        /// Their ids, or the addresses of those that are only starting.
        containers: Vec<String>,
    },
    /// Bridge or table could not be looked at.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The table could not be removed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A single operation.
    #[error("could not remove the network")]
    Op(#[from] OpError),
}

/// Looks for leases, published ports and veths without a live container, and for what live ones miss; repairs them if told to.
///
/// `live` is asked only about containers of this config's owner that have no monitor any more but a network still: with the
/// id, or with its first ten digits where only a veth's name is left.
///
/// # Errors
/// What could not be looked at or repaired; findings repaired before that stay repaired.
pub fn check(config: &NetworkConfig, live: &dyn Fn(&str) -> bool, repair: bool) -> Result<Vec<Finding>, CheckError> {
    step("Compare leases, published ports and veths with the containers that live");
    let (route, state) = host::open(config)?;
    let _alone = sys::lock(&state.lock(), Hold::Alone)?;
    let look = host::look(config, &route)?;
    let suspects = |seen: &Survey| judge(seen, &config.owner, live).iter().any(|what| matches!(what, What::StaleVeth { .. }));
    let mut seen = patiently(|| Survey::take(config, &route, &state, &look), suspects)?;
    let mut findings = Vec::new();
    if let Some(missing) = incomplete(&look, &seen.leases) {
        if repair {
            host::make(config, &route, &state)?;
            seen.elements = Table::open(&config.bridge)?.elements()?;
        }
        findings.push(Finding { what: What::Incomplete { missing }, repaired: repair });
    }
    for what in judge(&seen, &config.owner, live) {
        if repair {
            put_right(config, &route, &state, &what)?;
        }
        findings.push(Finding { what, repaired: repair });
    }
    Ok(findings)
}

/// Removes what killed monitors have left, for a start that came upon it.
pub(crate) fn sweep(config: &NetworkConfig) -> Result<(), HostError> {
    step("Clear away what a killed monitor has left");
    let (route, state) = host::open(config)?;
    let _alone = sys::lock(&state.lock(), Hold::Alone)?;
    let look = host::look(config, &route)?;
    let seen = Survey::take(config, &route, &state, &look)?;
    for what in judge(&seen, &config.owner, &|_| true) {
        if matches!(what, What::StaleLease { .. } | What::StalePort { .. }) {
            put_right(config, &route, &state, &what)?;
        }
    }
    Ok(())
}

/// Puts the host back as it was before the first container: no bridge, no table, no state, forwarding as it was.
///
/// # Errors
/// [`RemoveError::InUse`] while a container has a lease, or is still on the bridge without its monitor.
pub fn remove_all(config: &NetworkConfig) -> Result<(), RemoveError> {
    step("See that no container is on the network");
    let (route, state) = host::open(config)?;
    let _alone = sys::lock(&state.lock(), Hold::Alone)?;
    let outlived = |leases: &Vec<Known>| leases.iter().any(|lease| lease.standing == Standing::Outlived);
    let leases = patiently(|| survey_leases(&route, &state), outlived)?;
    let name_of = |lease: &Known| lease.record.as_ref().map_or(lease.address.to_string(), |record| record.container.clone());
    let containers: Vec<_> = leases.iter().filter(|lease| lease.standing != Standing::Dead).map(name_of).collect();
    if !containers.is_empty() {
        return Err(RemoveError::InUse { bridge: config.bridge.clone(), containers });
    }
    let found = bridge::find(&route, &config.bridge)?;
    let table = Table::open(&config.bridge)?;
    if table.comment()?.is_some() {
        step("Take the table of translations away");
        table.delete()?;
    }
    if found != Found::Nothing {
        step("Take the bridge away");
        bridge::delete(&route, &config.bridge)?;
    }
    for lease in leases {
        sys::remove_file(&state.lease(lease.address))?;
    }
    sys::remove_file(&state.cursor())?;
    sys::remove_directory(&state.leases())?;
    sys::remove_directory(&state.bridge)?;
    // What else is a directory here is another bridge's state; forwarding is its too.
    let others = sys::entries(&state.netns)?.into_iter().any(|name| !["lock", "sysctls", "sysctls.new"].contains(&name.as_str()));
    if !others {
        forwarding::put_back(&state)?;
        // Last: who waits for it finds that it has gone, and makes a new one.
        sys::remove_file(&state.lock())?;
        sys::remove_directory(&state.netns)?;
        // Unless other network namespaces have their state there.
        sys::remove_directory_if_empty(&config.state)?;
    }
    Ok(())
}

/// Looks again for a while, if what was seen may be about to go: a network namespace dies some time after its last process,
/// when the kernel has let go of the last socket in it (an RCU grace period), and its links die with it.
fn patiently<T, E>(mut look: impl FnMut() -> Result<T, E>, may_be_going: impl Fn(&T) -> bool) -> Result<T, E> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let began = Instant::now();
    loop {
        let seen = look()?;
        if !may_be_going(&seen) || began.elapsed() > PATIENCE {
            return Ok(seen);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All that there is, as data.
#[derive(Debug, Default)]
struct Survey {
    leases: Vec<Known>,
    elements: Vec<Element>,
    /// Names of our veths on the bridge.
    veths: Vec<String>,
}

impl Survey {
    fn take(config: &NetworkConfig, route: &Socket, state: &State, look: &Look) -> Result<Self, HostError> {
        let leases = survey_leases(route, state)?;
        let elements = if look.table == Content::Nothing { Vec::new() } else { Table::open(&config.bridge)?.elements()? };
        let veths = match look.found {
            Found::Nothing => Vec::new(),
            Found::Unfinished(index, _) => veths_on(route, index, &config.bridge)?,
            Found::Ready(bridge) => veths_on(route, bridge.index, &config.bridge)?,
        };
        Ok(Self { leases, elements, veths })
    }
}

fn veths_on(route: &Socket, index: u32, bridge: &str) -> Result<Vec<String>, OpError> {
    let call = format_args!("sendto(rtnetlink, RTM_GETLINK{{dump, master {bridge}}})");
    let answers = Op { call, shell: format_args!("ip link show master {bridge}") }.perform(|| route.ask(&links::links_on(index)))?;
    let links = answers.iter().filter_map(|answer| links::read_link(answer));
    let ours = |link: &Link| link.master == Some(index) && link.kind == "veth" && container_of(&link.name).is_some();
    Ok(links.filter(|link| ours(link) && !link.dying).map(|link| link.name).collect())
}

/// What is missing of the host's side; nothing is missing where nothing was ever made.
fn incomplete(look: &Look, leases: &[Known]) -> Option<Vec<String>> {
    let bridge = matches!(look.found, Found::Ready(_));
    let table = look.table == Content::Current;
    let used = look.found != Found::Nothing || look.table != Content::Nothing || leases.iter().any(|lease| lease.standing != Standing::Dead);
    let parts = [("bridge", bridge), ("forwarding", look.forwarding), ("table", table)];
    let missing: Vec<_> = parts.iter().filter(|(_, there)| !there).map(|(name, _)| (*name).to_owned()).collect();
    (used && !missing.is_empty()).then_some(missing)
}

/// Compares. PURE.
fn judge(seen: &Survey, owner: &str, live: &dyn Fn(&str) -> bool) -> Vec<What> {
    let mut findings = Vec::new();
    let mut wanted = Vec::new();
    let mut known_veths = Vec::new();
    for lease in &seen.leases {
        let container = lease.record.as_ref().map(|record| record.container.clone());
        let dead = match (lease.standing, &lease.record) {
            (Standing::Dead, _) => true,
            (Standing::Outlived, Some(record)) => record.is_of(owner) && !live(&record.container),
            _ => false,
        };
        if let Some(container) = &container {
            let veth = veth_of(container);
            if dead && seen.veths.contains(&veth) {
                findings.push(What::StaleVeth { name: veth.clone(), container: container.clone() });
            }
            known_veths.push(veth);
        }
        if dead {
            findings.push(What::StaleLease { address: lease.address, container });
            continue;
        }
        for port in lease.record.iter().flat_map(|record| &record.ports) {
            let element = Element::new(port, lease.address);
            if !seen.elements.contains(&element) {
                let container = container.clone().unwrap_or_default();
                findings.push(What::MissingPort { container, address: lease.address, port: *port });
            }
            wanted.push(element);
        }
    }
    for veth in seen.veths.iter().filter(|veth| !known_veths.contains(veth)) {
        let container = container_of(veth).unwrap_or_default();
        if !live(container) {
            findings.push(What::StaleVeth { name: veth.clone(), container: container.to_owned() });
        }
    }
    for Element { host_ip, host_port, to } in seen.elements.iter().filter(|element| !wanted.contains(element)) {
        findings.push(What::StalePort { host_ip: *host_ip, host_port: *host_port, to: *to });
    }
    findings
}

fn put_right(config: &NetworkConfig, route: &Socket, state: &State, what: &What) -> Result<(), HostError> {
    match what {
        What::StaleLease { address, .. } => sys::remove_file(&state.lease(*address))?,
        What::StaleVeth { name, .. } => bridge::delete(route, name)?,
        What::StalePort { host_ip, host_port, to } => {
            let element = Element { host_ip: *host_ip, host_port: *host_port, to: *to };
            Table::open(&config.bridge)?.take(&[element])?;
        }
        What::MissingPort { address, port, .. } => {
            Table::open(&config.bridge)?.add(&[Element::new(port, *address)])?;
        }
        // Repaired before: it comes first.
        What::Incomplete { .. } => {}
    }
    Ok(())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = |done: &'static str| if self.repaired { done } else { "" };
        match &self.what {
            What::StaleLease { address, container: Some(id) } => {
                write!(f, "address {address} is leased to {id}, which is gone{}", done(": given back"))
            }
            What::StaleLease { address, container: None } => {
                write!(f, "address {address} is leased to nobody{}", done(": given back"))
            }
            What::StalePort { host_ip, host_port, to } => {
                let host = host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
                write!(f, "port {host}:{host_port} leads to {to}, where no container is{}", done(": removed"))
            }
            What::StaleVeth { name, container } => {
                write!(f, "interface {name} belongs to {container}, which is gone{}", done(": removed"))
            }
            What::MissingPort { container, port, .. } => {
                write!(f, "port {port} of {container} is not in the table{}", done(": added"))
            }
            What::Incomplete { missing } => {
                write!(f, "{} not as containers need it{}", missing.join(", "), done(": made again"))
            }
        }
    }
}
