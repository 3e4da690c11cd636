//! Limits beyond the everyday, proved by what the kernel does; and control groups in places of a container's own.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tests::{Container, Host, Loopback, cgroups, processes, skip, wait};

/// Whether controllers are version 2's.
fn version_2() -> bool {
    cgroups::with_controller("pids").is_some_and(|hierarchy| hierarchy.v2)
}

/// A file of the container's group that controls disks, which has another name in each version.
#[track_caller]
fn disk_file(container: &Container<'_>, v1: &str, v2: &str) -> String {
    container.cgroup_file(if version_2() { "io" } else { "blkio" }, v1, v2)
}

/// A line of /proc/self/status as a container's program sees it.
#[track_caller]
fn allowed(container: &Container<'_>, what: &str) -> String {
    let text = container.sh(&format!("grep {what}: /proc/self/status")).ok().text();
    text.split_whitespace().last().expect("a list").to_owned()
}

/// The number of the last processor.
fn last_processor() -> usize {
    std::thread::available_parallelism().expect("processors").get() - 1
}

#[test]
fn a_cpuset_is_where_programs_run() {
    let host = Host::with_busybox();
    let last = last_processor().to_string();
    let container = host.start(["--cpuset-cpus", &last, "--cpuset-mems", "0", "busybox", "sleep", "1000"]);
    let of_init = || {
        let list = processes::status(container.pid(), "Cpus_allowed_list").expect("it runs");
        assert_eq!(list, last);
    };
    of_init();
    // What comes later by exec is in it too, and can count on it.
    assert_eq!(
        (allowed(&container, "Cpus_allowed_list"), allowed(&container, "Mems_allowed_list")),
        (last.clone(), "0".into())
    );
    container.sh("nproc").ok().stdout("1\n");
    assert_eq!(container.field("/HostConfig/CpusetCpus"), last);
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    of_init();
    let without = host.start(["busybox", "sleep", "1000"]);
    assert_ne!(processes::status(without.pid(), "Cpus_allowed_list").expect("it runs"), last);
}

#[test]
fn a_cpuset_that_the_host_has_not_is_refused() {
    let host = Host::with_busybox();
    for (flag, value) in [("--cpuset-cpus", "0-4095"), ("--cpuset-mems", "0,77")] {
        let run = host.mini(["run", "--rm", flag, value, "busybox", "true"]).run();
        run.error(125, &[flag, value, "not available"]);
    }
    host.mini(["run", "--rm", "--cpuset-cpus", "one", "busybox", "true"])
        .run()
        .error(125, &["--cpuset-cpus", "one"]);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn a_container_is_in_groups_of_cpusets_and_disks_only_where_it_was_asked_for() {
    if version_2() {
        return skip("cgroup version 2: there is one group for all controllers");
    }
    let host = Host::with_busybox();
    let plain = host.start(["busybox", "sleep", "1000"]);
    let asked = host.start(["--cpuset-cpus", "0", "--blkio-weight", "300", "busybox", "sleep", "1000"]);
    for controller in ["cpuset", "blkio"] {
        let inside = |container: &Container<'_>| container.cgroup(controller).ends_with(&container.id);
        assert_eq!([inside(&plain), inside(&asked)], [false, true], "{controller}");
    }
    // What it sees of them is its own; of those that it is not in it would be its caller's.
    plain.sh("ls -d /sys/fs/cgroup/cpuset /sys/fs/cgroup/blkio").code(1).stdout("");
    let script = "cd /sys/fs/cgroup; cat cpuset/cpuset.cpus; ls cpuset/release_agent blkio/release_agent";
    asked.sh(script).code(1).stdout("0\n");
    let groups = ["cpuset", "blkio"].map(|controller| asked.cgroup(controller));
    asked.remove();
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

#[test]
fn a_reservation_of_memory_is_what_the_kernel_has() {
    let host = Host::with_busybox();
    let flags = ["-m", "64m", "--memory-reservation", "32m"];
    let container = host.start([&flags[..], &["busybox", "sleep", "1000"]].concat());
    let kernel = |container: &Container<'_>| {
        container.cgroup_file("memory", "memory.soft_limit_in_bytes", "memory.low")
    };
    assert_eq!(kernel(&container), (32 << 20).to_string());
    assert_eq!(container.field("/HostConfig/MemoryReservation"), 32 << 20);
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    assert_eq!(kernel(&container), (32 << 20).to_string());
    let run = |value: &str| {
        host.mini(["run", "--rm", "-m", "64m", "--memory-reservation", value, "busybox", "true"]).run()
    };
    run("65m").error(125, &["--memory-reservation", "--memory"]);
    run("1m").error(125, &["--memory-reservation", "6m"]);
}

#[test]
fn swappiness_is_version_1s() {
    let host = Host::with_busybox();
    let run = |value: &str| {
        host.mini(["run", "-d", "--memory-swappiness", value, "busybox", "sleep", "1000"]).run()
    };
    run("101").error(125, &["--memory-swappiness", "100"]);
    if version_2() {
        run("7").error(125, &["--memory-swappiness", "version 2"]).hints("--memory-swappiness");
        return;
    }
    let container = Container::new(&host, run("7").ok().line());
    assert_eq!(container.cgroup_file("memory", "memory.swappiness", ""), "7");
    assert_eq!(container.field("/HostConfig/MemorySwappiness"), 7);
    let unset = Container::new(&host, run("-1").ok().line());
    assert_eq!(unset.field("/HostConfig/MemorySwappiness"), serde_json::Value::Null);
}

#[test]
fn without_the_oom_killer_a_process_waits_for_memory_and_can_be_removed() {
    let host = Host::with_busybox();
    // Page by page, by the program itself: a system call that finds no memory fails instead of waiting.
    let eat = ["busybox", "awk", "BEGIN { for (x = \"x\"; length(x) < 300000000;) x = x x }"];
    let run = |flags: &[&str]| host.mini(["run", "-d", "--oom-kill-disable"]).args(flags).args(eat).run();
    if version_2() {
        run(&["-m", "32m"]).error(125, &["--oom-kill-disable", "version 2"]).hints("--oom-kill-disable");
        return;
    }
    let output = run(&["-m", "32m"]).ok();
    let container = Container::new(&host, output.line());
    wait::until("a process that waits for memory", || {
        let control = container.cgroup_file("memory", "memory.oom_control", "");
        control.contains("under_oom 1").then_some(())
    });
    let control = container.cgroup_file("memory", "memory.oom_control", "");
    assert!(control.contains("oom_kill_disable 1") && control.contains("oom_kill 0"), "{control}");
    assert_eq!(container.field("/HostConfig/OomKillDisable"), true);
    container.remove();
    // Without a limit it is the host that may run out.
    let warned = host.mini(["run", "--rm", "--oom-kill-disable", "busybox", "true"]).run().ok();
    warned.stderr_has("--memory");
}

#[test]
fn kernel_memory_is_refused_by_name() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "--kernel-memory", "50m", "busybox", "true"])
        .run()
        .error(125, &["--kernel-memory"]);
}

#[test]
fn the_weight_of_disk_traffic_is_what_the_kernel_has() {
    let host = Host::with_busybox();
    let disk = Loopback::new(&host, 1 << 20);
    let run = |flags: &[&str]| host.mini(["run", "-d"]).args(flags).args(["busybox", "sleep", "1000"]).run();
    let output = run(&["--blkio-weight", "300"]);
    if !output.status.success() {
        // A kernel without BFQ and, on version 2, without its own cost model.
        output.error(125, &["--blkio-weight"]);
        return skip("this kernel has no weights of disk traffic");
    }
    let container = Container::new(&host, output.line());
    let group = container.cgroup(if version_2() { "io" } else { "blkio" });
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let files = ["blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight"];
    let weight = files.iter().find_map(|file| read(file)).expect("a weight");
    assert!(["300", "default 300", "default 2930"].contains(&weight.trim()), "{weight}");
    assert_eq!(container.field("/HostConfig/BlkioWeight"), 300);
    for bad in ["9", "1001"] {
        run(&["--blkio-weight", bad]).error(125, &["--blkio-weight", bad]);
    }

    let scheduler =
        PathBuf::from("/sys/block").join(disk.path().file_name().expect("a name")).join("queue/scheduler");
    if fs::write(&scheduler, "bfq").is_err() {
        return skip("this kernel's disks cannot have the BFQ scheduler");
    }
    let single = format!("{}:200", disk.name());
    let container = Container::new(&host, run(&["--blkio-weight-device", &single]).ok().line());
    let weights = disk_file(&container, "blkio.bfq.weight_device", "io.bfq.weight");
    assert!(weights.contains(&format!("{} 200", disk.numbers())), "{weights}");
    assert_eq!(container.field("/HostConfig/BlkioWeightDevice/0/Weight"), 200);
    fs::write(&scheduler, "none").expect("put the scheduler back");
    run(&["--blkio-weight-device", &single]).error(125, &["--blkio-weight-device"]).hints("bfq");
}

#[test]
fn rates_of_a_disk_are_what_the_kernel_has_and_traffic_is_counted() {
    let host = Host::with_busybox();
    let disk = Loopback::new(&host, 1 << 20);
    let value = |rate: &str| format!("{}:{rate}", disk.name());
    let flags = [
        ("--device-read-bps", value("1mb")),
        ("--device-write-bps", value("2097152")),
        ("--device-read-iops", value("100")),
        ("--device-write-iops", value("200")),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|(flag, value)| [*flag, value]).collect();
    let container = host.start([&flags[..], &["--device", disk.name(), "busybox", "sleep", "1000"]].concat());
    let kernel = |container: &Container<'_>| {
        let numbers = disk.numbers();
        if version_2() {
            let text = disk_file(container, "", "io.max");
            assert_eq!(text, format!("{numbers} rbps=1048576 wbps=2097152 riops=100 wiops=200"));
            return;
        }
        for (file, rate) in [
            ("blkio.throttle.read_bps_device", 1 << 20),
            ("blkio.throttle.write_bps_device", 2 << 20),
            ("blkio.throttle.read_iops_device", 100),
            ("blkio.throttle.write_iops_device", 200),
        ] {
            assert_eq!(disk_file(container, file, ""), format!("{numbers} {rate}"));
        }
    };
    kernel(&container);
    container.sh(&format!("dd if=/dev/zero of={} bs=4k count=16 oflag=direct", disk.name())).ok();
    let stats =
        host.mini(["stats", "--no-stream", "--format", "json", &container.id]).run().ok().json_lines();
    let traffic = stats[0]["BlockIO"].as_str().expect("BlockIO");
    assert!(traffic.ends_with(" / 65.5kB"), "what was written is counted: {traffic}");
    assert_eq!(
        container.field("/HostConfig/BlkioDeviceReadBps"),
        serde_json::json!([{ "Path": disk.path(), "Rate": 1 << 20 }])
    );
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    kernel(&container);
}

#[test]
fn rates_of_what_is_no_disk_are_refused() {
    let host = Host::with_busybox();
    for (value, complaint) in [
        ("/dev/null:1mb", "no block device"),
        ("/dev/no-such:1mb", "no block device"),
        ("/etc/passwd:1", "below /dev"),
    ] {
        let run = host.mini(["run", "--rm", "--device-read-bps", value, "busybox", "true"]).run();
        run.error(125, &[value.split(':').next().expect("a path"), complaint]);
    }
    let run = host.mini(["run", "--rm", "--device-read-iops", "/dev/loop0:1k", "busybox", "true"]).run();
    run.error(125, &["--device-read-iops", "1k"]);
}

/// Gives a process the realtime scheduler, as the host's root; what chrt(1) says where it cannot.
fn make_realtime(pid: i32) -> Result<(), String> {
    let pid = pid.to_string();
    let output =
        std::process::Command::new("chrt").args(["--rr", "--pid", "1", &pid]).output().expect("chrt");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn realtime_is_given_out_of_what_the_groups_above_have() {
    let host = Host::with_busybox();
    let run = |runtime: &str| {
        host.mini(["run", "-d", "--cpu-rt-runtime", runtime, "busybox", "sleep", "1000"]).run()
    };
    let cpu = cgroups::with_controller("cpu").expect("a cpu controller");
    if cpu.v2 || !cpu.mount.join("cpu.rt_runtime_us").exists() {
        run("100000").error(125, &["--cpu-rt-runtime"]).hints("--cpu-rt-runtime");
        return skip("this kernel has no realtime in control groups");
    }
    let plain = host.start(["busybox", "sleep", "1000"]);
    assert!(make_realtime(plain.pid()).is_err(), "nothing is given without being asked for");
    let first = Container::new(&host, run("100000").ok().line());
    make_realtime(first.pid()).expect("its group has realtime");
    let second = Container::new(&host, run("150000").ok().line());
    let has =
        |group: &Path| fs::read_to_string(group.join("cpu.rt_runtime_us")).expect("read").trim().to_owned();
    let group = second.cgroup("cpu");
    assert_eq!((has(&group), has(group.parent().expect("its parent"))), ("150000".into(), "250000".into()));
    assert_eq!(second.field("/HostConfig/CpuRealtimeRuntime"), 150_000);
    run("990000").error(125, &["--cpu-rt-runtime"]).hints("sched_rt_runtime_us");
    let more = host
        .mini(["run", "--rm", "--cpu-rt-period", "1000", "--cpu-rt-runtime", "2000", "busybox", "true"])
        .run();
    more.error(125, &["--cpu-rt-runtime", "--cpu-rt-period"]);
}

/// Every directory of the test's parent and below that is not `monitor`, in the hierarchy of pids.
fn places(host: &Host) -> Vec<PathBuf> {
    let tops = cgroups::directories_of(&host.cgroup_parent());
    let mut all: Vec<_> = tops.iter().flat_map(|top| cgroups::below(top)).collect();
    all.retain(|group| !group.ends_with("monitor"));
    all
}

/// Takes away what stays by design: the groups that containers asked to get theirs in.
fn remove_parents(host: &Host) {
    for group in places(host).iter().rev() {
        fs::remove_dir(group).unwrap_or_else(|error| panic!("remove {}: {error}", group.display()));
    }
}

#[test]
fn a_parent_of_its_own_holds_for_every_command() {
    let host = Host::with_busybox();
    let parent = format!("/{}/deep/er", host.cgroup_parent());
    let container =
        host.start(["--name", "box", "--cgroup-parent", &parent, "-m", "64m", "busybox", "sleep", "1000"]);
    let lies_there = || {
        let own = cgroups::of_process(container.pid(), &cgroups::with_controller("memory").expect("memory"));
        assert!(own.expect("in every hierarchy").ends_with(format!("deep/er/{}", container.id)));
    };
    lies_there();
    assert_eq!(container.field("/HostConfig/CgroupParent"), parent);
    // Another configuration changes nothing for what was made already.
    for command in ["pause", "unpause", "top"] {
        host.mini([command, "box"]).run().ok();
    }
    let stats = host.mini(["stats", "--no-stream", "--format", "json", "box"]).run().ok().json_lines();
    assert!(stats[0]["MemUsage"].as_str().is_some_and(|usage| usage.ends_with("/ 64MiB")), "{stats:?}");
    host.mini(["restart", "-t", "0", "box"]).run().ok();
    lies_there();
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    host.mini(["start", "box"]).run().ok();
    lies_there();
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["rm", "-f", "box"]).run().ok();
    let left = places(&host);
    assert!(
        !left.is_empty() && left.iter().all(|group| group.ends_with("deep") || group.ends_with("deep/er")),
        "{left:?}"
    );
    remove_parents(&host);
}

#[test]
fn a_relative_parent_is_below_the_root_too_and_one_outside_is_refused() {
    let host = Host::with_busybox();
    let parent = format!("{}/rel", host.cgroup_parent());
    let run = |parent: &str| host.mini(["run", "--rm", "--cgroup-parent", parent, "busybox", "true"]).run();
    run(&parent).ok();
    // The container's own goes after its end has been told.
    let only_the_parent = || places(&host).iter().all(|group| group.ends_with(&parent)).then_some(());
    wait::until("the end of the container's group", only_the_parent);
    for bad in ["/", "..", "/a/../../b", "./a", "a\nb"] {
        run(bad).error(125, &["--cgroup-parent"]);
    }
    remove_parents(&host);
}

#[test]
fn what_a_killed_monitor_left_below_a_parent_of_its_own_is_found() {
    let host = Host::with_busybox();
    let parent = format!("{}/own", host.cgroup_parent());
    let container =
        host.start(["--rm", "--cgroup-parent", &parent, "--cpuset-cpus", "0", "busybox", "sleep", "1000"]);
    let (init, monitor) = (container.pid(), container.monitor());
    processes::kill(monitor);
    processes::wait_for_end(init);
    let id = container.id.clone();
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has(&id[..12]);
    host.mini(["system", "check"]).run().ok().stdout("");
    assert!(!places(&host).iter().any(|group| group.ends_with(&id)), "{:?}", places(&host));
    // One that even its record does not know any more.
    let stray = "0123456789ab".repeat(6)[..64].to_owned();
    let pids = cgroups::with_controller("pids").expect("pids").mount.join(&parent).join(&stray);
    fs::create_dir(&pids).expect("make a cgroup");
    host.mini(["system", "check"]).run().code(1).stdout_has(&stray);
    host.mini(["system", "check", "--repair"]).run().ok();
    assert!(!pids.exists());
    remove_parents(&host);
}

#[test]
fn a_signal_ends_what_has_limits_of_every_kind() {
    let host = Host::with_busybox();
    let flags = [
        "-m",
        "64m",
        "--memory-reservation",
        "32m",
        "--cpuset-cpus",
        "0",
        "--cpus",
        "0.5",
        "--pids-limit",
        "20",
    ];
    let container = host.start([&flags[..], &["busybox", "sleep", "1000"]].concat());
    let init = processes::open(container.pid()).expect("it runs");
    processes::signal(&init, Signal::KILL);
    assert_eq!(container.wait()["ExitCode"], 137);
}
