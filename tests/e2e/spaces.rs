//! Namespaces that a container shares: with the host, with another container, by a path. Each is looked at from both sides.

use std::fs;

use serde_json::json;
use tests::{Container, Host, processes};

/// The inode of one of a container's namespaces.
#[track_caller]
pub(crate) fn space(container: &Container<'_>, kind: &str) -> u64 {
    processes::namespace(container.pid(), kind).expect("it runs")
}

/// The inode of one of the host's.
pub(crate) fn own(kind: &str) -> u64 {
    processes::namespace(std::process::id().cast_signed(), kind).expect("we run")
}

/// A container called `web` that sleeps.
pub(crate) fn donor<'host>(host: &'host Host, options: &[&str]) -> Container<'host> {
    let args = [&["--name", "web"], options, &["busybox", "sleep", "1000"]].concat();
    host.start(args)
}

/// One that sleeps, too.
pub(crate) fn sleeper<'host>(host: &'host Host, options: &[&str]) -> Container<'host> {
    host.start([options, &["busybox", "sleep", "2000"]].concat())
}

/// The thread's network namespace: what mini takes for the host's.
fn hosts_net(host: &Host) -> u64 {
    host.net_inode()
}

#[test]
fn everything_of_another_container() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--ipc", "shareable"]);
    let options = [
        "--network=container:web",
        "--pid=container:web",
        "--ipc=container:web",
        "--uts=container:web",
        "--cgroupns=container:web",
    ];
    let other = sleeper(&host, &options);
    for kind in ["net", "pid", "ipc", "uts", "cgroup", "user"] {
        assert_eq!(space(&other, kind), space(&web, kind), "{kind}");
    }
    assert_ne!(space(&other, "mnt"), space(&web, "mnt"));
    let map = |container: &Container<'_>, file| processes::proc_file(container.pid(), file);
    assert_eq!(map(&other, "uid_map"), map(&web, "uid_map"));
    assert_eq!(map(&other, "gid_map"), map(&web, "gid_map"));
    // From inside, both ways.
    other.sh("ps -o args").ok().stdout_has("sleep 1000").stdout_has("sleep 2000");
    web.sh("ps -o args").ok().stdout_has("sleep 2000");
    other.sh("id -u; touch /x && stat -c %u /x; kill -0 1 && echo near").ok().stdout("0\n0\nnear\n");
    let id = &web.id;
    let modes = other.field("/HostConfig");
    let of = format!("container:{id}");
    assert_eq!(
        json!([
            modes["NetworkMode"],
            modes["PidMode"],
            modes["IpcMode"],
            modes["UTSMode"],
            modes["CgroupnsMode"]
        ]),
        json!([of, of, of, of, of])
    );
    host.mini(["ns", &other.id[..12]]).run().ok();
    // The groups are its own.
    assert_ne!(processes::proc_file(other.pid(), "cgroup"), processes::proc_file(web.pid(), "cgroup"));
    other.exec(["sh", "-c", "exit 3"]).run().code(3);
    host.mini(["stop", "-t", "0", &other.id]).run().ok();
    web.sh("true").ok();
}

#[test]
fn two_containers_meet_on_one_loopback() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--add-host", "friend:10.1.2.3", "-h", "webhost"]);
    web.sh("echo hello > /index.html; httpd -h / -p 127.0.0.1:80").ok();
    let run = |script: &str| {
        host.mini(["run", "--rm", "--network", "container:web", "busybox", "sh", "-c", script]).run()
    };
    run("wget -qO- http://127.0.0.1/").ok().stdout("hello\n");
    run("hostname; echo $HOSTNAME; cat /etc/hostname").ok().stdout("webhost\nwebhost\nwebhost\n");
    run("ip -4 -o addr show eth0").ok().stdout_has(&web.address().to_string());
    // The very same files.
    run("grep friend /etc/hosts; echo 10.9.9.9 added >> /etc/hosts").ok().stdout_has("10.1.2.3");
    web.sh("grep added /etc/hosts").ok().stdout_has("10.9.9.9");
}

#[test]
fn what_has_no_meaning_on_anothers_network_is_refused_in_dockers_words() {
    let host = Host::with_busybox();
    donor(&host, &[]);
    for (options, what) in [
        (&["-h", "x"][..], "hostname and the network mode"),
        (&["--dns", "1.1.1.1"], "dns and the network mode"),
        (&["--add-host", "a:1.1.1.1"], "custom host-to-IP mapping and the network mode"),
        (&["-p", "80:80"], "port publishing and the container type network mode"),
        (&["-P"], "port publishing and the container type network mode"),
        (&["--expose", "80"], "port exposing and the container type network mode"),
    ] {
        let run =
            host.mini(["run", "--rm", "--network=container:web"]).args(options).args(["busybox", "true"]);
        run.run().error(125, &["conflicting options", what]);
    }
    for (options, what) in [
        (&["--uts=host", "-h", "x"][..], "hostname and the UTS mode"),
        (&["--uts=container:web", "-h", "x"], "hostname and the UTS mode"),
        (&["--network=host", "-h", "x"], "--hostname"),
        (&["--pid=nobody"], "invalid PID mode"),
        (&["--ipc=private,host"], "invalid IPC mode"),
        (&["--uts=x"], "invalid UTS mode"),
        (&["--cgroupns=x"], "invalid CGROUP mode"),
        (&["--userns=x"], "invalid USER mode"),
        (&["--pid=container:nope"], "no such container: nope"),
        (&["--network=container:nope"], "no such container: nope"),
        (&["--network=ns:relative"], "not absolute"),
        (&["--network=ns:/nowhere"], "/nowhere"),
        (&["--network=ns:/etc/passwd"], "not a namespace"),
        (&["--network=ns:/proc/self/ns/mnt"], "no network namespace"),
        (&["--ipc=container:web"], "non-shareable"),
        (&["--ipc=host", "--sysctl", "kernel.shmmax=1"], "--ipc host"),
        (&["--ipc=none", "--shm-size", "1m"], "--shm-size"),
    ] {
        let run = host.mini(["run", "--rm"]).args(options).args(["busybox", "true"]);
        run.run().error(125, &[what]);
    }
    host.mini(["run", "--rm", "--network=host", "--uts=private", "-h", "x", "busybox", "hostname"])
        .run()
        .ok()
        .stdout("x\n");
}

#[test]
fn shared_memory_goes_with_the_ipc_namespace() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--ipc=shareable", "--shm-size=3m"]);
    web.sh("echo from-web > /dev/shm/a").ok();
    let run = |ipc: &str, script: &str| {
        host.mini(["run", "--rm", "--ipc", ipc, "busybox", "sh", "-c", script]).run()
    };
    run("container:web", "cat /dev/shm/a; echo back > /dev/shm/b; df /dev/shm | tail -1")
        .ok()
        .stdout_has("from-web\n")
        .stdout_has("3072");
    web.sh("cat /dev/shm/b").ok().stdout("back\n");
    run("container:web", "grep ' /dev/shm ' /proc/mounts").ok().stdout_has("nosuid,nodev,noexec");
    run("private", "ls -A /dev/shm").ok().stdout("");
    run("none", "ls -A /dev/shm; grep -c ' /dev/shm ' /proc/mounts").code(1).stdout("0\n");
    // Through a third one: who shares may be shared with.
    let second = sleeper(&host, &["--name", "second", "--ipc=container:web"]);
    run("container:second", "cat /dev/shm/a").ok().stdout("from-web\n");
    assert_eq!(space(&second, "ipc"), space(&web, "ipc"));
    fs::write("/dev/shm/mini-e2e-ipc", "of the host\n").expect("the host's shared memory");
    run("host", "cat /dev/shm/mini-e2e-ipc").ok().stdout("of the host\n");
    let host_ipc = sleeper(&host, &["--ipc=host"]);
    assert_eq!(space(&host_ipc, "ipc"), own("ipc"));
    assert_eq!(host_ipc.field("/HostConfig/IpcMode"), "host");
    fs::remove_file("/dev/shm/mini-e2e-ipc").expect("remove it");
}

#[test]
fn the_hosts_namespaces_bring_the_hosts_users() {
    let host = Host::with_busybox();
    for (option, kind) in [("--pid=host", "pid"), ("--ipc=host", "ipc")] {
        let container = sleeper(&host, &[option]);
        assert_eq!(space(&container, kind), own(kind), "{option}");
        assert_eq!(space(&container, "user"), own("user"), "{option}");
        assert_eq!(container.field("/HostConfig/UsernsMode"), "host");
        let exe = processes::exe(container.monitor()).expect("it runs");
        assert!(exe.to_string_lossy().starts_with("/memfd:mini"), "CVE-2019-5736: {}", exe.display());
        let story = host.mini(["run", "--rm", "--explain", option, "busybox", "true"]).run().ok();
        story.stderr_has("shares the host's user namespace");
        container.remove();
    }
    for option in ["--uts=host", "--cgroupns=host"] {
        let container = sleeper(&host, &[option]);
        let kind = if option.contains("uts") { "uts" } else { "cgroup" };
        assert_eq!(space(&container, kind), own(kind), "{option}");
        assert_ne!(space(&container, "user"), own("user"), "{option}");
    }
    host.configure("[userns]\nstrict = true\n");
    for option in ["--pid=host", "--ipc=host"] {
        host.mini(["run", "--rm", option, "busybox", "true"])
            .run()
            .error(125, &["userns.strict", &option.replace('=', " ")])
            .hints("--userns=private");
        host.mini(["run", "--rm", option, "--userns=private", "busybox", "true"]).run().ok();
    }
}

#[test]
fn with_users_of_its_own_the_hosts_proc_and_sys_are_for_looking() {
    let host = Host::with_busybox();
    let run = |options: &[&str], script: &str| {
        host.mini(["run", "--rm", "--userns=private"])
            .args(options)
            .args(["busybox", "sh", "-c", script])
            .run()
    };
    let us = std::process::id();
    run(
        &["--pid=host"],
        &format!(
            "[ -d /proc/{us} ] && echo seen; echo x > /proc/sys/kernel/hostname; grep ' /proc ' /proc/mounts"
        ),
    )
    .ok()
    .stdout_has("seen\n")
    .stdout_has("proc ro,")
    .stderr_has("ead-only");
    run(&["--pid=host"], &format!("kill -0 {us}")).code(1).stderr_has("not permitted");
    run(&["--network=host"], "grep ' /sys ' /proc/mounts").ok().stdout_has(" ro,");
    run(&["--network=host", "--pid=host", "--ipc=host"], "cat /proc/sys/net/ipv4/ip_forward; id -u")
        .ok()
        .stdout_has("0\n");
    // The kernel parameters of its own network are set all the same.
    run(&["--pid=host"], "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").ok().stdout("0\n");
    let story = host
        .mini(["run", "--rm", "--explain", "--userns=private", "--pid=host", "busybox", "true"])
        .run()
        .ok();
    story.stderr_has("signals to them, ptrace and writing to /proc fail");
}

#[test]
fn cgroups_of_the_host_are_seen_and_not_changed() {
    let host = Host::with_busybox();
    let script = "cat /proc/self/cgroup; grep ' /sys/fs/cgroup' /proc/mounts; mkdir /sys/fs/cgroup/x";
    for users in ["--userns=private", "--userns=host"] {
        let run = host.mini(["run", "--rm", users, "--cgroupns=host", "busybox", "sh", "-c", script]).run();
        run.code(1).stdout_has(&host.cgroup_parent()).stdout_has("ro,").stderr_has("ead-only");
    }
    let run = host.mini(["run", "--rm", "--cgroupns=private", "busybox", "cat", "/proc/self/cgroup"]).run();
    run.ok().stdout_lacks(&host.cgroup_parent());
}

#[test]
fn a_network_namespace_by_its_path() {
    let host = Host::with_busybox();
    host.tool("ip", ["netns", "add", "apart"]);
    host.tool("ip", ["-n", "apart", "link", "set", "lo", "up"]);
    host.tool("ip", ["-n", "apart", "addr", "add", "10.77.0.1/32", "dev", "lo"]);
    let inode = tests::namespaces::inode("/run/netns/apart").expect("it is there");
    let container = sleeper(&host, &["--network=ns:/run/netns/apart"]);
    assert_eq!(space(&container, "net"), inode);
    assert_eq!(space(&container, "user"), own("user"), "it belongs to the host's users");
    assert_eq!(container.field("/HostConfig/NetworkMode"), "ns:/run/netns/apart");
    container.sh("ip -4 -o addr show lo").ok().stdout_has("10.77.0.1");
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    assert_eq!(space(&container, "net"), inode);
    let apart = sleeper(&host, &["--network=ns:/run/netns/apart", "--userns=private"]);
    assert_eq!(space(&apart, "net"), inode);
    assert_ne!(space(&apart, "user"), own("user"));
    apart.sh("ip -4 -o addr show lo").ok().stdout_has("10.77.0.1");
    container.remove();
    apart.remove();
    // One that belongs to a container's users: they come along.
    let web = donor(&host, &[]);
    let path = format!("/proc/{}/ns/net", web.pid());
    let joined = sleeper(&host, &[&format!("--network=ns:{path}")]);
    assert_eq!(space(&joined, "user"), space(&web, "user"));
    joined.sh("ip -4 -o addr show eth0").ok().stdout_has(&web.address().to_string());
    joined.remove();
    host.tool("ip", ["netns", "delete", "apart"]);
    host.tool("umount", ["/run/netns"]);
}

#[test]
fn owners_that_disagree_are_named() {
    let host = Host::with_busybox();
    donor(&host, &["--ipc=shareable"]);
    host.start(["--name", "other", "--ipc=shareable", "busybox", "sleep", "1000"]);
    host.start(["--name", "hosts", "--userns=host", "busybox", "sleep", "1000"]);
    let run = |options: &[&str]| host.mini(["run", "--rm"]).args(options).args(["busybox", "true"]).run();
    run(&["--network=container:web", "--ipc=container:other"])
        .error(125, &["--network container:web", "--ipc container:other", "do not go together"])
        .hints("--userns=container:NAME");
    run(&["--network=container:web", "--pid=host"]).error(125, &["--pid host", "--network container:web"]);
    run(&["--network=container:web", "--userns=host"]).error(125, &["--userns=host", "container:web"]);
    run(&["--pid=container:web", "--userns=private"]).error(125, &["--pid container:web", "of its own"]);
    run(&["--uts=container:web", "--network=container:hosts"]).error(125, &["do not go together"]);
    run(&["--userns=container:other", "--network=container:web"]).error(125, &["--userns container:other"]);
    // What was asked for explicitly goes with the host's, as far as that goes.
    run(&["--userns=container:web", "--network=container:web", "--pid=host"]).ok();
    // A container that has the host's users brings them.
    let container = sleeper(&host, &["--network=container:hosts"]);
    assert_eq!(space(&container, "user"), own("user"));
    let exe = processes::exe(container.monitor()).expect("it runs");
    assert!(exe.to_string_lossy().starts_with("/memfd:mini"), "CVE-2019-5736: {}", exe.display());
    host.configure("[userns]\nstrict = true\n");
    run(&["--network=container:hosts"]).error(125, &["userns.strict", "container:hosts"]);
}

#[test]
fn a_donor_that_has_the_hosts_network_lends_the_hosts() {
    let host = Host::with_busybox();
    let web = donor(&host, &["--network=host"]);
    let container = sleeper(&host, &["--network=container:web"]);
    assert_eq!(space(&container, "net"), hosts_net(&host));
    assert_eq!(space(&container, "net"), space(&web, "net"));
    container.sh("true").ok();
}

#[test]
fn the_hosts_name_is_the_hosts() {
    let host = Host::with_busybox();
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("read").trim().to_owned();
    let run = |options: &[&str], script: &str| {
        host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run().ok().line()
    };
    assert_eq!(run(&["--uts=host"], "hostname"), name);
    assert_ne!(run(&[], "hostname"), name);
    let web = donor(&host, &["-h", "first", "--cap-add=SYS_ADMIN"]);
    let other = sleeper(&host, &["--uts=container:web"]);
    web.sh("hostname second").ok();
    other.sh("hostname").ok().stdout("second\n");
}

#[test]
fn the_helper_is_told() {
    let host = Host::with_busybox();
    donor(&host, &["--ipc=shareable"]);
    let run = host.mini([
        "run",
        "--rm",
        "--explain",
        "--network=container:web",
        "--ipc=container:web",
        "busybox",
        "true",
    ]);
    run.run()
        .ok()
        .stderr_has("helper")
        .stderr_has("CLONE_NEWUSER)")
        .stderr_has("setns(")
        .stderr_has("clone3(CLONE_PARENT|CLONE_NEWNS");
    let plan =
        host.mini(["run", "--dry-run", "--network=container:web", "busybox", "true"]).run().ok().json();
    let spaces = plan["spec"]["linux"]["namespaces"].as_array().expect("a list").clone();
    let path = |kind: &str| {
        let found = spaces.iter().find(|space| space["type"] == kind).expect("it is there");
        found["path"].as_str().map(|path| path.ends_with(&format!("/ns/{}", &kind[..3])))
    };
    assert_eq!((path("network"), path("pid")), (Some(true), None));
}
