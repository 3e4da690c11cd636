//! SIGKILL at every operation of `prune`, of images, networks and everything: what is left is whole, and can be used or pruned.

use serde_json::json;
use tests::{Host, Image, Tarball};

use crate::killing::{Scene, at_every_operation, run_works};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// Loads an image from a file that holds it.
fn load(host: &Host, file: &str) {
    host.mini(["load", "-i"]).arg(host.work().join(file)).run().ok();
}

/// A host with archives of three images: `x:1`, another `x:1`, and busybox.
fn host() -> Host {
    let host = Host::new();
    for (file, image, name) in [
        ("one", saying("one"), "x:1"),
        ("two", saying("two"), "x:1"),
        ("busybox", Image::busybox(), "busybox:latest"),
    ] {
        std::fs::write(host.work().join(file), image.docker_archive(&[name])).expect("write");
    }
    host
}

/// Whatever is listed runs; what is pruned now is gone.
fn images_are_whole(host: &Host) {
    for name in host.mini(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run().ok().lines() {
        let words: &[&str] = if name.starts_with('x') { &[] } else { &["true"] };
        if !name.contains("<none>") {
            host.mini(["run", "--rm", "--pull=never", &name]).args(words).run().ok();
        }
    }
    host.mini(["image", "prune", "-af"]).run().ok();
    host.mini(["images", "-q"]).run().ok().stdout("");
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn the_client_of_image_prune() {
    let host = host();
    let scene = Scene {
        before: &|host| ["one", "two", "busybox"].iter().for_each(|file| load(host, file)),
        command: &|host| host.mini(["image", "prune", "-a", "-f"]),
        after: &images_are_whole,
    };
    at_every_operation(&host, "client", &scene);
}

#[test]
fn the_client_of_network_prune() {
    let host = Host::with_busybox();
    let scene = Scene {
        before: &|host| drop(host.mini(["run", "--rm", "busybox", "true"]).run().ok()),
        command: &|host| host.mini(["network", "prune", "-f"]),
        after: &run_works,
    };
    at_every_operation(&host, "client", &scene);
}

#[test]
fn the_client_of_system_prune() {
    let host = host();
    let full = |host: &Host| {
        ["one", "two", "busybox"].iter().for_each(|file| load(host, file));
        // It counts as one without a name, and has one, so that what is left of it can be told from a leak.
        let label = "com.docker.volume.anonymous";
        host.mini(["volume", "create", "--label", label, "scratch"]).run().ok();
        host.mini([
            "run",
            "--name",
            "killed",
            "-v",
            "scratch:/data",
            "busybox",
            "touch",
            "/file",
            "/data/file",
        ])
        .run()
        .ok();
    };
    let after = |host: &Host| {
        load(host, "busybox");
        run_works(host);
        host.mini(["system", "prune", "-af", "--volumes"]).run().ok();
        host.mini(["images", "-q"]).run().ok().stdout("");
        host.mini(["volume", "ls", "-q"]).run().ok().stdout("");
    };
    let scene = Scene {
        before: &full,
        command: &|host| host.mini(["system", "prune", "-a", "-f", "--volumes"]),
        after: &after,
    };
    at_every_operation(&host, "client", &scene);
}
