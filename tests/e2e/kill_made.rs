//! SIGKILL at every operation of `commit`, `import` and `tag`: an image is there whole, or not at all, and its container goes on.

use serde_json::json;
use tests::step::{Step, Stepper, Verdict};
use tests::{Host, Image, Mini, Tarball, wait};

use crate::killing::{Scene, at_every_operation, at_every_operation_and_at_once, settle};

/// A dozen files, to be written by a container or to be imported.
fn files() -> Tarball {
    (0..12).fold(Tarball::new().directory("d", 0o755), |layer, file| {
        layer
            .file(&format!("d/{file}"), 0o644, vec![b'x'; 3000])
            .hardlink(&format!("d/{file}-again"), &format!("d/{file}"))
    })
}

/// An image of that name is whole, or there is none; and in the end there is one.
fn whole_or_absent(host: &Host, again: &dyn Fn(&Host) -> Mini) {
    let works = || {
        let output =
            host.mini(["run", "--rm", "--pull=never", "killed:1", "cat", "/d/11", "/d/0-again"]).run().ok();
        assert_eq!(output.stdout.len(), 6000, "an image that is listed is not whole");
        host.mini(["history", "killed:1"]).run().ok();
        host.mini(["rmi", "killed:1"]).run().ok();
    };
    let listed = host.mini(["images", "-q", "killed"]).run().ok();
    if !listed.line().is_empty() {
        works();
    }
    again(host).run().ok();
    works();
    settle(host);
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn import_of_an_archive() {
    let host = Host::new();
    let binary = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let tar = files().directory("bin", 0o755).file("bin/cat", 0o755, binary).finish();
    std::fs::write(host.work().join("archive"), tar).expect("write");
    let import = |host: &Host| host.mini(["import"]).arg(host.work().join("archive")).arg("killed:1");
    let absent = |host: &Host| drop(host.mini(["rmi", "killed:1"]).run());
    let scene = Scene { before: &absent, command: &import, after: &|host| whole_or_absent(host, &import) };
    at_every_operation(&host, "client", &scene);
}

/// A container of a small image that has written those files, and commits of it.
#[track_caller]
fn commit(role: &str) {
    let host = Host::new();
    let binary = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let applets = ["sh", "cat", "mkdir", "ln", "sleep", "rm"];
    let base = applets.iter().fold(
        Tarball::new().directory("bin", 0o755).file("bin/busybox", 0o755, binary).file("gone", 0o644, "x"),
        |layer, applet| layer.hardlink(&format!("bin/{applet}"), "bin/busybox"),
    );
    host.load(&Image::of([base]).set("Cmd", json!(["sh"])), "base:1");
    let write = "mkdir d; x=xxxxxxxxxx; x=$x$x$x$x$x$x$x$x$x$x; x=$x$x$x; i=0; while [ $i -lt 12 ]; do \
        for j in 1 2 3 4 5 6 7 8 9 10; do printf $x; done > d/$i; ln d/$i d/$i-again; i=$((i+1)); done; rm gone; exec sleep 1000";
    let status = |host: &Host| host.mini(["inspect", "-f", "{{.State.Status}}", "web"]).run().ok().line();
    let before = |host: &Host| {
        // What is listed of the last round goes; the container runs and has written everything.
        let _absent = host.mini(["rmi", "killed:1"]).run();
        if host.mini(["ps", "-q", "-f", "name=web"]).run().ok().line().is_empty() {
            host.mini(["run", "-d", "--name", "web", "base:1", "sh", "-c", write]).run().ok();
        }
        wait::until("the files", || {
            let there = host.mini(["exec", "web", "cat", "/d/11-again"]).run();
            (there.stdout.len() == 3000).then_some(())
        });
    };
    let command = |host: &Host| host.mini(["commit", "web", "killed:1"]);
    let after = |host: &Host| {
        // The aftermath has removed it.
        before(host);
        whole_or_absent(host, &command);
        host.mini(["rm", "-f", "web"]).run().ok();
    };
    let goes_on = |place: &str| {
        wait::until(&format!("the container to go on: {place}"), || {
            (status(&host) == "running").then_some(())
        });
    };
    let scene = Scene { before: &before, command: &command, after: &after };
    at_every_operation_and_at_once(&host, role, &scene, &goes_on);
}

/// Whoever reads a container's files is killed while it stands still: it goes on all the same.
#[test]
fn a_container_is_not_left_standing_still() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "web", "busybox", "sh", "-c", "echo x > /x; sleep 1000"]);
    let reads = |step: &Step| step.role == "client" && step.call.starts_with("unpack(");
    let mut frozen = None;
    let judge = |step: &Step| {
        if !reads(step) {
            return Verdict::GoOn;
        }
        frozen = Some(container.field("/State/Status"));
        Verdict::Kill
    };
    let stepped = Stepper::run(host.mini(["commit", "web", "killed:1"]), judge, |_| true);
    assert_eq!(stepped.killed.len(), 1, "{:#?}", stepped.steps);
    assert_eq!(frozen, Some(json!("paused")));
    wait::until("a container that goes on", || (container.field("/State/Status") == "running").then_some(()));
    assert_eq!(container.sh("cat /x").ok().text(), "x\n");
    container.remove();
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn commit_of_a_container_that_runs() {
    commit("client");
}

#[test]
fn the_watcher_that_lets_it_go_on() {
    commit("watcher");
}

#[test]
fn tag_of_an_image() {
    let host = Host::new();
    host.load(&Image::busybox().with(files()), "base:1");
    host.load(&Image::busybox().with(files()).set("Cmd", json!(["true"])), "other:1");
    // The name is another image's before.
    let before = |host: &Host| drop(host.mini(["tag", "other:1", "killed:1"]).run().ok());
    let tag = |host: &Host| host.mini(["tag", "base:1", "killed:1"]);
    let after = |host: &Host| {
        let id = |name: &str| host.mini(["image", "inspect", "-f", "{{.Id}}", name]).run().ok().line();
        assert!(
            [id("base:1"), id("other:1")].contains(&id("killed:1")),
            "the name is the one's or the other's"
        );
        whole_or_absent(host, &tag);
    };
    let scene = Scene { before: &before, command: &tag, after: &after };
    at_every_operation(&host, "client", &scene);
}
