//! What a check has seen, compared with what there should be. PURE.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use serde::Serialize;

use crate::bridge::Found;
use crate::host::{Content, Look};
use crate::nat::Element;
use crate::plan::{container_of, veth_of};
use crate::ports::PortMapping;
use crate::survey::{Known, Standing};

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

/// All that there is, as data.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) leases: Vec<Known>,
    pub(crate) elements: Vec<Element>,
    /// Names of our veths on the bridge.
    pub(crate) veths: Vec<String>,
}

/// Compares. `live` is asked about containers of this owner that have no monitor any more, but a network still.
pub(crate) fn judge(seen: &Survey, owner: &str, live: &dyn Fn(&str) -> bool) -> Vec<What> {
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
    for Element { host_ip, host_port, to } in seen.elements.iter().filter(|element| !wanted.contains(element))
    {
        findings.push(What::StalePort { host_ip: *host_ip, host_port: *host_port, to: *to });
    }
    findings
}

/// What is missing of the host's side; nothing is missing where nothing was ever made.
pub(crate) fn incomplete(look: &Look, leases: &[Known]) -> Option<Vec<String>> {
    let bridge = matches!(look.found, Found::Ready(_));
    let table = look.table == Content::Current;
    let used = !look.is_nothing() || leases.iter().any(|lease| lease.standing != Standing::Dead);
    let parts = [("bridge", bridge), ("forwarding", look.forwarding), ("table", table)];
    let missing: Vec<_> =
        parts.iter().filter(|(_, there)| !there).map(|(name, _)| (*name).to_owned()).collect();
    (used && !missing.is_empty()).then_some(missing)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 87, 0, 2);
    const PORT: &str = "0.0.0.0:8080->80/tcp";

    fn lease(standing: Standing, container: Option<&str>) -> Known {
        let ports = vec![PORT.parse().unwrap()];
        let record = |container: &str| Record { container: container.into(), owner: "/root".into(), ports };
        Known { address: ADDRESS, record: container.map(record), standing }
    }

    /// What is found, where a lease stands like that, with or without its element and its veth.
    fn found(lease: Option<Known>, element: bool, veth: bool, live: bool) -> Vec<String> {
        let element = element.then(|| Element::new(&PORT.parse().unwrap(), ADDRESS));
        let veths = if veth { vec!["mini-a".into()] } else { Vec::new() };
        let seen =
            Survey { leases: lease.into_iter().collect(), elements: element.into_iter().collect(), veths };
        let findings = judge(&seen, "/root", &|id| {
            assert_eq!(id, "a");
            live
        });
        let name = |what: What| match what {
            What::StaleLease { .. } => "lease",
            What::StalePort { .. } => "port",
            What::StaleVeth { .. } => "veth",
            What::MissingPort { .. } => "missing",
            What::Incomplete { .. } => "incomplete",
        };
        findings.into_iter().map(|what| name(what).to_owned()).collect()
    }

    #[test]
    fn everything_is_judged_by_the_lease_behind_it() {
        use Standing::{Dead, Held, Outlived};
        let nothing: [&str; 0] = [];
        let a = Some("a");
        assert_eq!(found(Some(lease(Held, a)), true, true, false), nothing);
        assert_eq!(
            found(Some(lease(Held, a)), true, false, false),
            nothing,
            "it is being made, or its end is near"
        );
        assert_eq!(found(Some(lease(Held, a)), false, true, false), ["missing"]);
        assert_eq!(
            found(Some(lease(Held, None)), true, false, false),
            ["port"],
            "nobody could say whose it is"
        );
        assert_eq!(found(Some(lease(Outlived, a)), true, true, true), nothing);
        assert_eq!(found(Some(lease(Outlived, a)), false, true, true), ["missing"]);
        assert_eq!(found(Some(lease(Outlived, a)), true, true, false), ["veth", "lease", "port"]);
        assert_eq!(found(Some(lease(Dead, a)), true, false, false), ["lease", "port"]);
        assert_eq!(
            found(Some(lease(Dead, a)), true, false, true),
            ["lease", "port"],
            "a network that is gone"
        );
        assert_eq!(found(Some(lease(Dead, None)), false, false, false), ["lease"]);
        assert_eq!(found(None, true, false, false), ["port"]);
        assert_eq!(found(None, false, true, false), ["veth"]);
        assert_eq!(found(None, false, true, true), nothing);
    }

    #[test]
    fn another_owners_container_is_not_judged() {
        let seen = Survey {
            leases: vec![lease(Standing::Outlived, Some("a"))],
            elements: vec![Element::new(&PORT.parse().unwrap(), ADDRESS)],
            veths: vec!["mini-a".into()],
        };
        assert_eq!(judge(&seen, "/another", &|_| panic!("it does not know")), []);
    }

    #[test]
    fn a_host_is_whole_or_says_what_is_missing() {
        let bridge = crate::bridge::Bridge { index: 3, gateway: "10.87.0.1/16".parse().unwrap() };
        let look = |found, forwarding, table| Look { found, forwarding, table };
        let missing = |look: &Look, leases: &[Known]| incomplete(look, leases).unwrap_or_default().join(" ");
        let held = [lease(Standing::Held, Some("a"))];
        let dead = [lease(Standing::Dead, Some("a"))];
        let nothing = look(Found::Nothing, false, Content::Nothing);
        assert_eq!(missing(&nothing, &[]), "");
        assert_eq!(missing(&nothing, &dead), "");
        assert_eq!(missing(&nothing, &held), "bridge forwarding table");
        assert_eq!(
            missing(&look(Found::Nothing, true, Content::Nothing), &[]),
            "",
            "forwarding is not ours alone"
        );
        assert_eq!(missing(&look(Found::Ready(bridge), true, Content::Current), &held), "");
        assert_eq!(missing(&look(Found::Ready(bridge), true, Content::Other), &[]), "table");
        assert_eq!(missing(&look(Found::Unfinished(3, None), true, Content::Nothing), &[]), "bridge table");
    }
}
