//! Containers that their monitors start again: when, how often, and who may end that.

use rustix::process::Signal;
use serde_json::Value;
use tests::{Container, Host, net, processes, wait};

/// A container that counts its runs in a file of its own, says which this is, and ends as `end` says.
fn counting<'host>(host: &'host Host, flags: &[&str], end: &str) -> Container<'host> {
    let script = format!("echo x >> /runs; n=$(wc -l < /runs); echo run $n; {end}");
    host.start([flags, &["--name", "box", "busybox", "sh", "-c", &script]].concat())
}

fn status(container: &Container<'_>) -> Value {
    container.field("/State/Status")
}

/// Until it has run so often.
#[track_caller]
fn runs(container: &Container<'_>, times: usize) {
    let last = format!("run {times}\n");
    wait::until(&last, || container.logs().text().contains(&last).then_some(()));
}

/// Until it waits for its next run.
#[track_caller]
fn between(container: &Container<'_>) {
    wait::until("a container between two runs", || (status(container) == "restarting").then_some(()));
}

#[test]
fn always_is_always_until_somebody_stops_it() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "always"], "exit 0");
    runs(&container, 4);
    let state = container.inspect();
    assert!(state["RestartCount"].as_u64() >= Some(3), "{state}");
    assert_eq!(state["HostConfig"]["RestartPolicy"]["Name"], "always");
    host.mini(["stop", "box"]).run().ok().stdout("box\n");
    assert_eq!(status(&container), "exited");
    assert_eq!(container.field("/State/Restarting"), false);
    let logged = container.logs().text();
    host.mini(["start", "box"]).run().ok();
    runs(&container, logged.lines().count() + 2);
    host.mini(["rm", "-f", "box"]).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn on_failure_counts_failures_and_success_is_the_end() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "on-failure:2"], "exit 3");
    assert_eq!(container.wait()["ExitCode"], 3);
    container.logs().stdout("run 1\nrun 2\nrun 3\n");
    assert_eq!(container.field("/RestartCount"), 2);
    assert_eq!(container.field("/HostConfig/RestartPolicy/MaximumRetryCount"), 2);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (3)");
    // A user's start counts anew.
    host.mini(["start", "box"]).run().ok();
    runs(&container, 6);
    container.wait();
    assert_eq!(container.field("/RestartCount"), 2);
    container.remove();
    let container = counting(&host, &["--restart", "on-failure"], "[ $n -ge 3 ]");
    runs(&container, 3);
    wait::until("its end", || (status(&container) == "exited").then_some(()));
    let container = {
        container.remove();
        counting(&host, &["--restart=on-failure"], "exit 0")
    };
    assert_eq!(container.wait()["ExitCode"], 0);
    assert_eq!(container.field("/RestartCount"), 0);
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn what_waits_for_its_next_run_is_up_and_refuses_what_needs_a_running_one() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "always"], "exit 1");
    between(&container);
    runs(&container, 5); // By now it waits for seconds.
    between(&container);
    host.mini(["ps"]).run().ok().stdout_has("Restarting (1)").stdout_has("box");
    host.mini(["ps", "--filter", "status=restarting", "-q"])
        .run()
        .ok()
        .stdout(&format!("{}\n", container.short()));
    let state = container.field("/State");
    assert_eq!(
        (&state["Running"], &state["Restarting"], &state["Pid"]),
        (&true.into(), &true.into(), &0.into())
    );
    host.mini(["exec", "box", "true"]).run().error(1, &["restarting"]);
    host.mini(["attach", "box"]).run().error(1, &["restarting"]);
    host.mini(["pause", "box"]).run().code(1);
    host.mini(["rm", "box"]).run().error(1, &["running"]);
    host.mini(["start", "box"]).run().ok().stdout("box\n");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["stop", "box"]).run().ok().stdout("box\n");
    assert_eq!(container.field("/State/ExitCode"), 1);
    host.mini(["rm", "box"]).run().ok();
}

#[test]
fn whoever_ends_it_ends_it_for_good_running_or_waiting() {
    let host = Host::with_busybox();
    for policy in ["always", "unless-stopped"] {
        for command in [&["stop", "-t", "0", "box"][..], &["kill", "box"], &["rm", "-f", "box"]] {
            for waiting in [false, true] {
                let end = if waiting { "exit 1" } else { "sleep 1000" };
                let container = counting(&host, &["--restart", policy], end);
                if waiting {
                    runs(&container, 3);
                    between(&container);
                } else {
                    runs(&container, 1);
                }
                let monitor = processes::open(monitor_of(&container)).expect("it runs");
                host.mini(command).run().ok().stdout("box\n");
                let deadline = std::time::Instant::now() + wait::PATIENCE;
                assert!(wait::is_ready(&monitor, deadline), "{command:?}: its monitor goes on");
                host.mini(["ps", "-q"]).run().ok().stdout("");
                host.mini(["rm", "-f", "box"]).run().ok();
                host.mini(["system", "check"]).run().ok().stdout("");
            }
        }
    }
}

/// As the kernel knows it, whether or not the container runs.
fn monitor_of(container: &Container<'_>) -> i32 {
    let title = format!("mini: monitor of {}", container.short());
    let found = processes::all().into_iter().find(|pid| processes::command_line(*pid).trim_end() == title);
    found.expect("a monitor")
}

#[test]
fn other_signals_end_nothing_for_good() {
    let host = Host::with_busybox();
    let container =
        counting(&host, &["--restart", "always"], "trap 'exit 2' HUP; echo up; while :; do sleep 0.05; done");
    for run in 1..4 {
        runs(&container, run);
        wait::until("its trap", || (container.logs().text().matches("up").count() == run).then_some(()));
        host.mini(["kill", "-s", "HUP", "box"]).run().ok();
    }
    runs(&container, 4);
    // A process that dies by itself, whatever killed it, is started again.
    processes::kill(container.pid());
    runs(&container, 5);
}

#[test]
fn a_stop_waits_as_long_as_it_was_told_to() {
    let host = Host::with_busybox();
    let script = "trap '' TERM; trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done";
    let flags = ["--restart", "always", "--name", "box", "busybox", "sh", "-c", script];
    let container = host.start(flags);
    wait::until("its line", || container.logs().text().contains("ready").then_some(()));
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    assert_eq!(container.field("/State/ExitCode"), 137);
    host.mini(["start", "box"]).run().ok();
    wait::until("its line", || (container.logs().text().matches("ready").count() == 2).then_some(()));
    host.mini(["stop", "-s", "USR1", "box"]).run().ok();
    assert_eq!(container.field("/State/ExitCode"), 4);
    assert_eq!(status(&container), "exited");
}

#[test]
fn its_ports_come_back_and_one_that_is_taken_is_waited_for() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &["-p", "8080:80", "--restart", "always"], "here");
    let ask = || net::heard(|| net::ask(std::net::Ipv4Addr::LOCALHOST, 8080));
    assert_eq!(ask(), "here\n");
    processes::kill(container.pid());
    assert_eq!(ask(), "here\n");
    wait::until("its next run", || (status(&container) == "running").then_some(()));
    // Somebody else is faster.
    processes::kill(container.pid());
    let taken = wait::until("a port that is free between two runs", || {
        std::net::TcpListener::bind(("0.0.0.0", 8080)).ok()
    });
    let reason = wait::until("a start that fails", || {
        container.field("/State/Error").as_str().filter(|error| error.contains("8080")).map(str::to_owned)
    });
    assert!(reason.contains("8080"), "{reason}");
    drop(taken);
    assert_eq!(ask(), "here\n");
}

#[test]
fn who_stays_with_it_leaves_at_its_first_end() {
    let host = Host::with_busybox();
    let script = "echo x >> /runs; echo run $(wc -l < /runs); exit 3";
    let run = host.mini(["run", "--restart", "always", "--name", "box", "busybox", "sh", "-c", script]).run();
    run.code(3).stdout("run 1\n");
    let id = host.mini(["inspect", "box"]).run().ok().json()[0]["Id"].as_str().expect("an id").to_owned();
    let container = Container::new(&host, id);
    runs(&container, 3);
    // The story of --explain ends with it, too.
    let script = "exit 0";
    let explained = ["run", "--explain", "--restart", "always", "busybox", "sh", "-c", script];
    host.mini(explained).run().ok().stderr_has("execve");
}

#[test]
fn wait_and_logs_last_until_it_ends_for_good() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "on-failure:3"], "exit 6");
    let waiting = host.spawn(["wait", "box"]);
    let following = host.spawn(["logs", "-f", "box"]);
    waiting.wait().ok().stdout("6\n");
    following.wait().ok().stdout("run 1\nrun 2\nrun 3\nrun 4\n");
    assert_eq!(container.field("/RestartCount"), 3);
}

#[test]
fn restart_ends_the_wait_and_begins_anew() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "always"], "[ $n -lt 5 ] && exit 1; sleep 1000");
    runs(&container, 4);
    between(&container);
    host.mini(["restart", "-t", "0", "box"]).run().ok().stdout("box\n");
    runs(&container, 5);
    assert_eq!(status(&container), "running");
    assert_eq!(container.field("/RestartCount"), 0);
    let pid = container.pid();
    host.mini(["restart", "-t", "0", "box"]).run().ok();
    runs(&container, 6);
    assert_ne!(container.pid(), pid);
}

#[test]
fn a_monitor_that_is_killed_between_two_runs_starts_nothing_more() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "always"], "[ $n -lt 5 ] && exit 1; sleep 1000");
    runs(&container, 4);
    between(&container);
    processes::kill(monitor_of(&container));
    assert_eq!(status(&container), "exited");
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has("box");
    host.mini(["start", "box"]).run().ok();
    runs(&container, 5);
    assert_eq!(status(&container), "running");
}

#[test]
fn sigterm_to_the_monitor_is_the_end() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "always"], "[ $n -lt 5 ] && exit 1; sleep 1000");
    runs(&container, 4);
    between(&container);
    let monitor = processes::open(monitor_of(&container)).expect("it runs");
    processes::signal(&monitor, Signal::TERM);
    wait::until("its end", || (status(&container) == "exited").then_some(()));
    host.mini(["start", "box"]).run().ok();
    runs(&container, 5);
    let monitor = processes::open(monitor_of(&container)).expect("it runs");
    processes::signal(&monitor, Signal::TERM);
    wait::until("its end", || (status(&container) == "exited").then_some(()));
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn each_run_has_a_fresh_start_and_the_monitor_rests_again() {
    let host = Host::with_busybox();
    let container = counting(&host, &["--restart", "always"], "cat /proc/self/uid_map; sleep 1000");
    for run in 1..4 {
        runs(&container, run);
        crate::resting::at_rest(&container);
        let address = container.address();
        container
            .sh(&format!(
                "test -f /runs && grep -q '^{address}\t' /etc/hosts && ip addr | grep -q ' {address}/'"
            ))
            .ok();
        processes::kill(container.pid());
    }
    runs(&container, 4);
    assert_eq!(container.field("/RestartCount"), 3);
}

#[test]
fn what_runs_for_too_long_is_killed() {
    let host = Host::with_busybox();
    let container = host.start(["--timeout", "1", "--name", "box", "busybox", "sleep", "1000"]);
    assert_eq!(container.wait()["ExitCode"], 137);
    let error = container.field("/State/Error");
    assert!(error.as_str().is_some_and(|error| error.contains("--timeout")), "{error}");
    host.mini(["run", "--rm", "--timeout", "1000", "busybox", "true"]).run().ok();
    host.mini(["run", "--rm", "--timeout", "x", "busybox", "true"]).run().code(125);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let host = Host::with_busybox();
    for (policy, complaint) in
        [("sometimes", "sometimes"), ("always:3", "maximum retry count"), ("on-failure:x", "integer")]
    {
        host.mini(["run", "--restart", policy, "busybox", "true"]).run().error(125, &[complaint]);
        host.mini(["create", "--restart", policy, "busybox", "true"]).run().error(125, &[complaint]);
    }
    host.mini(["run", "--rm", "--restart", "always", "busybox", "true"])
        .run()
        .error(125, &["--restart and --rm"]);
    // The first start is the user's: one that fails is not tried again.
    host.mini(["run", "-d", "--restart", "always", "--name", "box", "busybox", "no-such"])
        .run()
        .error(127, &[]);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Created");
}
