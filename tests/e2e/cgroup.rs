//! Limits, proved by their effect; and where a container's cgroups lie.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use tests::{Container, Host, cgroups, skip, wait};

/// Spins on every processor.
const BUSY: &str = "while :; do :; done & while :; do :; done";

/// CPU time that a container has used.
fn used(container: &Container<'_>) -> Duration {
    let hierarchy = cgroups::with_controller("cpuacct")
        .or_else(|| cgroups::with_controller("cpu"))
        .expect("a cpu controller");
    let directory = cgroups::of_process(container.pid(), &hierarchy).expect("in every hierarchy");
    if hierarchy.v2 {
        return Duration::from_micros(stat(&directory.join("cpu.stat"), "usage_usec"));
    }
    let text = fs::read_to_string(directory.join("cpuacct.usage")).expect("cpuacct.usage");
    Duration::from_nanos(text.trim().parse().expect("a number"))
}

/// One line of a file of names and numbers.
fn stat(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn thirty_percent_of_a_cpu_are_thirty_percent() {
    let host = Host::with_busybox();
    let container = host.start(["--cpus", "0.3", "busybox", "sh", "-c", BUSY]);
    let stats = container.cgroup("cpu").join("cpu.stat");
    wait::until("the first throttled period", || (stat(&stats, "nr_throttled") > 0).then_some(()));
    let (began, before, throttled) = (Instant::now(), used(&container), stat(&stats, "nr_throttled"));
    // Twenty periods of 100 ms in which it wanted more than it got.
    wait::until("twenty throttled periods", || {
        (stat(&stats, "nr_throttled") >= throttled + 20).then_some(())
    });
    let share = (used(&container) - before).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!((0.2..=0.36).contains(&share), "{share:.3} of a CPU instead of 0.3");
}

#[test]
fn cpu_shares_decide_who_gets_more() {
    let host = Host::with_busybox();
    let favoured = host.start(["--cpu-shares", "2048", "busybox", "sh", "-c", BUSY]);
    let other = host.start(["-c", "128", "busybox", "sh", "-c", BUSY]);
    let (a, b) = (used(&favoured), used(&other));
    let total = || (used(&favoured) - a) + (used(&other) - b);
    wait::until("three seconds of CPU time", || (total() > Duration::from_secs(3)).then_some(()));
    let ratio = (used(&favoured) - a).as_secs_f64() / (used(&other) - b).as_secs_f64().max(1e-9);
    assert!(ratio > 3.0, "shares of 16 to 1 gave {ratio:.2} to 1");
}

#[test]
fn an_oom_kill_of_the_command_is_named() {
    let host = Host::with_busybox();
    let eat = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
    host.mini(["run", "--name", "box", "-m", "32m", "busybox"]).args(eat).run().code(137);
    let state = host.mini(["inspect", "box"]).run().ok().json()[0]["State"].take();
    assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&true.into(), &137.into()));
    let why = state["Error"].as_str().unwrap_or_default();
    assert!(why.contains("memory") && why.contains("32"), "names the limit: {state}");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (137)");
}

#[test]
fn an_oom_kill_of_a_child_is_recorded_too() {
    let host = Host::with_busybox();
    let script = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived $?";
    let output = host.mini(["run", "--name", "box", "-m", "32m", "busybox", "sh", "-c", script]).run().ok();
    output.stdout("survived 137\n");
    assert_eq!(host.mini(["inspect", "box"]).run().ok().json()[0]["State"]["OOMKilled"], true);
}

#[test]
fn without_a_limit_nothing_is_oom_killed() {
    let host = Host::with_busybox();
    let eat = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
    host.mini(["run", "--name", "box", "busybox"]).args(eat).run().ok();
    assert_eq!(host.mini(["inspect", "box"]).run().ok().json()[0]["State"]["OOMKilled"], false);
}

#[test]
fn a_memory_limit_takes_units_and_is_what_the_kernel_has() {
    let host = Host::with_busybox();
    for (text, bytes) in
        [("33554432", 33_554_432), ("32m", 33_554_432), ("65536k", 67_108_864), ("1g", 1 << 30)]
    {
        let container = host.start(["-m", text, "busybox", "sleep", "1000"]);
        let limit = container.cgroup_file("memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(limit, bytes.to_string());
        assert_eq!(container.field("/HostConfig/Memory"), bytes);
        container.remove();
    }
}

#[test]
fn a_pids_limit_refuses_the_fork_beyond_it() {
    let host = Host::with_busybox();
    let script = "for i in $(seq 30); do sleep 1000 & done; echo not reached";
    let output = host.mini(["run", "--rm", "--pids-limit", "10", "busybox", "sh", "-c", script]).run();
    assert!(!output.status.success());
    output.stderr_has("can't fork").stdout("");
}

#[test]
fn exec_counts_towards_the_pids_limit() {
    let host = Host::with_busybox();
    let container =
        host.start(["--pids-limit", "6", "busybox", "sh", "-c", "sleep 1000 & sleep 1000 & wait"]);
    let script = "sleep 1000 & sleep 1000 & sleep 1000 & echo not reached";
    container.sh(script).stdout("").stderr_has("can't fork");
}

#[test]
fn there_is_a_pids_limit_by_default() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let limit = container.cgroup_file("pids", "pids.max", "pids.max");
    assert_ne!(limit, "max");
    let unlimited = host.start(["--pids-limit", "-1", "busybox", "sleep", "1000"]);
    assert_eq!(unlimited.cgroup_file("pids", "pids.max", "pids.max"), "max");
}

#[test]
fn limits_beyond_reason_are_refused() {
    let host = Host::with_busybox();
    let run = |option: &str, value: &str| {
        host.mini(["run", "--rm", &format!("{option}={value}"), "busybox", "true"]).run()
    };
    run("--memory", "1k").error(125, &["--memory", "6m"]);
    run("--cpus", "1000").error(125, &["1000"]);
    run("--cpus", "-1").error(125, &["-1"]);
    run("--cpu-shares", "-5").code(125).stderr_has("-5");
}

#[test]
fn what_the_host_cannot_enforce_is_refused_with_the_remedy() {
    let host = Host::with_busybox();
    let Some(pids) = cgroups::with_controller("pids").filter(|hierarchy| !hierarchy.v2) else {
        return skip("cgroup version 2 alone: a controller cannot be taken away from one test's view");
    };
    for (controller, option, value) in
        [("memory", "-m", "64m"), ("cpu", "--cpus", "0.5"), ("pids", "--pids-limit", "9")]
    {
        let Some(hierarchy) = cgroups::with_controller(controller) else { continue };
        // In this host's mounts alone.
        unmount(&hierarchy.mount, UnmountFlags::DETACH).expect("take the controller away");
        let output = host.mini(["run", "--rm", option, value, "busybox", "true"]).run();
        output.error(125, &[option, controller]).hints(controller);
    }
    assert!(!pids.mount.join("pids.max").exists());
    host.mini(["run", "--rm", "busybox", "echo", "without limits"]).run().ok().stdout("without limits\n");
}

#[test]
fn it_lies_below_the_configured_parent_and_goes_with_the_container() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    for controller in ["cpu", "memory", "pids"] {
        let directory = container.cgroup(controller);
        let path = directory.to_string_lossy();
        assert!(path.contains(&host.cgroup_parent()) && path.contains(container.short()), "{path}");
    }
    let own = std::process::id().cast_signed();
    for hierarchy in cgroups::hierarchies() {
        let theirs = cgroups::of_process(container.pid(), &hierarchy).expect("in every hierarchy");
        let ours = cgroups::of_process(own, &hierarchy).expect("in every hierarchy");
        assert_ne!(theirs, ours, "{hierarchy:?}: it ends with its caller's service");
    }
    container.remove();
}

#[test]
fn from_inside_its_cgroup_is_the_root() {
    let host = Host::with_busybox();
    let output = host.mini(["run", "--rm", "busybox", "cat", "/proc/self/cgroup"]).run().ok();
    for line in output.lines() {
        assert!(line.ends_with(":/"), "{output}");
    }
}

#[test]
fn rm_f_takes_a_frozen_container_away() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let freezer = cgroups::with_controller("freezer");
    let unified = cgroups::hierarchies().into_iter().find(|hierarchy| hierarchy.v2);
    let hierarchy = freezer.or(unified).expect("some way to freeze");
    let directory = cgroups::of_process(container.pid(), &hierarchy).expect("in every hierarchy");
    let (file, word) = if hierarchy.v2 { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
    fs::write(directory.join(file), word).expect("freeze it");
    // A task frozen by version 1 ignores SIGKILL until it thaws.
    host.mini(["rm", "-f", "box"]).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}
