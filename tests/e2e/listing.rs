//! Lists and logs for people who look for something: filters, forms, times.

use tests::{Container, Host, net, wait};

/// Names that `mini ps ARGS…` lists, in its order.
#[track_caller]
fn names(host: &Host, args: &[&str]) -> Vec<String> {
    let output = host.mini(["ps", "--format", "json"]).args(args).run().ok();
    let name = |line: &String| {
        let row: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        row["Names"].as_str().expect("a name").to_owned()
    };
    output.lines().iter().map(name).collect()
}

#[test]
fn filters_agree_on_all_keys_and_on_one_value_of_each() {
    let host = Host::with_busybox();
    let start = |name: &str, args: &[&str]| {
        host.start(["--name", name].iter().chain(args).copied().collect::<Vec<_>>())
    };
    let one = start("one", &["-l", "kind=a", "-p", "8080:80", "busybox", "sleep", "1000"]);
    let two = start(
        "two",
        &[
            "-l",
            "kind=b",
            "-l",
            "odd",
            "--network",
            "none",
            "-v",
            "/tmp:/data",
            "busybox",
            "sh",
            "-c",
            "exit 3",
        ],
    );
    two.wait();
    host.mini(["create", "--name", "three", "--expose", "9000", "busybox"]).run().ok();
    for (filters, expected) in [
        (&["name=o"][..], &["one"][..]),
        (&["name=^one$"], &["one"]),
        (&["name=^/o"], &["one"]),
        (&["name=^t[a-z]+", "status=exited", "status=created"], &["three", "two"]),
        (&["name=n.$", "name=nothing"], &["one"]),
        (&["status=running"], &["one"]),
        (&["status=exited"], &["two"]),
        (&["status=created", "status=running"], &["three", "one"]),
        (&["status=exited", "name=one"], &[]),
        (&["exited=3"], &["two"]),
        (&["exited=0"], &[]),
        (&["label=kind", "status=running", "status=exited"], &["two", "one"]),
        (&["label=kind=a"], &["one"]),
        (&["label=kind=b", "label=odd", "status=exited"], &["two"]),
        (&["label=kind", "label=odd", "status=running"], &[]),
        (&["health=none"], &["one"]),
        (&["health=healthy"], &[]),
        (&["publish=8080"], &["one"]),
        (&["network=none", "status=exited"], &["two"]),
        (&["volume=/data", "status=exited"], &["two"]),
        (&["volume=/tmp/", "status=exited"], &["two"]),
        (&["volume=/dat", "status=exited"], &[]),
        (&["before=two"], &["one"]),
        (&["since=two", "status=created"], &["three"]),
        (&["expose=9000/tcp", "status=created"], &["three"]),
        (&["expose=8999-9001", "status=created"], &["three"]),
        (&["expose=9000/udp", "status=created"], &[]),
        (&["publish=8000-8079"], &[]),
        (&["ancestor=busybox"], &["one"]),
        (&["ancestor=no-such"], &[]),
    ] {
        let args: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
        assert_eq!(names(&host, &args), expected, "{filters:?}");
    }
    let id = format!("id={}", &one.id[..6]);
    assert_eq!(names(&host, &["-f", &id]), ["one"]);
    assert_eq!(names(&host, &["-a"]), ["three", "two", "one"]);
    assert_eq!(names(&host, &["-l"]), ["three"]);
    assert_eq!(names(&host, &["-n", "2"]), ["three", "two"]);
    assert_eq!(names(&host, &["-n", "2", "-f", "name=o"]), ["two", "one"]);
    assert_eq!(names(&host, &["-n", "-1"]), ["one"], "docker's default: what runs");
    host.mini(["ps", "-f", "color=red"]).run().error(1, &["color", "label"]);
    host.mini(["ps", "-f", "before=no-such"]).run().error(1, &["no-such"]);
    host.mini(["ps", "-f", "name=("]).run().error(1, &["invalid name", "name=("]);
    host.mini(["ps", "-f", "is-task=true"]).run().error(1, &["is-task", "swarm"]);
    host.mini(["ps", "-f", "publish=http"]).run().error(1, &["http"]);
    // A container that was started again is the same to all of them.
    host.mini(["restart", "-t", "0", "one"]).run().ok();
    for filter in ["label=kind=a", "publish=8080", "name=^one$", "health=none", "ancestor=busybox"] {
        assert_eq!(names(&host, &["-f", filter]), ["one"], "{filter}");
    }
}

#[test]
fn a_program_that_calls_itself_by_no_text_is_seen_alive() {
    let host = Host::with_busybox();
    let script = "printf '\\377) Z \\376' > /proc/self/comm && echo named; while :; do sleep 0.05; done";
    let container = host.start(["--name", "odd", "busybox", "sh", "-c", script]);
    wait::until("the name", || container.logs().text().contains("named").then_some(()));
    assert_eq!(names(&host, &["-f", "status=running"]), ["odd"]);
    container.sh("true").ok();
    host.mini(["top", "odd"]).run().ok().stdout_has("sh -c printf");
    host.mini(["stop", "-t", "0", "odd"]).run().ok();
    assert_eq!(container.field("/State/Status"), "exited");
}

#[test]
fn nothing_is_cut_short_where_that_is_asked_for() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000", "1000", "1000", "1000"]);
    host.mini(["ps"]).run().ok().stdout_has("\"sleep 1000 1000 100…\"");
    let whole = host.mini(["ps", "--no-trunc"]).run().ok();
    whole.stdout_has("\"sleep 1000 1000 1000 1000\"").stdout_has(&container.id);
    host.mini(["ps", "-q", "--no-trunc"]).run().ok().stdout(&format!("{}\n", container.id));
    let id = host.mini(["images", "-q"]).run().ok().line();
    let whole = host.mini(["images", "-q", "--no-trunc"]).run().ok().line();
    assert!(whole.starts_with(&format!("sha256:{id}")) && whole.len() == 71, "{whole}");
}

#[test]
fn programs_get_an_object_a_line() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &["--name", "box", "-l", "a=1", "-l", "b=2", "-p", "8080:80"], "x");
    let row = host.mini(["ps", "--format", "json"]).run().ok().json();
    assert_eq!(row["ID"], container.short());
    for (key, value) in [
        ("Image", "busybox"),
        ("Names", "box"),
        ("Labels", "a=1,b=2"),
        ("Networks", "bridge"),
        ("Ports", "0.0.0.0:8080->80/tcp"),
        ("State", "running"),
    ] {
        assert_eq!(row[key], value, "{row}");
    }
    let image = host.mini(["images", "--format", "json"]).run().ok().json();
    assert_eq!((&image["Repository"], &image["Tag"]), (&"busybox".into(), &"latest".into()));
}

/// A container that has written "one" and "two" on different moments, and what `logs -t` says of them.
fn two_lines(host: &Host) -> (Container<'_>, Vec<(String, String)>) {
    let container = host.start(["busybox", "sh", "-c", "echo one; sleep 0.02; echo two >&2"]);
    container.wait();
    let output = host.mini(["logs", "-t", &container.id]).run().ok();
    let lines = [output.text(), output.err()].concat();
    let split = |line: &str| line.split_once(' ').map(|(time, text)| (time.to_owned(), text.to_owned()));
    (container, lines.lines().filter_map(split).collect())
}

#[test]
fn logs_have_times_and_are_cut_by_them() {
    let host = Host::with_busybox();
    let (container, lines) = two_lines(&host);
    let texts: Vec<_> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
    let (first, second) = (&lines[0].0, &lines[1].0);
    assert!(first < second && first.len() == 30 && first.ends_with('Z'), "{lines:?}");
    let logs = |args: &[&str]| {
        let output = host.mini(["logs"]).args(args).args([&container.id]).run().ok();
        output.text() + &output.err()
    };
    assert_eq!(logs(&["--since", second]), "two\n");
    assert_eq!(logs(&["--until", first]), "one\n");
    assert_eq!(logs(&["--since", first, "--until", second]), "one\ntwo\n");
    assert_eq!(logs(&["--since", "1h"]), "one\ntwo\n");
    assert_eq!(logs(&["--until", "1h30m"]), "");
    assert_eq!(logs(&["--since", "0"]), "one\ntwo\n");
    assert_eq!(logs(&["--since", "2100-01-01"]), "");
    assert_eq!(logs(&["-f", "--since", second]), "two\n");
    host.mini(["logs", "--since", "yesterday", &container.id]).run().error(1, &["yesterday", "10m"]);
}
