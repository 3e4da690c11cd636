//! Devices of the host in a container: shown by `--device`, allowed by rules, and by nothing else.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;
use tests::tarball::Entry;
use tests::{Host, Image, Loopback, Tarball};

/// A character device that no container has by itself, and that anybody may open who may use it.
const CONTROL: &str = "/dev/loop-control";
const CONTROL_NUMBERS: (u32, u32) = (10, 237);

/// A node of the host's own making.
fn node(path: &Path, major: u32, minor: u32, mode: u32) {
    let mode = Mode::from_raw_mode(mode);
    mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(major, minor)).expect("mknod");
}

#[track_caller]
fn run(host: &Host, flags: &[&str], script: &str) -> tests::Output {
    host.mini(["run", "--rm"]).args(flags).args(["busybox", "sh", "-c", script]).run()
}

#[test]
fn a_device_has_its_numbers_its_mode_and_the_containers_root() {
    let host = Host::with_busybox();
    let disk = Loopback::new(&host, 1 << 20);
    fs::write(disk.path(), "what is on the disk").expect("write the disk");
    let meta = fs::metadata(disk.path()).expect("stat");
    assert!(meta.file_type().is_block_device());
    let path = disk.name();
    let script = format!("stat -c '%F %a %u:%g' {path}; head -c 19 {path}");
    let expected = format!("block special file {:o} 0:0\nwhat is on the disk", meta.mode() & 0o7777);
    for userns in ["private", "host"] {
        run(&host, &["--userns", userns, "--device", path], &script).ok().stdout(&expected);
    }
    // What is not shown is not there, and cannot be made.
    let script = format!(
        "[ -e {path} ] && echo there; mknod /dev/x b {} && cat /dev/x",
        disk.numbers().replace(':', " ")
    );
    for userns in ["private", "host"] {
        run(&host, &["--userns", userns], &script).code(1).stdout("").stderr_has("not permitted");
    }
}

#[test]
fn what_may_be_done_with_a_device_is_what_was_said() {
    let host = Host::with_busybox();
    let disk = Loopback::new(&host, 1 << 20);
    fs::write(disk.path(), "0123").expect("write the disk");
    for userns in ["private", "host"] {
        for (access, readable, writable) in
            [("r", true, false), ("w", false, true), ("rw", true, true), ("rwm", true, true)]
        {
            let flag = format!("{}:/dev/sub/disk:{access}", disk.name());
            let script =
                "head -c 4 /dev/sub/disk >/dev/null && echo read; (: >/dev/sub/disk) && echo written; true";
            let output = run(&host, &["--userns", userns, "--device", &flag], script).ok();
            let expected = [("read\n", readable), ("written\n", writable)];
            let expected: String = expected.iter().filter(|(_, can)| *can).map(|(text, _)| *text).collect();
            output.stdout(&expected);
        }
    }
}

#[test]
fn a_device_is_there_again_after_a_restart_and_in_inspect() {
    let host = Host::with_busybox();
    let disk = Loopback::new(&host, 1 << 20);
    let flag = format!("{}:/dev/disk:r", disk.name());
    let flags = ["--device", &flag, "--device-cgroup-rule", "c 1:11 r", "busybox", "sleep", "1000"];
    let container = host.start(flags);
    let works = || {
        container
            .sh("head -c 4 /dev/disk >/dev/null && echo read; (: >/dev/disk) || echo refused")
            .ok()
            .stdout("read\nrefused\n");
    };
    works();
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    works();
    let expected =
        json!([{ "PathOnHost": disk.path(), "PathInContainer": "/dev/disk", "CgroupPermissions": "r" }]);
    assert_eq!(container.field("/HostConfig/Devices"), expected);
    assert_eq!(container.field("/HostConfig/DeviceCgroupRules"), json!(["c 1:11 r"]));
}

#[test]
fn links_are_followed_and_directories_show_all_devices_below() {
    let host = Host::with_busybox();
    let work = host.work();
    let directory = work.join("nodes");
    fs::create_dir_all(directory.join("sub")).expect("mkdir");
    node(&directory.join("one"), 1, 3, 0o600);
    node(&directory.join("sub/two"), 1, 5, 0o640);
    fs::write(directory.join("file"), "x").expect("write");
    symlink(directory.join("one"), work.join("link")).expect("link");
    symlink(&directory, work.join("all")).expect("link");
    symlink("/dev/null", directory.join("link")).expect("link");
    let link = format!("{}:/dev/by-link", work.join("link").display());
    let all = format!("{}:/dev/all:r", work.join("all").display());
    let script = "cd /dev; for node in by-link all/*  all/*/*; do [ -d $node ] || stat -c '%n %F %a %t:%T' $node; done";
    let expected = "by-link character special file 600 1:3\nall/one character special file 600 1:3\nall/sub/two character special file 640 1:5\n";
    run(&host, &["--device", &link, "--device", &all], script).ok().stdout(expected);
    // The same name twice: the last one has it.
    let again = format!("{}:/dev/by-link", directory.join("sub/two").display());
    run(&host, &["--device", &link, "--device", &again], "stat -c %t:%T /dev/by-link").ok().stdout("1:5\n");
    // Under the name of a node that every container has; but for the one that hides what is hidden.
    let zero = |name: &str| format!("{}:/dev/{name}", directory.join("sub/two").display());
    run(&host, &["--device", &zero("full")], "stat -c %t:%T /dev/full").ok().stdout("1:5\n");
    run(&host, &["--device", &zero("null")], "true").error(125, &["/dev/null"]);
}

#[test]
fn a_rule_allows_what_a_node_is_for() {
    let host = Host::with_busybox();
    // A node that a volume brings along. Whoever owns it, its group decides.
    let mine = host.work().join("mine");
    node(&mine, CONTROL_NUMBERS.0, CONTROL_NUMBERS.1, 0o666);
    let volume = format!("{}:/mine", mine.display());
    let script = ": </mine && echo opened";
    for userns in ["private", "host"] {
        let flags = ["--userns", userns, "-v", &volume];
        run(&host, &flags, script).code(1).stdout("").stderr_has("not permitted");
        for (rule, opens) in [
            ("c 10:237 r", true),
            ("c 10:* rwm", true),
            ("c *:* r", true),
            ("c 10:237 w", false),
            ("b 10:237 rwm", false),
            ("c 10:238 r", false),
        ] {
            let output = run(&host, &[&flags[..], &["--device-cgroup-rule", rule]].concat(), script);
            assert_eq!(output.text() == "opened\n", opens, "{rule}, userns {userns}: {output}");
        }
    }
    for bad in ["c 1:11", "x 1:1 r", "a 1:1 rwm", "c 1:1 q"] {
        run(&host, &["--device-cgroup-rule", bad], "true").error(125, &["--device-cgroup-rule", bad]);
    }
}

#[test]
fn a_node_in_the_image_is_no_way_around() {
    let entry = |name: &'static str| Entry { device: CONTROL_NUMBERS, ..Entry::new(b'3', name, 0o666) };
    let image = Image::busybox()
        .with(Tarball::new().directory("dev", 0o755).entry(&entry("dev/control")).entry(&entry("control")));
    let host = Host::new();
    host.load(&image, "nodes:latest");
    let script =
        "for node in /control /dev/control /dev/shown; do (: <$node) 2>/dev/null && echo $node; done; true";
    let open = |flags: &[&str]| {
        host.mini(["run", "--rm"]).args(flags).args(["nodes", "sh", "-c", script]).run().ok()
    };
    for userns in ["private", "host"] {
        open(&["--userns", userns]).stdout("");
        // Shown and allowed: that one node, not those of the image.
        let shown = format!("{CONTROL}:/dev/shown:r");
        open(&["--userns", userns, "--device", &shown]).stdout("/dev/shown\n");
    }
}

#[test]
fn a_privileged_container_has_all_devices_and_those_with_other_names() {
    let host = Host::with_busybox();
    let disk = Loopback::new(&host, 1 << 20);
    let flag = format!("{}:/dev/other:r", disk.name());
    let script = format!("[ -b {} ] && : >/dev/other && echo written", disk.name());
    run(&host, &["--privileged", "--device", &flag], &script).ok().stdout("written\n");
    // In a user namespace of its own it has what it is shown.
    let flags = ["--privileged", "--userns=private", "--device", &flag];
    let script = format!(
        "[ -b {} ] || echo not there; (: >/dev/other) && echo written; head -c 1 /dev/other >/dev/null && echo read",
        disk.name()
    );
    run(&host, &flags, &script).ok().stdout("not there\nread\n");
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let host = Host::with_busybox();
    fs::create_dir(host.work().join("empty")).expect("mkdir");
    for (device, complaint) in [
        ("/dev/no-such", "/dev/no-such"),
        ("/etc/passwd:/dev/passwd", "/etc/passwd"),
        ("/run/mini-test/work/empty:/dev/empty", "neither a device nor a directory"),
        ("dev/null", "absolute"),
        ("/dev/null:/tmp/null", "below /dev"),
        ("/dev/null:/dev/../tmp/null", "below /dev"),
        ("/dev/null:/dev/x:rx", "r, w and m"),
        ("vendor.com/gpu=all", "CDI"),
    ] {
        run(&host, &["--device", device], "true").error(125, &["device", complaint]);
    }
    run(&host, &["--gpus", "all"], "true").error(125, &["--gpus"]);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}
