//! ps, stop, kill, rm: what a container is called, how it is, how it ends.

use rustix::process::Signal;
use tests::{Host, Image, processes};

/// Ends with 5 on SIGTERM, after it said so.
const POLITE: &str = "trap 'echo leaving; exit 5' TERM; echo ready; while :; do sleep 0.05; done";

#[test]
fn ps_has_dockers_columns_and_shows_what_runs() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "up", "busybox", "sleep", "1000"]);
    host.mini(["run", "--name", "down", "busybox", "false"]).run().code(1);
    let lines = host.mini(["ps"]).run().ok().lines();
    let head: Vec<_> = lines[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(head, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    assert_eq!(lines.len(), 2, "only what runs: {lines:?}");
    let row: Vec<_> = lines[1].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(row[..3], [container.short(), "busybox", "\"sleep 1000\""]);
    assert!(row[3].ends_with("ago") && row[4].starts_with("Up ") && row[5] == "up", "{row:?}");
    let all = host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (1)").stdout_has("down").lines();
    assert_eq!(all.len(), 3);
    assert!(all[1].ends_with("down"), "the newest comes first: {all:?}");
    host.mini(["ps", "-q"]).run().ok().stdout(&format!("{}\n", container.short()));
    assert_eq!(host.mini(["ps", "-a", "-q"]).run().ok().lines().len(), 2);
}

#[test]
fn every_line_of_ps_ends_where_its_text_does() {
    let host = Host::with_busybox();
    host.start(["busybox", "sleep", "1000"]);
    for line in host.mini(["ps"]).run().ok().lines() {
        assert!(!line.contains('\x1b') && !line.contains('\t'), "{line:?}");
    }
}

#[test]
fn generated_names_are_an_adjective_and_a_surname() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let name = container.field("/Name").as_str().expect("a string").to_owned();
    let (adjective, surname) = name.trim_start_matches('/').split_once('_').expect("two words");
    assert!(
        [adjective, surname].iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase())),
        "{name}"
    );
}

#[test]
fn a_taken_name_is_an_error_that_names_the_holder() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "taken", "busybox", "sleep", "1000"]);
    let output = host.mini(["run", "-d", "--name", "taken", "busybox", "true"]).run();
    output.error(125, &["taken", container.short()]).hints("rm");
}

#[test]
fn two_that_want_one_name_at_the_same_time_do_not_both_get_it() {
    let host = Host::with_busybox();
    let start = |_| host.spawn(["run", "-d", "--name", "one", "busybox", "sleep", "1000"]);
    let running: Vec<_> = (0..8).map(start).collect();
    let won =
        running.into_iter().filter(|_| true).map(|one| one.wait()).filter(|out| out.status.success()).count();
    assert_eq!(won, 1);
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 1, "who lost left nothing");
}

#[test]
fn containers_are_found_by_id_name_and_unique_prefix_of_the_id() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "longname", "busybox", "sleep", "1000"]);
    for key in [container.id.as_str(), container.short(), &container.id[..6], "longname"] {
        let found = host.mini(["inspect", key]).run().ok().json();
        assert_eq!(found[0]["Id"], container.id.as_str(), "{key}");
    }
    host.mini(["inspect", "longn"]).run().code(1);
    let prefix_as_name = &container.id[..4].to_owned();
    let other = host.start(["--name", prefix_as_name, "busybox", "sleep", "1000"]);
    let found = host.mini(["inspect", prefix_as_name]).run().ok().json();
    assert_eq!(found[0]["Id"], other.id.as_str(), "an exact name goes before a prefix");
}

#[test]
fn an_ambiguous_prefix_is_refused() {
    let host = Host::with_busybox();
    // Seventeen ids share a first digit somewhere.
    let ids: Vec<_> = (0..17).map(|_| host.start(["busybox", "sleep", "1000"]).id).collect();
    let shared = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1);
    let digit = &shared.expect("sixteen digits, seventeen ids")[..1];
    host.mini(["inspect", digit]).run().code(1).stderr_has(digit);
    host.mini(["stop", "-t", "0", digit]).run().code(1);
    assert_eq!(host.mini(["ps", "-q"]).run().ok().lines().len(), 17, "nothing was stopped");
}

#[test]
fn stop_asks_first_and_the_answer_is_recorded() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sh", "-c", POLITE]);
    ready(&container);
    host.mini(["stop", "box"]).run().ok().stdout("box\n");
    let state = container.field("/State");
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &5.into()));
    assert!(container.logs().text().contains("leaving"));
    host.mini(["stop", "box"]).run().ok().stdout("box\n");
}

/// Waits until the container's command is in its loop.
fn ready(container: &tests::Container<'_>) {
    tests::wait::until("the command's first line", || {
        container.logs().text().contains("ready").then_some(())
    });
}

#[test]
fn stop_kills_what_does_not_listen() {
    let host = Host::with_busybox();
    for option in ["--time", "--timeout", "-t"] {
        let container = host.start(["busybox", "sleep", "1000"]);
        // As process 1, sleep has no default action for SIGTERM.
        host.mini(["stop", option, "1", &container.id]).run().ok();
        assert_eq!(container.field("/State/ExitCode"), 137);
    }
}

#[test]
fn stop_sends_the_signal_the_image_asks_for() {
    let host = Host::new();
    host.load(&Image::busybox().set("StopSignal", "SIGUSR1"), "busybox:latest");
    let script = "trap 'exit 6' USR1; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["busybox", "sh", "-c", script]);
    ready(&container);
    host.mini(["stop", &container.id]).run().ok();
    assert_eq!(container.field("/State/ExitCode"), 6);
}

#[test]
fn stop_of_a_container_with_rm_removes_it() {
    let host = Host::with_busybox();
    let container = host.start(["--rm", "--name", "box", "busybox", "sh", "-c", POLITE]);
    ready(&container);
    host.mini(["stop", "box"]).run().ok();
    tests::wait::until("the removal", || host.mini(["ps", "-aq"]).run().ok().line().is_empty().then_some(()));
}

#[test]
fn kill_sends_any_signal_and_kills_by_default() {
    let host = Host::with_busybox();
    let script = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    ready(&container);
    for name in ["USR1", "SIGUSR1", "10"] {
        host.mini(["kill", "-s", name, "box"]).run().ok().stdout("box\n");
    }
    tests::wait::until("the trap", || container.logs().text().contains("got it").then_some(()));
    host.mini(["kill", "box"]).run().ok().stdout("box\n");
    // kill waits for the end that it brought about.
    assert_eq!(container.field("/State/ExitCode"), 137);
    host.mini(["kill", "box"]).run().error(1, &["box", "not running"]);
    host.mini(["kill", "-s", "NONSENSE", "box"]).run().error(1, &["NONSENSE"]);
}

#[test]
fn rm_refuses_what_runs_unless_forced() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    host.mini(["rm", "box"]).run().error(1, &["box", "running"]).hints("-f");
    let pid = container.pid();
    host.mini(["rm", "-f", "box"]).run().ok().stdout("box\n");
    processes::wait_for_end(pid);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn several_at_once_are_printed_as_typed_and_one_failure_stops_no_other() {
    let host = Host::with_busybox();
    for name in ["a1", "a2", "a3"] {
        host.start(["--name", name, "busybox", "sleep", "1000"]);
    }
    let output = host.mini(["rm", "-f", "a1", "nobody-here", "a2", "a3"]).run();
    let mut lines = output.lines();
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "a3"], "{output}");
    // docker forgives a missing container to `rm -f`.
    output.stderr_has("nobody-here");
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn fifty_live_side_by_side_and_go_with_one_command() {
    let host = Host::with_busybox();
    for _ in 0..7 {
        let running: Vec<_> = (0..7).map(|_| host.spawn(["run", "-d", "busybox", "sleep", "1000"])).collect();
        for one in running {
            one.wait().ok();
        }
    }
    let ids = host.mini(["ps", "-q"]).run().ok().lines();
    assert_eq!(ids.len(), 49);
    host.mini(["rm", "-f"]).args(&ids).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn a_signal_to_the_client_reaches_the_command() {
    let host = Host::with_busybox();
    let mut client = host.spawn(["run", "--rm", "busybox", "sh", "-c", POLITE]);
    assert_eq!(client.line(), "ready");
    client.signal(Signal::TERM);
    assert_eq!(client.line(), "leaving");
    client.wait().code(5);
}

#[test]
fn a_client_that_is_killed_does_no_harm_to_its_container() {
    let host = Host::with_busybox();
    let script = "echo ready; read x < /fifo; exit 8";
    let script = format!("mkfifo /fifo; {script}");
    let mut client = host.spawn(["run", "--name", "box", "busybox", "sh", "-c", &script]);
    assert_eq!(client.line(), "ready");
    client.signal(Signal::KILL);
    client.wait();
    host.mini(["exec", "box", "sh", "-c", "echo go > /fifo"]).run().ok();
    let ended = tests::wait::until("the end", || {
        let state = host.mini(["inspect", "box"]).run().ok().json()[0]["State"].take();
        (state["Running"] == false).then_some(state)
    });
    assert_eq!(ended["ExitCode"], 8, "{ended}");
}
