//! What attaching a container does, as data: addresses, names, published ports. PURE.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::ports::PortMapping;

/// Everything that [`Lease::attach`](crate::Lease::attach) will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachPlan {
    /// The container's id.
    pub container: String,
    /// The host's end of the veth pair; the container's is `eth0`.
    pub veth: String,
    /// Address and gateway.
    pub endpoint: Endpoint,
    /// What is published.
    pub ports: Vec<PortMapping>,
}

/// A container's place on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name of the bridge.
    pub bridge: String,
    /// Its interface index; 0 where the bridge has not been made yet.
    pub bridge_index: u32,
    /// The container's address.
    pub address: Ipv4Addr,
    /// Length of the subnet's prefix in bits.
    pub prefix_len: u8,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// Hardware address of `eth0`, as `02:42:0a:57:00:02`: made from the address.
    pub mac: String,
}

impl AttachPlan {
    /// For a container that holds a lease.
    pub fn new(container: &str, endpoint: &Endpoint, ports: &[PortMapping]) -> Self {
        Self {
            container: container.to_owned(),
            veth: veth_of(container),
            endpoint: endpoint.clone(),
            ports: ports.to_vec(),
        }
    }
}

impl Endpoint {
    pub(crate) fn new(bridge: &str, bridge_index: u32, gateway: ipnet::Ipv4Net, address: Ipv4Addr) -> Self {
        Self {
            bridge: bridge.to_owned(),
            bridge_index,
            address,
            prefix_len: gateway.prefix_len(),
            gateway: gateway.addr(),
            mac: mac_text(address),
        }
    }
}

/// A hardware address made from the IPv4 address, as docker makes it: locally administered (bit 1 of the first byte), the
/// same for every container that gets this address, so that neighbours' ARP caches stay right.
pub(crate) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

pub(crate) fn mac_text(address: Ipv4Addr) -> String {
    let [a, b, c, d, e, f] = mac_of(address);
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// What the names of our veths begin with; ten digits of the container's id follow, and no more fit (`IFNAMSIZ`).
const VETH: &str = "mini-";

/// The name of the host's end of a container's veth pair.
pub(crate) fn veth_of(container: &str) -> String {
    container.chars().take(10).fold(VETH.to_owned(), |mut name, letter| {
        name.push(letter);
        name
    })
}

/// The beginning of the id of the container that an interface was made for, if it is one of our veths.
pub(crate) fn container_of(veth: &str) -> Option<&str> {
    veth.strip_prefix(VETH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_lead_back_to_the_container() {
        let id = "3f2a9c81d04be5774f2a9c81d04be5773f2a9c81d04be5773f2a9c81d04be577";
        assert_eq!(veth_of(id), "mini-3f2a9c81d0");
        assert!(veth_of(id).len() < 16, "IFNAMSIZ, with the zero byte");
        assert_eq!(container_of(&veth_of(id)), Some("3f2a9c81d0"));
        assert_eq!(veth_of("c1"), "mini-c1");
        assert_eq!(container_of("mini0"), None, "the bridge");
        assert_eq!(container_of("veth3f2a9c8"), None, "docker's");
    }

    #[test]
    fn an_endpoint_says_all_that_eth0_needs() {
        let endpoint =
            Endpoint::new("mini0", 7, "10.87.0.1/16".parse().unwrap(), Ipv4Addr::new(10, 87, 1, 255));
        let expected = Endpoint {
            bridge: "mini0".into(),
            bridge_index: 7,
            address: Ipv4Addr::new(10, 87, 1, 255),
            prefix_len: 16,
            gateway: Ipv4Addr::new(10, 87, 0, 1),
            mac: "02:42:0a:57:01:ff".into(),
        };
        assert_eq!(endpoint, expected);
    }
}
