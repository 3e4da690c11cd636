//! The bridge, addresses, routes and names: who reaches whom.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use tests::outside::{self, FAR};
use tests::{Container, Host, Mini, net};

/// What a container hears at an address and port.
fn hear(host: &Host, options: &[&str], address: &str, port: u16) -> String {
    let script = format!("until nc -w 3 {address} {port} < /dev/null | grep .; do :; done");
    host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", &script]).run().line()
}

#[test]
fn a_container_has_an_address_on_the_bridge_and_a_route_through_it() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let address = container.address();
    container.sh("ip -4 -o addr show eth0").ok().stdout_has(&format!("inet {address}/"));
    let gateway = container.field("/NetworkSettings/Gateway");
    let gateway = gateway.as_str().expect("an address");
    container.sh("ip route").ok().stdout_has(&format!("default via {gateway} dev eth0"));
    assert!(host.tool("ip", ["-4", "-o", "addr", "show", "mini0"]).contains(&format!("inet {gateway}/")));
    container.sh("ip -o link | cut -d: -f2 | cut -d@ -f1 | tr -d ' '").ok().stdout("lo\neth0\n");
    container.sh("ip -o link show lo").ok().stdout_has("UP");
    let mac = container.field("/NetworkSettings/MacAddress");
    container
        .sh("cat /sys/class/net/eth0/address")
        .ok()
        .stdout(&format!("{}\n", mac.as_str().expect("text")));
}

#[test]
fn containers_reach_each_other_and_the_host_them() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &[], "from-inside");
    let address = container.address();
    assert_eq!(hear(&host, &[], &address.to_string(), 80), "from-inside");
    assert_eq!(net::heard(|| net::ask(address, 80)), "from-inside\n");
}

#[test]
fn a_container_reaches_the_host_by_its_gateway() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let server = net::serve(Ipv4Addr::UNSPECIFIED, 8080, "host\n");
    let script = "nc -w 3 $(ip route | awk '/default/{print $3}') 8080 < /dev/null";
    container.sh(script).ok().stdout("host\n");
    assert_eq!(server.peers(), [container.address()]);
}

#[test]
fn a_container_reaches_a_server_outside_masqueraded() {
    let host = Host::with_busybox();
    let server = host.outside().run(|| net::serve(FAR, 80, "far away\n"));
    assert_eq!(hear(&host, &[], &FAR.to_string(), 80), "far away");
    assert_eq!(server.peers(), [outside::HOST], "the outside sees the host's address and no container's");
}

#[test]
fn nobody_outside_reaches_a_container_that_publishes_nothing() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &[], "private");
    let address = container.address();
    let gateway = outside::HOST;
    host.outside().run(|| {
        let mut command = Command::new("ip");
        command.args(["route", "add", &format!("{address}/32"), "via", &gateway.to_string()]);
        Mini::new(command).run().ok();
        assert_eq!(net::ask(address, 80), None, "a route to the container's subnet is enough to reach it");
    });
}

#[test]
fn network_none_has_a_loopback_and_nothing_else() {
    let host = Host::with_busybox();
    let server = net::serve(Ipv4Addr::UNSPECIFIED, 8080, "host\n");
    let script = format!(
        "ip -o link | wc -l; ip route; ping -c1 -W2 127.0.0.1 > /dev/null && echo lo; \
                          nc -w 2 {} 8080 < /dev/null || echo unreachable",
        outside::HOST
    );
    let output = host.mini(["run", "--rm", "--network", "none", "busybox", "sh", "-c", &script]).run().ok();
    output.stdout("1\nlo\nunreachable\n");
    drop(server);
    assert!(!tests::leftovers::links().iter().any(|link| link.contains("veth")));
}

#[test]
fn network_host_is_the_hosts_own() {
    let host = Host::with_busybox();
    host.outside();
    let server = net::serve(Ipv4Addr::LOCALHOST, 8080, "loopback\n");
    let script =
        "readlink /proc/self/ns/net; hostname; env | grep HOSTNAME; nc -w 3 127.0.0.1 8080 < /dev/null";
    let output = host.mini(["run", "--rm", "--network", "host", "busybox", "sh", "-c", script]).run().ok();
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").expect("read");
    let name = hostname.trim();
    output.stdout(&format!("net:[{}]\n{name}\nHOSTNAME={name}\nloopback\n", host.net_inode()));
    assert_eq!(server.peers(), [Ipv4Addr::LOCALHOST]);
}

#[test]
fn hosts_file_names_localhost_and_the_container() {
    let host = Host::with_busybox();
    let container = host.start(["-h", "boxed", "busybox", "sleep", "1000"]);
    let text = container.exec(["cat", "/etc/hosts"]).run().ok().text();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let address = container.address().to_string();
    for expected in [vec!["127.0.0.1", "localhost"], vec![address.as_str(), "boxed"]] {
        assert!(lines.contains(&expected), "no {expected:?} in {text}");
    }
    assert!(lines.iter().any(|line| line[0] == "::1" && line.contains(&"localhost")), "{text}");
    container.exec(["ping", "-c", "1", "-W", "5", "boxed"]).run().ok();
    // Its own to change: not the image's, not the host's.
    container
        .sh("echo '192.0.2.7 added' >> /etc/hosts && grep -c '192.0.2.7 added' /etc/hosts")
        .ok()
        .stdout("1\n");
    assert!(!fs::read_to_string("/etc/hosts").expect("read").contains("192.0.2.7"));
}

#[test]
fn resolv_conf_has_the_hosts_usable_servers() {
    let host = Host::with_busybox();
    let text = "# a comment\nnameserver 127.0.0.53\nnameserver 192.0.2.2\nnameserver ::1\nsearch example.test\noptions edns0\n";
    fs::write("/etc/resolv.conf", text).expect("the host's own copy");
    let output = host.mini(["run", "--rm", "busybox", "cat", "/etc/resolv.conf"]).run().ok();
    output
        .stdout_has("nameserver 192.0.2.2")
        .stdout_has("search example.test")
        .stdout_lacks("127.0.0.53")
        .stdout_lacks("::1");
}

#[test]
fn addresses_differ_and_are_given_back() {
    let host = Host::with_busybox();
    let running: Vec<_> = (0..12).map(|_| host.spawn(["run", "-d", "busybox", "sleep", "1000"])).collect();
    let containers: Vec<_> =
        running.into_iter().map(|one| Container::new(&host, one.wait().ok().line())).collect();
    let mut addresses: Vec<_> = containers.iter().map(Container::address).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 12);
    for container in containers {
        container.remove();
    }
    let held = fs::read_dir("/run/mini-host/network").into_iter().flatten().flatten().count();
    for _ in 0..20 {
        host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    }
    assert!(
        fs::read_dir("/run/mini-host/network").into_iter().flatten().flatten().count() <= held.max(1),
        "leases pile up"
    );
}

#[test]
fn a_small_subnet_runs_out_with_a_clear_error_and_recovers() {
    let host = Host::with_busybox();
    host.configure("[network]\nsubnet = \"198.51.100.0/30\"\n");
    let container = host.start(["busybox", "sleep", "1000"]);
    assert_eq!(container.address(), Ipv4Addr::new(198, 51, 100, 2));
    host.mini(["run", "--rm", "busybox", "true"]).run().error(125, &["198.51.100.0/30"]);
    host.mini(["run", "--rm", "--network", "none", "busybox", "true"]).run().ok();
    container.remove();
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
}

#[test]
fn a_subnet_that_the_host_routes_elsewhere_is_avoided() {
    let first = {
        let host = Host::with_busybox();
        host.start(["busybox", "sleep", "1000"]).address()
    };
    let host = Host::with_busybox();
    host.outside();
    let taken = format!("{}/16", Ipv4Addr::new(first.octets()[0], first.octets()[1], 0, 0));
    host.tool("ip", ["route", "add", &taken, "via", "192.0.2.2"]);
    let second = host.start(["busybox", "sleep", "1000"]).address();
    assert_ne!(first.octets()[..2], second.octets()[..2], "the bridge took a network that leads elsewhere");
}

#[test]
fn no_program_is_started_but_the_payload() {
    let host = Host::with_busybox();
    let trace = host.work().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=execve,execveat", "-o"]).arg(&trace).arg(host.binary());
    command.args(["run", "--rm", "-p", "8080:80", "busybox", "true"]).env_clear().envs(host.environment());
    Mini::new(command).run().ok();
    let text = fs::read_to_string(trace).expect("strace wrote it");
    let programs: Vec<_> =
        text.lines().filter(|line| line.contains("exec") && line.ends_with(" = 0")).collect();
    assert_eq!(programs.len(), 2, "the client itself and the payload: {text}");
}

#[test]
fn a_flushed_table_and_a_removed_bridge_come_back() {
    let host = Host::with_busybox();
    let server = host.outside().run(|| net::serve(FAR, 80, "far away\n"));
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    host.tool("nft", ["flush", "ruleset"]);
    assert_eq!(hear(&host, &[], &FAR.to_string(), 80), "far away");
    host.tool("ip", ["link", "delete", "mini0"]);
    assert_eq!(hear(&host, &[], &FAR.to_string(), 80), "far away");
    drop(server);
}
