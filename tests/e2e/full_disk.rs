//! A disk without room, and one that cannot be written to: clear errors, nothing half made, and whatever runs goes on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
use tests::{Container, Host, Image, Loopback, Output, leftovers, wait};

/// A file system of its own over the host's root, or over its run directory.
struct Small<'host> {
    host: &'host Host,
    place: PathBuf,
    _disk: Option<Loopback>,
}

impl<'host> Small<'host> {
    /// An ext4 of 64 MiB as the root, with busybox on it.
    #[track_caller]
    fn root(host: &'host Host) -> Self {
        let disk = Loopback::new(host, 64 << 20);
        host.tool("mkfs.ext4", ["-q", "-m", "0", disk.name()]);
        let place = host.root();
        host.tool("mount", ["-t", "ext4", disk.name(), place.to_str().expect("text")]);
        host.load(&Image::busybox(), "busybox:latest");
        Self { host, place, _disk: Some(disk) }
    }

    /// A tmpfs of 512 KiB as the run directory.
    #[track_caller]
    fn run_root(host: &'host Host) -> Self {
        let place = host.run_root();
        host.tool(
            "mount",
            ["-t", "tmpfs", "-o", "size=512k,mode=755", "small", place.to_str().expect("text")],
        );
        Self { host, place, _disk: None }
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }

    /// Takes all the room that there is.
    #[track_caller]
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(self.filler()).expect("open");
        for size in [1 << 20, 4096, 512, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
        // What is not on the disk yet may find that it needs less.
        let _full = file.sync_all();
        while file.write_all(b"x").is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("remove what filled it");
    }

    /// Nothing of containers is left on it, and it goes.
    #[track_caller]
    fn leave(self) {
        let all = self.host.mini(["ps", "-aq"]).run().ok().lines();
        if !all.is_empty() {
            self.host.mini(["rm", "-f"]).args(all).run().ok();
        }
        let ours = |line: &String| !line.starts_with("mount: ");
        let left: Vec<_> = leftovers::find(self.host).into_iter().filter(ours).collect();
        assert!(left.is_empty(), "left:\n  {}", left.join("\n  "));
        self.host.tool("umount", [&self.place]);
    }
}

/// What makes a container, and the exit code where that cannot be.
const NEW: [(&[&str], i32); 4] =
    [(&["create"], 1), (&["run"], 125), (&["run", "-d"], 125), (&["run", "--rm"], 125)];

/// It failed for want of room, and says where.
#[track_caller]
fn no_room(output: Output, code: i32, place: &Path) {
    let output = output.error(code, &[place.to_str().expect("text")]);
    assert!(output.err().to_lowercase().contains("no space left"), "{output}");
}

#[track_caller]
fn read_only(output: Output, code: i32) {
    let output = output.error(code, &[]);
    assert!(output.err().to_lowercase().contains("read-only file system"), "{output}");
}

/// Says what it is told by a fifo, and ends with 7 when it is told to.
const PARROT: &str = "trap 'exit 7' TERM; mkfifo /fifo; exec 3<>/fifo; echo ready; while :; do read x <&3 && echo \"said $x\"; done";

fn tell(container: &Container<'_>, word: &str) {
    container.sh(&format!("echo {word} > /fifo")).ok();
}

#[test]
fn a_full_root_stops_what_writes_to_it_and_nothing_else() {
    let host = Host::new();
    let small = Small::root(&host);
    let runs = host.start(["--name", "runs", "--tmpfs", "/dev/shm", "busybox", "sh", "-c", PARROT]);
    host.mini(["create", "--name", "made", "busybox", "true"]).run().ok();
    host.mini(["run", "--name", "ended", "busybox", "sh", "-c", "exit 3"]).run().code(3);
    let mut client = host.spawn(["attach", "--no-stdin", "runs"]);
    wait::until("its first line", || runs.logs().text().contains("ready").then_some(()));
    tell(&runs, "before");
    assert_eq!(client.line(), "said before");
    let state = |name: &str| host.mini(["inspect", name]).run().ok().json()[0].take();
    let before = ["runs", "made", "ended"].map(|name| state(name)["HostConfig"].take());
    small.fill();

    let root = host.root();
    for (flags, code) in NEW {
        no_room(host.mini(flags).args(["--name", "new", "busybox", "true"]).run(), code, &root);
        host.mini(["ps", "-aq", "--filter", "name=new"]).run().ok().stdout("");
    }
    let directories = || fs::read_dir(root.join("containers")).expect("read").count();
    assert_eq!(directories(), 3, "something half made");
    no_room(host.mini(["start", "made"]).run(), 1, &root);
    no_room(host.mini(["update", "--pids-limit", "50", "runs"]).run(), 1, &root);
    assert_eq!(runs.cgroup_file("pids", "pids.max", "pids.max"), "4096");
    no_room(host.mini(["update", "--pids-limit", "50", "made"]).run(), 1, &root);
    no_room(host.mini(["rename", "made", "other"]).run(), 1, &root);
    host.mini(["inspect", "other"]).run().error(1, &["no such"]);
    for (name, before) in ["runs", "made", "ended"].into_iter().zip(before) {
        assert_eq!(state(name)["HostConfig"], before, "{name}");
    }

    // What runs goes on, and whatever only looks.
    runs.exec(["echo", "works"]).run().ok().stdout("works\n");
    tell(&runs, "while full");
    assert_eq!(client.line(), "said while full");
    runs.logs().stdout_has("said before\n");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (3)").stdout_has("Created").stdout_has("Up ");
    host.mini(["events", "--until", "0s"]).run().ok().stdout_has("create");
    host.mini(["top", "runs"]).run().ok();
    host.mini(["stats", "--no-stream"]).run().ok();
    host.mini(["images"]).run().ok().stdout_has("busybox");
    host.mini(["pause", "runs"]).run().ok();
    host.mini(["unpause", "runs"]).run().ok();

    // How it ends is known, although it cannot be written down.
    host.mini(["stop", "runs"]).run().ok();
    client.wait().code(7);
    let ended = || {
        let state = &state("runs")["State"];
        assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(7)), "{state}");
        state["FinishedAt"].clone()
    };
    let finished = ended();
    assert!(!finished.as_str().expect("a time").starts_with("0001"), "{finished}");
    host.mini(["wait", "runs"]).run().ok().stdout("7\n");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (7)");
    no_room(host.mini(["start", "runs"]).run(), 1, &root);
    assert_eq!(ended(), finished, "a start that failed has forgotten it");
    host.mini(["rm", "ended"]).run().ok();
    small.fill();

    // And with room again everything is as before.
    small.free();
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has("runs");
    assert_eq!(ended(), finished);
    host.mini(["start", "-a", "made"]).run().ok();
    host.mini(["start", "runs"]).run().ok();
    wait::until("its second run", || (runs.logs().text().matches("ready").count() == 2).then_some(()));
    tell(&runs, "after");
    wait::until("a whole line", || runs.logs().text().contains("said after\n").then_some(()));
    let events = host.mini(["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
    assert_eq!(
        events.args(["--filter", "container=made"]).run().ok().lines(),
        ["create", "attach", "start", "die"]
    );
    small.leave();
}

#[test]
fn containers_on_a_full_root_can_be_removed() {
    let host = Host::new();
    let small = Small::root(&host);
    for (name, flags) in [("runs", &["run", "-d"][..]), ("pruned", &["create"]), ("removed", &["create"])] {
        host.mini(flags).args(["--name", name, "busybox", "sleep", "1000"]).run().ok();
    }
    host.start(["--rm", "--name", "brief", "busybox", "sleep", "1000"]);
    small.fill();
    host.mini(["rm", "removed"]).run().ok();
    small.fill();
    host.mini(["stop", "-t", "0", "brief"]).run().ok();
    small.fill();
    host.mini(["container", "prune", "-f"]).run().ok().stdout_has("Total");
    small.fill();
    host.mini(["rm", "-f", "runs"]).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    small.fill();
    small.free();
    small.leave();
}

/// Lines that found no room are lost, and none besides.
#[test]
fn a_log_goes_on_after_the_disk_was_full() {
    let host = Host::new();
    let small = Small::root(&host);
    let container = host.start(["--name", "box", "busybox", "sh", "-c", PARROT]);
    let mut client = host.spawn(["attach", "--no-stdin", "box"]);
    wait::until("its first line", || container.logs().text().contains("ready").then_some(()));
    small.fill();
    // More than the rest of a block.
    for number in 0..40 {
        tell(&container, &format!("lost-{number}-{}", "x".repeat(200)));
        while !client.line().contains(&format!("lost-{number}-")) {}
    }
    small.free();
    for number in 0..3 {
        tell(&container, &format!("kept-{number}"));
        assert_eq!(client.line(), format!("said kept-{number}"));
    }
    let lines = container.logs().lines();
    let kept: Vec<_> = lines.iter().filter(|line| line.contains("kept")).collect();
    assert_eq!(kept, ["said kept-0", "said kept-1", "said kept-2"]);
    let numbers = lines.iter().filter(|line| line.contains("lost")).count();
    assert!(numbers < 40, "it was never full");
    assert_eq!(lines.len(), 1 + numbers + 3, "{lines:?}");
    small.leave();
}

#[test]
fn a_full_run_directory_keeps_new_ones_out() {
    let host = Host::with_busybox();
    let small = Small::run_root(&host);
    let runs = host.start(["--name", "runs", "busybox", "sh", "-c", PARROT]);
    host.mini(["create", "--name", "made", "busybox", "true"]).run().ok();
    small.fill();
    let place = host.run_root();
    for (flags, code) in NEW {
        no_room(host.mini(flags).args(["--name", "new", "busybox", "true"]).run(), code, &place);
        host.mini(["ps", "-aq", "--filter", "name=new"]).run().ok().stdout("");
    }
    no_room(host.mini(["start", "made"]).run(), 1, &place);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Created").stdout_has("Up ");
    runs.exec(["echo", "works"]).run().ok().stdout("works\n");
    host.mini(["update", "--pids-limit", "50", "runs"]).run().ok();
    host.mini(["stop", "runs"]).run().ok();
    assert_eq!(runs.field("/State/ExitCode"), 7);
    small.fill();
    host.mini(["rm", "runs"]).run().ok();
    small.free();
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["start", "-a", "made"]).run().ok();
    small.leave();
}

#[test]
fn an_id_that_cannot_be_handed_over_leaves_no_container() {
    let host = Host::with_busybox();
    let small = Small::run_root(&host);
    let file = small.place.join("id");
    let flag = |command: &[&str]| {
        host.mini(command).args(["--cidfile", file.to_str().expect("text"), "busybox", "true"])
    };
    // Between the first look at it and the writing another may have made it: here, a link to nowhere.
    std::os::unix::fs::symlink("nowhere", &file).expect("symlink");
    for (command, code) in NEW {
        flag(command).run().error(code, &["container's id"]);
        host.mini(["ps", "-aq"]).run().ok().stdout("");
    }
    fs::remove_file(&file).expect("remove");
    host.mini(["system", "check"]).run().ok().stdout("");
    flag(&["run", "--rm"]).run().ok();
    assert_eq!(fs::read_to_string(&file).expect("an id").len(), 64);
    fs::remove_file(&file).expect("remove");
    small.leave();
}

#[test]
fn a_root_that_cannot_be_written_to_can_be_looked_at() {
    let host = Host::new();
    let small = Small::root(&host);
    let runs = host.start(["--name", "runs", "busybox", "sleep", "1000"]);
    host.mini(["create", "--name", "made", "busybox", "true"]).run().ok();
    host.mini(["run", "--name", "ended", "busybox", "echo", "kept"]).run().ok();
    let remount = |how: &str| {
        host.tool("mount", ["-o", &format!("remount,bind,{how}"), small.place.to_str().expect("text")]);
    };
    remount("ro");
    host.mini(["ps", "-a"]).run().ok().stdout_has("Created").stdout_has("Up ").stdout_has("Exited (0)");
    host.mini(["inspect", "runs", "made", "ended"]).run().ok();
    host.mini(["logs", "ended"]).run().ok().stdout("kept\n");
    runs.exec(["echo", "works"]).run().ok().stdout("works\n");
    host.mini(["images"]).run().ok().stdout_has("busybox");
    host.mini(["top", "runs"]).run().ok();
    host.mini(["stats", "--no-stream"]).run().ok();
    host.mini(["port", "runs"]).run().ok();
    host.mini(["events", "--until", "0s", "--filter", "event=die"]).run().ok().stdout_has("ended");
    host.mini(["pause", "runs"]).run().ok();
    host.mini(["unpause", "runs"]).run().ok();

    for (flags, code) in NEW {
        read_only(host.mini(flags).args(["--name", "new", "busybox", "true"]).run(), code);
    }
    read_only(host.mini(["start", "made"]).run(), 1);
    read_only(host.mini(["rename", "made", "other"]).run(), 1);
    read_only(host.mini(["update", "--pids-limit", "9", "runs"]).run(), 1);
    read_only(host.mini(["rm", "made"]).run(), 1);
    assert_eq!(runs.cgroup_file("pids", "pids.max", "pids.max"), "4096");
    host.mini(["ps", "-a", "--format", "{{.Names}}"]).run().ok().stdout("ended\nmade\nruns\n");

    host.mini(["kill", "runs"]).run().ok();
    assert_eq!(runs.field("/State/ExitCode"), 137);
    host.mini(["wait", "runs"]).run().ok().stdout("137\n");
    remount("rw");
    host.mini(["start", "runs"]).run().ok();
    host.mini(["start", "-a", "made"]).run().ok();
    small.leave();
}
