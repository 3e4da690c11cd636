//! Health checks: by flag and by image, judged as docker judges, cut short where they take too long.

use serde_json::{Value, json};
use tests::{Container, Host, Image, processes, wait};

/// A check every 50 ms.
const OFTEN: [&str; 2] = ["--health-interval", "50ms"];

fn checked<'host>(host: &'host Host, command: &str, flags: &[&str], script: &str) -> Container<'host> {
    let check = ["--name", "box", "--health-cmd", command];
    host.start([&check[..], &OFTEN, flags, &["busybox", "sh", "-c", script]].concat())
}

/// Until its health is so, and then all of it.
#[track_caller]
fn becomes(container: &Container<'_>, status: &str) -> Value {
    wait::until(status, || {
        let health = container.field("/State/Health");
        (health["Status"] == status).then_some(health)
    })
}

#[test]
fn it_starts_becomes_healthy_and_unhealthy_and_healthy_again() {
    let host = Host::with_busybox();
    let container = checked(&host, "cat /ok", &["--health-retries", "2"], "sleep 1000");
    host.mini(["ps"]).run().ok().stdout_has("(health: starting)");
    container.sh("echo fine > /ok").ok();
    let health = becomes(&container, "healthy");
    assert_eq!(health["FailingStreak"], 0);
    let last = health["Log"].as_array().and_then(|log| log.last()).expect("a result").clone();
    assert_eq!((&last["ExitCode"], &last["Output"]), (&json!(0), &json!("fine\n")));
    assert!(last["Start"].as_str() <= last["End"].as_str(), "{last}");
    host.mini(["ps"]).run().ok().stdout_has("(healthy)");
    container.sh("rm /ok").ok();
    let health = becomes(&container, "unhealthy");
    assert!(health["FailingStreak"].as_u64() >= Some(2), "{health}");
    let text = health["Log"][0]["Output"].as_str().expect("text").to_owned();
    assert!(text.contains("/ok") || text == "fine\n", "{text}");
    host.mini(["ps"]).run().ok().stdout_has("(unhealthy)");
    assert_eq!(container.field("/State/Running"), true, "it is not ended for that");
    container.sh("echo again > /ok").ok();
    becomes(&container, "healthy");
    wait::until("five results", || {
        (container.field("/State/Health/Log").as_array().map(Vec::len) == Some(5)).then_some(())
    });
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    host.mini(["ps", "-a"]).run().ok().stdout_lacks("health");
    assert_eq!(container.field("/State/Health/Status"), "healthy", "what was known last is kept");
    // A new run begins anew.
    host.mini(["start", "box"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn failures_do_not_count_as_long_as_it_starts() {
    let host = Host::with_busybox();
    let flags =
        ["--health-start-period", "1000s", "--health-start-interval", "50ms", "--health-retries", "1"];
    let container = checked(&host, "test -e /ok", &flags, "sleep 1000");
    wait::until("some failures", || {
        (container.field("/State/Health/Log").as_array().map(Vec::len) == Some(5)).then_some(())
    });
    let health = container.field("/State/Health");
    assert_eq!((&health["Status"], &health["FailingStreak"]), (&json!("starting"), &json!(0)), "{health}");
    container.sh("touch /ok").ok();
    becomes(&container, "healthy");
    container.sh("rm /ok").ok();
    becomes(&container, "unhealthy");
}

#[test]
fn a_check_that_takes_too_long_is_killed_and_one_that_says_too_much_is_cut() {
    let host = Host::with_busybox();
    let flags = ["--health-timeout", "100ms", "--health-retries", "1"];
    let container = checked(&host, "echo begun; exec sleep 2345", &flags, "sleep 1000");
    let health = becomes(&container, "unhealthy");
    let result = &health["Log"][0];
    assert_eq!(result["ExitCode"], -1);
    let output = result["Output"].as_str().expect("text");
    assert!(output.contains("exceeded timeout (0.1s)") && output.contains("begun"), "{output}");
    container.remove();
    let container = checked(&host, "yes | head -c 100000", &[], "sleep 1000");
    let health = becomes(&container, "healthy");
    let output = health["Log"][0]["Output"].as_str().expect("text").to_owned();
    assert_eq!(output.len(), 4096 + 3, "4096 bytes and an ellipsis");
}

#[test]
fn it_runs_as_the_containers_user_in_its_directory_with_its_variables() {
    let host = Host::with_busybox();
    let flags = ["-u", "12:34", "-w", "/tmp", "-e", "WORD=said"];
    let container =
        checked(&host, "echo $(id -u):$(id -g) $PWD $WORD; ls -l /proc/self/fd", &flags, "sleep 1000");
    let health = becomes(&container, "healthy");
    let output = health["Log"][0]["Output"].as_str().expect("text").to_owned();
    assert!(output.starts_with("12:34 /tmp said\n"), "{output}");
    let descriptors = output.lines().filter(|line| line.contains(" -> ")).count();
    assert_eq!(descriptors, 3, "the streams; the directory that ls reads has gone by then: {output}");
}

#[test]
fn an_image_says_how_and_the_user_over_it() {
    let host = Host::new();
    let image = |check: Value| Image::busybox().set("Healthcheck", check);
    let second = 1_000_000_000_u64;
    let check = json!({"Test": ["CMD", "cat", "/etc/passwd"], "Interval": second / 20, "Retries": 7});
    host.load(&image(check), "checked:latest");
    let container = host.start(["--name", "own", "checked", "sleep", "1000"]);
    let health = becomes(&container, "healthy");
    assert!(health["Log"][0]["Output"].as_str().is_some_and(|text| text.contains("root:x:0:0")), "{health}");
    let config = container.field("/Config/Healthcheck");
    assert_eq!((&config["Retries"], &config["Timeout"]), (&json!(7), &json!(30 * second)));
    let container = host.start(["--health-cmd", "echo mine", "checked", "sleep", "1000"]);
    assert_eq!(becomes(&container, "healthy")["Log"][0]["Output"], "mine\n");
    let container = host.start(["--no-healthcheck", "checked", "sleep", "1000"]);
    assert!(container.inspect()["State"]["Health"].is_null());
    host.load(
        &image(json!({"Test": ["CMD-SHELL", "exit 1"], "Interval": second / 20}))
            .set("Shell", json!(["/bin/true"])),
        "shell:latest",
    );
    let container = host.start(["shell", "sleep", "1000"]);
    becomes(&container, "healthy");
    // An image may say anything.
    for (name, check) in [
        ("odd1:latest", json!({"Test": ["WHAT"]})),
        ("odd2:latest", json!("odd")),
        ("odd3:latest", json!({"Test": [7]})),
    ] {
        host.load(&image(check), name);
        host.mini(["run", "--rm", name, "true"]).run().error(125, &["health check"]);
        host.mini(["run", "--rm", "--no-healthcheck", "busybox", "true"]).run();
    }
}

#[test]
fn a_paused_container_is_not_asked_and_a_stopped_one_leaves_no_check() {
    let host = Host::with_busybox();
    let container = checked(&host, "true", &[], "sleep 1000");
    becomes(&container, "healthy");
    host.mini(["pause", "box"]).run().ok();
    host.mini(["ps"]).run().ok().stdout_has("(Paused)").stdout_lacks("healthy");
    let monitor = container.monitor();
    // A check may have begun before everything stood still.
    let count = || container.field("/State/Health/Log/0/Start");
    let before = count();
    host.mini(["run", "--rm", "busybox", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
        .run()
        .ok();
    wait::until("no further check", || {
        (count() == before || processes::children(monitor).len() <= 2).then_some(())
    });
    host.mini(["unpause", "box"]).run().ok();
    wait::until("the next check", || (count() != before).then_some(()));
    host.mini(["kill", "box"]).run().ok();
    container.remove();
    let container = checked(&host, "sleep 2345", &[], "sleep 1000");
    wait::until("a check", || container.commands().contains(&"sleep 2345".to_owned()).then_some(()));
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    assert_eq!(container.field("/State/Running"), false);
}

#[test]
fn a_program_that_is_not_there_is_told_as_a_failed_check() {
    let host = Host::new();
    host.load(
        &Image::busybox()
            .set("Healthcheck", json!({"Test": ["CMD", "/no/such"], "Interval": 50_000_000, "Retries": 1})),
        "odd:latest",
    );
    let container = host.start(["odd", "sleep", "1000"]);
    let health = becomes(&container, "unhealthy");
    let result = &health["Log"][0];
    assert_eq!(result["ExitCode"], -1);
    assert!(result["Output"].as_str().is_some_and(|text| text.contains("/no/such")), "{result}");
}

#[test]
fn a_monitor_that_checks_rests_in_between() {
    let host = Host::with_busybox();
    let container =
        host.start(["--health-cmd", "true", "--health-interval", "1s", "busybox", "sleep", "1000"]);
    becomes(&container, "healthy");
    crate::resting::at_rest(&container);
    wait::until("a further check", || container.inspect().pointer("/State/Health/Log/1").cloned());
    crate::resting::at_rest(&container);
}

#[test]
fn it_comes_with_every_run_of_a_container_that_is_started_again() {
    let host = Host::with_busybox();
    let container = checked(&host, "true", &["--restart", "always"], "sleep 1000");
    becomes(&container, "healthy");
    processes::kill(container.pid());
    wait::until("its next run", || (container.field("/RestartCount") == 1).then_some(()));
    becomes(&container, "healthy");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let host = Host::with_busybox();
    for (flags, complaint) in [
        (&["--health-interval", "often"][..], "--health-interval"),
        (&["--health-timeout", "1us"], "1ms"),
        (&["--health-retries", "-1"], "--health-retries"),
        (&["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck"),
    ] {
        host.mini(["run"]).args(flags).args(["busybox", "true"]).run().error(125, &[complaint]);
    }
}
