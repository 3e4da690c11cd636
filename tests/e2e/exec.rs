//! `mini exec`: a second command in a container that runs.

use rustix::process::Signal;
use tests::{Container, Host, processes};

/// A container that runs until it is removed.
fn sleeper(host: &Host) -> Container<'_> {
    host.start(["--name", "box", "busybox", "sleep", "100000"])
}

#[test]
fn output_streams_and_exit_code_are_the_commands() {
    let host = Host::with_busybox();
    sleeper(&host);
    let output = host.mini(["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 7"]).run();
    output.code(7).stdout("out\n").stderr("err\n");
}

#[test]
fn a_command_ended_by_a_signal_exits_with_128_plus_its_number() {
    let host = Host::with_busybox();
    let container = sleeper(&host);
    container.sh("kill -TERM $$").code(143);
    container.sh("kill -KILL $$").code(137);
}

#[test]
fn stdin_is_attached_with_i_alone() {
    let host = Host::with_busybox();
    sleeper(&host);
    host.mini(["exec", "-i", "box", "cat"]).stdin("typed").run().ok().stdout("typed");
    host.mini(["exec", "box", "cat"]).stdin("typed").run().ok().stdout("");
}

#[test]
fn it_gets_the_containers_environment_and_its_own() {
    let host = Host::with_busybox();
    let container = host.start(["-e", "AT_CREATE=1", "-e", "BOTH=create", "busybox", "sleep", "1000"]);
    let output =
        host.mini(["exec", "-e", "BOTH=exec", "-e", "COPIED", &container.id, "env"]).env("COPIED", "2").run();
    let mut lines = output.ok().lines();
    lines.sort();
    let hostname = format!("HOSTNAME={}", container.short());
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["AT_CREATE=1", "BOTH=exec", "COPIED=2", "HOME=/root", hostname.as_str(), path]);
}

#[test]
fn user_and_directory_are_the_containers_unless_told_otherwise() {
    let host = Host::with_busybox();
    let container = host.start(["-u", "nobody", "-w", "/tmp", "busybox", "sleep", "1000"]);
    container.sh("id -un; pwd").ok().stdout("nobody\n/tmp\n");
    let told = host
        .mini(["exec", "-u", "12:34", "-w", "/etc", &container.id, "sh", "-c", "id -u; id -g; pwd"])
        .run();
    told.ok().stdout("12\n34\n/etc\n");
}

#[test]
fn d_returns_at_once_and_the_command_goes_on() {
    let host = Host::with_busybox();
    let container = sleeper(&host);
    host.mini(["exec", "-d", "box", "sh", "-c", "echo done > /tmp/done; sleep 1000"]).run().ok().stdout("");
    tests::wait::until("the detached command's file", || {
        (container.exec(["cat", "/tmp/done"]).run().line() == "done").then_some(())
    });
    assert!(container.commands().contains(&"sleep 1000".to_owned()), "{:?}", container.commands());
}

#[test]
fn every_namespace_and_every_cgroup_is_the_containers() {
    let host = Host::with_busybox();
    let container = sleeper(&host);
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"] {
        let link = format!("/proc/self/ns/{kind}");
        let inside = container.exec(["readlink", &link]).run().ok().line();
        let init = processes::namespace(container.pid(), kind).expect("it runs");
        assert_eq!(inside, format!("{kind}:[{init}]"));
        let own = processes::namespace(std::process::id().cast_signed(), kind).expect("we run");
        assert_ne!(init, own, "{kind} is shared with the host");
    }
    container.exec(["cat", "/proc/self/cgroup"]).run().ok();
    let mut running = host.spawn(["exec", "box", "sh", "-c", "echo up; sleep 1000"]);
    assert_eq!(running.line(), "up");
    let inner = in_container(&container, running.pid());
    let groups = |pid| processes::proc_file(pid, "cgroup").expect("it runs");
    assert_eq!(groups(inner), groups(container.pid()));
    container.remove();
    running.wait();
}

/// The process that a client of `exec` made inside, on the machine's numbers.
fn in_container(container: &Container<'_>, client: i32) -> i32 {
    let net = processes::namespace(container.pid(), "net");
    let inside = |pid: &i32| processes::namespace(*pid, "net") == net;
    let children = processes::children(client);
    let found = children.iter().copied().find(inside);
    found.unwrap_or_else(|| panic!("no child of client {client} is inside: {children:?}"))
}

#[test]
fn the_process_is_the_clients_own_child_and_dies_with_it() {
    let host = Host::with_busybox();
    let container = sleeper(&host);
    let mut client = host.spawn(["exec", "box", "sh", "-c", "echo up; sleep 1000"]);
    assert_eq!(client.line(), "up");
    let inner = in_container(&container, client.pid());
    client.signal(Signal::KILL);
    processes::wait_for_end(inner);
    assert_eq!(container.commands(), ["sleep 100000"]);
}

#[test]
fn signals_to_the_client_reach_the_command() {
    let host = Host::with_busybox();
    sleeper(&host);
    let script = "trap 'echo caught; exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let mut client = host.spawn(["exec", "box", "sh", "-c", script]);
    assert_eq!(client.line(), "up");
    client.signal(Signal::TERM);
    assert_eq!(client.line(), "caught");
    client.wait().code(9);
}

#[test]
fn it_has_no_more_rights_than_the_container() {
    let host = Host::with_busybox();
    let container = host.start(["--cap-drop", "CHOWN", "--cap-add", "SYS_TIME", "busybox", "sleep", "1000"]);
    let fields = |file: &str| {
        let grep = ["grep", "-E", "^(Cap|Seccomp:|NoNewPrivs|Sig(Blk|Ign))", file];
        container.exec(grep).run().ok().text()
    };
    let (init, own) = (fields("/proc/1/status"), fields("/proc/self/status"));
    assert_eq!(own, init);
    assert!(init.contains("CapInh:\t0000000000000000") && init.contains("Seccomp:\t2"), "{init}");
}

#[test]
fn a_container_that_does_not_run_is_an_error() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "true"]).run().ok();
    host.mini(["exec", "box", "true"]).run().error(1, &["box", "not running"]);
}

#[test]
fn a_privileged_container_is_entered_too() {
    let host = Host::with_busybox();
    let container = host.start(["--privileged", "busybox", "sleep", "1000"]);
    let eff = "grep CapEff /proc/self/status";
    let init = processes::status(container.pid(), "CapEff").expect("it runs");
    container.sh(eff).ok().stdout_has(&init);
}

#[test]
fn many_at_the_same_time() {
    let host = Host::with_busybox();
    sleeper(&host);
    let running: Vec<_> = (0..12).map(|n| (n, host.spawn(["exec", "box", "echo", &n.to_string()]))).collect();
    for (n, running) in running {
        running.wait().ok().stdout(&format!("{n}\n"));
    }
}

#[test]
fn the_command_ends_when_the_container_ends() {
    let host = Host::with_busybox();
    sleeper(&host);
    let mut client = host.spawn(["exec", "box", "sh", "-c", "echo up; sleep 1000"]);
    assert_eq!(client.line(), "up");
    host.mini(["kill", "box"]).run().ok();
    client.wait().code(137);
}
