//! What a checker finds in a container started without any option: from inside, and from the host's side of `/proc`.

use std::fs;

use tests::{Host, cgroups, processes};

#[test]
fn from_outside_no_namespace_is_shared_and_no_right_is_left() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let (init, own) = (container.pid(), std::process::id().cast_signed());
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"] {
        assert_ne!(processes::namespace(init, kind), processes::namespace(own, kind), "{kind} is shared");
    }
    let status = |field: &str| processes::status(init, field).unwrap_or_else(|| panic!("no {field}"));
    assert_eq!(status("CapEff"), "00000000a80425fb");
    assert_eq!(status("CapBnd"), "00000000a80425fb");
    assert_eq!((status("CapInh"), status("CapAmb")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!(status("Seccomp"), "2");
    assert_eq!(status("NSpid").split_whitespace().last(), Some("1"), "process 1 inside");
    assert!(!processes::uids(init).expect("it runs").contains(&0), "root outside");
    assert_eq!(status("SigIgn"), "0".repeat(16));
    // Not one descriptor of the host: three streams, and nothing else.
    let links: Vec<_> = fs::read_dir(format!("/proc/{init}/fd"))
        .expect("it runs")
        .flatten()
        .map(|entry| (entry.file_name(), fs::read_link(entry.path()).unwrap_or_default()))
        .collect();
    assert_eq!(links.len(), 3, "{links:?}");
    for hierarchy in cgroups::hierarchies() {
        assert_ne!(
            cgroups::of_process(init, &hierarchy),
            cgroups::of_process(own, &hierarchy),
            "{hierarchy:?}"
        );
    }
    // The root directory, seen through the host's /proc, is not the host's.
    let root =
        |pid: i32| rustix::fs::stat(format!("/proc/{pid}/root/.")).map(|stat| (stat.st_dev, stat.st_ino));
    assert_ne!(root(init).expect("it runs"), root(own).expect("we run"));
}

#[test]
fn from_inside_nothing_of_the_host_is_seen() {
    let host = Host::with_busybox();
    let script = r"
        say() { echo finding: $*; }
        [ $$ = 1 ] || say 'not process 1'
        [ $(ls -d /proc/[0-9]* | wc -l) -le 5 ] || say 'processes of others'
        set -- $(cat /proc/self/uid_map)
        [ $1 = 0 ] && [ $2 != 0 ] && [ $3 = 65536 ] || say user namespace: $*
        grep -q '^CapEff:.*a80425fb$' /proc/self/status || say capabilities
        grep -q '^Seccomp:.*2$' /proc/self/status || say seccomp
        [ -e /var/run/docker.sock ] && say docker socket
        ls -d /sys/fs/cgroup/*/release_agent 2> /dev/null && say release_agent
        for p in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug; do
            [ -z $(head -c 1 $p 2> /dev/null | wc -c | grep -v 0) ] || say $p
        done
        for p in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /sys/kernel/uevent_helper /sys/class/net/lo/mtu; do
            [ -e $p ] && (: >> $p) 2> /dev/null && say opened $p
        done
        dmesg > /dev/null 2>&1 && say kernel log
        grep -E '/(dev/(vd|sd|nvme|dm)|var/lib|home/[a-z])' /proc/mounts && say a disk of the host
        ls /dev | grep -E '^(vd|sd|nvme|loop|kmsg|mem|port|fuse|kvm|net|tun)' && say devices
        [ $(ip -o link | wc -l) = 2 ] || say links
        grep ' @' /proc/net/unix && say abstract sockets
        cat /proc/net/tcp /proc/net/udp | grep -v local_address && say sockets of others
        mount -t proc proc /tmp 2> /dev/null && say mounts
        nsenter -t 1 -m true 2> /dev/null && say nsenter
        chroot /proc/1/root true && [ -e /proc/1/root$ROOT ] && say host root
        true";
    let root = format!("ROOT={}", host.root().display());
    host.mini(["run", "--rm", "-e", &root, "busybox", "sh", "-c", script]).run().ok().stdout("").stderr("");
}

#[test]
fn nothing_listens_anywhere_that_was_not_asked_for() {
    let host = Host::with_busybox();
    let table = || {
        let text = ["tcp", "tcp6", "udp", "udp6", "raw"]
            .map(|kind| fs::read_to_string(format!("/proc/thread-self/net/{kind}")).unwrap_or_default());
        text.concat().lines().filter(|line| line.contains(':')).count()
    };
    let before = table();
    let container = host.start(["busybox", "sleep", "1000"]);
    assert_eq!(table(), before, "a socket of the host's");
    container.remove();
}

#[test]
fn two_containers_see_nothing_of_each_other() {
    let host = Host::with_busybox();
    let first =
        host.start(["busybox", "sh", "-c", "echo secret > /dev/shm/x; echo secret > /tmp/x; sleep 7777"]);
    let second = host.start(["busybox", "sleep", "1000"]);
    tests::wait::until("the first one's files", || {
        first.exec(["cat", "/tmp/x"]).run().status.success().then_some(())
    });
    second.sh("ls /dev/shm /tmp; ps -o args | grep -c '[s]leep 7777'").stdout("/dev/shm:\n\n/tmp:\n0\n");
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"] {
        assert_ne!(
            processes::namespace(first.pid(), kind),
            processes::namespace(second.pid(), kind),
            "{kind}"
        );
    }
    // A signal, by the number that the host knows it by.
    let number = first.pid().to_string();
    second.exec(["kill", "-0", &number]).run().code(1);
}

#[test]
fn what_was_asked_for_is_shared_and_no_more() {
    let host = Host::with_busybox();
    let container = host.start(["--network=host", "--userns=host", "busybox", "sleep", "1000"]);
    let (init, own) = (container.pid(), std::process::id().cast_signed());
    for (kind, shared) in
        [("net", true), ("user", true), ("mnt", false), ("pid", false), ("ipc", false), ("cgroup", false)]
    {
        let host_side = if kind == "net" { Some(host.net_inode()) } else { processes::namespace(own, kind) };
        assert_eq!(processes::namespace(init, kind) == host_side, shared, "{kind}");
    }
    assert_eq!(processes::status(init, "Seccomp").as_deref(), Some("2"));
}
