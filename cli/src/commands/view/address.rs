//! The same cable: a card inside, and the card on the host that is its other end (veth(4)).

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use network::{Card, Cards, PortMapping, Way};
use rustix::process::Pid;

use super::Row;
use super::subject::Subject;
use crate::words::Words;

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    let here = network::cards(None)?;
    let shared = subject.shares("net");
    let inside = if shared {
        here.clone()
    } else {
        let pid = Pid::from_raw(subject.pid).context("a first process has a number")?;
        let netns = runtime::sys::control::open_namespace(pid, "net")?;
        network::cards(Some(netns.as_fd()))?
    };
    Ok(rows(&here, &inside, shared, &subject.settings.ports, subject.words))
}

/// PURE.
fn rows(here: &Cards, inside: &Cards, shared: bool, ports: &[PortMapping], words: &Words) -> Vec<Row> {
    let mut rows = Vec::new();
    for card in &inside.cards {
        let end = match (shared, peer(here, card)) {
            (true, _) => words.text("address.same"),
            (false, Some(end)) => other_end(here, end, words),
            (false, None) if card.name == "lo" => words.text("address.another"),
            (false, None) => words.text("address.endless"),
        };
        rows.push(Row::new(card.name.clone(), end, shown(card, words)));
    }
    for way in &inside.ways {
        let next = way.gateway.and_then(|gateway| owner(here, gateway));
        let host = match next {
            Some(card) if !shared => {
                words.filled("address.next", &[("card", card.name.clone()), ("address", addresses(card))])
            }
            _ => "-".to_owned(),
        };
        rows.push(Row::new(words.text("address.route"), host, route(inside, way)));
    }
    let published = ports.iter().filter(|_| !shared);
    rows.extend(published.map(|port| {
        Row::new(
            words.text("address.port"),
            format!("{}:{}", port.host_ip, port.host_port),
            format!("{}/tcp", port.container_port),
        )
    }));
    rows
}

/// Both ends name each other by number; numbers alone could be those of another namespace's.
fn peer<'a>(here: &'a Cards, card: &Card) -> Option<&'a Card> {
    here.cards.iter().find(|other| {
        other.kind == "veth" && card.peer == Some(other.index) && other.peer == Some(card.index)
    })
}

fn owner(here: &Cards, address: std::net::IpAddr) -> Option<&Card> {
    here.cards.iter().find(|card| card.addresses.iter().any(|own| own.addr() == address))
}

fn other_end(here: &Cards, card: &Card, words: &Words) -> String {
    let bridge = card.master.and_then(|master| here.cards.iter().find(|other| other.index == master));
    match bridge {
        Some(bridge) => {
            let values = [
                ("card", shown(card, words)),
                ("bridge", bridge.name.clone()),
                ("address", addresses(bridge)),
            ];
            words.filled("address.on", &values)
        }
        None => shown(card, words),
    }
}

/// `2: eth0 10.87.0.2/16 02:42:0a:57:00:02`
fn shown(card: &Card, words: &Words) -> String {
    let state = if card.up { String::new() } else { words.text("address.down") };
    let words = [format!("{}:", card.index), card.name.clone(), state, addresses(card), card.mac.clone()];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn addresses(card: &Card) -> String {
    card.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn route(cards: &Cards, way: &Way) -> String {
    let to = if way.to.prefix_len() == 0 { "default".to_owned() } else { way.to.to_string() };
    let by = way.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let card = way.card.and_then(|index| cards.cards.iter().find(|card| card.index == index));
    let card = card.map(|card| format!(" dev {}", card.name)).unwrap_or_default();
    format!("{to}{by}{card}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Language;

    fn card(index: u32, name: &str, peer: Option<u32>, address: &str) -> Card {
        let kind = if peer.is_some() { "veth" } else { "" };
        let addresses = address.split(' ').filter_map(|address| address.parse().ok()).collect();
        Card { index, name: name.into(), kind: kind.into(), up: true, peer, addresses, ..Card::default() }
    }

    #[test]
    fn both_ends_of_a_cable_are_found_by_number() {
        let here = Cards {
            cards: vec![
                card(3, "mini0", None, "10.87.0.1/16"),
                // Another container's: its other end has the same number in its own namespace.
                Card { master: Some(3), ..card(8, "mini-aa", Some(2), "") },
                Card { master: Some(3), ..card(9, "mini-bb", Some(2), "") },
            ],
            ways: Vec::new(),
        };
        let inside = Cards {
            cards: vec![card(1, "lo", None, "127.0.0.1/8"), card(2, "eth0", Some(9), "10.87.0.2/16")],
            ways: vec![
                Way { to: "0.0.0.0/0".parse().unwrap(), gateway: "10.87.0.1".parse().ok(), card: Some(2) },
                Way { to: "10.87.0.0/16".parse().unwrap(), gateway: None, card: Some(2) },
            ],
        };
        let expected = [
            Row::new("lo", "another: each namespace has its own", "1: lo 127.0.0.1/8"),
            Row::new("eth0", "9: mini-bb, on mini0 10.87.0.1/16", "2: eth0 10.87.0.2/16"),
            Row::new("route", "that is mini0, 10.87.0.1/16", "default via 10.87.0.1 dev eth0"),
            Row::new("route", "-", "10.87.0.0/16 dev eth0"),
        ];
        let words = super::super::words(Language::En);
        assert_eq!(rows(&here, &inside, false, &[], &words), expected);
        assert_eq!(rows(&here, &here, true, &[], &words)[0].host, "the same: it is the host's own");
    }
}
