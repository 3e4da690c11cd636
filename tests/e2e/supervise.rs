//! The supervisor: what a forked monitor must shed, and what remains true when it, or its client, is killed.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use tests::{Container, Host, Mini, cgroups, processes};

/// `mini run -d ARGS…` from a shell that says first what is to be inherited.
fn from_a_shell<'host>(host: &'host Host, before: &str, args: &str) -> Container<'host> {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{before}; exec {} run -d {args}", host.binary().display())]);
    command.env_clear().envs(host.environment());
    Container::new(host, Mini::new(command).run().ok().line())
}

#[test]
fn a_monitor_keeps_no_descriptor_of_its_caller() {
    let host = Host::with_busybox();
    fs::write(host.work().join("secret"), "x").expect("write");
    let before = format!("exec 9<{0}/secret 63<{0}/secret", host.work().display());
    let container = from_a_shell(&host, &before, "busybox sleep 1000");
    for pid in [container.monitor(), container.pid()] {
        let links: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("it runs")
            .flatten()
            .map(|entry| (entry.file_name(), fs::read_link(entry.path()).unwrap_or_default()))
            .collect();
        assert!(!links.iter().any(|(_, target)| target.ends_with("secret")), "{links:?}");
    }
    for stream in 0..3 {
        let target = fs::read_link(format!("/proc/{}/fd/{stream}", container.monitor())).expect("it is open");
        assert_eq!(target.to_str(), Some("/dev/null"));
    }
    container.sh("ls /proc/1/fd").ok().stdout("0\n1\n2\n");
}

#[test]
fn a_monitor_stands_in_the_root_directory_and_hides_its_arguments() {
    let host = Host::with_busybox();
    let before = format!("cd {}; export TOKEN=env-secret", host.work().display());
    let container = from_a_shell(&host, &before, "-e PASSWORD=arg-secret busybox sleep 1000");
    let monitor = container.monitor();
    assert_eq!(fs::read_link(format!("/proc/{monitor}/cwd")).expect("it runs").to_str(), Some("/"));
    for file in ["cmdline", "environ"] {
        let text = processes::proc_file(monitor, file).expect("it runs");
        assert!(!text.contains("secret"), "{file}: {text:?}");
    }
    assert!(processes::command_line(monitor).contains(container.short()), "ps says whose it is");
}

#[test]
fn a_monitor_is_single_threaded_and_leads_its_own_session() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let monitor = container.monitor();
    assert_eq!(fs::read_dir(format!("/proc/{monitor}/task")).expect("it runs").count(), 1);
    let stat = processes::proc_file(monitor, "stat").expect("it runs");
    let after_name: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!(after_name[3], monitor.to_string(), "session");
    assert_eq!(after_name[4], "0", "no controlling terminal");
}

#[test]
fn a_detached_monitor_leaves_its_callers_cgroups() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let own = std::process::id().cast_signed();
    for hierarchy in cgroups::hierarchies() {
        let theirs = cgroups::of_process(container.monitor(), &hierarchy).expect("in every hierarchy");
        let ours = cgroups::of_process(own, &hierarchy).expect("in every hierarchy");
        let payload = cgroups::of_process(container.pid(), &hierarchy).expect("in every hierarchy");
        assert_ne!(theirs, ours, "{hierarchy:?}: ends with its caller's service");
        if hierarchy.controllers.iter().any(|name| ["memory", "cpu", "pids"].contains(&name.as_str())) {
            assert_ne!(theirs, payload, "{hierarchy:?}: counted with the payload, and killed with it");
        }
    }
}

#[test]
fn the_payload_inherits_nothing_odd() {
    let host = Host::with_busybox();
    let before = "trap '' PIPE HUP USR1 CHLD; umask 077; ulimit -S -n 64; ulimit -c 0; \
                  renice -n 7 $$ > /dev/null; taskset -pc 0 $$ > /dev/null";
    let shell = "exec setarch -R bash -c";
    let script = "grep -E '^(Sig(Blk|Ign)|ShdPnd|SigPnd|Cpus_allowed_list)' /proc/self/status; umask; \
                  cut -d' ' -f19 /proc/self/stat; cat /proc/self/personality 2>/dev/null || true; ulimit -S -n";
    let plain = {
        let container = host.start(["busybox", "sleep", "1000"]);
        let text = container.sh(script).ok().text();
        let init = container
            .sh("grep -E '^Sig(Blk|Ign)' /proc/1/status; umask; cut -d' ' -f19 /proc/1/stat")
            .ok()
            .text();
        (text, init)
    };
    for mask in ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"] {
        assert!(plain.0.contains(mask) && plain.1.contains(mask), "{plain:?}");
    }
    let inner = format!("{} run --rm busybox sh -c \"$0\"", host.binary().display());
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{before}; {shell} '{inner}' \"$0\""), script]);
    command.env_clear().envs(host.environment());
    let odd = Mini::new(command).run().ok();
    assert_eq!(odd.text(), plain.0, "signals, umask, nice, affinity, personality or limits were inherited");
}

#[test]
fn exec_passes_on_nothing_odd_either() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let script = "grep -E '^(Sig(Blk|Ign)|Cpus_allowed_list)' /proc/self/status; umask; cut -d' ' -f19 /proc/self/stat";
    let plain = container.sh(script).ok().text();
    let before = "trap '' PIPE HUP USR1; umask 077; renice -n 7 $$ > /dev/null; taskset -pc 0 $$ > /dev/null";
    let inner = format!("exec {} exec {} sh -c \"$0\"", host.binary().display(), container.id);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{before}; {inner}"), script]).env_clear().envs(host.environment());
    assert_eq!(Mini::new(command).run().ok().text(), plain);
}

#[test]
fn a_killed_monitor_takes_its_container_with_it_and_ps_says_so() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let (init, monitor) = (container.pid(), container.monitor());
    processes::kill(monitor);
    processes::wait_for_end(init);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (137)");
    let state = container.field("/State");
    assert!(state["Error"].as_str().is_some_and(|why| why.contains("monitor lost")), "{state}");
    host.mini(["ps", "-q"]).run().ok().stdout("");
    host.mini(["rm", "box"]).run().ok();
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn a_client_whose_monitor_is_killed_says_so() {
    let host = Host::with_busybox();
    let mut client = host.spawn(["run", "--name", "box", "busybox", "sh", "-c", "echo ready; sleep 1000"]);
    assert_eq!(client.line(), "ready");
    let pid = host.mini(["inspect", "box"]).run().ok().json()[0]["State"]["Pid"].as_i64().expect("a number");
    let init = i32::try_from(pid).expect("a process number");
    processes::kill(processes::status(init, "PPid").expect("it runs").parse().expect("a number"));
    client.wait().error(125, &["monitor"]);
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn sigterm_to_the_monitor_of_an_attached_container_stops_it() {
    let host = Host::with_busybox();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut client = host.spawn(["run", "--name", "box", "busybox", "sh", "-c", script]);
    assert_eq!(client.line(), "ready");
    let container = Container::new(
        &host,
        host.mini(["inspect", "box"]).run().ok().json()[0]["Id"].as_str().expect("an id").into(),
    );
    let pidfd = processes::open(container.monitor()).expect("it runs");
    processes::signal(&pidfd, Signal::TERM);
    client.wait().code(5);
}

#[test]
fn a_container_without_network_and_log_reader_fills_no_pipe() {
    let host = Host::with_busybox();
    // A megabyte with nobody attached: a monitor that did not read would stop the payload at 64 KiB.
    let container =
        host.start(["--network", "none", "busybox", "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"]);
    assert_eq!(container.wait()["ExitCode"], 0);
}
