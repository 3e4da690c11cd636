//! `mini update`: limits that are changed while a container runs, or before it does; all of them or none.

use std::fs;

use rustix::process::Signal;
use serde_json::json;
use tests::{Container, Host, cgroups, processes, skip, wait};

fn version_2() -> bool {
    cgroups::with_controller("pids").is_some_and(|hierarchy| hierarchy.v2)
}

/// Memory, and memory and swap together, as the kernel has them; version 2 counts swap by itself.
#[track_caller]
fn memory(container: &Container<'_>) -> (u64, u64) {
    let number = |v1, v2| container.cgroup_file("memory", v1, v2).parse().expect("a number");
    let memory: u64 = number("memory.limit_in_bytes", "memory.max");
    let swap: u64 = number("memory.memsw.limit_in_bytes", "memory.swap.max");
    (memory, if version_2() { memory + swap } else { swap })
}

#[track_caller]
fn update(host: &Host, flags: &[&str], containers: &[&str]) -> tests::Output {
    host.mini(["update"]).args(flags).args(containers).run()
}

const MIB: u64 = 1 << 20;

#[test]
fn what_runs_has_its_new_limits_at_once_and_keeps_them() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "-m", "64m", "busybox", "sleep", "1000"]);
    let init = container.pid();
    let flags = ["--cpu-shares", "512", "--cpus", "0.5", "--pids-limit", "33", "--memory-reservation", "16m"];
    update(&host, &flags, &["box"]).ok().stdout("box\n");
    let in_force = || {
        let pids = container.cgroup_file("pids", "pids.max", "pids.max");
        let shares = container.cgroup_file("cpu", "cpu.shares", "cpu.weight");
        let quota = container.cgroup_file("cpu", "cpu.cfs_quota_us", "cpu.max");
        let reserved = container.cgroup_file("memory", "memory.soft_limit_in_bytes", "memory.low");
        assert_eq!((pids.as_str(), reserved), ("33", (16 * MIB).to_string()));
        assert!(["512", "20"].contains(&shares.as_str()), "{shares}");
        assert!(["50000", "50000 100000"].contains(&quota.as_str()), "{quota}");
        assert_eq!(memory(&container), (64 * MIB, 128 * MIB), "what nobody spoke of stays");
    };
    in_force();
    assert_eq!(container.pid(), init, "it goes on running");
    for (pointer, value) in [
        ("/HostConfig/CpuShares", json!(512)),
        ("/HostConfig/NanoCpus", json!(500_000_000)),
        ("/HostConfig/PidsLimit", json!(33)),
        ("/HostConfig/MemoryReservation", json!(16 * MIB)),
        ("/HostConfig/Memory", json!(64 * MIB)),
    ] {
        assert_eq!(container.field(pointer), value, "{pointer}");
    }
    // Its monitor has the old ones in its memory.
    host.mini(["restart", "-t", "0", "box"]).run().ok();
    in_force();
    // Again while it runs, in docker's longer words, and back.
    host.mini(["container", "update", "--pids-limit", "-1", "box"]).run().ok();
    assert_eq!(container.cgroup_file("pids", "pids.max", "pids.max"), "max");
    host.mini(["kill", "box"]).run().ok();
    host.mini(["start", "box"]).run().ok();
    assert_eq!(container.cgroup_file("pids", "pids.max", "pids.max"), "max");
}

#[test]
fn memory_and_swap_are_raised_and_lowered_together() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "-m", "64m", "busybox", "sleep", "1000"]);
    assert_eq!(memory(&container), (64 * MIB, 128 * MIB));
    for (flags, expected) in [
        (&["-m", "256m", "--memory-swap", "512m"][..], (256, 512)),
        (&["-m", "32m", "--memory-swap", "48m"], (32, 48)),
        (&["-m", "40m"], (40, 48)),
        (&["--memory-swap", "100m"], (40, 100)),
        (&["-m", "100m"], (100, 100)),
    ] {
        update(&host, flags, &["box"]).ok();
        assert_eq!(memory(&container), (expected.0 * MIB, expected.1 * MIB), "{flags:?}");
        assert_eq!(container.field("/HostConfig/MemorySwap"), expected.1 * MIB, "{flags:?}");
    }
    // As docker: what is more than both together needs to be said of both.
    update(&host, &["-m", "101m"], &["box"]).error(1, &["--memory-swap"]);
    update(&host, &["--memory-swap", "50m"], &["box"]).error(1, &["--memory-swap"]);
    assert_eq!(memory(&container), (100 * MIB, 100 * MIB));
    // One that had no limit gets docker's default.
    let free = host.start(["busybox", "sleep", "1000"]);
    update(&host, &["-m", "64m"], &[&free.id]).ok();
    assert_eq!(memory(&free), (64 * MIB, 128 * MIB));
    // And its end is told by what it had at last.
    let script = "head -c 200000000 /dev/zero | tail -c 100000000 | wc -c";
    update(&host, &["-m", "8m", "--memory-swap", "8m"], &["box"]).ok();
    container.sh(script);
    host.mini(["kill", "box"]).run().ok();
    let state = container.field("/State");
    assert!(state["Error"].as_str().is_some_and(|why| why.contains("8388608")), "{state}");
}

#[test]
fn where_one_limit_cannot_be_had_none_is_changed() {
    let host = Host::with_busybox();
    let container =
        host.start(["--name", "box", "-m", "64m", "--memory-swap", "64m", "busybox", "sleep", "1000"]);
    let before = container.inspect();
    if version_2() {
        return skip("cgroup version 2: it takes any value, and ends processes where they use more");
    }
    // 40 MiB that cannot be given up.
    container.sh("head -c 41943040 /dev/zero > /dev/shm/held").ok();
    let output = update(&host, &["-m", "16m", "--memory-swap", "16m", "--cpu-shares", "77"], &["box"]);
    output.error(1, &["--memory", "busy"]).hints("stop it");
    let unchanged = || {
        assert_eq!(memory(&container), (64 * MIB, 64 * MIB));
        assert_eq!(container.cgroup_file("cpu", "cpu.shares", ""), "1024");
        assert_eq!(container.inspect()["HostConfig"], before["HostConfig"]);
    };
    unchanged();
    // The kernel takes the first ones, and refuses the last.
    let flags = [
        "-m",
        "80m",
        "--memory-swap",
        "90m",
        "--cpu-shares",
        "77",
        "--cpuset-cpus",
        "0",
        "--cpu-rt-runtime",
        "999999",
    ];
    update(&host, &flags, &["box"]).error(1, &["--cpu-rt-runtime"]);
    unchanged();
    // One that fails stops no other.
    let other = host.start(["--name", "other", "busybox", "sleep", "1000"]);
    let flags = ["-m", "16m", "--memory-swap", "16m"];
    let output = update(&host, &flags, &["box", "no-such", "other"]);
    output.error(1, &["cannot update box", "no-such"]).stdout("other\n");
    assert_eq!(memory(&other), (16 * MIB, 16 * MIB));
}

#[test]
fn what_does_not_run_has_them_when_it_starts() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "fresh", "busybox", "sleep", "1000"]).run().ok();
    host.mini(["run", "--name", "ended", "busybox", "true"]).run().ok();
    update(&host, &["-m", "64m", "--pids-limit", "9"], &["fresh", "ended"]).ok().stdout("fresh\nended\n");
    let inspect = host.mini(["inspect", "fresh", "ended"]).run().ok().json();
    for one in 0..2 {
        assert_eq!(inspect[one]["HostConfig"]["Memory"], 64 * MIB);
    }
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (0)").stdout_has("Created");
    host.mini(["start", "fresh"]).run().ok();
    let fresh = Container::only(&host);
    assert_eq!(memory(&fresh), (64 * MIB, 128 * MIB));
    assert_eq!(fresh.cgroup_file("pids", "pids.max", "pids.max"), "9");
}

#[test]
fn a_cpuset_takes_all_processes_that_run() {
    let host = Host::with_busybox();
    let script = "sleep 1000 & sleep 1000 & (sleep 1000 & exec sleep 1000) & wait";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    wait::until("its processes", || (container.commands().len() == 5).then_some(()));
    update(&host, &["--cpuset-cpus", "0"], &["box"]).ok();
    let namespace = processes::namespace(container.pid(), "pid");
    let all = processes::all().into_iter().filter(|pid| processes::namespace(*pid, "pid") == namespace);
    let lists: Vec<_> =
        all.map(|pid| processes::status(pid, "Cpus_allowed_list").unwrap_or_default()).collect();
    assert_eq!(lists, ["0"; 5]);
    container.sh("grep Cpus_allowed_list /proc/self/status").ok().stdout("Cpus_allowed_list:\t0\n");
    assert_eq!(container.field("/HostConfig/CpusetCpus"), "0");
    // The group goes with the container, although it was not made with it.
    let group = container.cgroup("cpuset");
    assert!(group.ends_with(&container.id), "{}", group.display());
    container.remove();
    assert!(!group.exists());
}

#[test]
fn a_container_with_rm_and_one_that_is_paused_or_renamed() {
    let host = Host::with_busybox();
    let container = host.start(["--rm", "--name", "box", "busybox", "sleep", "1000"]);
    host.mini(["pause", "box"]).run().ok();
    update(&host, &["--pids-limit", "5"], &["box"]).ok();
    assert_eq!(container.cgroup_file("pids", "pids.max", "pids.max"), "5");
    host.mini(["unpause", "box"]).run().ok();
    host.mini(["rename", "box", "other"]).run().ok();
    update(&host, &["--pids-limit", "6"], &["other"]).ok();
    assert_eq!(
        (container.field("/Name"), container.field("/HostConfig/PidsLimit")),
        (json!("/other"), json!(6))
    );
    host.mini(["stop", "-t", "0", "other"]).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn many_at_once_leave_one_of_what_was_asked() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let limits: Vec<String> = (0..12).map(|number| (50 + number).to_string()).collect();
    let mut running: Vec<_> =
        limits.iter().map(|limit| host.spawn(["update", "--pids-limit", limit, "box"])).collect();
    running.push(host.spawn(["rename", "box", "new"]));
    running.push(host.spawn(["restart", "-t", "0", &container.id]));
    let answers: Vec<_> = running.into_iter().map(tests::Running::wait).collect();
    for answer in &answers {
        // By the time it is looked for it may have another name.
        assert!(answer.status.success() || answer.err().contains("no such container"), "{answer}");
    }
    assert_eq!(container.field("/Name"), "/new");
    let kernel = container.cgroup_file("pids", "pids.max", "pids.max");
    assert_eq!(container.field("/HostConfig/PidsLimit").to_string(), kernel, "record and kernel agree");
    update(&host, &["--pids-limit", "7"], &["new"]).ok();
    assert_eq!(container.cgroup_file("pids", "pids.max", "pids.max"), "7");
}

#[test]
fn an_update_while_it_ends_or_starts_is_not_lost() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    for round in 0..12 {
        let limit = (100 + round).to_string();
        let other = if round % 2 == 0 { host.spawn(["kill", "box"]) } else { host.spawn(["start", "box"]) };
        update(&host, &["--pids-limit", &limit], &["box"]).ok();
        other.wait().ok();
        assert_eq!(container.field("/HostConfig/PidsLimit").to_string(), limit, "round {round}");
    }
    assert_eq!(container.cgroup_file("pids", "pids.max", "pids.max"), "111");
}

/// Ends a container's program as a crash would.
fn crash(container: &Container<'_>) {
    let init = processes::open(container.pid()).expect("it runs");
    processes::signal(&init, Signal::SEGV);
    processes::signal(&init, Signal::KILL);
}

#[test]
fn a_new_restart_policy_counts_from_the_next_end_on() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    update(&host, &["--restart", "always"], &["box"]).ok().stdout("box\n");
    assert_eq!(container.field("/HostConfig/RestartPolicy/Name"), "always");
    let first = container.pid();
    crash(&container);
    wait::until("its second run", || {
        let pid = container.field("/State/Pid");
        (pid != 0 && pid != first).then_some(())
    });
    update(&host, &["--restart", "on-failure:3"], &["box"]).ok();
    update(&host, &["--restart", "no"], &["box"]).ok();
    crash(&container);
    assert_eq!(container.wait()["Status"], "exited");
    host.mini(["start", "box"]).run().ok();
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    update(&host, &["--restart", "sometimes"], &["box"]).error(1, &["sometimes"]);
    let gone = host.start(["--rm", "busybox", "sleep", "1000"]);
    update(&host, &["--restart", "always"], &[&gone.id]).error(1, &["--rm"]);
    update(&host, &["--restart", "no"], &[&gone.id]).ok();
}

#[test]
fn what_is_started_again_and_again_has_what_was_asked_last() {
    let host = Host::with_busybox();
    let script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; exit 1";
    let container = host.start(["--name", "box", "--restart", "always", "busybox", "sh", "-c", script]);
    for limit in 100..130 {
        update(&host, &["--pids-limit", &limit.to_string()], &["box"]).ok();
        assert_eq!(container.field("/HostConfig/PidsLimit"), limit);
    }
    wait::until("a run with the last limit", || {
        container.logs().lines().last().is_some_and(|last| last == "129").then_some(())
    });
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    assert_eq!(container.field("/HostConfig/PidsLimit"), 129);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "--cpus", "0.5", "busybox", "sleep", "1000"]);
    let before = container.inspect();
    for (flags, complaint) in [
        (&[][..], "at least one"),
        (&["-m", "1k"], "--memory"),
        (&["--cpus", "1000"], "1000"),
        (&["--cpu-quota", "50000"], "--cpus"),
        (&["--cpuset-cpus", "4000"], "not available"),
        (&["--blkio-weight", "5"], "--blkio-weight"),
        (&["--kernel-memory", "50m"], "--kernel-memory"),
        (&["--memory-swap", "1g"], "--memory"),
    ] {
        update(&host, flags, &["box"]).error(1, &[complaint]);
    }
    update(&host, &["-m", "64m"], &["no-such"]).error(1, &["no-such"]);
    assert_eq!(container.inspect()["HostConfig"], before["HostConfig"]);
}

#[test]
fn a_record_that_cannot_be_written_leaves_everything_as_it_was() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "-m", "64m", "busybox", "sleep", "1000"]);
    let record = host.root().join("containers").join(&container.id);
    // Where the new one would be written first there is a directory.
    fs::create_dir(record.join("record.json.new")).expect("mkdir");
    update(&host, &["-m", "96m", "--memory-swap", "-1", "--pids-limit", "8"], &["box"])
        .error(1, &["record.json"]);
    assert_eq!(memory(&container), (64 * MIB, 128 * MIB));
    assert_eq!(container.cgroup_file("pids", "pids.max", "pids.max"), "4096");
    fs::remove_dir(record.join("record.json.new")).expect("rmdir");
    update(&host, &["-m", "96m"], &["box"]).ok();
    assert_eq!(memory(&container).0, 96 * MIB);
}

#[test]
fn period_and_quota_memory_nodes_and_realtime() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    update(&host, &["--cpu-period", "50000", "--cpu-quota", "20000", "--cpuset-mems", "0"], &["box"]).ok();
    let quota = container.cgroup_file("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(["20000", "20000 50000"].contains(&quota.as_str()), "{quota}");
    let period = container.cgroup_file("cpu", "cpu.cfs_period_us", "cpu.max");
    assert!(["50000", "20000 50000"].contains(&period.as_str()), "{period}");
    assert_eq!(container.cgroup_file("cpuset", "cpuset.mems", "cpuset.mems"), "0");
    for (pointer, value) in [
        ("/HostConfig/CpuPeriod", json!(50_000)),
        ("/HostConfig/CpuQuota", json!(20_000)),
        ("/HostConfig/CpusetMems", json!("0")),
    ] {
        assert_eq!(container.field(pointer), value, "{pointer}");
    }
    update(&host, &["--cpuset-mems", "77"], &["box"]).error(1, &["--cpuset-mems", "77"]);
    update(&host, &["--cpu-period", "5"], &["box"]).error(1, &["--cpu-period"]);
    let cpu = cgroups::with_controller("cpu").expect("a cpu controller");
    let flags = ["--cpu-rt-period", "500000", "--cpu-rt-runtime", "20000"];
    if cpu.v2 || !cpu.mount.join("cpu.rt_runtime_us").exists() {
        update(&host, &flags, &["box"]).error(1, &["--cpu-rt-"]);
        return;
    }
    update(&host, &flags, &["box"]).ok();
    assert_eq!(container.cgroup_file("cpu", "cpu.rt_runtime_us", ""), "20000");
    assert_eq!(container.cgroup_file("cpu", "cpu.rt_period_us", ""), "500000");
    assert_eq!(container.field("/HostConfig/CpuRealtimePeriod"), 500_000);
}
