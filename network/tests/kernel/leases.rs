//! Addresses: each one's alone, not soon another's, free again whatever happened to who had it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;

use network::{HostError, LeaseError, foresee, lease, see};

use crate::host::{Host, Netns, sh, state_files};

#[test]
fn addresses_are_given_in_turn_and_not_at_once_again() {
    let host = Host::new();
    let first = lease(&host.config, "a", &[]).unwrap();
    let second = lease(&host.config, "b", &[]).unwrap();
    assert_eq!(first.endpoint.address, Ipv4Addr::new(10, 87, 0, 2));
    assert_eq!(first.endpoint.gateway, Ipv4Addr::new(10, 87, 0, 1));
    assert_eq!((first.endpoint.prefix_len, first.endpoint.mac.as_str()), (16, "02:42:0a:57:00:02"));
    assert_eq!(second.endpoint.address, Ipv4Addr::new(10, 87, 0, 3));
    first.release().unwrap();
    assert_eq!(foresee(&host.config).unwrap().address, Ipv4Addr::new(10, 87, 0, 4));
    assert_eq!(lease(&host.config, "c", &[]).unwrap().endpoint.address, Ipv4Addr::new(10, 87, 0, 4));
}

#[test]
fn a_look_makes_nothing_and_sees_what_a_lease_will_make() {
    let mut host = Host::new();
    host.config.subnet = Some("10.9.0.0/24".parse().unwrap());
    let before = host.everything();
    let seen = see(&host.config).unwrap();
    assert_eq!((seen.gateway.to_string().as_str(), seen.made), ("10.9.0.1/24", None));
    host.is_as_before(&before, "a look");
    let began = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
    lease(&host.config, "a", &[]).unwrap().release().unwrap();
    let made = see(&host.config).unwrap().made.unwrap();
    assert!(made > began && made <= std::time::SystemTime::now());
    // From then on the bridge's own address is the truth, and later leases are younger.
    host.config.subnet = Some("10.8.0.0/24".parse().unwrap());
    lease(&host.config, "b", &[]).unwrap().release().unwrap();
    let again = see(&host.config).unwrap();
    assert_eq!((again.gateway, again.made), (seen.gateway, Some(made)));
}

#[test]
fn a_small_subnet_is_used_up_and_then_says_so() {
    let mut host = Host::new();
    host.config.subnet = Some("10.9.9.0/29".parse().unwrap());
    let take = |id: &str| lease(&host.config, id, &[]);
    let mut leases: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| take(id).unwrap()).into();
    let addresses: Vec<_> = leases.iter().map(|lease| lease.endpoint.address.octets()[3]).collect();
    assert_eq!(addresses, [2, 3, 4, 5, 6]);
    assert_eq!(take("f").unwrap_err().to_string(), "all 5 addresses of 10.9.9.0/29 are leased");
    assert!(matches!(foresee(&host.config), Err(LeaseError::Exhausted { count: 5, .. })));
    leases.remove(2).release().unwrap();
    assert_eq!(take("f").unwrap().endpoint.address, Ipv4Addr::new(10, 9, 9, 4));
}

#[test]
fn starts_at_the_same_time_make_one_bridge_and_get_different_addresses() {
    let host = Host::new();
    let all = |count: usize| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let config = &host.config;
                    scope.spawn(move || {
                        (0..count)
                            .map(|n| lease(config, &format!("{thread}-{n}"), &[]).unwrap())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    let leases = all(16);
    let addresses: BTreeSet<_> = leases.iter().map(|lease| lease.endpoint.address).collect();
    assert_eq!(addresses.len(), 8 * 16);
    assert_eq!(sh("ip -br link show type bridge | wc -l; ip -br -4 addr show mini0 | wc -l"), "1\n1\n");
    assert_eq!(state_files(&host).len(), 8 * 16 + 3, "and a lock, a cursor, the sysctls");
}

#[test]
fn a_killed_monitors_address_is_free_again_and_no_port_leads_to_it() {
    let mut host = Host::new();
    host.config.subnet = Some("10.9.9.0/30".parse().unwrap());
    // What the kernel does at the end of a process: descriptors are closed, nothing else.
    drop(host.start("killed", &["8080:80"]));
    sh("ip link del mini-killed 2>/dev/null || true");
    assert!(sh("nft list maps").contains("8080 : 10.9.9.2 . 80"), "or this tests nothing");
    let only = lease(&host.config, "next", &[]).unwrap();
    assert_eq!(only.endpoint.address, Ipv4Addr::new(10, 9, 9, 2));
    assert!(!sh("nft list maps").contains("elements"));
}

#[test]
fn a_bridge_that_is_not_finished_is_finished() {
    let host = Host::new();
    sh("ip link add mini0 type bridge");
    drop(lease(&host.config, "a", &[]).unwrap());
    let state = || {
        sh(
            "ip -br -4 addr show up dev mini0 | grep -o '10[0-9./]*'; cat /proc/sys/net/ipv4/conf/mini0/route_localnet",
        )
    };
    assert_eq!(state(), "10.87.0.1/16\n1\n");
    sh("ip link set mini0 down");
    drop(lease(&host.config, "b", &[]).unwrap());
    assert_eq!(state(), "10.87.0.1/16\n1\n");
}

#[test]
fn a_bridge_that_was_there_before_is_made_fit() {
    let host = Host::new();
    sh("ip link add mini0 type bridge; ip addr add 10.1.2.3/24 dev mini0; ip link set mini0 up");
    let container = host.start("a", &["127.0.0.1:8080:80"]);
    assert_eq!(container.gateway(), Ipv4Addr::new(10, 1, 2, 3));
    let server = container.netns.listen(container.address(), 80);
    host.netns.talk(Ipv4Addr::LOCALHOST, 8080, &server);
    assert_eq!(sh("cat /proc/sys/net/ipv6/conf/mini0/disable_ipv6"), "1\n");
}

#[test]
fn a_container_that_outlived_its_monitor_keeps_its_address() {
    let mut host = Host::new();
    host.config.subnet = Some("10.9.9.0/30".parse().unwrap());
    let mut container = host.start("outlived", &["8080:80"]);
    let plan = container.plan().clone();
    drop(container.attached.take());
    assert!(matches!(lease(&host.config, "next", &[]), Err(LeaseError::Exhausted { count: 1, .. })));
    let server = container.netns.listen(plan.endpoint.address, 80);
    host.netns.talk(Ipv4Addr::LOCALHOST, 8080, &server);
}

#[test]
fn two_roots_share_a_namespaces_addresses_and_two_namespaces_share_nothing() {
    let host = Host::new();
    let mut other_root = host.config.clone();
    other_root.owner = "/another/root".into();
    let first = lease(&host.config, "a", &[]).unwrap();
    let second = lease(&other_root, "b", &[]).unwrap();
    assert_ne!(first.endpoint.address, second.endpoint.address);
    // A namespace like any other: with nothing of the first one's, and the same state directory.
    let elsewhere = host.second();
    let third = lease(&elsewhere.config, "c", &[]).unwrap();
    assert_eq!(third.endpoint.address, first.endpoint.address);
}

#[test]
fn a_new_bridge_avoids_the_hosts_routes() {
    let host = Host::new();
    sh(
        "ip link add card type veth peer name other; ip addr add 10.87.4.1/24 dev card; ip link set card up; \
        ip link set other up; ip route add 10.86.0.0/24 via 10.87.4.2",
    );
    assert_eq!(foresee(&host.config).unwrap().gateway, Ipv4Addr::new(10, 85, 0, 1));
    assert_eq!(sh("ip -br link show type bridge"), "", "looking makes nothing");
    assert_eq!(lease(&host.config, "a", &[]).unwrap().endpoint.gateway, Ipv4Addr::new(10, 85, 0, 1));
    let again = lease(&host.config, "b", &[]).unwrap().endpoint;
    assert_eq!(again.gateway, Ipv4Addr::new(10, 85, 0, 1), "from now on the bridge's address is the truth");
    sh(
        "ip route add 10.84.0.0/14 via 10.87.4.2 2>/dev/null; ip link del mini0; ip route add 10.80.0.0/13 via 10.87.4.2",
    );
    assert_eq!(
        lease(&host.config, "c", &[]).unwrap().endpoint.gateway,
        Ipv4Addr::new(10, 79, 0, 1),
        "a bridge made anew"
    );
}

#[test]
fn what_cannot_be_a_bridge_is_said() {
    let mut host = Host::new();
    sh("ip link add mini0 type veth peer name other");
    let refused = |host: &Host| match lease(&host.config, "a", &[]).unwrap_err() {
        LeaseError::Host(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(refused(&host).to_string(), "mini0 exists and is veth, not a bridge");
    for name in ["", "a/b", "..", "longer-than-a-link", "two words"] {
        host.config.bridge = name.into();
        assert!(matches!(refused(&host), HostError::BridgeName(_)), "{name:?}");
    }
    host.config.bridge = "mini1".into();
    host.config.subnet = Some("10.9.9.0/31".parse().unwrap());
    assert_eq!(refused(&host).to_string(), "subnet 10.9.9.0/31 has no two addresses to give");
    host.config.subnet = None;
    sh("ip addr add 10.64.0.1/10 dev other; ip link set other up");
    assert!(matches!(refused(&host), HostError::NoFreeSubnet));
}

#[test]
fn a_visit_to_a_container_ends_at_home() {
    let host = Host::new();
    let inode = || sh("stat -L -c %i /proc/self/ns/net");
    let home = inode();
    let container = host.start("a", &[]);
    assert_eq!(inode(), home);
    assert_ne!(container.netns.run(inode), home);
    assert_eq!(Netns::here().run(inode), home);
}
