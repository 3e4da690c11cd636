//! Much at once: every line kept and followed in its order, every byte as it was, and no client that holds up another for ever.

use std::collections::BTreeMap;

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tests::{Host, Output, processes, wait};

/// `out 1`, `out 2` … on standard output, `err 1`, `err 2` … on standard error, both at once, as fast as they go.
const BOTH: &str = "mkfifo /fifo; echo ready; read x < /fifo; seq 60000 | sed 's/^/out /' & seq 60000 | sed 's/^/err /' >&2; wait";

/// Both streams are whole and in order.
#[track_caller]
fn all_of_both(output: &Output) {
    for (stream, name) in [(&output.stdout, "out"), (&output.stderr, "err")] {
        let text = String::from_utf8_lossy(stream);
        let lines: Vec<_> = text.lines().filter(|line| *line != "ready").collect();
        assert_eq!(lines.len(), 60_000, "{}: {name}", output.command);
        for (line, number) in lines.iter().zip(1..) {
            assert_eq!(*line, format!("{name} {number}"), "{}", output.command);
        }
    }
}

#[track_caller]
fn followed(driver: &str) {
    let host = Host::with_busybox();
    let options = ["--log-driver", driver, "--log-opt", "max-size=300k", "--log-opt", "max-file=200"];
    let container = host.start([&["--name", "box"], &options[..], &["busybox", "sh", "-c", BOTH]].concat());
    let mut followers: Vec<_> = (0..2).map(|_| host.spawn(["logs", "-f", "box"])).collect();
    for follower in &mut followers {
        assert_eq!(follower.line(), "ready");
    }
    // One of them stands still meanwhile, and finds everything that is kept.
    followers[1].signal(Signal::STOP);
    let mut client = host.spawn(["attach", "--no-stdin", "box"]);
    wait::until("a client that waits", || {
        processes::proc_file(client.pid(), "wchan").filter(|at| at.contains("poll"))
    });
    container.sh("echo go > /fifo").ok();
    client.stderr_has("err 60000\n");
    all_of_both(&client.wait().ok());
    followers[1].signal(Signal::CONT);
    for follower in followers {
        all_of_both(&follower.wait().ok());
    }
    container.wait();
    all_of_both(&container.logs());
    let path = container.field("/LogPath");
    let directory =
        std::path::Path::new(path.as_str().expect("a path")).parent().expect("a directory").to_owned();
    let files = std::fs::read_dir(directory).expect("read").flatten();
    let turned = files.filter(|file| file.file_name().to_string_lossy().contains(".log.")).count();
    assert!(turned > 20, "turned over {turned} times");
    host.mini(["logs", "-n", "5", "box"]).run().ok();
}

#[test]
fn every_line_of_two_streams_is_kept_and_followed_over_many_turns() {
    followed("json-file");
}

#[test]
fn every_line_of_two_streams_is_kept_and_followed_over_many_packed_turns() {
    followed("local");
}

/// 100 MB of any bytes, and their digest at the end of the other stream.
const MUCH: &str =
    "dd if=/dev/urandom of=/tmp/block bs=1M count=4 2>/dev/null; sha256sum < /tmp/block > /tmp/sum; ";

#[track_caller]
fn blocks(bytes: &[u8], sum: &str) {
    assert_eq!(bytes.len(), 100 << 20);
    for block in bytes.chunks(4 << 20) {
        assert_eq!(hex::encode(Sha256::digest(block)), sum);
    }
}

#[test]
fn a_hundred_megabytes_come_out_of_exec_as_they_went_in() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let script = format!("{MUCH} for i in $(seq 25); do cat /tmp/block; done; cat /tmp/sum >&2");
    let output = container.exec(["sh", "-c", &script]).patient(3).run().ok();
    blocks(&output.stdout, output.err().split(' ').next().expect("a sum"));
    // By a terminal that changes nothing.
    let script = format!("stty raw -opost; {MUCH} for i in $(seq 25); do cat /tmp/block; done; cat /tmp/sum");
    let output = host.mini(["exec", "-t", &container.id, "sh", "-c", &script]).patient(3).run().ok();
    let (bytes, sum) = output.stdout.split_at(100 << 20);
    blocks(bytes, String::from_utf8_lossy(sum).split(' ').next().expect("a sum"));
}

/// One of several clients stands still: it stalls the stream, as docker's does, until it goes, and not for ever; and whoever stays
/// with the other stream alone, and whatever does not ask the monitor, notices nothing.
#[test]
fn who_stands_still_and_goes_has_cost_the_others_nothing() {
    let host = Host::with_busybox();
    let script = "mkfifo /fifo; read x < /fifo; yes 0123456789 | head -c 3000000; echo end >&2; echo end";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    let mut clients: Vec<_> = (0..3).map(|_| host.spawn(["attach", "--no-stdin", "box"])).collect();
    for client in &clients {
        wait::until("a client that waits", || {
            processes::proc_file(client.pid(), "wchan").filter(|at| at.contains("poll"))
        });
    }
    let still = clients.remove(0);
    still.signal(Signal::STOP);
    container.sh("echo go > /fifo").ok();
    container.exec(["echo", "works"]).run().ok().stdout("works\n");
    host.mini(["ps"]).run().ok().stdout_has("box");
    drop(still);
    let mut lengths = BTreeMap::new();
    // Side by side: one that nobody reads would hold up the other.
    let readers: Vec<_> = clients.into_iter().map(|client| std::thread::spawn(|| client.wait())).collect();
    for reader in readers {
        let output = reader.join().expect("it ends").ok();
        *lengths.entry(output.stdout.len()).or_insert(0) += 1;
        output.stderr("end\n");
    }
    assert_eq!(lengths, BTreeMap::from([(3_000_004, 2)]));
    assert_eq!(container.logs().stdout.len(), 3_000_004);
}
