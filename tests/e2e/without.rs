//! `--without`: a container that lacks one isolation, and nothing else.

use tests::{Host, Output, processes};

/// The kinds of namespaces that may be left out, with the file below /proc/PID/ns.
const KINDS: [(&str, &str); 5] =
    [("pid", "pid"), ("net", "net"), ("uts", "uts"), ("ipc", "ipc"), ("cgroup", "cgroup")];

/// What a container of these flags sees of itself: a line for each of the kinds, its users, its filter, its capabilities.
fn seen(host: &Host, flags: &[&str]) -> Output {
    let script = "for kind in pid net uts ipc cgroup user mnt; do readlink /proc/self/ns/$kind; done; \
                  cat /proc/self/uid_map; grep -E '^(Seccomp|CapEff):' /proc/self/status";
    host.mini(["run", "--rm"]).args(flags).args(["busybox", "sh", "-c", script]).run().ok()
}

/// The host's namespace of a kind, as readlink(1) shows it.
fn of_host(host: &Host, kind: &str) -> String {
    let own = || processes::namespace(std::process::id().cast_signed(), kind).expect("our own");
    let inode = if kind == "net" { host.net_inode() } else { own() };
    format!("{kind}:[{inode}]")
}

#[test]
fn one_namespace_is_the_hosts_and_everything_else_is_as_ever() {
    let host = Host::with_busybox();
    for (left_out, missing) in KINDS {
        let output = seen(&host, &["--without", left_out]);
        for kind in ["pid", "net", "uts", "ipc", "cgroup", "user", "mnt"] {
            let shared = output.text().contains(&of_host(&host, kind));
            assert_eq!(shared, kind == missing, "{kind} without {left_out}: {output}");
        }
        assert!(!output.lines().iter().any(|line| line.split_whitespace().nth(1) == Some("0")), "{output}");
        output.stdout_has("Seccomp:\t2").stdout_lacks("CapEff:\t000001ff");
    }
    let all = seen(&host, &["--without=pid,net", "--without", "uts,ipc,cgroup"]);
    for (_, kind) in KINDS {
        assert!(all.text().contains(&of_host(&host, kind)), "{kind}: {all}");
    }
    assert!(!all.text().contains(&of_host(&host, "user")), "{all}");
}

#[test]
fn what_leaks_is_there_to_be_seen() {
    let host = Host::with_busybox();
    let sees = |flags: &[&str], script: &str| {
        host.mini(["run", "--rm"]).args(flags).args(["busybox", "sh", "-c", script]).run().ok().text()
    };
    // Our own process is among the host's.
    let ours = std::process::id().to_string();
    let found = format!("test -d /proc/{ours} && echo seen || echo hidden");
    assert_eq!(sees(&["--without", "pid"], &found), "seen\n");
    assert_eq!(sees(&[], &found), "hidden\n");
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(sees(&["--without", "uts"], "hostname"), format!("{name}\n"));
    assert_ne!(sees(&[], "hostname"), format!("{name}\n"));
    assert!(sees(&["--without", "net"], "ls /sys/class/net; cat /proc/net/dev").contains("mini0"));
    let group = sees(&["--without", "cgroup"], "cat /proc/self/cgroup");
    assert!(group.contains(&host.cgroup_parent()), "{group}");
    assert!(!sees(&[], "cat /proc/self/cgroup").contains(&host.cgroup_parent()));
}

#[test]
fn the_filter_and_the_limit_of_capabilities_may_be_left_out() {
    let host = Host::with_busybox();
    seen(&host, &["--without", "seccomp"]).stdout_has("Seccomp:\t0").stdout_lacks("CapEff:\t000001ff");
    let all = seen(&host, &["--without", "caps"]).stdout_has("CapEff:\t000001ff");
    // It has them over its own namespaces, where its root is nobody outside.
    assert!(!all.text().contains(&of_host(&host, "user")), "{all}");
    host.mini(["run", "--rm", "--without", "caps", "busybox", "hostname", "renamed"]).run().ok();
    assert!(!host.mini(["run", "--rm", "busybox", "hostname", "renamed"]).run().status.success());
}

#[test]
fn it_is_still_left_out_at_the_next_start_and_said_in_other_words() {
    let host = Host::with_busybox();
    let container = host.start(["--without", "pid,seccomp", "--name", "box", "busybox", "sleep", "1000"]);
    let shared = |pid: i32| {
        processes::namespace(pid, "pid") == processes::namespace(std::process::id().cast_signed(), "pid")
    };
    assert!(shared(container.pid()));
    host.mini(["restart", "-t", "0", "box"]).run().ok();
    assert!(shared(container.pid()));
    assert_eq!(processes::status(container.pid(), "Seccomp").as_deref(), Some("0"));
    let line = host.mini(["inspect", "--as-run", "box"]).run().ok().line();
    for part in ["--pid host", "--userns private", "seccomp=unconfined"] {
        assert!(line.contains(part), "no {part}: {line}");
    }
    container.remove();
}

/// Nothing gives a container the host's root.
#[test]
fn the_hosts_root_is_not_given_away() {
    let host = Host::with_busybox();
    for (flags, complaints) in [
        (&["--without", "user"][..], &["--without user", "the host's root", "unshare -Ur", "mini learn"][..]),
        (&["--without", "pid,user"], &["--without user"]),
        (&["--without", "mnt"], &["--without mnt", "over the host's own"]),
        (&["--without", "pid", "--privileged"], &["--privileged", "the host's root"]),
        (&["--without", "net", "--userns=host"], &["--userns=host", "the host's root"]),
        (&["--without", "pid", "--pid", "host"], &["--without and --pid"]),
        (&["--without", "net", "--network", "none"], &["--without and --network"]),
        (&["--without", "everything"], &["everything", "--without", "seccomp"]),
    ] {
        host.mini(["run", "--rm"]).args(flags).args(["busybox", "true"]).run().error(125, complaints);
    }
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

/// A command line of mini in a user namespace that is thrown away: root there is root here, and nothing else is anybody.
fn thrown_away(host: &Host, words: &[&str]) -> tests::Mini {
    let mut command = std::process::Command::new("unshare");
    // Its first process waits for all others: with it the monitor would end, which tidies up when the client has gone.
    let first = "import os, subprocess, sys\ncode = subprocess.call(sys.argv[1:])\n\
                 try:\n    while True: os.wait()\nexcept ChildProcessError: sys.exit(code)";
    command.args(["-Urmnipuf", "--mount-proc", "python3", "-c", first]).arg(host.binary()).args(words);
    command.env_clear().envs(host.environment());
    tests::Mini::new(command)
}

/// There the users may be left out too, and what leaks is the host's root, as far as that namespace has it.
#[test]
fn in_a_throwaway_user_namespace_the_users_may_be_left_out() {
    let host = Host::with_busybox();
    let shared = host.work().join("shared");
    std::fs::create_dir(&shared).expect("mkdir");
    let volume = format!("{}:/shared", shared.display());
    let owner = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(shared.join(name)).expect("it was made").uid()
    };
    let script =
        "readlink /proc/self/ns/user; cat /proc/self/uid_map; touch /shared/leaked; echo >/dev/null; id -u";
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &volume,
        "--without",
        "user",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    let output = thrown_away(&host, &run).run().ok();
    let lines = output.lines();
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "0", "1"], "{output}");
    assert_eq!(lines.last().map(String::as_str), Some("0"), "{output}");
    assert_ne!(lines[0], of_host(&host, "user"), "{output}");
    assert_eq!(owner("leaked"), 0, "without users of its own its root is ours");
    let several = [
        "run",
        "--rm",
        "--network",
        "none",
        "--without",
        "user,pid,uts,ipc,seccomp,caps",
        "busybox",
        "hostname",
    ];
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    thrown_away(&host, &several).run().ok().stdout(&format!("{name}\n"));
    thrown_away(&host, &["run", "--rm", "--without", "mnt", "busybox", "true"])
        .run()
        .error(125, &["--without mnt"]);
}
