//! Which subnet a bridge gets, and in which order its addresses are tried. PURE.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Subnets that a bridge is numbered from, in this order: none that docker (172.17.0.0/16 and up, 192.168.0.0/16) or podman
/// (10.88.0.0/16 and up) begins with.
pub(crate) fn candidates() -> impl Iterator<Item = Ipv4Net> {
    (64..88).rev().map(|second| Ipv4Net::new(Ipv4Addr::new(10, second, 0, 0), 16).expect("16 is at most 32"))
}

/// The first candidate that shares no address with what this host has routes for.
///
/// Routes to more than a /8 are default routes in parts (VPNs write 0.0.0.0/1 and 128.0.0.0/1) and collide with nothing: the
/// bridge's own route is the longer one.
pub(crate) fn choose(candidates: impl Iterator<Item = Ipv4Net>, routes: &[Ipv4Net]) -> Option<Ipv4Net> {
    let overlap = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
    let free = |candidate: &Ipv4Net| {
        !routes.iter().filter(|route| route.prefix_len() >= 8).any(|route| overlap(candidate, route))
    };
    { candidates }.find(free)
}

/// The bridge's address in a subnet, the first one; `None` where none is left for a container.
pub(crate) fn gateway(subnet: Ipv4Net) -> Option<Ipv4Net> {
    let address = subnet.hosts().next().filter(|_| subnet.prefix_len() <= 30)?;
    Ipv4Net::new(address, subnet.prefix_len()).ok()
}

/// Every address that a container can have, each once: those after `last` first, so that one just given back comes last.
pub(crate) fn rotation(gateway: Ipv4Net, last: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
    let [first, end] = [gateway.network(), gateway.broadcast()].map(u32::from);
    let inside = last.map(u32::from).filter(|last| (first..end).contains(last)).unwrap_or(first);
    (inside + 1..end)
        .chain(first + 1..=inside)
        .map(Ipv4Addr::from)
        .filter(move |address| *address != gateway.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_subnet_without_a_route_is_chosen() {
        let routes = |routes: &[&str]| routes.iter().map(|route| net(route)).collect::<Vec<_>>();
        let table: [(&[&str], &str); 6] = [
            (&[], "10.87.0.0/16"),
            (&["0.0.0.0/0", "192.0.2.0/24", "127.0.0.0/8"], "10.87.0.0/16"),
            (&["0.0.0.0/1", "128.0.0.0/1"], "10.87.0.0/16"),
            (&["10.87.3.0/24"], "10.86.0.0/16"),
            (&["10.87.255.255/32", "10.84.0.0/14"], "10.83.0.0/16"),
            (&["10.64.0.0/10"], ""),
        ];
        for (taken, expected) in table {
            let chosen = choose(candidates(), &routes(taken)).map(|net| net.to_string()).unwrap_or_default();
            assert_eq!(chosen, expected, "{taken:?}");
        }
    }

    #[test]
    fn the_gateway_is_the_first_address() {
        let table = [
            ("10.87.0.0/16", Some("10.87.0.1/16")),
            ("192.168.7.8/30", Some("192.168.7.9/30")),
            ("10.0.0.0/31", None),
        ];
        for (subnet, expected) in table {
            assert_eq!(gateway(net(subnet)), expected.map(net), "{subnet}");
        }
    }

    #[test]
    fn addresses_rotate_and_none_is_left_out_or_twice() {
        let walk = |last: Option<&str>| {
            let last = last.map(|last| last.parse().unwrap());
            rotation(net("10.0.0.1/29"), last).map(|address| address.octets()[3]).collect::<Vec<_>>()
        };
        assert_eq!(walk(None), [2, 3, 4, 5, 6]);
        assert_eq!(walk(Some("10.0.0.2")), [3, 4, 5, 6, 2]);
        assert_eq!(walk(Some("10.0.0.5")), [6, 2, 3, 4, 5]);
        assert_eq!(walk(Some("10.0.0.6")), [2, 3, 4, 5, 6]);
        assert_eq!(walk(Some("10.0.1.4")), [2, 3, 4, 5, 6], "of another subnet");
        let all = rotation(net("10.87.0.1/16"), Some(Ipv4Addr::new(10, 87, 200, 7)));
        assert_eq!(all.count(), 65_536 - 3, "network, broadcast and gateway are no container's");
    }
}
