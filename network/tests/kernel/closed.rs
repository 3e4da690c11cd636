//! What must not get through. Every test takes the rule away in the end and sees the same packet arrive: it is the rule that
//! keeps it out.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{SocketFlags, SocketType, connect, ipproto, socket_with};

use crate::host::{HOST, Host, Netns, both_ways_of_bridging, set_sysctl, sh};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Packets for 127.0.0.0/8 leave a namespace by its eth0.
fn send_loopback_away(netns: &Netns, by: Ipv4Addr) {
    netns.run(|| {
        set_sysctl("net/ipv4/conf/eth0/route_localnet", "1");
        sh(&format!("ip addr flush dev lo; ip route add 127.0.0.0/8 via {by} dev eth0"));
    });
}

/// Begins to connect and does not wait: the first packet is on its way.
fn knock(from: &Netns, ip: Ipv4Addr, port: u16) -> OwnedFd {
    from.run(|| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let client =
            socket_with(rustix::net::AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))
                .unwrap();
        assert_eq!(connect(&client, &SocketAddrV4::new(ip, port)), Err(rustix::io::Errno::INPROGRESS));
        client
    })
}

/// Knocks there, then comes in by a port that is open: had the first one come through, it would be served first.
fn is_let_in(from: &Netns, ip: Ipv4Addr, port: u16, open: u16, server: &TcpListener) -> bool {
    let knocking = knock(from, ip, port);
    let client = from.connect(HOST, open).unwrap();
    let (_, first) = server.accept().unwrap();
    drop(knocking);
    let marker = first.port() == client.local_addr().unwrap().port();
    if !marker {
        server.accept().unwrap();
    }
    !marker
}

/// CVE-2020-8558: publishing on 127.0.0.1 needs `route_localnet`, which alone would open the host's loopback.
#[test]
fn a_container_does_not_reach_the_hosts_loopback() {
    both_ways_of_bridging(|host| {
        let container = host.start("a", &[]);
        let (private, public) = host.netns.run(|| {
            let bind = |ip: Ipv4Addr| UdpSocket::bind((ip, 9999)).unwrap();
            (bind(LOCALHOST), bind(container.gateway()))
        });
        private.set_nonblocking(true).unwrap();
        send_loopback_away(&container.netns, container.gateway());
        let client = container.netns.run(|| UdpSocket::bind((container.address(), 0)).unwrap());
        let attack = || {
            client.send_to(b"private", (LOCALHOST, 9999)).unwrap();
            client.send_to(b"public", (container.gateway(), 9999)).unwrap();
            let mut buffer = [0; 16];
            let (length, _) = public.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"public");
            private.recv_from(&mut buffer).map(|(length, _)| length)
        };
        assert_eq!(attack().unwrap_err().kind(), ErrorKind::WouldBlock);
        sh("nft flush chain ip mini0 guard");
        assert_eq!(attack().unwrap(), 7, "without the rule it gets there");
    });
}

#[test]
fn a_container_cannot_pretend_to_be_the_hosts_loopback() {
    both_ways_of_bridging(|host| {
        let container = host.start("a", &[]);
        let server = host.netns.run(|| UdpSocket::bind((container.gateway(), 9999)).unwrap());
        send_loopback_away(&container.netns, container.gateway());
        let (honest, liar) = container.netns.run(|| {
            sh("ip addr add 127.9.9.9/32 dev eth0");
            let bind = |ip: Ipv4Addr| UdpSocket::bind((ip, 0)).unwrap();
            (bind(container.address()), bind(Ipv4Addr::new(127, 9, 9, 9)))
        });
        let attack = || {
            liar.send_to(b"x", (container.gateway(), 9999)).unwrap();
            honest.send_to(b"x", (container.gateway(), 9999)).unwrap();
            server.recv_from(&mut [0; 1]).unwrap().1
        };
        assert_eq!(attack(), SocketAddr::from((container.address(), honest.local_addr().unwrap().port())));
        sh("nft flush chain ip mini0 guard");
        assert_eq!(attack(), liar.local_addr().unwrap(), "without the rule it is believed");
    });
}

#[test]
fn a_port_published_on_127_0_0_1_is_closed_to_the_outside() {
    let host = Host::new();
    let outside = host.outside();
    let container = host.start("a", &["127.0.0.1:8081:80", "8080:80"]);
    let server = container.netns.listen(container.address(), 80);
    send_loopback_away(&outside.netns, HOST);
    assert!(!is_let_in(&outside.netns, LOCALHOST, 8081, 8080, &server));
    assert!(
        !is_let_in(&outside.netns, LOCALHOST, 8080, 8080, &server),
        "nor by a port published on every address"
    );
    sh(
        "nft flush chain ip mini0 prerouting; nft add rule ip mini0 prerouting dnat ip to ip daddr . tcp dport map @ports_at; \
        nft add rule ip mini0 prerouting dnat ip to tcp dport map @ports",
    );
    assert!(is_let_in(&outside.netns, LOCALHOST, 8081, 8080, &server), "without the rule it is open");
}

#[test]
fn a_port_that_is_not_published_is_closed_to_the_outside() {
    let host = Host::new();
    let outside = host.outside();
    let container = host.start("a", &["8080:80"]);
    let server = container.netns.listen(container.address(), 80);
    outside.netns.sh(&format!("ip route add 10.87.0.0/16 via {HOST}"));
    assert!(!is_let_in(&outside.netns, container.address(), 80, 8080, &server));
    sh("nft flush chain ip mini0 forward");
    assert!(
        is_let_in(&outside.netns, container.address(), 80, 8080, &server),
        "without the rule a route is enough"
    );
}

/// CVE-2020-13401 and its kin: a container with NET_RAW tells the others, and the host, that it is their router.
#[test]
fn a_container_is_nobodys_ipv6_router() {
    let host = Host::new();
    let (rogue, victim) = (host.start("a", &[]), host.start("b", &[]));
    let server = victim.netns.listen(victim.address(), 80);
    let advertise = || {
        rogue.netns.run(|| send_router_advertisement(rogue.address()));
        // It has gone the same way, after it.
        rogue.netns.talk(victim.address(), 80, &server);
        [&host.netns, &victim.netns].map(|netns| netns.sh("ip -6 route show default"))
    };
    assert_eq!(advertise(), ["", ""]);
    for (netns, link) in [(&host.netns, "mini0"), (&victim.netns, "eth0")] {
        netns.run(|| {
            set_sysctl(&format!("net/ipv6/conf/{link}/accept_ra"), "2");
            set_sysctl(&format!("net/ipv6/conf/{link}/disable_ipv6"), "0");
        });
    }
    let routes = advertise();
    assert!(
        routes[0].contains("dev mini0") && routes[1].contains("dev eth0"),
        "with IPv6 they believe it: {routes:?}"
    );
}

/// An ICMPv6 router advertisement (RFC 4861, 4.2) to all nodes, from the link-local address fe80::1, lifetime half an hour.
fn send_router_advertisement(address: Ipv4Addr) {
    let [a, b, c, d] = address.octets();
    let ethernet = [0x33, 0x33, 0, 0, 0, 1, 0x02, 0x42, a, b, c, d, 0x86, 0xdd];
    let ip = [&[0x60, 0, 0, 0, 0, 16, 58, 255, 0xfe, 0x80][..], &[0; 13], &[1, 0xff, 0x02], &[0; 13], &[1]]
        .concat();
    let mut icmp = [134_u8, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    let sum: u32 = [&ip[8..], &[0, 0, 0, 16, 0, 0, 0, 58], &icmp]
        .concat()
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
    send_frame(&[&ethernet[..], &ip, &icmp].concat());
}

/// Sends a whole Ethernet frame by eth0 (packet(7)).
#[expect(unsafe_code, reason = "no crate here sends frames")]
fn send_frame(frame: &[u8]) {
    let card =
        socket_with(rustix::net::AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();
    // SAFETY: all zeros is a value of this plain struct.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = 2;
    to.sll_halen = 6;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: frame and address are borrowed for the call and as long as said.
    let sent = unsafe {
        libc::sendto(card.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length)
    };
    assert_eq!(usize::try_from(sent), Ok(frame.len()), "{}", std::io::Error::last_os_error());
}
