//! Who reaches whom, and under which address.

use std::net::Ipv4Addr;

use network::LastCard;

use crate::host::{HOST, Host, OUTSIDE, both_ways_of_bridging, same, sh};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn containers_reach_each_other_and_the_host_reaches_them() {
    both_ways_of_bridging(|host| {
        let (a, b) = (host.start("a", &[]), host.start("b", &[]));
        let server = b.netns.listen(b.address(), 80);
        assert_eq!(
            a.netns.talk(b.address(), 80, &server),
            a.address(),
            "nothing is translated between neighbours"
        );
        assert_eq!(host.netns.talk(b.address(), 80, &server), b.gateway());
        let server = host.netns.listen(a.gateway(), 80);
        assert_eq!(a.netns.talk(a.gateway(), 80, &server), a.address());
        let server = a.netns.listen(LOCALHOST, 80);
        assert_eq!(a.netns.talk(LOCALHOST, 80, &server), LOCALHOST, "lo is up");
    });
}

#[test]
fn a_container_reaches_the_outside_under_the_hosts_address() {
    both_ways_of_bridging(|host| {
        let outside = host.outside();
        let container = host.start("a", &[]);
        let server = outside.netns.listen(OUTSIDE, 80);
        assert_eq!(outside.netns.sh("ip route get 10.87.0.2 2>/dev/null || echo none"), "none\n");
        assert_eq!(container.netns.talk(OUTSIDE, 80, &server), HOST);
    });
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    both_ways_of_bridging(|host| {
        let outside = host.outside();
        let (container, other) = (host.start("a", &["8080:80"]), host.start("b", &[]));
        let server = container.netns.listen(container.address(), 80);
        assert_eq!(outside.netns.talk(HOST, 8080, &server), OUTSIDE, "the container sees who really came");
        for own in [LOCALHOST, Ipv4Addr::new(127, 3, 2, 1)] {
            assert_eq!(
                host.netns.talk(own, 8080, &server),
                container.gateway(),
                "{own} would be the container's own"
            );
        }
        assert_eq!(host.netns.talk(HOST, 8080, &server), HOST);
        assert_eq!(host.netns.talk(container.gateway(), 8080, &server), container.gateway());
        for way in [HOST, container.gateway()] {
            assert_eq!(other.netns.talk(way, 8080, &server), container.gateway(), "a neighbour, by {way}");
            assert_eq!(container.netns.talk(way, 8080, &server), container.gateway(), "itself, by {way}");
        }
    });
}

#[test]
fn a_port_published_on_one_address_is_reached_there() {
    both_ways_of_bridging(|host| {
        let outside = host.outside();
        let (container, other) =
            (host.start("a", &["192.0.2.1:8080:80", "127.0.0.1:8081:80"]), host.start("b", &[]));
        let server = container.netns.listen(Ipv4Addr::UNSPECIFIED, 80);
        assert_eq!(outside.netns.talk(HOST, 8080, &server), OUTSIDE);
        assert_eq!(host.netns.talk(HOST, 8080, &server), HOST);
        assert_eq!(other.netns.talk(HOST, 8080, &server), container.gateway());
        assert_eq!(host.netns.talk(LOCALHOST, 8081, &server), container.gateway());
        for (from, ip, port) in [
            (&host.netns, LOCALHOST, 8080),
            (&host.netns, container.gateway(), 8080),
            (&other.netns, container.gateway(), 8080),
            (&host.netns, HOST, 8081),
            (&outside.netns, HOST, 8081),
            (&other.netns, HOST, 8081),
            (&other.netns, container.gateway(), 8081),
        ] {
            let error = from.connect(ip, port).expect_err("nothing is published there");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{ip}:{port}");
        }
    });
}

#[test]
fn another_services_port_elsewhere_is_not_taken_for_a_published_one() {
    let host = Host::new();
    let outside = host.outside();
    let container = host.start("a", &["80:80"]);
    let server = outside.netns.listen(OUTSIDE, 80);
    assert_eq!(container.netns.talk(OUTSIDE, 80, &server), HOST, "its way out passes the same hook");
}

#[test]
fn a_container_without_network_has_its_loopback() {
    let host = Host::new();
    let container = crate::host::Container::namespaces();
    let before = host.everything();
    network::loopback_up(std::os::fd::AsFd::as_fd(&container.netns)).unwrap();
    let server = container.netns.listen(LOCALHOST, 80);
    assert_eq!(container.netns.talk(LOCALHOST, 80, &server), LOCALHOST);
    same(&host.everything(), &before, "and nothing else has changed");
}

#[test]
fn a_card_whose_namespace_lives_on_is_taken_away_and_a_younger_one_is_not() {
    let host = Host::new();
    // What keeps the namespace is the test; a cut connection does too.
    let container = host.start("3f2a9c81d04b", &[]);
    let veth = &container.plan().veth;
    let there = || sh("ip -br link").contains(veth);
    let last = LastCard::find(container.plan()).unwrap().expect("its card");
    last.see_off().unwrap();
    assert!(!there());
    assert!(LastCard::find(container.plan()).unwrap().is_none());

    sh(&format!("ip link add {veth} type veth peer name other0"));
    let last = LastCard::find(container.plan()).unwrap().expect("another card");
    sh(&format!("ip link del {veth}; ip link add {veth} type veth peer name other0"));
    last.see_off().unwrap();
    assert!(there(), "another start's card");
    sh(&format!("ip link del {veth}"));
}
