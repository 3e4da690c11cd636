//! `mini ns`: the namespaces of containers and host, as `/proc` has them.

use serde_json::Value;
use tests::{Host, processes};

const KINDS: [&str; 7] = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"];

#[test]
fn every_namespace_of_a_container_is_listed_with_its_inode() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "listed", "busybox", "sleep", "1000"]);
    let lines = host.mini(["ns"]).run().ok().lines();
    for kind in KINDS {
        let inode = processes::namespace(container.pid(), kind).expect("it runs").to_string();
        let row = lines
            .iter()
            .find(|line| line.contains(&inode))
            .unwrap_or_else(|| panic!("no {kind} {inode}: {lines:#?}"));
        assert!(row.contains(kind) && row.contains("listed"), "{row}");
        let own = processes::namespace(std::process::id().cast_signed(), kind);
        if kind != "net" && kind != "mnt" {
            assert!(
                lines.iter().any(|line| line.contains(&own.expect("ours").to_string())),
                "the host's {kind}: {lines:#?}"
            );
        }
    }
}

#[test]
fn who_shares_a_namespace_is_named() {
    let host = Host::with_busybox();
    host.start(["--name", "sharer", "--network=host", "busybox", "sleep", "1000"]);
    host.start(["--name", "owner", "busybox", "sleep", "1000"]);
    let lines = host.mini(["ns"]).run().ok().lines();
    let net = host.net_inode().to_string();
    let row = lines.iter().find(|line| line.contains(&net)).expect("the host's network");
    assert!(row.contains("host") && row.contains("sharer") && !row.contains("owner"), "{row}");
}

#[test]
fn the_owning_user_namespace_and_the_processes_are_shown() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sh", "-c", "sleep 1000 & sleep 1000 & wait"]);
    tests::wait::until("three processes", || (container.commands().len() == 3).then_some(()));
    let lines = host.mini(["ns"]).run().ok().lines();
    let user = processes::namespace(container.pid(), "user").expect("it runs").to_string();
    let net = processes::namespace(container.pid(), "net").expect("it runs").to_string();
    let row = lines.iter().find(|line| line.contains(&net)).expect("the container's network");
    assert!(row.contains(&user), "the network belongs to the user namespace {user}: {row}");
    assert!(row.split_whitespace().any(|word| word == "3"), "three processes: {row}");
}

/// The node of a namespace, wherever it hangs, and the inode of what it hangs on.
fn node(tree: &Value, inode: u64, above: Option<u64>) -> Option<(Value, Option<u64>)> {
    let nodes = tree.as_array()?;
    nodes.iter().find_map(|one| {
        let own = one["Namespace"].as_u64();
        if own == Some(inode) { Some((one.clone(), above)) } else { node(&one["Owns"], inode, own) }
    })
}

#[test]
fn the_tree_hangs_namespaces_on_their_owners_with_maps_and_processes() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let hosts = host.start(["--name", "hosts", "--userns=host", "busybox", "sleep", "1000"]);
    for started in [&container, &hosts] {
        tests::wait::until("its program", || (started.commands() == ["sleep 1000"]).then_some(()));
    }
    let tree = host.mini(["ns", "--tree", "--json"]).run().ok().json();
    let machine = processes::namespace(std::process::id().cast_signed(), "user").expect("ours");
    assert_eq!(node(&tree, machine, None).expect("the host's").1, None);
    for (container, name) in [(&container, "box"), (&hosts, "hosts")] {
        let pid = container.pid();
        let user = processes::namespace(pid, "user").expect("it runs");
        for kind in KINDS.iter().filter(|kind| **kind != "user") {
            let inode = processes::namespace(pid, kind).expect("it runs");
            let (node, above) = node(&tree, inode, None).unwrap_or_else(|| panic!("no {kind}: {tree:#}"));
            assert_eq!((node["Type"].as_str(), above), (Some(*kind), Some(user)), "{name}");
            assert_eq!(node["Who"][0], name);
        }
        let pids =
            node(&tree, processes::namespace(pid, "pid").expect("it runs"), None).expect("it is there").0;
        assert_eq!(
            pids["Members"],
            serde_json::json!([{"Container": name, "Pid": pid, "PidInside": 1, "Name": "sleep"}])
        );
    }
    let own = processes::namespace(container.pid(), "user").expect("it runs");
    let (user, above) = node(&tree, own, None).expect("it is there");
    assert_eq!(above, Some(machine), "its parent");
    for (field, file) in [("UidMap", "uid_map"), ("GidMap", "gid_map")] {
        let map = processes::proc_file(container.pid(), file).expect("it runs");
        let line: Vec<u64> = map.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        assert_eq!(
            user[field],
            serde_json::json!([{"Inside": line[0], "Outside": line[1], "Size": line[2]}])
        );
    }
    let text = host.mini(["ns", "--tree", "box"]).run().ok().text();
    let outside = user["UidMap"][0]["Outside"].as_u64().expect("a number");
    for line in [
        format!("user:{machine}  host"),
        format!("user:{own}  box  1 process\n"),
        format!("uid 0-65535 is {outside}-{} outside\n", outside + 65535),
        format!("pid {} is 1 inside  sleep  (box)\n", container.pid()),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(!text.contains("hosts"), "only of one: {text}");
}

#[test]
fn what_is_made_inside_hangs_below_the_containers_own() {
    let host = Host::with_busybox();
    let unconfined = ["--name", "box", "--security-opt", "seccomp=unconfined", "busybox", "sleep", "1000"];
    let container = host.start(unconfined);
    let user = processes::namespace(container.pid(), "user").expect("it runs");
    let script = "echo ready; exec unshare -U -n sleep 2000";
    let mut inner = host.spawn(["exec", "box", "sh", "-c", script]);
    assert_eq!(inner.line(), "ready");
    let sleeps = |pid: &i32| processes::command_line(*pid) == "sleep 2000";
    let inner = tests::wait::until("a process in it", || host.processes().into_iter().find(sleeps));
    let [own, net] = ["user", "net"].map(|kind| processes::namespace(inner, kind).expect("it runs"));
    let tree = host.mini(["ns", "--tree", "--format", "json", "box"]).run().ok().json();
    assert_eq!(node(&tree, net, None).expect("it is there").1, Some(own));
    let (made, above) = node(&tree, own, None).expect("it is there");
    assert_eq!((above, &made["UidMap"]), (Some(user), &serde_json::json!([])), "nobody has written its map");
    host.mini(["ns", "--tree", "box"]).run().ok().stdout_has("uid map not written");
    // Whoever joins another's network has its users.
    let joined = host.start(["--name", "joined", "--network=container:box", "busybox", "sleep", "1000"]);
    let tree = host.mini(["ns", "--tree", "--json", "joined"]).run().ok().json();
    let uts = processes::namespace(joined.pid(), "uts").expect("it runs");
    assert_eq!(node(&tree, uts, None).expect("it is there").1, Some(user));
}

#[test]
fn rows_are_printed_in_other_forms_and_a_tree_in_two() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let net = processes::namespace(container.pid(), "net").expect("it runs").to_string();
    for flag in ["--json", "--format=json"] {
        let rows = host.mini(["ns", flag]).run().ok().json_lines();
        let row = rows.iter().find(|row| row["Namespace"] == net.as_str()).expect("its network");
        assert_eq!((&row["Type"], &row["Who"]), (&"net".into(), &"box".into()));
    }
    let lines = host.mini(["ns", "--format", "{{.Type}} {{.Namespace}} {{.Who}}", "box"]).run().ok().lines();
    assert!(lines.contains(&format!("net {net} box")), "{lines:?}");
    host.mini(["ns", "--tree", "--format", "{{.Type}}"])
        .run()
        .error(1, &["{{.Type}}", "text or json"])
        .stdout("");
    host.mini(["ns", "--json", "--format", "json"]).run().error(125, &["--json"]).stdout("");
    host.mini(["ns", "--tree", "none"]).run().error(1, &["none"]).stdout("");
}
