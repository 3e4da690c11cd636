//! Containers that share namespaces with another one: who may end first, and what a hostile donor cannot do.

use std::fs;

use tests::{Container, Host, net, processes, wait};

use crate::spaces::{donor, sleeper, space};

/// A container that shares everything with `web`.
fn joined(host: &Host) -> Container<'_> {
    let options =
        ["--name", "joined", "--network=container:web", "--ipc=container:web", "--uts=container:web"];
    sleeper(host, &options)
}

#[test]
fn a_donor_may_end_first_and_what_it_had_stays_taken() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--ipc=shareable"]);
    let other = joined(&host);
    let net = space(&web, "net");
    let base = processes::proc_file(web.pid(), "uid_map").expect("it runs");
    host.mini(["rm", "-f", "web"]).run().ok();
    assert_eq!(space(&other, "net"), net);
    other.sh("cat /etc/hosts > /dev/null && touch /x; ip link show eth0; true").ok().stdout("");
    // Nobody is given its ids: the lease is the other's too.
    let ids = base.split_whitespace().nth(1).expect("a number").to_owned();
    assert!(fs::metadata(format!("/run/mini-host/ids/{ids}")).is_ok(), "{ids} is leased");
    // Its card is gone, so its address may be somebody else's.
    let veths = || fs::read_to_string("/proc/thread-self/net/dev").expect("read").matches("mini-").count();
    assert_eq!(veths(), 0);
    for _ in 0..3 {
        host.start(["busybox", "sleep", "1000"]);
    }
    other.remove();
    wait::until("the end of the lease", || {
        fs::metadata(format!("/run/mini-host/ids/{ids}")).is_err().then_some(())
    });
}

#[test]
fn a_donor_must_run_and_may_be_another_one_the_next_time() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--ipc=shareable"]);
    let other = joined(&host);
    host.mini(["stop", "-t", "0", "joined", "web"]).run().ok();
    host.mini(["start", "joined"])
        .run()
        .error(1, &["cannot join the network namespace of container web: it is not running"])
        .hints("mini start");
    host.mini(["start", "web", "joined"]).run().ok();
    assert_eq!(space(&other, "net"), space(&web, "net"));
    // The donor is another process now; who joined the one before keeps what it had.
    host.mini(["restart", "-t", "0", "web"]).run().ok();
    assert_ne!(space(&other, "net"), space(&web, "net"));
    other.sh("true").ok();
    host.mini(["restart", "-t", "0", "joined"]).run().ok();
    assert_eq!(space(&other, "net"), space(&web, "net"));
    // By its id: a name may change.
    host.mini(["rename", "web", "renamed"]).run().ok();
    host.mini(["restart", "-t", "0", "joined"]).run().ok();
    assert_eq!(space(&other, "net"), space(&web, "net"));
    // Made before its donor runs.
    host.mini(["create", "--name", "late", "--network=container:renamed", "busybox", "sleep", "1000"])
        .run()
        .ok();
    host.mini(["start", "late"]).run().ok();
    host.mini(["rm", "-f", "renamed"]).run().ok();
    host.mini(["restart", "-t", "0", "joined"]).run().error(1, &["no such container"]);
}

#[test]
fn with_a_shared_pid_namespace_nothing_is_left_of_it() {
    let host = Host::with_busybox();
    let web = donor(&host, &[]);
    for option in ["--pid=container:web", "--pid=host"] {
        let script = "(trap '' TERM HUP; sleep 3000) & sleep 2000";
        let container = host.start([option, "busybox", "sh", "-c", script]);
        let group = container.cgroup("pids");
        wait::until("its children", || (tests::cgroups::members(&group).len() >= 2).then_some(()));
        let members = tests::cgroups::members(&group);
        host.mini(["kill", &container.id]).run().ok();
        container.wait();
        for pid in members {
            processes::wait_for_end(pid);
        }
        web.sh("ps -o args | grep -c '[s]leep 3000'").code(1).stdout("0\n");
        container.remove();
    }
    // Its end takes along who lives in it.
    let other = sleeper(&host, &["--pid=container:web"]);
    let pid = other.pid();
    host.mini(["rm", "-f", "web"]).run().ok();
    processes::wait_for_end(pid);
    assert_eq!(other.wait()["ExitCode"], 137);
}

#[test]
fn a_joined_container_does_not_run_without_its_monitor() {
    let host = Host::with_busybox();
    donor(&host, &["--ipc=shareable"]);
    let options = ["--pid=container:web", "--network=container:web", "--userns=container:web"];
    let other = sleeper(&host, &options);
    let pid = other.pid();
    processes::kill(other.monitor());
    processes::wait_for_end(pid);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (137)");
    host.mini(["rm", "-f", &other.id]).run().ok();
    // Its other processes, which the kernel ends with nobody, end when it is removed.
    let script = "(trap '' TERM HUP; sleep 3000) & sleep 2000";
    let other = host.start(["--pid=container:web", "busybox", "sh", "-c", script]);
    let group = other.cgroup("pids");
    wait::until("its child", || (tests::cgroups::members(&group).len() >= 2).then_some(()));
    let members = tests::cgroups::members(&group);
    processes::kill(other.monitor());
    host.mini(["rm", "-f", &other.id]).run().ok();
    members.iter().for_each(|pid| processes::wait_for_end(*pid));
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn a_dead_donor_or_a_foreign_process_in_its_place_is_refused() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--ipc=shareable"]);
    let live = host.run_root().join("containers").join(&web.id).join("live.json");
    let text = fs::read_to_string(&live).expect("read");
    let pid = format!("\"pid\":{}", web.pid());
    // Somebody else has the number now.
    let us = format!("\"pid\":{}", std::process::id());
    fs::write(&live, text.replacen(&pid, &us, 1)).expect("write");
    host.mini(["run", "--rm", "--network=container:web", "busybox", "true"]).run().error(125, &["web"]);
    fs::write(&live, &text).expect("write");
    // Its monitor is gone, and it is not: nobody holds its ids.
    host.mini(["run", "--rm", "--network=container:web", "busybox", "true"]).run().ok();
}

#[test]
fn hostile_shared_memory_is_refused() {
    let host = Host::with_busybox();
    fs::write("/run/mini-test/work/secret", "secret\n").expect("write");
    for evil in [
        "umount /dev/shm; rmdir /dev/shm; ln -s / /dev/shm",
        "umount /dev/shm; rmdir /dev/shm; ln -s /proc/1/root /dev/shm",
        "umount /dev/shm; mount -t proc proc /dev/shm",
        "umount /dev/shm",
    ] {
        let web = donor(&host, &["--ipc=shareable", "--cap-add=SYS_ADMIN"]);
        web.sh(evil).ok();
        let run = host.mini(["run", "--rm", "--ipc=container:web", "busybox", "ls", "/dev/shm"]).run();
        run.error(125, &["/dev/shm"]);
        web.remove();
    }
}

#[test]
fn a_published_port_goes_with_the_donor() {
    let host = Host::with_busybox();
    let web = net::speaker(&host, &["--name", "web", "-p", "8080:80"], "here");
    let other = sleeper(&host, &["--network=container:web"]);
    let ask = || net::heard(|| net::ask(std::net::Ipv4Addr::LOCALHOST, 8080));
    assert_eq!(ask(), "here\n");
    web.remove();
    other.sh("ip link show eth0; true").ok().stdout("");
    let again = net::speaker(&host, &["-p", "8080:80"], "again");
    assert_eq!(ask(), "again\n");
    again.remove();
}

#[test]
fn restart_policies_join_anew() {
    let host = Host::with_busybox();
    let web = host.start(["--name", "web", "--restart=always", "busybox", "sleep", "1000"]);
    let options = ["--restart=always", "--network=container:web", "--userns=container:web"];
    let other = sleeper(&host, &options);
    let next = |container: &Container<'_>, before: i32| {
        wait::until("its next run", || {
            let state = container.field("/State");
            (state["Running"] == true && state["Pid"] != before && state["Pid"] != 0).then_some(())
        });
    };
    let again = |container: &Container<'_>| {
        let before = container.pid();
        processes::kill(before);
        next(container, before);
    };
    again(&other);
    assert_eq!(space(&other, "net"), space(&web, "net"));
    other.sh("ip -4 -o addr show eth0").ok().stdout_has(&web.address().to_string());
    // The donor is another process, with another network, and nobody's card is left of the one before.
    again(&web);
    assert_ne!(space(&other, "net"), space(&web, "net"));
    other.sh("ip link show eth0; true").ok().stdout("");
    again(&other);
    assert_eq!((space(&other, "net"), space(&other, "user")), (space(&web, "net"), space(&web, "user")));
    other.sh("cat /etc/hosts").ok().stdout_has(&web.address().to_string());
    // Without a donor a start fails, and is tried again until there is one.
    host.mini(["stop", "-t", "0", "web"]).run().ok();
    let before = other.pid();
    processes::kill(before);
    host.mini(["start", "web"]).run().ok();
    next(&other, before);
    assert_eq!(space(&other, "net"), space(&web, "net"));
}
