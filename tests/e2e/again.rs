//! create, start, restart, wait: a container that runs more than once, each time with what is its own.

use rustix::process::Signal;
use tests::{Container, Host, net, processes, wait};

/// `mini create ARGS…`.
fn created<'host>(host: &'host Host, args: &[&str]) -> Container<'host> {
    Container::new(host, host.mini(["create"]).args(args).run().ok().line())
}

#[test]
fn what_is_created_does_not_run_and_takes_nothing() {
    let host = Host::with_busybox();
    let container = created(&host, &["--name", "box", "-p", "8080:80", "busybox", "echo", "hi"]);
    assert_eq!(container.id.len(), 64);
    host.mini(["ps", "-q"]).run().ok().stdout("");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Created").stdout_has("box");
    assert_eq!(container.field("/State/Status"), "created");
    drop(net::serve(std::net::Ipv4Addr::UNSPECIFIED, 8080, "free\n"));
    host.mini(["create", "--name", "box", "busybox"]).run().error(1, &["box", &container.id[..12]]);
    host.mini(["create", "-m", "1k", "busybox"]).run().error(125, &["6m"]);
    host.mini(["create", "--pull=never", "no-such-image"]).run().error(1, &["no-such-image"]);
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["rm", "box"]).run().ok();
}

#[test]
fn it_runs_when_it_is_started_as_often_as_it_is() {
    let host = Host::with_busybox();
    let script = "echo run $(cat /count 2>/dev/null); echo x >> /count; exit $(wc -l < /count)";
    let container = created(&host, &["--name", "box", "busybox", "sh", "-c", script]);
    host.mini(["start", "box"]).run().ok().stdout("box\n");
    assert_eq!(container.wait()["ExitCode"], 1);
    host.mini(["start", &container.id[..12]]).run().ok();
    assert_eq!(container.wait()["ExitCode"], 2);
    host.mini(["start", "-a", "box"]).run().code(3).stdout("run x x\n");
    container.logs().ok().stdout("run\nrun x\nrun x x\n");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (3)");
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn start_passes_standard_input_on_where_the_container_was_made_for_it() {
    let host = Host::with_busybox();
    created(&host, &["-i", "--name", "ear", "busybox", "cat"]);
    host.mini(["start", "-ai", "ear"]).stdin("hello\n").run().ok().stdout("hello\n");
    created(&host, &["--name", "deaf", "busybox", "cat"]);
    host.mini(["start", "-ai", "deaf"]).stdin("hello\n").run().ok().stdout("");
    created(&host, &["-it", "--name", "shell", "busybox"]);
    let mut terminal = host.mini(["start", "-ai", "shell"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.send("exit 4\r");
    terminal.ends_with(4);
    host.mini(["start", "-ai", "shell"]).run().error(1, &["terminal"]);
}

#[test]
fn each_start_has_new_ids_and_what_was_written_stays() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let map = |container: &Container<'_>| container.sh("cat /proc/self/uid_map; id -u").ok().text();
    container.sh("echo kept > /file; chown 1234:5678 /file; mkdir /tmp/sub").ok();
    let before = map(&container);
    host.mini(["kill", "box"]).run().ok();
    // Somebody else takes the range meanwhile, and the address too.
    let others: Vec<_> = (0..3).map(|_| host.start(["busybox", "sleep", "1000"])).collect();
    host.mini(["start", "box"]).run().ok();
    assert!(map(&container).ends_with("0\n"), "root inside, whatever the range: {before}");
    container.sh("cat /file; stat -c %u:%g /file; ls -d /tmp/sub").ok().stdout("kept\n1234:5678\n/tmp/sub\n");
    assert!(others.iter().all(|other| other.address() != container.address()));
    let address = container.address();
    container.sh(&format!("grep -q {address} /etc/hosts")).ok();
}

#[test]
fn what_was_asked_for_holds_each_time() {
    let host = Host::with_busybox();
    let args = [
        "--name", "box", "-e", "A=1", "-e", "FROM", "-w", "/tmp", "-u", "12:34", "-h", "called", "-m", "64m",
    ];
    let create = host.mini(["create"]).args(args).args(["--tmpfs", "/mnt", "--cap-drop", "all", "busybox"]);
    let script = "env | sort | grep -E '^(A|FROM)='; pwd; id -u; hostname; grep CapBnd /proc/self/status; grep -c ' /mnt ' \
                  /proc/mounts; sleep 1000";
    let id = create.args(["sh", "-c", script]).env("FROM", "first").run().ok().line();
    let container = Container::new(&host, id);
    let mut expected = String::new();
    for _ in 0..2 {
        host.mini(["start", "box"]).env("FROM", "second").run().ok();
        expected += "A=1\nFROM=first\n/tmp\n12\ncalled\nCapBnd:\t0000000000000000\n1\n";
        wait::until("the last line", || (container.logs().ok().text() == expected).then_some(()));
        let limit = container.cgroup_file("memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(limit.trim(), (64 << 20).to_string());
        host.mini(["stop", "-t", "0", "box"]).run().ok();
    }
}

#[test]
fn published_ports_come_back() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &["-p", "8080:80"], "here");
    let ask = || net::heard(|| net::ask(std::net::Ipv4Addr::LOCALHOST, 8080));
    assert_eq!(ask(), "here\n");
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    assert_eq!(ask(), "here\n");
    host.mini(["stop", "-t", "0", &container.id]).run().ok();
    let taken = net::serve(std::net::Ipv4Addr::UNSPECIFIED, 8080, "taken\n");
    host.mini(["start", &container.id]).run().error(1, &["8080"]);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited");
    drop(taken);
    host.mini(["start", &container.id]).run().ok();
    assert_eq!(ask(), "here\n");
}

#[test]
fn restart_stops_as_stop_does_and_starts_again() {
    let host = Host::with_busybox();
    let script = "trap 'echo told; exit' TERM; echo begun; while :; do sleep 0.05; done";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    wait::until("its first line", || container.logs().text().contains("begun").then_some(()));
    let first = container.pid();
    host.mini(["restart", "box"]).run().ok().stdout("box\n");
    assert_ne!(container.pid(), first);
    wait::until("its last line", || (container.logs().text() == "begun\ntold\nbegun\n").then_some(()));
    host.mini(["kill", "box"]).run().ok();
    host.mini(["restart", "box"]).run().ok();
    assert_eq!(container.field("/State/Status"), "running");
    host.mini(["restart", "box", "no-such"]).run().error(1, &["no-such"]);
    let passing = host.mini(["run", "-d", "--rm", "busybox", "sleep", "1000"]).run().ok().line();
    host.mini(["restart", &passing]).run().error(1, &["--rm"]);
    assert_eq!(host.mini(["ps", "-q", "-a"]).run().ok().lines().len(), 2, "nothing was stopped");
}

#[test]
fn what_runs_is_left_alone_by_start_and_sixteen_at_once_make_one() {
    let host = Host::with_busybox();
    let container = created(&host, &["busybox", "sleep", "1000"]);
    let starting: Vec<_> = (0..16).map(|_| host.spawn(["start", &container.id])).collect();
    let ended: Vec<_> = starting.into_iter().map(|one| one.wait()).collect();
    assert!(ended.iter().any(|output| output.status.code() == Some(0)), "{}", ended[0]);
    let pid = container.pid();
    host.mini(["start", &container.id]).run().ok();
    assert_eq!(container.pid(), pid);
    assert_eq!(container.commands().len(), 1);
}

#[test]
fn wait_prints_each_exit_code_in_the_order_of_the_arguments() {
    let host = Host::with_busybox();
    let slow = host.start(["busybox", "sh", "-c", "mkfifo /fifo; read x < /fifo; exit 7"]);
    let fast = host.start(["busybox", "sh", "-c", "exit 3"]);
    let never = created(&host, &["busybox", "true"]);
    fast.wait();
    let waiting = host.spawn(["wait", &slow.id, &fast.id, &never.id]);
    slow.sh("until [ -p /fifo ]; do sleep 0.05; done; echo > /fifo");
    waiting.wait().ok().stdout("7\n3\n0\n");
    host.mini(["wait", "no-such"]).run().error(1, &["no-such"]);
    let killed = host.start(["busybox", "sleep", "1000"]);
    let waiting = host.spawn(["wait", &killed.id]);
    processes::signal(&processes::open(killed.pid()).expect("it runs"), Signal::KILL);
    waiting.wait().ok().stdout("137\n");
}

#[test]
fn wait_knows_the_code_of_a_container_that_removes_itself() {
    let host = Host::with_busybox();
    let mut client =
        host.spawn(["run", "--rm", "-i", "--name", "box", "busybox", "sh", "-c", "echo up; read x; exit 9"]);
    assert_eq!(client.line(), "up");
    let waiting = host.spawn(["wait", "box"]);
    let before = waiting.pid();
    wait::until("one that waits", || processes::proc_file(before, "wchan").filter(|at| at.contains("poll")));
    client.write("\n");
    client.wait().code(9);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = kernel.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) >= (Some(6), Some(15)) {
        waiting.wait().ok().stdout("9\n");
    } else {
        waiting.wait().error(1, &["--rm"]);
    }
}

#[test]
fn a_start_that_fails_is_an_error_and_can_be_tried_again() {
    let host = Host::with_busybox();
    let container = created(&host, &["--name", "box", "busybox", "/later"]);
    host.mini(["start", "box"]).run().error(1, &["box", "/later"]);
    assert_eq!(container.field("/State/Status"), "created");
    host.mini(["start", "-a", "box"]).run().error(1, &["/later"]);
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["start", "no-such"]).run().error(1, &["no-such"]);
    host.mini(["start", "-a", "box", "box"]).run().error(1, &["several"]);
    host.mini(["rm", "box"]).run().ok();
}

#[test]
fn an_image_in_use_by_what_was_created_is_not_removed() {
    let host = Host::with_busybox();
    let container = created(&host, &["busybox", "true"]);
    host.mini(["rmi", "busybox"]).run().error(1, &[container.short()]);
    container.remove();
    host.mini(["rmi", "busybox"]).run().ok();
}

#[test]
fn restart_sends_the_signal_that_was_asked_for() {
    let host = Host::with_busybox();
    let script =
        "trap 'echo one; exit' USR1; trap 'echo term; exit' TERM; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    let said = |text: &str| wait::until(text, || (container.logs().text() == text).then_some(()));
    said("ready\n");
    host.mini(["restart", "--signal", "USR1", "box"]).run().ok();
    said("ready\none\nready\n");
    host.mini(["restart", "box"]).run().ok();
    said("ready\none\nready\nterm\nready\n");
    host.mini(["restart", "--signal", "NONSENSE", "box"]).run().error(1, &["NONSENSE"]);
}

/// Flags of which a created container is made that runs when it is started, and so that a look inside shows them.
const FLAGS: [&str; 45] = [
    "--entrypoint",
    "sh",
    "--env-file",
    "/run/mini-test/work/env",
    "--label-file",
    "/run/mini-test/work/labels",
    "--annotation",
    "a=b",
    "--group-add",
    "100",
    "--init",
    "--volume",
    "/run/mini-test/work:/shared:ro",
    "--mount",
    "type=tmpfs,target=/spelled",
    "--read-only",
    "--tz",
    "Europe/Berlin",
    "--umask",
    "0027",
    "--health-cmd",
    "true",
    "--health-interval",
    "1h",
    "--health-retries",
    "5",
    "--health-start-interval",
    "2s",
    "--health-start-period",
    "3s",
    "--health-timeout",
    "4s",
    "--no-hosts",
    "--memory-swappiness",
    "7",
    "--cpu-period",
    "50000",
    "--cpu-quota",
    "25000",
    "--cpuset-mems",
    "0",
    "--device",
    "/dev/zero:/dev/nothing:r",
    "--device-cgroup-rule",
    "c 1:3 r",
];

#[test]
fn what_is_created_and_started_is_what_is_run() {
    let host = Host::with_busybox();
    std::fs::write(host.work().join("env"), "FROM=file\n").expect("write");
    std::fs::write(host.work().join("labels"), "from=file\n").expect("write");
    let swappiness = ["--memory-swappiness", "7"];
    let flags: Vec<&str> =
        match tests::cgroups::with_controller("memory").is_some_and(|hierarchy| hierarchy.v2) {
            false => FLAGS.to_vec(),
            // Version 2 has none.
            true => FLAGS.iter().filter(|flag| !swappiness.contains(flag)).copied().collect(),
        };
    let program = ["busybox", "-c", "exec sleep 1000"];
    let run = Container::new(
        &host,
        host.mini(["run", "-d", "--name", "run"]).args(&flags).args(program).run().ok().line(),
    );
    let made = Container::new(
        &host,
        host.mini(["create", "--name", "made"]).args(&flags).args(program).run().ok().line(),
    );
    host.mini(["start", "made"]).run().ok();
    let look = "env | grep -v HOSTNAME | sort; id; umask; date +%Z; cat /etc/hosts | wc -l; ls -l /dev/nothing; \
                mount | grep -E ' /(shared|spelled) ' | sed 's/uid=.*//'; cat /proc/1/comm; touch /x 2>&1; cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us";
    let (one, other) = (run.sh(look).text(), made.sh(look).text());
    assert_eq!(one, other);
    for shows in ["FROM=file", "0027", "groups=", "nothing", "Read-only file system", "/spelled"] {
        assert!(one.contains(shows), "{shows}: {one}");
    }
    for pointer in [
        "/HostConfig",
        "/Config/Labels",
        "/Config/Healthcheck",
        "/Config/Env",
        "/Config/Entrypoint",
        "/Config/Cmd",
    ] {
        assert_eq!(run.field(pointer), made.field(pointer), "{pointer}");
    }
    assert_eq!(run.field("/Config/Healthcheck/Retries"), 5);
}
