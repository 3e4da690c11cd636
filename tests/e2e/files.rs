//! What containers leave in their files: told, counted, and removed whatever it is.

use std::process::Command;

use tests::image::{Compression, Flavour};
use tests::{Host, Image, Mini, Tarball};

#[test]
fn diff_tells_what_was_added_changed_and_deleted() {
    let host = Host::new();
    let first = Tarball::new()
        .directory("dir", 0o755)
        .file("dir/kept", 0o644, "kept")
        .file("dir/gone", 0o644, "gone")
        .file("dir/changed", 0o644, "old")
        .directory("hidden", 0o755)
        .file("hidden/below", 0o644, "below");
    let second = Tarball::new().file("dir/.wh.gone-before", 0o644, "").file(".wh.hidden", 0o644, "");
    let image = Image::busybox().with(first).with(second).packed(Compression::None, Flavour::Oci);
    host.load(&image, "files:latest");
    let script = "rm dir/gone; echo new > dir/changed; echo new > dir/added; mkdir -p hidden/new; echo > hidden/below; \
                  ln -s /etc/passwd link; rm -r bin/vi; chmod 700 root";
    let container = host.start(["files", "sh", "-c", &format!("cd /; {script}")]);
    container.wait();
    let expected = "C /bin\nD /bin/vi\nC /dir\nA /dir/added\nC /dir/changed\nD /dir/gone\nA /hidden\nA /hidden/below\n\
                    A /hidden/new\nA /link\nC /root\n";
    host.mini(["diff", &container.id]).run().ok().stdout(expected);
    host.mini(["container", "diff", &container.id]).run().ok().stdout(expected);
    let quiet = host.start(["files", "true"]);
    quiet.wait();
    host.mini(["diff", &quiet.id]).run().ok().stdout("");
    host.mini(["diff", "no-such"]).run().error(1, &["no-such"]);
}

#[test]
fn diff_follows_no_link_of_a_container() {
    let host = Host::with_busybox();
    let script = "rm -r /root; ln -s /etc /root; mkdir -p /a/b; ln -s / /a/b/root; ln -s .. /a/up";
    let container = host.start(["busybox", "sh", "-c", script]);
    container.wait();
    let told =
        host.mini(["diff", &container.id]).run().ok().stdout_has("A /a/b/root\n").stdout_has("A /a/up\n");
    assert!(!told.text().contains("root/"), "{told}");
}

#[test]
fn names_reach_no_terminal_as_they_are() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sh", "-c", "touch \"$(printf 'a\\033[31mb')\""]);
    container.wait();
    host.mini(["diff", &container.id]).run().ok().stdout("A /a\u{1b}[31mb\n");
    let mut terminal = host.mini(["diff", &container.id]).terminal(24, 80);
    terminal.expect_screen("A /a?[31mb");
    terminal.ends_with(0);
}

#[test]
fn directories_in_directories_without_end_are_removed() {
    let host = Host::with_busybox();
    let script = "mkdir /deep && cd /deep; i=0; while [ $i -lt 1500 ]; do mkdir d && touch f && cd -P d 2>/dev/null || exit 1; \
                  i=$((i+1)); done; mkdir deep.1.0; echo made";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    container.wait();
    container.logs().ok().stdout("made\n");
    // Fewer descriptors than there are levels.
    let limited = |args: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("ulimit -n 200; exec {} {args}", host.binary().display())]);
        command.env_clear().envs(host.environment());
        Mini::new(command).run()
    };
    limited("rm box").ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    host.mini(["system", "check"]).run().ok().stdout("");
    assert!(tests::disk::used(&host.root().join("containers")) < 1 << 16, "something is left");
}

#[test]
fn prune_removes_what_does_not_run_and_says_how_much_that_was() {
    let host = Host::with_busybox();
    let running = host.start(["busybox", "sleep", "1000"]);
    let kept = host.start(["-l", "keep", "busybox", "true"]);
    kept.wait();
    let gone = host.start(["busybox", "dd", "if=/dev/zero", "of=/file", "bs=1000000", "count=3"]);
    gone.wait();
    host.mini(["container", "prune"]).stdin("n\n").run().ok().stdout_has("[y/N]");
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 3);
    host.mini(["container", "prune", "-f", "--filter", "until=1h"])
        .run()
        .ok()
        .stdout("Total reclaimed space: 0B\n");
    let output = host.mini(["container", "prune", "-f", "--filter", "label!=keep"]).run().ok();
    output
        .stdout_has(&format!("Deleted Containers:\n{}\n\nTotal reclaimed space: 3", gone.id))
        .stdout_has("MB");
    let output = host.mini(["container", "prune"]).stdin("y\n").run().ok();
    output.stdout_has(&kept.id);
    host.mini(["ps", "-aq", "--no-trunc"]).run().ok().stdout(&format!("{}\n", running.id));
    host.mini(["container", "prune", "-f", "--filter", "color=red"]).run().error(1, &["color"]);
}
