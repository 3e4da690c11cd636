//! `mini network`: which networks there are, who is in them, and the bridge taken away when nobody is.

use std::fs;

use serde_json::{Value, json};
use tests::{Host, leftovers, wait};

/// What a command prints, cut into words.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// `mini network inspect NAME`.
#[track_caller]
fn inspect(host: &Host, name: &str) -> Value {
    host.mini(["network", "inspect", name]).run().ok().json()[0].clone()
}

#[test]
fn the_list_has_dockers_columns_and_order() {
    let host = Host::new();
    for list in ["ls", "list"] {
        let output = host.mini(["network", list]).run().ok();
        let lines = output.lines();
        assert_eq!(words(&lines[0]), ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
        let rows: Vec<_> = lines[1..].iter().map(|line| words(line)[1..].join(" ")).collect();
        assert_eq!(rows, ["bridge bridge local", "host host local", "none null local"]);
        assert!(lines[1..].iter().all(|line| words(line)[0].len() == 12), "{output}");
    }
    let ls = |args: &[&str]| host.mini(["network", "ls"]).args(args).run();
    let short = ls(&["-q"]).ok().lines();
    let whole = ls(&["-q", "--no-trunc"]).ok().lines();
    assert!(whole.iter().all(|id| id.len() == 64) && whole.len() == 3, "{whole:?}");
    assert!(short.iter().zip(&whole).all(|(short, whole)| whole.starts_with(short) && short.len() == 12));
    ls(&["--filter", "driver=null", "--format", "{{.Name}} {{.ID}}"])
        .ok()
        .stdout(&format!("none {}\n", &short[2]));
    ls(&["-q", "--format", "{{.Name}}"]).ok().stdout("bridge\nhost\nnone\n");
    ls(&["-f", "name=o", "-f", "driver=host", "--format", "{{.Name}}{{.Label \"x\"}}"]).ok().stdout("host\n");
    ls(&["-f", "dangling=true", "-q"]).ok().stdout("");
    let rows = ls(&["--format", "json"]).ok().json_lines();
    assert_eq!(
        rows[2],
        json!({
            "CreatedAt": "0001-01-01 00:00:00 +0000 UTC", "Driver": "null", "ID": short[2], "IPv4": "false",
            "IPv6": "false", "Internal": "false", "Labels": "", "Name": "none", "Scope": "local",
        })
    );
    ls(&["--filter", "nonsense=1"]).error(1, &["invalid filter", "nonsense", "dangling, driver, id"]);
    ls(&["--filter", "type=both"]).error(1, &["builtin or custom"]);
    ls(&["--format", "{{.Nope}}"]).error(1, &["Nope"]).hints(".Driver");
}

#[test]
fn inspect_tells_what_the_bridge_is_and_who_is_on_it() {
    let host = Host::with_busybox();
    let foreseen = inspect(&host, "bridge");
    assert_eq!((&foreseen["Created"], &foreseen["Containers"]), (&json!("0001-01-01T00:00:00Z"), &json!({})));
    assert!(!host.tool("ip", ["link"]).contains("mini0"), "looking makes nothing");
    let box_ = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let joined = host.start(["--network", "container:box", "busybox", "sleep", "1000"]);
    let own = host.start(["--name", "own", "--network", "none", "busybox", "sleep", "1000"]);
    host.mini(["create", "--name", "resting", "busybox", "true"]).run().ok();
    let bridge = inspect(&host, "bridge");
    assert_eq!(bridge["IPAM"], foreseen["IPAM"], "as it was foreseen");
    let subnet = &bridge["IPAM"]["Config"][0];
    let gateway = subnet["Gateway"].as_str().expect("an address");
    let length = subnet["Subnet"].as_str().expect("a subnet").split('/').next_back().expect("a length");
    let shown = host.tool("ip", ["-4", "-o", "addr", "show", "mini0"]);
    assert!(shown.contains(&format!("inet {gateway}/{length} ")), "{shown}");
    assert_eq!(bridge["Options"]["com.docker.network.bridge.name"], "mini0");
    assert!(bridge["Created"].as_str().is_some_and(|time| time.starts_with("20")), "{bridge}");
    let members = bridge["Containers"].as_object().expect("an object");
    assert_eq!(members.keys().collect::<Vec<_>>(), [&box_.id], "and not {}", joined.id);
    let member = &members[&box_.id];
    assert_eq!(member["Name"], "box");
    assert_eq!(member["IPv4Address"], format!("{}/{length}", box_.address()));
    assert_eq!(member["MacAddress"], box_.field("/NetworkSettings/MacAddress"));
    let place = box_.field("/NetworkSettings/Networks/bridge");
    assert_eq!((&place["NetworkID"], &place["EndpointID"]), (&bridge["Id"], &member["EndpointID"]));
    let none = inspect(&host, "none");
    assert_eq!((&none["Driver"], &none["IPAM"]["Config"]), (&json!("null"), &json!([])));
    assert_eq!(none["Containers"][&own.id]["IPv4Address"], "");
    host.mini(["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "bridge"])
        .run()
        .ok()
        .stdout("box\n");
    let plain = host.mini(["network", "inspect", "bridge"]).run().ok().text();
    host.mini(["network", "inspect", "-v", "bridge"]).run().ok().stdout(&plain);
    host.mini(["kill", "box", "own"]).run().ok();
    for name in ["bridge", "none"] {
        assert_eq!(inspect(&host, name)["Containers"], json!({}), "{name}");
    }
}

#[test]
fn what_is_there_is_printed_and_what_is_not_is_told() {
    let host = Host::with_busybox();
    let ids = host.mini(["network", "ls", "-q", "--no-trunc"]).run().ok().lines();
    let output = host.mini(["network", "inspect", "none", "nosuch", &ids[1][..5], "other"]).run();
    let names: Vec<_> =
        output.json().as_array().expect("a list").iter().map(|it| it["Name"].clone()).collect();
    assert_eq!(names, ["none", "host"]);
    output.code(1).stderr("mini: network nosuch not found\nmini: network other not found\n");
    host.mini(["network", "inspect", "nosuch"]).run().code(1).stdout("[]\n");
    // The ids of two begin so.
    host.mini(["network", "inspect", "1"]).run().error(1, &["ambiguous"]);
    for name in ["../bridge", "", "bridge/", "{{.Name}}", "-1"] {
        host.mini(["network", "inspect", "--", name]).run().error(1, &["not found"]);
    }
    // Of all things: containers first.
    host.mini(["volume", "create", "data"]).run().ok();
    let kind =
        |args: &[&str], name: &str| host.mini(["inspect"]).args(args).arg(name).run().ok().json()[0].clone();
    assert_eq!(kind(&[], "bridge")["Driver"], "bridge");
    assert_eq!(kind(&[], "data")["Mountpoint"], kind(&["--type", "volume"], "data")["Mountpoint"]);
    assert!(kind(&[], "data")["Mountpoint"].is_string());
    host.mini(["create", "--name", "bridge", "busybox", "true"]).run().ok();
    assert_eq!(kind(&[], "bridge")["Name"], "/bridge");
    assert_eq!(kind(&["--type", "network"], "bridge")["Name"], "bridge");
    host.mini(["inspect", "--type", "network", "data"]).run().error(1, &["network data not found"]);
    host.mini(["inspect", "--type", "volume", "bridge"]).run().error(1, &["no such volume: bridge"]);
    host.mini(["inspect", "--type", "thing", "data"]).run().error(1, &["unknown type", "network or volume"]);
    host.mini(["inspect", "--as-run", "--type", "network", "host"]).run().error(1, &["--as-run"]);
}

#[test]
fn networks_of_ones_own_are_refused_by_name() {
    let host = Host::new();
    for line in [
        &["create", "--driver", "bridge", "--subnet", "10.1.0.0/16", "mine"][..],
        &["rm", "-f", "bridge"],
        &["connect", "bridge", "box"],
        &["disconnect", "bridge", "box"],
    ] {
        let expected = format!("unknown command: mini network {}", line[0]);
        host.mini(["network"]).args(line).run().error(1, &[&expected]).hints("bridge, host and none");
    }
}

/// Whether the host passes packets on.
fn forwards(host: &Host) -> bool {
    host.tool("cat", ["/proc/sys/net/ipv4/ip_forward"]) == "1\n"
}

#[test]
fn prune_takes_the_bridge_away_when_nobody_is_on_it() {
    let host = Host::with_busybox();
    let prune = |args: &[&str]| host.mini(["network", "prune"]).args(args).run();
    assert!(!forwards(&host));
    prune(&["-f"]).ok().stdout("");
    assert!(!fs::exists("/run/mini-host/network").expect("stat"), "nothing is made for nothing");
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    prune(&["-f"]).ok().stdout("");
    container.sh("ip addr show eth0").ok();
    assert!(forwards(&host));
    host.mini(["kill", "box"]).run().ok();
    container.wait();
    host.mini(["network", "prune"])
        .stdin("n\n")
        .run()
        .ok()
        .stdout_has("WARNING! This will remove all networks not used by at least one running container.\n")
        .stdout_has("[y/N] ");
    for filter in ["until=1h", "label=x"] {
        prune(&["-f", "--filter", filter]).ok().stdout("");
    }
    prune(&["-f", "--filter", "name=bridge"]).error(1, &["invalid filter", "until, label, label!"]);
    let there = || {
        host.tool("ip", ["link"]).contains("mini0") || host.tool("nft", ["list", "tables"]).contains("mini0")
    };
    assert!(there() && forwards(&host));
    prune(&["-f", "--filter", "label!=x", "--filter", "until=0s"])
        .ok()
        .stdout("Deleted Networks:\nbridge\n\n");
    assert!(!there() && !forwards(&host), "the host is as it was");
    assert!(!fs::exists("/run/mini-host/network").expect("stat"));
    // The container that rests comes back, and the network with it.
    host.mini(["start", "box"]).run().ok();
    container.sh("ip -4 addr show eth0").ok().stdout_has(&container.address().to_string());
    let events =
        host.mini(["events", "--since", "0", "--until", "0s", "-f", "type=network", "--format", "json"]);
    let events = events.run().ok().json_lines();
    let told: Vec<_> = events.iter().filter_map(|event| event["Action"].as_str()).collect();
    let prunes = ["prune", "connect", "prune", "disconnect", "prune", "prune", "destroy", "prune", "connect"];
    assert_eq!(told, prunes);
    let bridge = host.mini(["network", "ls", "-q", "--no-trunc", "-f", "name=bridge"]).run().ok().line();
    assert_eq!(
        events[6]["Actor"],
        json!({ "ID": bridge, "Attributes": { "name": "bridge", "type": "bridge" } })
    );
    assert_eq!(events[1]["Actor"]["ID"], bridge);
    assert_eq!(events[7]["Actor"], json!({ "ID": "", "Attributes": { "reclaimed": "0" } }));
}

#[test]
fn prune_leaves_the_bridge_to_containers_of_another_root() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let [root, run] = ["root", "run"].map(|name| host.work().join(name).display().to_string());
    host.mini(["network", "prune", "-f", "--root", &root, "--run-root", &run]).run().ok().stdout("");
    container.sh("ip addr show eth0").ok();
    container.remove();
    let other = host.mini(["network", "prune", "-f", "--root", &root, "--run-root", &run]).run().ok();
    other.stdout("Deleted Networks:\nbridge\n\n");
    assert_eq!(leftovers::find(&host), Vec::<String>::new());
}

#[test]
fn whoever_starts_while_the_bridge_goes_gets_one() {
    let host = Host::with_busybox();
    for _ in 0..6 {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                host.spawn(["run", "--rm", "busybox", "sh", "-c", "ip -4 -o addr show eth0 && ip route"])
            })
            .collect();
        let prunes: Vec<_> = (0..6).map(|_| host.spawn(["network", "prune", "-f"])).collect();
        for prune in prunes {
            prune.wait().ok();
        }
        for run in runs {
            run.wait().ok().stdout_has("inet 10.").stdout_has("default via 10.");
        }
    }
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["network", "prune", "-f"]).run().ok();
    assert_eq!(leftovers::find(&host), Vec::<String>::new());
}

#[test]
fn the_card_goes_though_something_keeps_the_network_namespace() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let _kept = fs::File::open(format!("/proc/{}/ns/net", container.pid())).expect("its namespace");
    let card = format!("mini-{}", &container.short()[..10]);
    assert!(host.tool("ip", ["link"]).contains(&card));
    host.mini(["kill", &container.id]).run().ok();
    wait::until("the end of its card", || (!host.tool("ip", ["link"]).contains(&card)).then_some(()));
    host.mini(["start", &container.id]).run().ok();
    assert!(host.tool("ip", ["link"]).contains(&card));
}
