//! Host ports: one holder each, and a clear word for who comes second.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use network::{PortError, PortRequest, Reserved, parse_publish, reserve};

use crate::host::{HOST, Host, OUTSIDE, sh};

fn take(host: &Host, publish: &[&str]) -> Result<Reserved, PortError> {
    let requests: Vec<PortRequest> = publish.iter().flat_map(|text| parse_publish(text).unwrap()).collect();
    reserve(&host.config, &requests)
}

#[test]
fn a_port_that_a_container_has_is_refused_with_its_name() {
    let host = Host::new();
    let container = host.start("3f2a9c81d04b", &["8080:80", "127.0.0.1:8081:81"]);
    for (publish, message) in [
        ("8080:80", "port 0.0.0.0:8080/tcp is already allocated by container 3f2a9c81d04b"),
        ("127.0.0.1:8080:80", "port 127.0.0.1:8080/tcp is already allocated by container 3f2a9c81d04b"),
        ("8081:80", "port 0.0.0.0:8081/tcp is already allocated by container 3f2a9c81d04b"),
        ("127.0.0.1:8081:80", "port 127.0.0.1:8081/tcp is already allocated by container 3f2a9c81d04b"),
    ] {
        assert_eq!(take(&host, &[publish]).unwrap_err().to_string(), message);
    }
    let elsewhere = take(&host, &["127.0.0.2:8081:80"]).unwrap();
    assert_eq!(elsewhere.mappings[0].to_string(), "127.0.0.2:8081->80/tcp");
    container.stop();
    take(&host, &["8080:80", "127.0.0.1:8081:81"]).unwrap();
}

#[test]
fn a_port_that_another_program_has_is_refused() {
    let host = Host::new();
    let server = TcpListener::bind("127.0.0.1:8080").unwrap();
    for publish in ["8080:80", "127.0.0.1:8080:80"] {
        let error = take(&host, &[publish]).unwrap_err();
        assert!(matches!(error, PortError::Allocated { holder: None, .. }), "{error}");
    }
    let error = take(&host, &["9090:90", "8080:80"]).unwrap_err();
    assert_eq!(error.to_string(), "port 0.0.0.0:8080/tcp is already allocated");
    drop(server);
    let reserved = take(&host, &["9090:90", "8080:80"]).unwrap();
    let refused = TcpListener::bind("0.0.0.0:8080").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse, "and the other way round");
    drop(reserved);
}

#[test]
fn a_killed_containers_port_that_another_program_took_is_not_said_to_be_the_containers() {
    let host = Host::new();
    drop(host.start("killed", &["8080:80"]));
    let _server = TcpListener::bind("0.0.0.0:8080").unwrap();
    let error = take(&host, &["8080:80"]).unwrap_err();
    assert_eq!(error.to_string(), "port 0.0.0.0:8080/tcp is already allocated");
}

#[test]
fn of_two_that_want_the_same_port_at_once_one_gets_it() {
    let host = Host::new();
    let error = take(&host, &["8080:80", "8080:81"]).unwrap_err();
    assert!(matches!(error, PortError::Allocated { .. }), "{error}");
}

#[test]
fn ports_without_a_number_get_different_free_ones() {
    let host = Host::new();
    sh("echo 40000 40003 > /proc/sys/net/ipv4/ip_local_port_range");
    // The kernel could choose 40001 first: who insists on it is served before.
    let reserved = take(&host, &["80", "81", "40001:82"]).unwrap();
    let [first, second, third] = reserved.mappings[..] else { panic!("{:?}", reserved.mappings) };
    assert_eq!([first.container_port, second.container_port, third.container_port], [80, 81, 82]);
    assert_eq!(third.host_port, 40001);
    assert_ne!(first.host_port, second.host_port);
    for port in [first.host_port, second.host_port] {
        assert!([40000, 40002, 40003].contains(&port), "{port}");
    }
    let rest = take(&host, &["1", "2"]).unwrap_err();
    assert_eq!(rest.to_string(), "no ephemeral port of 0.0.0.0 is free");
}

#[test]
fn of_a_range_the_first_free_port_is_taken() {
    let host = Host::new();
    let publish = ["8000-8001:80"];
    let taken: Vec<_> = [8000, 8001].map(|_| take(&host, &publish).unwrap()).into();
    assert_eq!(taken.iter().map(|one| one.mappings[0].host_port).collect::<Vec<_>>(), [8000, 8001]);
    let error = take(&host, &publish).unwrap_err();
    assert_eq!(error.to_string(), "all ports from 8000 to 8001 of 0.0.0.0 are already allocated");
}

#[test]
fn an_address_that_the_host_does_not_have_is_refused() {
    let host = Host::new();
    let error = take(&host, &["192.0.2.77:8080:80"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot publish on 192.0.2.77: this host has no such address");
}

#[test]
fn a_server_that_ran_here_a_moment_ago_is_in_nobodys_way() {
    let host = Host::new();
    let server = TcpListener::bind("0.0.0.0:8080").unwrap();
    let mut client = host.netns.connect(Ipv4Addr::LOCALHOST, 8080).unwrap();
    let mut accepted = server.accept().unwrap().0;
    // Who closes first is left in TIME_WAIT, for a minute.
    accepted.write_all(b"bye").unwrap();
    drop((accepted, server));
    client.read_to_end(&mut Vec::new()).unwrap();
    drop(client);
    assert!(sh("ss -Htan state time-wait").contains(":8080"), "or this tests nothing");
    let reserved = take(&host, &["8080:80"]).unwrap();
    let error = take(&host, &["8080:80"]).unwrap_err();
    assert!(matches!(error, PortError::Allocated { .. }), "and it is as much taken as ever: {error}");
    drop(reserved);
}

#[test]
fn a_port_that_is_only_reserved_refuses_and_does_not_hang() {
    let host = Host::new();
    let reserved = take(&host, &["8080:80"]).unwrap();
    let error = host.netns.connect(Ipv4Addr::LOCALHOST, 8080).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    drop(reserved);
}

/// Client and container went away without a word. The client comes back from the port that it had: the kernel would still lead
/// it to the container that was there then.
#[test]
fn a_client_that_comes_again_is_led_to_the_container_of_today() {
    let host = Host::new();
    let outside = host.outside();
    let old = host.start("old", &["8080:80"]);
    let server = old.netns.listen(old.address(), 80);
    let client = outside.netns.connect_from(40000, HOST, 8080);
    let accepted = server.accept().unwrap();
    for silent in [&outside.netns, &old.netns] {
        silent.sh("ip link set eth0 down");
    }
    drop((client, accepted, server));
    drop(outside);
    old.stop();
    sh("ip link del out0 2>/dev/null || true");

    let outside = host.outside();
    let new = host.start("new", &["8080:80"]);
    let server = new.netns.listen(new.address(), 80);
    let client = outside.netns.connect_from(40000, HOST, 8080);
    let (_, peer) = server.accept().unwrap();
    assert_eq!(peer, std::net::SocketAddr::from((OUTSIDE, 40000)));
    drop(client);
}

#[test]
fn the_end_of_a_container_is_no_news_to_another_ones_connections() {
    let host = Host::new();
    let outside = host.outside();
    let (ending, staying) = (host.start("a", &["8080:80"]), host.start("b", &["8081:80"]));
    // Counts how often the kernel takes a packet for a connection's first.
    sh(
        "nft add table ip watch; nft add chain ip watch first '{ type filter hook prerouting priority -150; }'; \
        nft add rule ip watch first tcp dport 8081 ct state new counter",
    );
    let servers = [&ending, &staying].map(|container| container.netns.listen(container.address(), 80));
    let connect = |port| outside.netns.connect(HOST, port).unwrap();
    let _cut = (connect(8080), servers[0].accept().unwrap());
    let mut client = connect(8081);
    let mut accepted = servers[1].accept().unwrap().0;
    ending.stop();
    let mut byte = [0];
    client.write_all(b"?").unwrap();
    accepted.read_exact(&mut byte).unwrap();
    accepted.write_all(b"!").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"!");
    let counted = sh("nft list table ip watch");
    assert!(counted.contains("counter packets 1 "), "{counted}");
}
