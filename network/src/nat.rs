//! The nf_tables ruleset, as data and as the text that nft(8) would print. PURE.
//!
//! The rules are static: they name maps, and a published port is an element of a map, so a container's start and end
//! touch one element each and never a rule. What the rules must do, in the order in which a packet meets them:
//!
//! | chain | hook | what |
//! |---|---|---|
//! | `guard` | prerouting, before connection tracking | `route_localnet` on the bridge, which publishing on 127.0.0.1 needs, must not open the host's loopback to containers (CVE-2020-8558) |
//! | `prerouting` | prerouting, dnat | published ports, for packets from outside and from containers; never for loopback addresses: the kernel drops those as martians only after this hook |
//! | `output` | output, dnat | published ports, for the host's own processes, 127.0.0.1 included |
//! | `forward` | forward | from outside only answers and published ports reach a container, not all that a neighbour routes to it |
//! | `postrouting` | postrouting, snat | containers go out under the host's address; so does what came back to the bridge it left (hairpin), or its answer would take the short way and match nothing; so does what the host sent from 127.0.0.1 |

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

use crate::ports::PortMapping;

/// The table of one bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruleset {
    /// The bridge's name, and the table's.
    pub(crate) name: String,
    pub(crate) maps: [Map; 2],
    pub(crate) chains: Vec<Chain>,
}

/// From a port of the host to an address and port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) name: &'static str,
    /// Whether the key holds an address before the port.
    pub(crate) by_address: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) hook: Hook,
    pub(crate) rules: Vec<Vec<Part>>,
}

/// Where a chain is called from, and when among others there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    PreroutingRaw,
    PreroutingDnat,
    OutputDnat,
    Forward,
    PostroutingSnat,
}

/// What a rule is made of: it goes on to the next part while the packet matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    FromBridge,
    ToBridge,
    NotToBridge,
    Source(Ipv4Net),
    Destination(Ipv4Net),
    DestinationIsHost,
    Answer,
    Translated,
    Publish(Map),
    Masquerade,
    Accept,
    Return,
    Drop,
}

/// Ports published on every address of the host.
pub(crate) const EVERYWHERE: Map = Map { name: "ports", by_address: false };
/// Ports published on one address of the host.
pub(crate) const AT_ADDRESS: Map = Map { name: "ports_at", by_address: true };

/// Counts the changes of what this file means; the text's hash sees all others.
const VERSION: u32 = 1;

/// The whole table for a bridge and its subnet.
pub(crate) fn ruleset(bridge: &str, subnet: Ipv4Net) -> Ruleset {
    use Part::{
        Accept, Answer, Destination, DestinationIsHost, Drop, FromBridge, Masquerade, NotToBridge, Publish,
        Return, Source, ToBridge, Translated,
    };
    let subnet = subnet.trunc();
    let loopback = Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).expect("8 is at most 32");
    let published = |map| vec![DestinationIsHost, Publish(map)];
    let chain = |name, hook, rules| Chain { name, hook, rules };
    let chains = vec![
        chain(
            "guard",
            Hook::PreroutingRaw,
            vec![vec![FromBridge, Destination(loopback), Drop], vec![FromBridge, Source(loopback), Drop]],
        ),
        chain(
            "prerouting",
            Hook::PreroutingDnat,
            vec![vec![Destination(loopback), Return], published(AT_ADDRESS), published(EVERYWHERE)],
        ),
        chain("output", Hook::OutputDnat, vec![published(AT_ADDRESS), published(EVERYWHERE)]),
        chain(
            "forward",
            Hook::Forward,
            vec![
                vec![NotToBridge, Accept],
                vec![FromBridge, Accept],
                vec![Answer, Accept],
                vec![Translated, Accept],
                vec![Drop],
            ],
        ),
        chain(
            "postrouting",
            Hook::PostroutingSnat,
            vec![
                vec![Source(subnet), NotToBridge, Masquerade],
                vec![Source(subnet), ToBridge, Translated, Masquerade],
                vec![Source(loopback), ToBridge, Masquerade],
            ],
        ),
    ];
    Ruleset { name: bridge.to_owned(), maps: [EVERYWHERE, AT_ADDRESS], chains }
}

impl Ruleset {
    /// What stands in the table as its comment: a table that carries another one is not this ruleset.
    pub(crate) fn version(&self) -> String {
        // FNV-1a, 64 bits: it tells versions apart, it defends nothing.
        let hash = self.body().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("mini {VERSION} {hash:016x}")
    }

    /// Everything but the comment.
    fn body(&self) -> String {
        let mut text = String::new();
        let mut line =
            |line: fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String takes every text");
        for map in &self.maps {
            let key = if map.by_address { "ipv4_addr . inet_service" } else { "inet_service" };
            line(format_args!("\tmap {} {{\n\t\ttype {key} : ipv4_addr . inet_service\n\t}}\n", map.name));
        }
        for (index, chain) in self.chains.iter().enumerate() {
            line(format_args!("\tchain {} {{\n\t\t{}", chain.name, chain.hook));
            for rule in &chain.rules {
                line(format_args!("\t\t{}", self.rule(rule)));
            }
            line(format_args!("\t}}{}", if index + 1 == self.chains.len() { "" } else { "\n" }));
        }
        text
    }

    /// One rule as nft(8) writes it.
    pub(crate) fn rule(&self, rule: &[Part]) -> String {
        let part = |part: &Part| match part {
            Part::FromBridge => format!("iifname \"{}\"", self.name),
            Part::ToBridge => format!("oifname \"{}\"", self.name),
            Part::NotToBridge => format!("oifname != \"{}\"", self.name),
            Part::Source(net) => format!("ip saddr {net}"),
            Part::Destination(net) => format!("ip daddr {net}"),
            Part::DestinationIsHost => "fib daddr type local".into(),
            Part::Answer => "ct state established,related".into(),
            Part::Translated => "ct status dnat".into(),
            Part::Publish(map) if map.by_address => {
                format!("dnat ip to ip daddr . tcp dport map @{}", map.name)
            }
            Part::Publish(map) => format!("dnat ip to tcp dport map @{}", map.name),
            Part::Masquerade => "masquerade".into(),
            Part::Accept => "accept".into(),
            Part::Return => "return".into(),
            Part::Drop => "drop".into(),
        };
        rule.iter().map(part).collect::<Vec<_>>().join(" ")
    }
}

/// As `nft list table` prints it, elements aside; `nft -f` takes it.
impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table ip {} {{\n\tcomment \"{}\"\n\n{}}}\n", self.name, self.version(), self.body())
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreroutingRaw => "type filter hook prerouting priority raw; policy accept;",
            Self::PreroutingDnat => "type nat hook prerouting priority dstnat; policy accept;",
            // nft before 1.0.7 knows the name `dstnat` at prerouting alone.
            Self::OutputDnat => "type nat hook output priority -100; policy accept;",
            Self::Forward => "type filter hook forward priority filter; policy accept;",
            Self::PostroutingSnat => "type nat hook postrouting priority srcnat; policy accept;",
        })
    }
}

/// One published port as an element of its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Element {
    /// `None`: every address of the host.
    pub(crate) host_ip: Option<Ipv4Addr>,
    pub(crate) host_port: u16,
    pub(crate) to: SocketAddrV4,
}

impl Element {
    pub(crate) fn new(mapping: &PortMapping, container: Ipv4Addr) -> Self {
        let host_ip = Some(mapping.host_ip).filter(|ip| !ip.is_unspecified());
        Self {
            host_ip,
            host_port: mapping.host_port,
            to: SocketAddrV4::new(container, mapping.container_port),
        }
    }

    pub(crate) fn map(&self) -> Map {
        if self.host_ip.is_some() { AT_ADDRESS } else { EVERYWHERE }
    }

    /// The key alone, as nft(8) writes it.
    pub(crate) fn key(&self) -> String {
        self.host_ip.map_or(format!("{}", self.host_port), |ip| format!("{ip} . {}", self.host_port))
    }
}

/// As nft(8) writes an element: key, colon, data.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} : {} . {}", self.key(), self.to.ip(), self.to.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn the_table_reads_as_nft_prints_it() {
        let ruleset = ruleset("mini0", net("10.87.0.1/16"));
        let expected = format!(
            r#"table ip mini0 {{
	comment "{}"

	map ports {{
		type inet_service : ipv4_addr . inet_service
	}}

	map ports_at {{
		type ipv4_addr . inet_service : ipv4_addr . inet_service
	}}

	chain guard {{
		type filter hook prerouting priority raw; policy accept;
		iifname "mini0" ip daddr 127.0.0.0/8 drop
		iifname "mini0" ip saddr 127.0.0.0/8 drop
	}}

	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 127.0.0.0/8 return
		fib daddr type local dnat ip to ip daddr . tcp dport map @ports_at
		fib daddr type local dnat ip to tcp dport map @ports
	}}

	chain output {{
		type nat hook output priority -100; policy accept;
		fib daddr type local dnat ip to ip daddr . tcp dport map @ports_at
		fib daddr type local dnat ip to tcp dport map @ports
	}}

	chain forward {{
		type filter hook forward priority filter; policy accept;
		oifname != "mini0" accept
		iifname "mini0" accept
		ct state established,related accept
		ct status dnat accept
		drop
	}}

	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.87.0.0/16 oifname != "mini0" masquerade
		ip saddr 10.87.0.0/16 oifname "mini0" ct status dnat masquerade
		ip saddr 127.0.0.0/8 oifname "mini0" masquerade
	}}
}}
"#,
            ruleset.version()
        );
        assert_eq!(ruleset.to_string(), expected);
    }

    #[test]
    fn the_version_changes_with_the_rules() {
        let version = ruleset("mini0", net("10.87.0.0/16")).version();
        assert_eq!(version, ruleset("mini0", net("10.87.0.1/16")).version(), "the same subnet");
        assert_ne!(version, ruleset("mini0", net("10.88.0.0/16")).version());
        assert_ne!(version, ruleset("mini1", net("10.87.0.0/16")).version());
        let mut changed = ruleset("mini0", net("10.87.0.0/16"));
        changed.chains[0].rules.pop();
        assert_ne!(version, changed.version());
    }

    #[test]
    fn a_mapping_becomes_an_element_of_the_right_map() {
        let table = [
            ("0.0.0.0:8080->80/tcp", "ports", "8080", "8080 : 10.87.0.2 . 80"),
            ("127.0.0.1:8080->80/tcp", "ports_at", "127.0.0.1 . 8080", "127.0.0.1 . 8080 : 10.87.0.2 . 80"),
        ];
        for (mapping, map, key, text) in table {
            let element = Element::new(&mapping.parse().unwrap(), Ipv4Addr::new(10, 87, 0, 2));
            assert_eq!((element.map().name, &*element.key(), &*element.to_string()), (map, key, text));
        }
    }
}
