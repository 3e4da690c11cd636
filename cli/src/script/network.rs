//! The network: the bridge and its table where they are missing, the pair of cards, addresses, routes, published ports. PURE.

use std::path::Path;

use anyhow::{Context as _, Result};
use network::{AttachPlan, Outline};

use super::Parts;
use super::text::{path, word};
use crate::plan::{NetworkMode, RunPlan};

/// Attaches the container, as mini would; `lease` is the file whose lock is the lease of its address.
pub(super) fn network(parts: &mut Parts, plan: &RunPlan, lease: Option<&Path>) -> Result<()> {
    match (plan.network.mode, &plan.network.attach) {
        (NetworkMode::Host | NetworkMode::Container | NetworkMode::Path, _) => Ok(()),
        (_, Some(attach)) => {
            let lease = lease.context("an address without a lease")?;
            host(parts, attach, lease)?;
            join(parts, attach);
            Ok(())
        }
        (_, None) => {
            parts.host.part("No network but the container's own loopback");
            parts.host.line("nsenter --net=\"/proc/$pid/ns/net\" ip link set lo up");
            Ok(())
        }
    }
}

/// What all containers share: made where it is missing, and taken away again by who made it, once nobody uses it.
fn host(parts: &mut Parts, attach: &AttachPlan, lease: &Path) -> Result<()> {
    let outline = Outline::new(attach);
    let bridge = word(&attach.endpoint.bridge);
    let Outline { gateway, mac, table, .. } = &outline;
    let text = &mut parts.host;
    text.part("Lease a free address: a file with a lock that lives as long as the monitor");
    text.comment("mini takes no address whose file is locked, and this script none that mini has.");
    let lease = path(lease)?;
    text.line(&format!("lease={lease}"));
    text.line("mkdir -p \"${lease%/*}\"");
    text.line("exec 9>>\"$lease\"");
    let address = attach.endpoint.address;
    text.line(&format!("flock --nonblock 9 || die 'another container has {address} by now'"));
    parts.undo.line("[ -z \"${lease-}\" ] || rm -f \"$lease\"");

    text.part("Make the bridge that joins all containers and the host");
    text.line(&format!("if ! ip link show {bridge} >/dev/null 2>&1; then"));
    text.line("    bridge=made forwarding=$(cat /proc/sys/net/ipv4/ip_forward)");
    text.line(&format!("    ip link add {bridge} address {mac} type bridge"));
    text.line("fi");
    text.comment(
        "Answers to the host's own connections to published ports come for 127.0.0.1 by this bridge: let them in",
    );
    text.line(&format!("echo 1 >/proc/sys/net/ipv4/conf/{bridge}/route_localnet"));
    text.comment(
        "No IPv6 on the bridge: a container could advertise itself as the host's router (CVE-2020-13401)",
    );
    let ipv6 = format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6");
    text.line(&format!("[ ! -e {ipv6} ] || echo 1 >{ipv6}"));
    text.comment("Give the bridge its address; that it is up says that all this is done");
    text.line(&format!(
        "ip -4 addr show dev {bridge} | grep -q 'inet ' || ip addr add {gateway} dev {bridge}"
    ));
    text.line(&format!("ip link set {bridge} up"));
    text.part(
        "Let the host pass packets on between its interfaces: containers reach the outside so, and answers come back",
    );
    text.line("[ \"$(cat /proc/sys/net/ipv4/ip_forward)\" = 1 ] || echo 1 >/proc/sys/net/ipv4/ip_forward");
    text.part("Make the table of translations in one transaction, with the ports of the containers that run");
    text.line(&format!("if ! nft list table ip {bridge} >/dev/null 2>&1; then"));
    text.file("nft -f -", table);
    text.line("fi");
    let undo = &mut parts.undo;
    undo.comment(
        "The cards go with the container's namespace, but later: the bridge must be seen to be empty now.",
    );
    undo.line("[ -z \"${veth-}\" ] || ip link delete \"$veth\" 2>/dev/null");
    for (map, key, _) in &outline.elements {
        let element = word(&format!("{{ {key} }}"));
        undo.line(&format!(
            "[ -z \"${{published-}}\" ] || nft delete element ip {bridge} {map} {element} 2>/dev/null"
        ));
    }
    undo.comment(
        "The bridge and its table go with who made them, unless another container is on the bridge by now.",
    );
    undo.line(&format!("if [ -n \"${{bridge-}}\" ] && [ -z \"$(ip -o link show master {bridge})\" ]; then"));
    undo.line(&format!("    nft delete table ip {bridge}"));
    undo.line(&format!("    ip link delete {bridge}"));
    undo.line("    echo \"$forwarding\" >/proc/sys/net/ipv4/ip_forward");
    undo.line("fi");
    Ok(())
}

fn join(parts: &mut Parts, attach: &AttachPlan) {
    let endpoint = &attach.endpoint;
    let (bridge, veth, mac) = (word(&endpoint.bridge), word(&attach.veth), &endpoint.mac);
    let (address, prefix, gateway) = (endpoint.address, endpoint.prefix_len, endpoint.gateway);
    let text = &mut parts.host;
    text.part(
        "Go inside for a socket of that namespace; no IPv6 on what comes there, or a neighbour could advertise itself as router",
    );
    text.line("inside() { nsenter --net=\"/proc/$pid/ns/net\" -- \"$@\"; }");
    text.line(
        "inside sh -c 'file=/proc/sys/net/ipv6/conf/default/disable_ipv6; [ ! -e $file ] || echo 1 >$file'",
    );
    text.part(
        "Join the container to the bridge: a pair of virtual network cards, ours on the bridge, the other one inside",
    );
    text.line(&format!("veth={veth}"));
    text.line(&format!(
        "ip link add \"$veth\" master {bridge} up type veth peer name eth0 address {mac} netns \"$pid\""
    ));
    if !attach.ports.is_empty() {
        text.comment("Who comes back to itself by a port of the host leaves by the port that it came from.");
        text.line("bridge link set dev \"$veth\" hairpin on");
    }
    text.part("From here: both cards up, the address, and the way out by the bridge");
    text.line("inside ip link set lo up");
    text.line("inside ip link set eth0 up");
    text.line(&format!("inside ip addr add {address}/{prefix} dev eth0"));
    text.line(&format!("inside ip route add default via {gateway}"));
    let outline = Outline::new(attach);
    if outline.elements.is_empty() {
        return;
    }
    text.part("Publish the ports: what comes for them is translated to the container's address");
    text.comment(
        "mini holds each with a bound socket that never listens, so that no other program gets it: no shell binds without \
         listening.",
    );
    for (map, _, element) in &outline.elements {
        let element = word(&format!("{{ {element} }}"));
        text.line(&format!("nft add element ip {bridge} {map} {element}"));
        text.line("published=yes");
    }
}
