//! Flags of run and create beyond the everyday: each has an effect that is seen inside, and in inspect.

use std::fs;

use rustix::process::Signal;
use tests::{Container, Host, processes, wait};

/// What `mini run --rm FLAGS… busybox sh -c SCRIPT` prints.
#[track_caller]
fn inside(host: &Host, flags: &[&str], script: &str) -> String {
    host.mini(["run", "--rm"]).args(flags).args(["busybox", "sh", "-c", script]).run().ok().text()
}

#[test]
fn variables_come_from_files_and_flags_come_after_them() {
    let host = Host::with_busybox();
    let file = host.work().join("env");
    fs::write(&file, "# a comment\nA=from file\nB=2\n\nFROM_HERE\nABSENT\n").expect("write");
    let file = file.to_str().expect("UTF-8");
    let run = host.mini(["run", "--rm", "--env-file", file, "-e", "B=3", "busybox", "sh", "-c"]);
    let script = "echo $A-$B-$FROM_HERE-${ABSENT-none}";
    run.args([script]).env("FROM_HERE", "here").run().ok().stdout("from file-3-here-none\n");
    host.mini(["run", "--env-file", "/no/such/file", "busybox"]).run().error(125, &["/no/such/file"]);
    fs::write(host.work().join("bad"), "=x\n").expect("write");
    let bad = host.work().join("bad").display().to_string();
    host.mini(["run", "--env-file", &bad, "busybox"]).run().error(125, &[&bad]);
}

#[test]
fn labels_and_annotations_are_kept() {
    let host = Host::with_busybox();
    let file = host.work().join("labels");
    fs::write(&file, "from=file\nboth=file\n").expect("write");
    let file = file.to_str().expect("UTF-8");
    let container = host.start([
        "-l",
        "a=1",
        "--label",
        "empty",
        "--label-file",
        file,
        "--label",
        "both=flag",
        "--annotation",
        "org.x=y",
        "busybox",
        "sleep",
        "1000",
    ]);
    let labels = container.field("/Config/Labels");
    assert_eq!(labels, serde_json::json!({"a": "1", "both": "flag", "empty": "", "from": "file"}));
    assert_eq!(container.field("/HostConfig/Annotations"), serde_json::json!({"org.x": "y"}));
    host.mini(["run", "-l", "=x", "busybox"]).run().error(125, &["label"]);
}

#[test]
fn the_id_is_written_into_a_file_that_must_be_new() {
    let host = Host::with_busybox();
    let file = host.work().join("id");
    let path = file.to_str().expect("UTF-8");
    let container = host.start(["--cidfile", path, "busybox", "sleep", "1000"]);
    assert_eq!(fs::read_to_string(&file).expect("the file"), container.id);
    host.mini(["run", "--rm", "--cidfile", path, "busybox", "true"]).run().error(125, &[path]);
    host.mini(["create", "--cidfile", path, "busybox", "true"]).run().error(125, &[path]);
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 1, "nothing was made");
}

#[test]
fn stop_uses_the_containers_own_signal_and_patience() {
    let host = Host::with_busybox();
    let script = "trap 'exit 3' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["--stop-signal", "USR1", "busybox", "sh", "-c", script]);
    wait::until("its line", || (container.logs().ok().text() == "ready\n").then_some(()));
    host.mini(["stop", &container.id]).run().ok();
    assert_eq!(container.wait()["ExitCode"], 3);
    let deaf =
        host.start(["--stop-timeout", "0", "busybox", "sh", "-c", "trap '' TERM; echo ready; sleep 1000"]);
    wait::until("its line", || (deaf.logs().ok().text() == "ready\n").then_some(()));
    host.mini(["stop", &deaf.id]).run().ok();
    assert_eq!(deaf.wait()["ExitCode"], 137);
    assert_eq!(deaf.field("/Config/StopTimeout"), 0);
    // What SIGTERM to the monitor sends is the same signal.
    let told = host.start(["--stop-signal", "USR1", "busybox", "sh", "-c", script]);
    wait::until("its line", || (told.logs().ok().text() == "ready\n").then_some(()));
    processes::signal(&processes::open(told.monitor()).expect("it runs"), Signal::TERM);
    assert_eq!(told.wait()["ExitCode"], 3);
    host.mini(["run", "--stop-signal", "NONSENSE", "busybox"]).run().error(125, &["NONSENSE"]);
}

#[test]
fn hosts_and_resolver_are_what_was_asked_for() {
    let host = Host::with_busybox();
    let flags = ["--add-host", "db:10.1.2.3", "--add-host", "six=::5", "--add-host", "me:host-gateway"];
    let hosts = inside(&host, &flags, "cat /etc/hosts; ip route");
    assert!(hosts.contains("10.1.2.3\tdb\n") && hosts.contains("::5\tsix\n"), "{hosts}");
    let gateway =
        hosts.lines().find_map(|line| line.strip_prefix("default via ")?.split(' ').next()).expect("a route");
    assert!(hosts.contains(&format!("{gateway}\tme\n")), "{hosts}");
    let flags = ["--dns", "9.9.9.9", "--dns-search", "example.org", "--dns-option", "ndots:3"];
    let resolver = inside(&host, &flags, "cat /etc/resolv.conf");
    assert_eq!(resolver, "search example.org\nnameserver 9.9.9.9\noptions ndots:3\n");
    host.mini(["run", "--add-host", "db", "busybox"]).run().error(125, &["db"]);
    host.mini(["run", "--dns", "x", "busybox"]).run().error(125, &["--dns"]);
}

#[test]
fn limits_of_processes_and_shared_memory() {
    let host = Host::with_busybox();
    let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--shm-size", "1m"];
    let script = "ulimit -S -n; ulimit -H -n; ulimit -c; df -k /dev/shm | tail -1 | awk '{print $2}'";
    assert_eq!(inside(&host, &flags, script), "100\n200\n0\n1024\n");
    host.mini([
        "run",
        "--rm",
        "--shm-size",
        "1m",
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/dev/shm/x",
        "bs=1M",
        "count=2",
    ])
    .run()
    .code(1);
    host.mini(["run", "--ulimit", "nofile=2:1", "busybox"]).run().error(125, &["nofile=2:1"]);
    host.mini(["run", "--ulimit", "what=1", "busybox"]).run().error(125, &["what"]);
}

#[test]
fn kernel_parameters_of_its_own_namespaces_and_no_others() {
    let host = Host::with_busybox();
    let flags =
        ["--sysctl", "net.core.somaxconn=77", "--sysctl", "kernel.shmmax=4096", "--domainname", "example"];
    let script = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax; cat /proc/sys/kernel/domainname";
    assert_eq!(inside(&host, &flags, script), "77\n4096\nexample\n");
    host.mini(["run", "--sysctl", "kernel.panic=1", "busybox"]).run().error(125, &["kernel.panic"]);
    let on_host = ["run", "--network", "host", "--sysctl", "net.core.somaxconn=7", "busybox"];
    host.mini(on_host).run().error(125, &["net.core.somaxconn"]);
}

#[test]
fn privileges_once_given_up_are_not_gained_again() {
    let host = Host::with_busybox();
    assert_eq!(inside(&host, &[], "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t0\n");
    let flags = ["--security-opt", "no-new-privileges", "--oom-score-adj", "500"];
    let script = "grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj";
    assert_eq!(inside(&host, &flags, script), "NoNewPrivs:\t1\n500\n");
    host.mini(["run", "--security-opt", "seccomp=x", "busybox"])
        .run()
        .error(125, &["seccomp=x", "cannot read x"]);
    host.mini(["run", "--oom-score-adj", "2000", "busybox"]).run().error(125, &["2000"]);
}

#[test]
fn processor_time_by_period_and_quota() {
    let host = Host::with_busybox();
    let container = host.start(["--cpu-period", "50000", "--cpu-quota", "10000", "busybox", "sleep", "1000"]);
    let read = |v1: &str, v2: &str| container.cgroup_file("cpu", v1, v2);
    let limit = format!(
        "{} {}",
        read("cpu.cfs_quota_us", "cpu.max").trim(),
        read("cpu.cfs_period_us", "cpu.max").trim()
    );
    assert!(limit.starts_with("10000 ") && limit.ends_with("50000"), "{limit}");
    host.mini(["run", "--cpus", "1", "--cpu-quota", "10000", "busybox"]).run().error(125, &["--cpus"]);
    host.mini(["run", "--cpu-period", "5", "busybox"]).run().error(125, &["--cpu-period"]);
    host.mini(["run", "-m", "64m", "--memory-swap", "32m", "busybox"]).run().error(125, &["--memory-swap"]);
}

#[test]
fn everything_holds_after_a_restart_too() {
    let host = Host::with_busybox();
    let flags = [
        "--ulimit",
        "nofile=100",
        "--add-host",
        "db:10.1.2.3",
        "--sysctl",
        "net.core.somaxconn=77",
        "--shm-size",
        "1m",
    ];
    let id = host.mini(["create"]).args(flags).args(["busybox", "sleep", "1000"]).run().ok().line();
    let container = Container::new(&host, id);
    for _ in 0..2 {
        host.mini(["restart", "-t", "0", &container.id]).run().ok();
        let limits = processes::proc_file(container.pid(), "limits").expect("it runs");
        assert!(
            limits.lines().any(|line| line.starts_with("Max open files") && line.contains("100")),
            "{limits}"
        );
        container
            .sh("cat /proc/sys/net/core/somaxconn; grep -c '10.1.2.3.*db' /etc/hosts")
            .ok()
            .stdout("77\n1\n");
    }
    assert_eq!(container.field("/HostConfig/ShmSize"), 1 << 20);
    assert_eq!(container.field("/HostConfig/ExtraHosts"), serde_json::json!(["db:10.1.2.3"]));
}
