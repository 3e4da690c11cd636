//! Images between mini and docker, podman, skopeo and umoci, in both directions and every form.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::docker::Docker;
use tests::{Host, Image, Mini, Tarball, skip};

fn path(file: &Path) -> &str {
    file.to_str().expect("text")
}

/// Images as mini makes them: loaded, committed on that, imported. Each says its name.
fn made(host: &Host) -> [(&'static str, String); 3] {
    let base = Image::busybox().with(Tarball::new().file("word", 0o644, "base").file("gone", 0o644, "x"));
    host.load(&base, "base:1");
    host.mini(["run", "--name", "web", "base:1", "sh", "-c", "rm /gone; printf committed > /word"])
        .run()
        .ok();
    host.mini(["commit", "web", "committed:1"]).run().ok();
    host.mini(["rm", "web"]).run().ok();
    let flat = Image::busybox().layers.remove(0);
    host.mini(["import", "-c", "CMD [\"sh\"]", "-", "flat:1"]).stdin(flat).run().ok();
    ["base:1", "committed:1", "flat:1"].map(|name| (name, id_of(host, name)))
}

fn id_of(host: &Host, name: &str) -> String {
    host.mini(["image", "inspect", "-f", "{{.Id}}", name]).run().ok().line()
}

/// podman with a store of its own.
fn podman<const N: usize>(host: &Host, args: [&str; N]) -> Mini {
    let at = |name: &str| path(&host.work().join(name)).to_owned();
    let mut command = std::process::Command::new("podman");
    command.args(["--root", &at("podman"), "--runroot", &at("podman-run"), "--tmpdir", &at("podman-tmp")]);
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
    command.env("HOME", host.home()).args(args);
    Mini::new(command).patient(4)
}

/// The same program with another root, where nothing is yet.
fn there<const N: usize>(host: &Host, args: [&str; N]) -> Mini {
    host.mini(args).env("MINI_ROOT", host.home().join("there")).env("MINI_RUN_ROOT", host.home().join("runs"))
}

/// What an archive gives elsewhere: names, and what the images say.
#[track_caller]
fn loads(host: &Host, archive: &Path, expected: &[(&str, &str)]) {
    let mut output = there(host, ["load", "-i", path(archive)]).run().ok().lines();
    output.sort();
    let mut wanted: Vec<_> = expected.iter().map(|(name, _)| format!("Loaded image: {name}")).collect();
    wanted.sort();
    assert_eq!(output, wanted, "{}", archive.display());
    for (name, word) in expected {
        let said = there(
            host,
            [
                "run",
                "--rm",
                "--pull=never",
                name,
                "sh",
                "-c",
                "cat /word 2>/dev/null; ls /gone 2>/dev/null; true",
            ],
        )
        .run()
        .ok()
        .text();
        let word = if *word == "base" { "base/gone\n" } else { word };
        assert_eq!(said, word, "{}: {name}", archive.display());
    }
    for (name, _) in expected {
        there(host, ["rmi", name]).run().ok();
    }
}

#[test]
fn docker_takes_them_and_gives_them_back() {
    let host = Host::new();
    let images = made(&host);
    let Some(docker) = Docker::start(&host) else { return skip("docker.io is not installed") };
    let names = images.each_ref().map(|(name, _)| *name);
    let archive = host.mini(["save"]).args(names).run().ok().stdout;
    docker.command(["load"]).stdin(archive).run().ok();
    for (name, id) in &images {
        assert_eq!(
            docker.command(["image", "inspect", "-f", "{{.Id}}", name]).run().ok().line(),
            *id,
            "{name}"
        );
    }
    // That one was made of another goes along, there and back.
    let parent = |inspected: String| inspected == images[0].1;
    assert!(parent(
        docker.command(["image", "inspect", "-f", "{{.Parent}}", "committed:1"]).run().ok().line()
    ));
    docker
        .command(["run", "--rm", "committed:1", "sh", "-c", "cat /word; ls /gone"])
        .run()
        .code(1)
        .stdout("committed");
    docker.command(["rmi", &images[0].1]).run().code(1).stderr_has("image has dependent child images");
    docker.command(["tag", "base:1", "base:2"]).run().ok();
    let all = host.work().join("all.tar");
    docker.command(["save", "-o", path(&all), "base", "committed:1", "flat:1"]).run().ok();
    there(&host, ["load", "-i", path(&all)]).run().ok();
    assert_eq!(
        there(&host, ["image", "inspect", "-f", "{{.Parent}}", "committed:1"]).run().ok().line(),
        images[0].1
    );
    for name in ["committed:1", "base:1", "base:2", "flat:1"] {
        there(&host, ["rmi", name]).run().ok();
    }
    let words = [("base:1", "base"), ("base:2", "base"), ("committed:1", "committed"), ("flat:1", "")];
    loads(&host, &all, &words);
    // The same without what is said in the newer form: as docker wrote it before 1.10.
    let old = host.work().join("old");
    fs::create_dir(&old).expect("mkdir");
    host.tool("tar", ["-C", path(&old), "-xf", path(&all)]);
    assert!(old.join("repositories").exists());
    fs::remove_file(old.join("manifest.json")).expect("remove");
    host.tool("tar", ["-C", path(&old), "-cf", path(&all), "."]);
    loads(&host, &all, &words);
    there(&host, ["system", "check"]).run().ok();
}

#[test]
fn podman_takes_them_and_gives_them_back() {
    let host = Host::new();
    let images = made(&host);
    let names = images.each_ref().map(|(name, _)| *name);
    let all = host.work().join("all.tar");
    host.mini(["save", "-o", path(&all)]).args(names).run().ok();
    podman(&host, ["load", "-q", "-i", path(&all)]).run().ok();
    for (name, id) in &images {
        let known = podman(&host, ["image", "inspect", "-f", "{{.Id}}", name]).run().ok().line();
        assert_eq!(format!("sha256:{known}"), *id, "{name}");
    }
    let back = host.work().join("back.tar");
    let words = [("base:1", "base"), ("committed:1", "committed"), ("flat:1", "")];
    podman(&host, ["save", "-q", "-m", "-o", path(&back), "base:1", "committed:1", "flat:1"]).run().ok();
    let local = |name: &str| {
        podman(&host, ["image", "inspect", "-f", "{{index .RepoTags 0}}", name]).run().ok().line()
    };
    let shown = |name: &str| {
        local(name).strip_prefix("docker.io/library/").map_or_else(|| local(name), str::to_owned)
    };
    let named = words.map(|(name, word)| (shown(name), word));
    let named: Vec<(&str, &str)> = named.iter().map(|(name, word)| (name.as_str(), *word)).collect();
    loads(&host, &back, &named);
    for form in ["docker-archive", "oci-archive", "oci-dir"] {
        let file = host.work().join(form);
        podman(&host, ["save", "-q", "--format", form, "-o", path(&file), "committed:1"]).run().ok();
        loads(&host, &file, &named[1..2]);
    }
    podman(&host, ["rmi", "-a", "-f"]).run().ok();
}

#[test]
fn skopeo_and_umoci_take_them_and_give_them_back() {
    let host = Host::new();
    let images = made(&host);
    let at = |name: &str| host.work().join(name);
    let skopeo = |from: &str, to: &str| {
        host.tool("skopeo", ["copy", "--quiet", "--insecure-policy", from, to]);
    };
    let all = at("all.tar");
    host.mini(["save", "-o", path(&all)]).args(images.each_ref().map(|(name, _)| *name)).run().ok();
    for (name, id) in &images {
        // By copying into a layout skopeo would write the configuration anew.
        let copy = at("copy");
        skopeo(&format!("docker-archive:{}:{name}", path(&all)), &format!("dir:{}", path(&copy)));
        let manifest = fs::read(copy.join("manifest.json")).expect("read");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        assert_eq!(manifest["config"]["digest"], *id, "{name}");
        fs::remove_dir_all(copy).expect("remove");
    }
    // umoci reads the archive's own layout.
    let own = at("own");
    fs::create_dir(&own).expect("mkdir");
    let one = at("one.tar");
    host.mini(["save", "-o", path(&one), "committed:1"]).run().ok();
    host.tool("tar", ["-C", path(&own), "-xf", path(&one)]);
    let bundle = at("bundle");
    host.tool("umoci", ["unpack", "--image", &format!("{}:1", path(&own)), path(&bundle)]);
    assert_eq!(fs::read_to_string(bundle.join("rootfs/word")).expect("read"), "committed");
    assert!(!bundle.join("rootfs/gone").exists(), "what the container removed is not there");
    // And writes another image into it, which comes back as a directory.
    fs::write(bundle.join("rootfs/word"), "umoci").expect("write");
    host.tool("umoci", ["repack", "--image", &format!("{}:theirs", path(&own)), path(&bundle)]);
    host.tool("umoci", ["rm", "--image", &format!("{}:1", path(&own))]);
    fs::remove_file(own.join("manifest.json")).expect("remove");
    // umoci keeps what containerd's annotation calls the image, and that is its whole name.
    loads(&host, &own, &[("committed:1", "umoci")]);
    for form in ["docker-archive", "oci-archive"] {
        let file = at(form);
        skopeo(
            &format!("docker-archive:{}:committed:1", path(&all)),
            &format!("{form}:{}:committed:1", path(&file)),
        );
        loads(&host, &file, &[("committed:1", "committed")]);
    }
    let output = there(&host, ["load", "-i", path(&host.work())]).run().error(1, &["no archive of images"]);
    assert_eq!(output.text(), "");
    there(&host, ["system", "check"]).run().ok();
}
