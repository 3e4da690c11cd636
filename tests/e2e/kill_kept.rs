//! SIGKILL at every operation of whatever puts an image away that a stopped container stands on, and takes it away with the container.

use std::fs;

use serde_json::json;
use tests::step::{Step, Stepper, Verdict};
use tests::{Host, Image, Output, Tarball};

use crate::killing::{Scene, at_every_operation_and_at_once, settle};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// A host with archives of three images, `x:1`, `y:1` and `z:1`.
fn host() -> Host {
    let host = Host::new();
    for word in ["x", "y", "z"] {
        let archive = saying(word).docker_archive(&[&format!("{word}:1")]);
        fs::write(host.work().join(word), archive).expect("write");
    }
    host
}

/// The image is here, and a container of it that has ended.
fn in_use(host: &Host, word: &str) {
    host.mini(["load", "-i"]).arg(host.work().join(word)).run().ok();
    host.mini(["run", "--name", &format!("of-{word}"), &format!("{word}:1")]).run().ok();
}

/// The same, and the image is removed.
fn kept(host: &Host, word: &str) {
    in_use(host, word);
    host.mini(["rmi", "-f", &format!("{word}:1")]).run().ok().stdout_has("Deleted: ");
}

#[track_caller]
fn ok(place: &str, output: Output) -> Output {
    assert!(output.status.success() && !output.err().contains("panicked"), "{place}: {output}");
    output
}

fn exists(host: &Host, container: &str) -> bool {
    let names = host.mini(["ps", "-a", "--format", "{{.Names}}"]).run().ok().lines();
    names.iter().any(|name| name == container)
}

/// A container that is there starts, as often as one likes.
#[track_caller]
fn starts(host: &Host, place: &str, word: &str) {
    let output = ok(place, host.mini(["start", "-a", &format!("of-{word}")]).run());
    assert_eq!(output.text(), word, "{place}");
    settle(host);
}

/// Whatever a kill has left is mended, and was no damage.
#[track_caller]
fn is_mended(host: &Host, place: &str) {
    let repair = ok(place, host.mini(["system", "check", "--repair"]).run());
    assert!(!repair.text().contains("not whole"), "{place}: {repair}");
    for look in [&["system", "check"][..], &["system", "check", "--deep"]] {
        let look = ok(place, host.mini(look).run());
        assert_eq!(look.text(), "", "{place}");
    }
}

/// So many images, layers and marks are in the store: of each image its own layer and the one that both have.
#[track_caller]
fn holds(host: &Host, place: &str, images: usize, marks: usize) {
    let count =
        |directory: &str| fs::read_dir(host.root().join("image").join(directory)).map_or(0, Iterator::count);
    let layers = if images == 0 { 0 } else { images + 1 };
    let found = ["images", "layers", "blobs/sha256", "kept"].map(count);
    assert_eq!(found, [images, layers, layers + 2 * images, marks], "{place}: images, layers, blobs, marks");
    for directory in ["ingest", "partial", "damaged"] {
        assert_eq!(count(directory), 0, "{place}: {directory}");
    }
}

fn nothing(host: &Host) {
    holds(host, "without containers", 0, 0);
}

#[test]
fn rmi_of_an_image_that_a_stopped_container_uses() {
    let host = host();
    let rmi = |host: &Host| host.mini(["rmi", "-f", "x:1"]);
    let scene = Scene { before: &|host| in_use(host, "x"), command: &rmi, after: &nothing };
    at_every_operation_and_at_once(&host, "client", &scene, &|place| {
        starts(&host, place, "x");
        if !host.mini(["images", "-q"]).run().ok().line().is_empty() {
            assert_eq!(ok(place, host.mini(["run", "--rm", "--pull=never", "x:1"]).run()).text(), "x");
        }
        is_mended(&host, place);
        starts(&host, place, "x");
        // Once more: it ends what was begun, or finds it done.
        ok(place, rmi(&host).run());
        assert_eq!(ok(place, host.mini(["images", "-aq"]).run()).text(), "", "{place}");
        starts(&host, place, "x");
        holds(&host, place, 1, 1);
        ok(place, host.mini(["rm", "of-x"]).run());
        holds(&host, place, 0, 0);
        is_mended(&host, place);
    });
}

/// What is true after each kill of something that takes the container `of-x` away, by which an image is kept.
#[track_caller]
fn is_there_or_gone(host: &Host, place: &str) {
    settle(host);
    if place == "undisturbed" {
        holds(host, place, 0, 0);
    }
    if exists(host, "of-x") {
        starts(host, place, "x");
    }
    is_mended(host, place);
    if exists(host, "of-x") {
        starts(host, place, "x");
        holds(host, place, 1, 1);
        ok(place, host.mini(["rm", "of-x"]).run());
    }
    holds(host, place, 0, 0);
}

#[test]
fn rm_of_the_container() {
    let host = host();
    let scene = Scene {
        before: &|host| kept(host, "x"),
        command: &|host| host.mini(["rm", "of-x"]),
        after: &nothing,
    };
    at_every_operation_and_at_once(&host, "client", &scene, &|place| is_there_or_gone(&host, place));
}

#[test]
fn container_prune() {
    let host = host();
    let scene = Scene {
        before: &|host| kept(host, "x"),
        command: &|host| host.mini(["container", "prune", "-f"]),
        after: &nothing,
    };
    at_every_operation_and_at_once(&host, "client", &scene, &|place| is_there_or_gone(&host, place));
}

/// With --rm it is the container's monitor that lets the image go.
#[test]
fn the_monitor_of_a_container_with_rm() {
    let host = host();
    let before = |host: &Host| {
        host.mini(["load", "-i"]).arg(host.work().join("x")).run().ok();
        host.mini(["create", "--rm", "--network=none", "--name", "of-x", "x:1"]).run().ok();
        host.mini(["rmi", "-f", "x:1"]).run().ok().stdout_has("Deleted: ");
    };
    let start = |host: &Host| host.mini(["start", "-a", "of-x"]);
    let scene = Scene { before: &before, command: &start, after: &nothing };
    at_every_operation_and_at_once(&host, "monitor", &scene, &|place| {
        settle(&host);
        if place == "undisturbed" {
            holds(&host, place, 0, 0);
        }
        is_mended(&host, place);
        if exists(&host, "of-x") {
            ok(place, host.mini(["rm", "-f", "of-x"]).run());
        }
        holds(&host, place, 0, 0);
    });
}

/// A prune of images takes away what a killed `rm` has left, and an image; what a container stands on stays.
#[test]
fn image_prune() {
    let host = host();
    let before = |host: &Host| {
        kept(host, "x");
        kept(host, "y");
        let is_mark = |step: &Step| step.call.starts_with("unlinkat") && step.call.contains("/kept/");
        let rm = host.mini(["rm", "of-y"]);
        let stepped =
            Stepper::run(rm, |step| if is_mark(step) { Verdict::Kill } else { Verdict::GoOn }, |_| false);
        assert_eq!((stepped.killed.len(), exists(host, "of-y")), (1, false), "{:#?}", stepped.steps);
        host.mini(["load", "-i"]).arg(host.work().join("z")).run().ok();
    };
    let prune = |host: &Host| host.mini(["image", "prune", "-a", "-f"]);
    let scene = Scene { before: &before, command: &prune, after: &nothing };
    at_every_operation_and_at_once(&host, "client", &scene, &|place| {
        starts(&host, place, "x");
        is_mended(&host, place);
        starts(&host, place, "x");
        ok(place, prune(&host).run());
        assert_eq!(ok(place, host.mini(["images", "-aq"]).run()).text(), "", "{place}");
        holds(&host, place, 1, 1);
        starts(&host, place, "x");
        ok(place, host.mini(["rm", "of-x"]).run());
        holds(&host, place, 0, 0);
    });
}
