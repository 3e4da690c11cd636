//! Network: links, addresses and routes of one's own (network_namespaces(7), veth(4)).

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use network::{AttachPlan, NetworkConfig};
use runtime::sys;
use runtime::sys::ns::Kinds;
use rustix::process::Pid;

use crate::learn::lab::{Lab, Life};
use crate::learn::lesson::{Act, Lesson, Look, State, Verdict, no_machine};
use crate::random;

const BRIDGE: &str = "learn0";
const SUBNET: &str = "10.98.0.1/24";
/// What the student types gives the container this one; mini takes a free one.
const ADDRESS: &str = "10.98.0.2/24";

pub(crate) const LESSON: Lesson = Lesson {
    key: "net",
    acts: &[
        Act {
            lines: |_| vec!["unshare --net sleep 1000 & echo $! >/tmp/pid".to_owned()],
            perform: |lab| lab.contain(Kinds::NETWORK, Life::Sleep, &|| Ok(())),
            done: Some(|lab| Ok(lab.isolated("net").is_some())),
        },
        Act { lines: |_| plug_lines(), perform: plug, done: None },
    ],
    looks: &[
        Look { command: "ip link", read: |view| links(&view.own("net/dev")).join(" ") },
        Look { command: "ip -4 address", read: |view| addresses(&view.own("net/fib_trie")).join(" ") },
        Look { command: "ip -4 route", read: |view| routes(&view.own("net/route")).join("\n") },
    ],
    broken: Act {
        lines: |_| vec!["sleep 1000 &".to_owned()],
        perform: |lab| lab.contain(Kinds::empty(), Life::Sleep, &|| Ok(())),
        done: None,
    },
    fixed: Act {
        lines: |_| [vec!["unshare --net sleep 1000 & echo $! >/tmp/pid".to_owned()], again_lines()].concat(),
        perform: |lab| {
            if lab.isolated("net").is_none() {
                lab.contain(Kinds::NETWORK, Life::Sleep, &|| Ok(()))?;
            }
            plug(lab)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("net").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

fn plug_lines() -> Vec<String> {
    let bridge = vec![
        format!(
            "ip link add {BRIDGE} type bridge; ip link set {BRIDGE} up; ip address add {SUBNET} dev {BRIDGE}"
        ),
        format!(
            "nft 'add table ip nat; add chain ip nat post {{ type nat hook postrouting priority 100; }}; add rule ip nat post ip saddr {SUBNET} oifname != {BRIDGE} masquerade'"
        ),
    ];
    [bridge, again_lines()].concat()
}

fn again_lines() -> Vec<String> {
    vec![
        format!("ip link add veth0 master {BRIDGE} up type veth peer name eth0 netns $(cat /tmp/pid)"),
        "echo 'link set lo up' | nsenter --net --target $(cat /tmp/pid) ip -batch -".to_owned(),
        format!(
            "printf 'link set eth0 up\\naddress add {ADDRESS} dev eth0\\nroute add default via 10.98.0.1\\n' | nsenter --net --target $(cat /tmp/pid) ip -batch -"
        ),
    ]
}

/// Bridge, translation, veth, address, route: what `mini run` does, in the lab.
fn plug(lab: &Lab) -> Result<()> {
    let pid =
        lab.isolated("net").and_then(Pid::from_raw).context("nobody has a network namespace of its own")?;
    let netns: OwnedFd = sys::control::open_namespace(pid, "net")?;
    let id = random::new_id()?;
    lab.outside(&|| {
        let mut config = NetworkConfig::new("/tmp/network", "lab");
        config.bridge = BRIDGE.to_owned();
        config.subnet = Some(SUBNET.parse()?);
        let lease = network::lease(&config, &id, &[])?;
        let plan = AttachPlan::new(&id, &lease.endpoint, &[]);
        Ok(lease.attach(&plan, netns.as_fd())?)
    })
}

/// Names of links: proc_pid_net(5), `dev`. PURE.
pub(super) fn links(dev: &str) -> Vec<String> {
    dev.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// Addresses of this namespace: `LOCAL` leaves of the routing trie, each once. PURE.
fn addresses(trie: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = "";
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address;
        } else if line == "/32 host LOCAL" && !found.iter().any(|known| known == last) {
            found.push(last.to_owned());
        }
    }
    found
}

/// Routes: proc_pid_net(5), `route`, whose numbers are hexadecimal in the machine's byte order. PURE.
fn routes(table: &str) -> Vec<String> {
    let address = |word: &str| {
        let number = u32::from_str_radix(word, 16).unwrap_or(0);
        std::net::Ipv4Addr::from(number.to_ne_bytes())
    };
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (link, to, gateway) = (fields.first()?, address(fields.get(1)?), address(fields.get(2)?));
        let length = u32::from_str_radix(fields.get(7)?, 16).unwrap_or(0).count_ones();
        Some(match length {
            0 => format!("default via {gateway} dev {link}"),
            _ => format!("{to}/{length} dev {link}"),
        })
    };
    table.lines().skip(1).filter_map(route).collect()
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.isolated("net").or_else(|| lab.youngest()) else { return Ok(Verdict::nothing()) };
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
    let own = lab.isolated("net").is_some();
    Ok(judge(own, &links(&read("dev")), &addresses(&read("fib_trie")), &routes(&read("route"))))
}

/// PURE.
fn judge(own: bool, links: &[String], addresses: &[String], routes: &[String]) -> Verdict {
    let outer: Vec<&str> =
        addresses.iter().map(String::as_str).filter(|address| !address.starts_with("127.")).collect();
    let values = vec![("links", links.join(" ")), ("addresses", outer.join(" "))];
    let default = routes.iter().any(|route| route.starts_with("default "));
    match (own, links) {
        (false, _) => Verdict::leaks(values),
        (true, [only]) if only == "lo" => Verdict { state: State::Nothing, word: "alone", values },
        (true, _) if default && !outer.is_empty() => Verdict::holds(values),
        (true, _) => Verdict { state: State::Nothing, word: "alone", values },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo:       0 0\n  eth0:     100 2\n";
        assert_eq!(links(dev), ["lo", "eth0"]);
        let trie = "Main:\n  +-- 0.0.0.0/0\n     |-- 10.98.0.2\n        /32 host LOCAL\nLocal:\n     |-- 10.98.0.2\n        /32 host LOCAL\n     |-- 10.98.0.255\n        /32 link BROADCAST\n";
        assert_eq!(addresses(trie), ["10.98.0.2"]);
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\neth0 00000000 0100620A 0003 0 0 0 00000000 0\neth0 0000620A 00000000 0001 0 0 0 00FFFFFF 0\n";
        assert_eq!(routes(table), ["default via 10.98.0.1 dev eth0", "10.98.0.0/24 dev eth0"]);
    }

    #[test]
    fn a_network_of_its_own_has_an_address_and_a_way_out() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (lo, both) = (words(&["lo"]), words(&["lo", "eth0"]));
        let (address, route) =
            (words(&["10.98.0.2", "127.0.0.1"]), words(&["default via 10.98.0.1 dev eth0"]));
        assert_eq!(judge(true, &lo, &[], &[]).word, "alone");
        assert_eq!(judge(true, &both, &address, &route).state, State::Holds);
        assert_eq!(judge(true, &both, &address, &[]).state, State::Nothing);
        assert_eq!(judge(false, &both, &address, &route).state, State::Leaks);
    }
}
