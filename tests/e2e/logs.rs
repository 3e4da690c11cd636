//! What a container wrote: kept as json-file lines, rotated, read back and followed.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tests::{Container, Host, wait};

/// The directory and the name of a container's log.
fn log_files(container: &Container<'_>) -> Vec<PathBuf> {
    let path = container.field("/LogPath");
    let path = PathBuf::from(path.as_str().expect("a path"));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let entries = fs::read_dir(path.parent().expect("a directory")).expect("the log's directory");
    entries.flatten().map(|entry| entry.path()).filter(|p| p.to_string_lossy().contains(&name)).collect()
}

#[test]
fn each_stream_comes_back_on_its_own() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sh", "-c", "echo out; echo err >&2"]);
    container.wait();
    container.logs().stdout("out\n").stderr("err\n");
}

#[test]
fn a_container_in_the_foreground_is_logged_too() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "echo", "kept"]).run().ok().stdout("kept\n");
    host.mini(["logs", "box"]).run().ok().stdout("kept\n");
}

#[test]
fn the_file_has_dockers_lines_of_at_most_16_kib() {
    let host = Host::with_busybox();
    let script = "echo short; head -c 40000 /dev/zero | tr '\\0' x; echo; printf open >&2";
    let container = host.start(["busybox", "sh", "-c", script]);
    container.wait();
    let text = fs::read_to_string(&log_files(&container)[0]).expect("read the log");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let logged = |stream: &str| -> Vec<&str> {
        lines
            .iter()
            .filter(|line| line["stream"] == stream)
            .map(|line| line["log"].as_str().expect("text"))
            .collect()
    };
    let out = logged("stdout");
    assert_eq!(out[0], "short\n");
    assert_eq!(out[1..].iter().map(|part| part.len()).collect::<Vec<_>>(), [16384, 16384, 40001 - 2 * 16384]);
    assert_eq!(logged("stderr"), ["open"]);
    for line in &lines {
        let time = line["time"].as_str().expect("a time");
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "RFC 3339: {time}");
    }
    assert_eq!(container.logs().stdout.len(), 40007, "parts of one line are joined again");
}

#[test]
fn bytes_that_are_no_text_do_not_break_the_log() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sh", "-c", "printf 'a\\377\\000\"\\\\b\\n'; echo after"]);
    container.wait();
    container.logs().stdout_has("after\n");
    for line in fs::read_to_string(&log_files(&container)[0]).expect("the log is UTF-8").lines() {
        serde_json::from_str::<Value>(line).expect("a JSON line");
    }
}

#[test]
fn tail_shows_the_last_lines() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "seq", "100"]);
    container.wait();
    let tail = |count: &str| host.mini(["logs", "--tail", count, &container.id]).run().ok().text();
    assert_eq!(tail("3"), "98\n99\n100\n");
    assert_eq!(tail("0"), "");
    assert_eq!(tail("all").lines().count(), 100);
    assert_eq!(tail("1000").lines().count(), 100);
}

#[test]
fn f_shows_what_comes_and_ends_with_the_container() {
    let host = Host::with_busybox();
    let script =
        "mkfifo /fifo; exec 3<>/fifo; echo first; while read x <&3; do echo $x; [ $x = end ] && exit; done";
    let container = host.start(["busybox", "sh", "-c", script]);
    let mut follower = host.spawn(["logs", "-f", &container.id]);
    assert_eq!(follower.line(), "first");
    for word in ["one", "two", "end"] {
        // The last word may end the container before the one who said it.
        container.sh(&format!("echo {word} > /fifo"));
        assert_eq!(follower.line(), word);
    }
    follower.wait().ok();
    host.mini(["logs", "-f", &container.id]).run().ok().stdout("first\none\ntwo\nend\n");
}

#[test]
fn rotation_keeps_three_files_of_ten_mebibytes_on_disk() {
    let host = Host::with_busybox();
    // Some 45 MiB in the file's form: two files full, the third in use, the oldest gone.
    let container =
        host.start(["busybox", "sh", "-c", "seq 500000 | sed 's/$/ and a line of some length/'; echo end"]);
    container.wait();
    let sizes: Vec<_> = log_files(&container).iter().map(|p| fs::metadata(p).expect("stat").len()).collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 10 * 1024 * 1024 + 20_000), "{sizes:?}");
    let lines = container.logs().lines();
    assert_eq!(lines.last().map(String::as_str), Some("end"));
    let numbers: Vec<u32> = lines[..lines.len() - 1]
        .iter()
        .map(|line| line.split(' ').next().and_then(|n| n.parse().ok()).expect("a whole line"))
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap between the files");
}

#[test]
fn f_follows_across_rotation_and_loses_no_line() {
    let host = Host::with_busybox();
    let script = "mkfifo /fifo; echo ready; read x < /fifo; seq 150000; echo end";
    let container = host.start(["busybox", "sh", "-c", script]);
    let mut follower = host.spawn(["logs", "-f", &container.id]);
    assert_eq!(follower.line(), "ready");
    container.sh("echo go > /fifo").ok();
    let output = follower.wait().ok();
    let lines = output.lines();
    assert_eq!(lines.len(), 150_002);
    assert_eq!((lines[1].as_str(), lines[150_000].as_str(), lines[150_001].as_str()), ("1", "150000", "end"));
}

#[test]
fn a_driver_none_keeps_nothing_and_shows_everything() {
    let host = Host::with_busybox();
    host.mini([
        "run",
        "--name",
        "box",
        "--log-driver",
        "none",
        "busybox",
        "sh",
        "-c",
        "echo shown; echo too >&2",
    ])
    .run()
    .ok()
    .stdout("shown\n")
    .stderr("too\n");
    let id = host.mini(["ps", "-aq", "--no-trunc"]).run().ok().line();
    let container = Container::new(&host, id);
    assert!(log_files(&container).is_empty());
    host.mini(["logs", "box"])
        .run()
        .error(1, &["logging driver does not support reading", "--log-driver none"]);
    host.mini(["start", "-a", "box"]).run().ok().stdout("shown\n");
    assert!(log_files(&container).is_empty());
    assert_eq!(container.field("/HostConfig/LogConfig"), json!({ "Type": "none", "Config": {} }));
}

#[test]
fn files_are_as_large_and_as_many_as_was_asked_for() {
    let host = Host::with_busybox();
    let container =
        host.start(["--log-opt", "max-size=20k", "--log-opt", "max-file=2", "busybox", "seq", "5000"]);
    container.wait();
    let bounded = |container: &Container<'_>| {
        let files = log_files(container);
        let sizes: Vec<_> = files.iter().map(|path| fs::metadata(path).expect("stat").len()).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 20 << 10), "{sizes:?}");
    };
    bounded(&container);
    let lines = container.logs().lines();
    assert!(lines.len() < 5000 && lines.last().map(String::as_str) == Some("5000"), "{}", lines.len());
    host.mini(["start", "-a", &container.id]).run().ok();
    bounded(&container);
    let config = container.field("/HostConfig/LogConfig/Config");
    assert_eq!(config, json!({ "max-size": "20k", "max-file": "2" }));
    let container =
        host.start(["--log-opt", "max-size=1k", "--log-opt", "max-file=1", "busybox", "seq", "500"]);
    container.wait();
    assert_eq!(log_files(&container).len(), 1);
    assert_eq!(container.logs().lines().last().map(String::as_str), Some("500"));
}

#[test]
fn a_driver_local_packs_older_files_and_they_are_read_all_the_same() {
    let host = Host::with_busybox();
    let script = "mkfifo /fifo; echo ready; read x < /fifo; seq 30000; sleep 1000";
    let container = host.start([
        "--log-driver",
        "local",
        "--log-opt",
        "max-size=500k",
        "--log-opt",
        "max-file=9",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let mut follower = host.spawn(["logs", "-f", &container.id]);
    assert_eq!(follower.line(), "ready");
    container.sh("echo go > /fifo").ok();
    for number in 1..=30_000 {
        assert_eq!(follower.line(), number.to_string());
    }
    wait::until("packed files", || {
        let names: Vec<_> = log_files(&container).iter().map(|path| path.display().to_string()).collect();
        let plain = names.iter().filter(|name| !name.ends_with(".gz")).count();
        (names.len() > 3 && plain == 1).then_some(())
    });
    crate::resting::at_rest(&container);
    let lines = container.logs().lines();
    assert_eq!(lines.len(), 30_001);
    assert!(lines[1..].iter().zip(1..).all(|(line, number)| *line == number.to_string()));
    host.mini(["logs", "-n", "25000", &container.id]).run().ok().stdout_has("5001\n5002\n");
    assert_eq!(container.field("/HostConfig/LogConfig/Type"), "local");
}

#[test]
fn lines_have_what_a_log_option_chose() {
    let host = Host::with_busybox();
    let options = [
        "--log-opt",
        "labels=tier",
        "--log-opt",
        "env-regex=^MO",
        "--log-opt",
        "tag={{.Name}}@{{.ImageName}}",
    ];
    let container = host.start(
        [
            &["--name", "box", "-l", "tier=front", "-l", "team=x", "-e", "MODE=a b"],
            &options[..],
            &["busybox", "echo", "said"],
        ]
        .concat(),
    );
    container.wait();
    host.mini(["logs", "--details", "box"]).run().ok().stdout("MODE=a+b,tag=box%40busybox,tier=front said\n");
    host.mini(["logs", "box"]).run().ok().stdout("said\n");
    let text = fs::read_to_string(&log_files(&container)[0]).expect("read the log");
    let line: Value = serde_json::from_str(text.trim_end()).expect("a JSON line");
    assert_eq!(line["attrs"], json!({ "MODE": "a b", "tag": "box@busybox", "tier": "front" }));
}

#[test]
fn log_drivers_and_options_that_there_are_not_are_refused() {
    let host = Host::with_busybox();
    for (flags, complaint) in [
        (&["--log-driver", "syslog"][..], "syslog"),
        (&["--log-driver", "none", "--log-opt", "max-size=1m"], "max-size"),
        (&["--log-opt", "color=red"], "color"),
        (&["--log-opt", "max-file=0"], "max-file"),
        (&["--log-opt", "mode=non-blocking"], "mode"),
    ] {
        host.mini(["run"]).args(flags).args(["busybox", "true"]).run().error(125, &[complaint]);
        host.mini(["create"]).args(flags).args(["busybox", "true"]).run().error(125, &[complaint]);
    }
}

#[test]
fn a_follower_whose_reader_leaves_ends() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "yes"]);
    let mut follower = host.spawn(["logs", "-f", &container.id]);
    assert_eq!(follower.line(), "y");
    follower.close_stdout();
    follower.wait();
    assert_eq!(container.field("/State/Running"), true);
}
