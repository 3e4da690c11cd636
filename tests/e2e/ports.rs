//! `-p`: who reaches a published port, from where, and who is told that it is taken.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use tests::outside::HOST;
use tests::{Container, Host, Image, Mini, namespaces, net, processes, wait};

/// A container that says `text` on its published port 80.
fn speaker<'host>(host: &'host Host, publish: &[&str], text: &str) -> Container<'host> {
    let options: Vec<&str> = publish.iter().flat_map(|port| ["-p", port]).collect();
    net::speaker(host, &options, text)
}

#[test]
fn a_port_is_reached_from_outside_from_the_host_and_from_its_loopback() {
    let host = Host::with_busybox();
    host.outside();
    let container = speaker(&host, &["8080:80"], "published");
    let expected = "published\n";
    assert_eq!(net::heard(|| host.outside().run(|| net::ask(HOST, 8080))), expected);
    assert_eq!(net::heard(|| net::ask(Ipv4Addr::LOCALHOST, 8080)), expected);
    assert_eq!(net::heard(|| net::ask(HOST, 8080)), expected);
    container.remove();
    assert_eq!(net::ask(Ipv4Addr::LOCALHOST, 8080), None);
    assert_eq!(host.outside().run(|| net::ask(HOST, 8080)), None);
}

#[test]
fn a_port_is_reached_by_another_container_through_the_host() {
    let host = Host::with_busybox();
    host.outside();
    speaker(&host, &["8080:80"], "published");
    let script =
        format!("for i in $(seq 50); do nc -w 3 {HOST} 8080 < /dev/null | grep . && exit; done; exit 1");
    host.mini(["run", "--rm", "busybox", "sh", "-c", &script]).run().ok().stdout("published\n");
}

#[test]
fn the_client_behind_a_published_port_is_seen_as_it_is() {
    let host = Host::with_busybox();
    host.outside();
    let script = "nc -l -p 80 -e sh -c 'echo $(cat /proc/net/tcp /proc/net/tcp6 | grep -c 020200C0)'";
    let container = host.start(["-p", "8080:80", "busybox", "sh", "-c", script]);
    wait::until("a listener in the container", || {
        let pid = container.pid();
        let table = processes::proc_file(pid, "net/tcp")? + &processes::proc_file(pid, "net/tcp6")?;
        table.contains(":0050 ").then_some(())
    });
    // 192.0.2.2, as /proc/net/tcp writes it: not the bridge's own address.
    assert_eq!(net::heard(|| host.outside().run(|| net::ask(HOST, 8080))), "1\n");
}

#[test]
fn bound_to_loopback_it_is_not_reached_from_outside() {
    let host = Host::with_busybox();
    host.outside();
    speaker(&host, &["127.0.0.1:8080:80"], "local");
    assert_eq!(net::heard(|| net::ask(Ipv4Addr::LOCALHOST, 8080)), "local\n");
    assert_eq!(host.outside().run(|| net::ask(HOST, 8080)), None);
}

#[test]
fn a_port_without_a_host_port_gets_a_free_one() {
    let host = Host::with_busybox();
    let container = speaker(&host, &["80"], "anywhere");
    let binding = container.field("/NetworkSettings/Ports")["80/tcp"][0].take();
    let port: u16 = binding["HostPort"].as_str().and_then(|text| text.parse().ok()).expect("a port");
    assert!(port >= 32768, "from the range that the kernel gives out: {port}");
    assert_eq!(net::heard(|| net::ask(Ipv4Addr::LOCALHOST, port)), "anywhere\n");
    host.mini(["ps"]).run().ok().stdout_has(&format!("0.0.0.0:{port}->80/tcp"));
}

#[test]
fn every_exposed_port_gets_a_free_one_where_that_is_asked_for() {
    let host = Host::new();
    host.load(
        &Image::busybox().set("ExposedPorts", serde_json::json!({"80/tcp": {}, "53/udp": {}})),
        "web:latest",
    );
    let script = "while :; do echo web | nc -l -p 80; done";
    let options = ["run", "-d", "-P", "--expose", "443", "-p", "8081:81", "web", "sh", "-c", script];
    let container = Container::new(&host, host.mini(options).run().ok().line());
    let ports = container.field("/NetworkSettings/Ports");
    assert_eq!(ports["81/tcp"][0]["HostPort"], "8081");
    let port = |name: &str| -> u16 {
        ports[name][0]["HostPort"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    assert!(port("80/tcp") >= 32768 && port("443/tcp") >= 32768, "{ports}");
    assert_eq!(net::heard(|| net::ask(Ipv4Addr::LOCALHOST, port("80/tcp"))), "web\n");
}

#[test]
fn several_ports_and_ranges() {
    let host = Host::with_busybox();
    speaker(&host, &["8080:80", "127.0.0.1:8081:80/tcp", "8090-8092:78-80"], "many");
    for port in [8080, 8081, 8092] {
        assert_eq!(net::heard(|| net::ask(Ipv4Addr::LOCALHOST, port)), "many\n", "{port}");
    }
    host.mini(["ps"]).run().ok().stdout_has("0.0.0.0:8080->80/tcp").stdout_has("127.0.0.1:8081->80/tcp");
}

#[test]
fn a_port_taken_by_a_container_is_an_error_that_names_it() {
    let host = Host::with_busybox();
    let container = speaker(&host, &["8080:80"], "first");
    let second = host.mini(["run", "--rm", "-p", "8080:81", "busybox", "true"]).run();
    second.error(125, &["8080", container.short()]);
    assert_eq!(net::heard(|| net::ask(Ipv4Addr::LOCALHOST, 8080)), "first\n", "the first is undisturbed");
    container.remove();
    host.mini(["run", "--rm", "-p", "8080:81", "busybox", "true"]).run().ok();
}

#[test]
fn a_port_taken_by_a_process_of_the_host_is_an_error() {
    let host = Host::with_busybox();
    let server = net::serve(Ipv4Addr::UNSPECIFIED, 8080, "host\n");
    host.mini(["run", "--rm", "-p", "8080:80", "busybox", "true"]).run().error(125, &["8080"]);
    drop(server);
    host.mini(["run", "--rm", "-p", "8080:80", "busybox", "true"]).run().ok();
}

#[test]
fn a_published_port_is_not_the_hosts_to_take() {
    let host = Host::with_busybox();
    speaker(&host, &["8080:80"], "held");
    let taken = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080));
    assert_eq!(taken.expect_err("the port is held").kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_port_is_free_again_after_rm_and_after_a_crash() {
    let host = Host::with_busybox();
    for _ in 0..3 {
        let container = host.start(["--rm", "-p", "8080:80", "busybox", "sleep", "1000"]);
        container.remove();
    }
    let container = host.start(["-p", "8080:80", "busybox", "sleep", "1000"]);
    processes::kill(container.monitor());
    host.mini(["system", "check", "--repair"]).run().ok();
    host.mini(["run", "--rm", "-p", "8080:80", "busybox", "true"]).run().ok();
}

#[test]
fn what_cannot_be_published_is_refused_by_name() {
    let host = Host::with_busybox();
    for (port, named) in [
        ("0:80:80:80", "0:80:80:80"),
        ("80:x", "80:x"),
        ("70000:80", "70000"),
        ("53:53/udp", "udp"),
        ("1-3:1-2", "1-3"),
    ] {
        host.mini(["run", "--rm", "-p", port, "busybox", "true"]).run().error(125, &[named]);
    }
    // As docker does.
    let discarded = host.mini(["run", "--rm", "--network", "none", "-p", "80:80", "busybox", "true"]).run();
    discarded.ok().stderr_has("discarded");
}

#[test]
fn cve_2020_8558_packets_from_the_bridge_to_loopback_are_dropped() {
    let host = Host::with_busybox();
    let container = host.start(["-p", "127.0.0.1:8080:80", "busybox", "sleep", "1000"]);
    let secret = net::serve(Ipv4Addr::LOCALHOST, 7777, "secret");
    let gateway = container.field("/NetworkSettings/Gateway").as_str().expect("an address").to_owned();
    let octets = container.address().octets();
    // A machine on the bridge's cable whose root is no container's: it may route 127.0.0.1 where it likes.
    let attacker = namespaces::fresh_net();
    let thread = || rustix::thread::gettid().as_raw_pid().to_string();
    let here = thread();
    let attack = || namespaces::in_net(attacker.as_fd(), || net::ask(Ipv4Addr::LOCALHOST, 7777));
    namespaces::in_net(attacker.as_fd(), || {
        let ip = |line: String| {
            let mut command = std::process::Command::new("ip");
            command.args(line.split(' '));
            Mini::new(command).run().ok();
        };
        ip(format!("link add eth0 type veth peer name attacker netns {here}"));
        ip(format!("address add {}.{}.{}.250/16 dev eth0", octets[0], octets[1], octets[2]));
        ip("link set eth0 up".into());
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").expect("its own sysctl");
        ip(format!("route add 127.0.0.1/32 via {gateway} dev eth0"));
    });
    host.tool("ip", ["link", "set", "attacker", "master", "mini0", "up"]);
    assert_eq!(attack(), None, "the host's loopback answers on the bridge");
    // The attack is a real one: without the table it succeeds where loopback is routed for published ports.
    host.tool("nft", ["delete", "table", "ip", "mini0"]);
    std::fs::write("/proc/sys/net/ipv4/conf/mini0/route_localnet", "1").expect("the host's own sysctl");
    assert_eq!(attack().as_deref(), Some("secret"), "the attack does not work here: it proves nothing");
    host.tool("ip", ["link", "delete", "attacker"]);
    drop(secret);
    container.remove();
    host.mini(["system", "check", "--repair"]).run().ok();
}
