//! What a container wrote: kept as json-file lines, rotated, read back and followed.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::{Container, Host};

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
fn a_follower_whose_reader_leaves_ends() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "yes"]);
    let mut follower = host.spawn(["logs", "-f", &container.id]);
    assert_eq!(follower.line(), "y");
    follower.close_stdout();
    follower.wait();
    assert_eq!(container.field("/State/Running"), true);
}
