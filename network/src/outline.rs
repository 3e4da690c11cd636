//! What attaching a container does, in the texts that ip(8) and nft(8) take: for who wants to read it, or to do it by hand. PURE but
//! for [`lease_file`].

use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;

use crate::config::NetworkConfig;
use crate::host::{self, HostError};
use crate::nat::{Element, ruleset};
use crate::plan::{AttachPlan, mac_text};

/// The host's side for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The bridge's address with the length of the subnet's prefix.
    pub gateway: String,
    /// The bridge's hardware address, where it is made.
    pub mac: String,
    /// The whole table, as `nft -f` takes it; it has the bridge's name.
    pub table: String,
    /// The published ports, each an element of a map: the map, the key, the key with what it leads to.
    pub elements: Vec<(&'static str, String, String)>,
}

impl Outline {
    /// Of what [`Lease::attach`](crate::Lease::attach) would do.
    pub fn new(plan: &AttachPlan) -> Outline {
        let endpoint = &plan.endpoint;
        let gateway = Ipv4Net::new_assert(endpoint.gateway, endpoint.prefix_len);
        let elements = plan.ports.iter().map(|port| {
            let element = Element::new(port, endpoint.address);
            (element.map().name, element.key(), element.to_string())
        });
        Outline {
            gateway: gateway.to_string(),
            mac: mac_text(endpoint.gateway),
            table: ruleset(&endpoint.bridge, gateway).to_string(),
            elements: elements.collect(),
        }
    }
}

/// The file whose lock (flock(2)) is the lease of an address of this network namespace.
///
/// # Errors
/// A bridge's name that is none; no netlink socket can be made.
pub fn lease_file(config: &NetworkConfig, address: Ipv4Addr) -> Result<PathBuf, HostError> {
    Ok(host::open(config)?.1.lease(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Endpoint;

    #[test]
    fn a_container_is_told_in_the_words_of_ip_and_nft() {
        let endpoint =
            Endpoint::new("mini0", 0, "10.87.0.1/16".parse().unwrap(), Ipv4Addr::new(10, 87, 0, 2));
        let ports = ["0.0.0.0:8080->80/tcp".parse().unwrap(), "127.0.0.1:81->80/tcp".parse().unwrap()];
        let outline = Outline::new(&AttachPlan::new("0123456789ab", &endpoint, &ports));
        assert_eq!((&*outline.gateway, &*outline.mac), ("10.87.0.1/16", "02:42:0a:57:00:01"));
        assert!(outline.table.starts_with("table ip mini0 {\n\tcomment \"mini "), "{}", outline.table);
        let element = |map, key: &str, whole: &str| (map, key.to_owned(), whole.to_owned());
        assert_eq!(
            outline.elements,
            [
                element("ports", "8080", "8080 : 10.87.0.2 . 80"),
                element("ports_at", "127.0.0.1 . 81", "127.0.0.1 . 81 : 10.87.0.2 . 80"),
            ]
        );
    }
}
