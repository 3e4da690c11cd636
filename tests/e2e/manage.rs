//! rename, pause, unpause, top, port, and docker's longer names for commands.

use std::fs;

use tests::{Host, net, processes};

#[test]
fn a_new_name_is_the_name_at_once_and_the_old_one_is_free() {
    let host = Host::with_busybox();
    let container =
        host.start(["--name", "old", "busybox", "sh", "-c", "mkfifo /fifo; read x < /fifo; exit 4"]);
    host.mini(["rename", "old", "new"]).run().ok().stdout("");
    host.mini(["ps"]).run().ok().stdout_has("new");
    assert_eq!(container.field("/Name"), "/new");
    host.mini(["inspect", "old"]).run().code(1);
    let other = host.start(["--name", "old", "busybox", "sleep", "1000"]);
    host.mini(["rename", "new", "old"]).run().error(1, &["old", &other.id[..12]]);
    host.mini(["rename", "new", "bad/"]).run().code(1);
    host.mini(["rename", "no-such", "name"]).run().error(1, &["no-such"]);
    // The monitor has the old one in its memory.
    container.sh("until [ -p /fifo ]; do sleep 0.05; done; echo > /fifo");
    container.wait();
    host.mini(["ps", "-a"]).run().ok().stdout_has("new").stdout_has("Exited (4)");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["rm", "new"]).run().ok();
    host.mini(["run", "--rm", "--name", "new", "busybox", "true"]).run().ok();
}

#[test]
fn a_renamed_container_with_rm_leaves_no_name() {
    let host = Host::with_busybox();
    host.mini(["run", "-d", "--rm", "--name", "old", "busybox", "sleep", "1000"]).run().ok();
    host.mini(["rename", "old", "new"]).run().ok();
    host.mini(["stop", "-t", "0", "new"]).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["run", "--rm", "--name", "new", "busybox", "true"]).run().ok();
}

/// Processor time that a process has used, clock ticks.
fn used(pid: i32) -> u64 {
    let stat = processes::proc_file(pid, "stat").expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

#[test]
fn a_paused_container_stands_still_until_it_is_let_go() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sh", "-c", "while :; do :; done"]);
    host.mini(["pause", "box"]).run().ok().stdout("box\n");
    host.mini(["ps"]).run().ok().stdout_has("(Paused)");
    let state = container.field("/State");
    assert_eq!(
        (&state["Status"], &state["Paused"], &state["Running"]),
        (&"paused".into(), &true.into(), &true.into())
    );
    let before = used(container.pid());
    // Something else has had processor time meanwhile: that one had none.
    host.mini(["run", "--rm", "busybox", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
        .run()
        .ok();
    assert_eq!(used(container.pid()), before);
    host.mini(["exec", "box", "true"]).run().error(1, &["paused"]);
    host.mini(["pause", "box"]).run().error(1, &["paused already"]);
    host.mini(["unpause", "box"]).run().ok().stdout("box\n");
    host.mini(["exec", "box", "true"]).run().ok();
    tests::wait::until("processor time", || (used(container.pid()) > before).then_some(()));
    host.mini(["unpause", "box"]).run().error(1, &["not paused"]);
    host.mini(["pause", "no-such"]).run().error(1, &["no-such"]);
}

#[test]
fn one_that_has_been_stopped_is_paused_all_the_same() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let init = processes::open(container.pid()).expect("it runs");
    processes::signal(&init, rustix::process::Signal::STOP);
    let stands = || processes::status(container.pid(), "State").is_some_and(|state| state.starts_with('T'));
    tests::wait::until("it stands", || stands().then_some(()));
    host.mini(["ps"]).run().ok().stdout_lacks("(Paused)");
    host.mini(["pause", "box"]).run().ok();
    host.mini(["ps"]).run().ok().stdout_has("(Paused)");
    host.mini(["unpause", "box"]).run().ok();
    host.mini(["ps"]).run().ok().stdout_lacks("(Paused)");
}

#[test]
fn a_paused_container_hears_stop_and_can_be_removed() {
    let host = Host::with_busybox();
    let script = "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["--name", "one", "busybox", "sh", "-c", script]);
    tests::wait::until("its line", || (container.logs().text() == "ready\n").then_some(()));
    host.mini(["pause", "one"]).run().ok();
    host.mini(["stop", "one"]).run().ok();
    assert_eq!(container.wait()["ExitCode"], 6);
    host.mini(["run", "-d", "--name", "two", "busybox", "sleep", "1000"]).run().ok();
    host.mini(["pause", "two"]).run().ok();
    host.mini(["rm", "-f", "two"]).run().ok();
    host.mini(["ps", "-q"]).run().ok().stdout("");
}

#[test]
fn top_shows_the_processes_as_the_host_sees_them() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sh", "-c", "sleep 1234 & sleep 2345"]);
    // A fork has its parent's command line until it has become its own program.
    let both = ["sleep 1234", "sleep 2345"];
    tests::wait::until("two processes", || (container.commands() == both).then_some(()));
    let output = host.mini(["top", "box"]).run().ok();
    let lines = output.lines();
    let heading: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(heading, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert_eq!(lines.len(), 3, "{output}");
    let first: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(first[1], container.pid().to_string());
    let root = fs::read_to_string(format!("/proc/{}/uid_map", container.pid())).expect("it runs");
    assert_eq!(Some(first[0]), root.split_whitespace().nth(1), "the host's number of the container's root");
    for command in both {
        assert!(lines.iter().any(|line| line.ends_with(command)), "{output}");
    }
    host.mini(["kill", "box"]).run().ok();
    host.mini(["top", "box"]).run().error(1, &["not running"]);
}

#[test]
fn port_says_where_ports_are() {
    let host = Host::with_busybox();
    net::speaker(&host, &["--name", "box", "-p", "8080:80", "-p", "127.0.0.1:8443:443"], "x");
    host.mini(["port", "box"]).run().ok().stdout("80/tcp -> 0.0.0.0:8080\n443/tcp -> 127.0.0.1:8443\n");
    host.mini(["port", "box", "80"]).run().ok().stdout("0.0.0.0:8080\n");
    host.mini(["port", "box", "443/tcp"]).run().ok().stdout("127.0.0.1:8443\n");
    host.mini(["port", "box", "81"]).run().error(1, &["no public port '81/tcp' published for box"]);
    host.mini(["port", "box", "80/udp"]).run().error(1, &["tcp"]);
    host.mini(["kill", "box"]).run().ok();
    host.mini(["port", "box"]).run().ok().stdout("");
}

#[test]
fn dockers_longer_names_are_the_same_commands() {
    let host = Host::with_busybox();
    host.mini(["container", "run", "--rm", "busybox", "sh", "-c", "exit 5"]).run().code(5);
    host.mini(["container", "run", "no-such-image", "--pull=never"]).run().code(125);
    let id =
        host.mini(["container", "create", "--name", "box", "busybox", "sleep", "1000"]).run().ok().line();
    host.mini(["container", "start", "box"]).run().ok().stdout("box\n");
    for list in ["ls", "list", "ps"] {
        host.mini(["container", list, "-q"]).run().ok().stdout(&format!("{}\n", &id[..12]));
    }
    assert_eq!(host.mini(["container", "inspect", "box"]).run().ok().json()[0]["Id"], id);
    host.mini(["container", "inspect", "busybox"]).run().error(1, &["no such container"]);
    host.mini(["container", "stop", "-t", "0", "box"]).run().ok();
    host.mini(["container", "rm", "box"]).run().ok();
    host.mini(["image", "ls"]).run().ok().stdout_has("busybox");
    assert!(host.mini(["image", "inspect", "busybox"]).run().ok().json()[0]["RepoTags"].is_array());
    host.mini(["image", "inspect", "no-such"]).run().error(1, &["no-such"]);
    host.mini(["image", "rm", "busybox"]).run().ok();
    host.mini(["image", "ls", "-q"]).run().ok().stdout("");
}
