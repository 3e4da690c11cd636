//! The file systems that `--root` may lie on: everything that happens to an image, on each of them.

use std::fs;

use serde_json::json;
use tests::registry::Registry;
use tests::{Host, Image, Loopback, Tarball};

use crate::copying::on_an_overlay;

/// What is hard for a file system: whiteouts, an emptied directory, links of both kinds, attributes, a hole, owners.
fn difficult() -> Image {
    let below = Tarball::new()
        .directory("d", 0o755)
        .file("d/hidden", 0o644, "below")
        .directory("e", 0o755)
        .file("e/hidden", 0o644, "below")
        .file("kept", 0o4755, "kept");
    let above = Tarball::new()
        .directory("d", 0o755)
        .file("d/.wh.hidden", 0o600, "")
        .directory("e", 0o755)
        .file("e/.wh..wh..opq", 0o600, "")
        .file("e/new", 0o644, "new");
    Image::busybox().with(below).with(above).set("Cmd", json!(["cat", "/e/new"]))
}

/// Pull, load, run, change, look, remove, and check. Where a container has a copy of its image, it has no layer that could be explored.
fn everything(host: &Host, copied: bool) {
    let registry = Registry::start(host);
    let image = difficult();
    let (name, _) = registry.push("team/image", "1", &image);
    host.mini(["pull", &name]).run().ok();
    host.load(&Image::busybox(), "busybox:latest");
    host.mini(["run", "--rm", &name]).run().ok().stdout("new");
    let script = "ls /d /e; stat -c %a /kept; rm /kept; echo changed >/e/new; mkdir /own; mv /own /moved; chown 5:6 /moved";
    host.mini(["run", "--name", "box", &name, "sh", "-c", script])
        .run()
        .ok()
        .stdout("/d:\n\n/e:\nnew\n4755\n");
    let changes = host.mini(["diff", "box"]).run().ok();
    changes.stdout_has("D /kept").stdout_has("C /e/new").stdout_has("A /moved");
    host.mini(["start", "-a", "box"]).run().ok().stdout_has("/e:\nnew\n");
    let explored = host.mini(["image", "explore", "--path", "/kept", "box"]).run().ok();
    explored.stdout_has(if copied { "file" } else { "whiteout" });
    host.mini(["image", "explore", "--path", "/d/hidden", &name]).run().ok().stdout_has("whiteout");
    let exported = host.mini(["export", "box"]).run().ok();
    assert!(!exported.stdout.is_empty());
    let archive = host.work().join("saved.tar");
    host.mini(["save", "-o", archive.to_str().expect("text"), &name]).run().ok();
    host.mini(["run", "--rm", "-v", "data:/e", &name]).run().ok().stdout("new");
    host.mini(["volume", "rm", "data"]).run().ok();
    host.mini(["system", "check", "--deep"]).run().ok().stdout("");
    // A layer is damaged, found, and made anew.
    let layers = fs::read_dir(host.root().join("image/layers")).expect("layers").flatten();
    let kept = layers.map(|layer| layer.path().join("tree/kept")).find(|kept| kept.exists()).expect("a file");
    fs::remove_file(&kept).expect("remove");
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has(" (repaired)");
    assert!(kept.exists());
    host.mini(["rm", "box"]).run().ok();
    host.mini(["rmi", &name, "busybox"]).run().ok();
    host.mini(["load", "-q", "-i", archive.to_str().expect("text")]).run().ok();
    host.mini(["run", "--rm", &name]).run().ok().stdout("new");
    host.mini(["image", "prune", "-af"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
    fs::remove_file(archive).expect("remove the archive");
}

/// On a disk of its own with this file system, where kernel and machine know it.
fn on(kind: &str, make: &[&str]) {
    let host = Host::new();
    let known = fs::read_to_string("/proc/filesystems").expect("a list");
    // A module may be loaded when it is first mounted.
    let disk = Loopback::new(&host, 512 << 20);
    let mut mkfs = std::process::Command::new(format!("mkfs.{kind}"));
    let made = mkfs.args(make).arg(disk.name()).output();
    if !made.as_ref().is_ok_and(|made| made.status.success()) {
        tests::skip(&format!("there is no mkfs.{kind} that works: {made:?}"));
        return;
    }
    let place = host.root();
    let place = place.to_str().expect("text");
    let mount =
        std::process::Command::new("mount").args(["-t", kind, disk.name(), place]).output().expect("mount");
    if !mount.status.success() && !known.contains(&format!("\t{kind}\n")) {
        tests::skip(&format!("this kernel has no {kind}"));
        return;
    }
    assert!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
    everything(&host, false);
    host.mini(["network", "prune", "-f"]).run().ok();
    host.tool("umount", [place]);
}

#[test]
fn ext4() {
    on("ext4", &["-q"]);
}

#[test]
fn xfs() {
    on("xfs", &["-q"]);
}

#[test]
fn btrfs() {
    on("btrfs", &["-q"]);
}

#[test]
fn tmpfs() {
    everything(&Host::new(), false);
}

/// As inside another container: what overlay cannot stack is copied.
#[test]
fn overlay() {
    on_an_overlay(|host| everything(host, true));
}
