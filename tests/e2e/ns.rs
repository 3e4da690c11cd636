//! `mini ns`: the namespaces of containers and host, as `/proc` has them.

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
