//! `mini save`: archives that mini, docker and skopeo read, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::docker::Docker;
use tests::image::{Compression, Flavour};
use tests::{Host, Image, Mini, Tarball, skip};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// The same program with another root, where nothing is yet: somebody else's machine.
fn there<const N: usize>(host: &Host, args: [&str; N]) -> Mini {
    host.mini(args).env("MINI_ROOT", host.home().join("there")).env("MINI_RUN_ROOT", host.home().join("runs"))
}

/// Names and ids, as `mini images` lists them.
const LISTED: [&str; 4] = ["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];

fn sorted(lines: Vec<String>) -> Vec<String> {
    let mut lines = lines;
    lines.sort();
    lines
}

/// A member of an archive.
fn member(archive: &Path, name: &str) -> Vec<u8> {
    let output =
        Command::new("tar").arg("-xOf").arg(archive).arg(name).stdin(Stdio::null()).output().expect("tar");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn json_of(archive: &Path, name: &str) -> Value {
    serde_json::from_slice(&member(archive, name)).expect("JSON")
}

fn members(archive: &Path) -> Vec<String> {
    let output = Command::new("tar").arg("-tf").arg(archive).output().expect("tar");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn path(file: &Path) -> &str {
    file.to_str().expect("text")
}

/// The blobs of the store, the largest first.
fn blobs(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(host.root().join("image/blobs/sha256")).expect("the store");
    let mut blobs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(fs::metadata(blob).expect("stat").len()));
    blobs
}

/// What is beside a file that was to be written: nothing but what is named.
#[track_caller]
fn only(directory: &Path, names: &[&str]) {
    let mut there: Vec<String> = fs::read_dir(directory)
        .expect("read")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    assert_eq!(there, names);
}

#[test]
fn what_was_saved_is_loaded_with_the_same_names_and_ids() {
    let here = Host::new();
    let forms = [
        ("gzip:1", Compression::Gzip, Flavour::Oci),
        ("team/zstd:2", Compression::Zstd, Flavour::Oci),
        ("localhost:5000/plain:3", Compression::None, Flavour::Oci),
        ("docker:4", Compression::Gzip, Flavour::Docker),
    ];
    for (name, compression, flavour) in forms {
        here.mini(["load"]).stdin(saying(name).packed(compression, flavour).oci_layout(name)).run().ok();
    }
    let names = forms.map(|(name, ..)| name);
    let file = here.work().join("images.tar");
    here.mini(["save", "-o", path(&file)]).args(names).run().ok().stdout("").stderr("");
    only(&here.work(), &["images.tar"]);
    there(&here, ["load", "-i", path(&file)]).run().ok();
    assert_eq!(sorted(there(&here, LISTED).run().ok().lines()), sorted(here.mini(LISTED).run().ok().lines()));
    for name in names {
        there(&here, ["run", "--rm", "--pull", "never", name]).run().ok().stdout(name);
    }
    // By a pipe, the same bytes.
    let piped = here.mini(["image", "save"]).args(names).run().ok().stdout;
    assert!(piped == fs::read(&file).expect("read"), "the same images give the same bytes");
    // What images share is there once.
    let names: Vec<String> = members(&file);
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(names.len(), unique.len(), "{names:?}");
    here.mini(["system", "check"]).run().ok();
}

#[test]
fn both_lists_of_images_are_dockers() {
    let host = Host::new();
    let image = saying("x");
    host.load(&image, "team/app:1");
    host.load(&image, "team/app:2");
    let file = host.work().join("app.tar");
    // A name without a tag means all tags that it has.
    host.mini(["save", "--output", path(&file), "team/app"]).run().ok();
    let config = image.configuration().digest();
    let listed = json_of(&file, "manifest.json");
    assert_eq!(listed[0]["Config"], format!("blobs/sha256/{}", &config[7..]));
    assert_eq!(listed[0]["RepoTags"], json!(["team/app:1", "team/app:2"]));
    for layer in listed[0]["Layers"].as_array().expect("layers") {
        assert!(layer.as_str().is_some_and(|layer| layer.starts_with("blobs/sha256/")), "{layer}");
    }
    let index = json_of(&file, "index.json");
    let annotations: Vec<_> = index["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .map(|item| item["annotations"].clone())
        .collect();
    assert_eq!(
        annotations,
        ["1", "2"].map(|tag| json!({
            "io.containerd.image.name": format!("docker.io/team/app:{tag}"),
            "org.opencontainers.image.ref.name": tag,
        }))
    );
    assert_eq!(json_of(&file, "oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    host.mini(["save", "--explain", "-o", path(&file), "team/app"])
        .run()
        .ok()
        .stderr_has("compute each blob's digest on the way")
        .stderr_has("linkat(");
    // By its id it has no name.
    host.mini(["save", "-o", path(&file), &config[7..19]]).run().ok();
    assert_eq!(json_of(&file, "manifest.json")[0]["RepoTags"], Value::Null);
    assert_eq!(json_of(&file, "index.json")["manifests"][0].get("annotations"), None);
    there(&host, ["load", "-i", path(&file)]).run().ok().stdout_has(&format!("Loaded image ID: {config}"));
    there(&host, ["run", "--rm", &config]).run().ok().stdout("x");
    host.mini(["events", "--since", "1h", "--until", "0s", "--filter", "event=save"])
        .run()
        .ok()
        .stdout_has("image save");
}

#[test]
fn skopeo_reads_both_forms() {
    let host = Host::new();
    let image = saying("x");
    host.load(&image, "app:1");
    let file = host.work().join("app.tar");
    host.mini(["save", "-o", path(&file), "app:1"]).run().ok();
    for source in [format!("docker-archive:{}:app:1", path(&file)), format!("oci-archive:{}:1", path(&file))]
    {
        let copy = host.work().join("copy");
        host.tool(
            "skopeo",
            ["copy", "--quiet", "--insecure-policy", &source, &format!("dir:{}", path(&copy))],
        );
        let manifest: Value =
            serde_json::from_slice(&fs::read(copy.join("manifest.json")).expect("read")).expect("JSON");
        assert_eq!(manifest["config"]["digest"], image.configuration().digest(), "{source}");
        fs::remove_dir_all(copy).expect("remove");
    }
}

#[test]
fn docker_reads_it() {
    let host = Host::new();
    let image = saying("for docker");
    host.load(&image, "app:1");
    let archive = host.mini(["save", "app:1"]).run().ok().stdout;
    let Some(docker) = Docker::start(&host) else { return skip("docker.io is not installed") };
    docker.command(["load"]).stdin(archive).run().ok().stdout_has("Loaded image: app:1");
    let id = docker.command(["image", "inspect", "--format", "{{.Id}}", "app:1"]).run().ok();
    assert_eq!(id.line(), image.configuration().digest());
}

#[test]
fn what_is_damaged_becomes_no_archive() {
    let host = Host::new();
    host.load(&saying("x"), "app:1");
    let file = host.work().join("app.tar");
    fs::write(&file, "old").expect("write");
    let largest = blobs(&host).remove(0);
    let honest = fs::read(&largest).expect("read");
    let mut damaged = honest.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let name = largest.file_name().expect("a name").to_string_lossy().into_owned();
    for (what, bytes) in [("a bit", &damaged[..]), ("half of it", &honest[..middle])] {
        fs::write(&largest, bytes).expect("write");
        host.mini(["save", "-o", path(&file), "app:1"]).run().error(1, &[&name, "damaged"]);
        assert_eq!(fs::read(&file).expect("read"), b"old", "{what}");
        only(&host.work(), &["app.tar"]);
        let piped = host.mini(["save", "app:1"]).run().error(1, &[&name, "damaged"]);
        let half = host.work().join("half.tar");
        fs::write(&half, piped.stdout).expect("write");
        there(&host, ["load", "-i", path(&half)]).run().error(1, &[]);
        fs::remove_file(half).expect("remove");
    }
    fs::remove_file(&largest).expect("remove");
    host.mini(["save", "-o", path(&file), "app:1"]).run().error(1, &[&name]);
    fs::write(&largest, honest).expect("write");
    host.mini(["save", "-o", path(&file), "app:1"]).run().ok();
    assert!(members(&file).contains(&format!("blobs/sha256/{name}")));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let host = Host::new();
    let file = host.work().join("app.tar");
    host.mini(["save", "-o", path(&file), "app:1"]).run().error(1, &["no such image: app:1"]);
    host.load(&saying("x"), "app:1");
    host.mini(["save", "-o", path(&file), "app:1", "none"]).run().error(1, &["no such image: none:latest"]);
    host.mini(["save", "-o", path(&file), "app:2"]).run().error(1, &["no such image: app:2"]);
    host.mini(["save", "--platform", "linux/s390x", "-o", path(&file), "app:1"])
        .run()
        .error(1, &["does not provide the specified platform (linux/s390x)"]);
    only(&host.work(), &[]);
    host.mini(["save", "--platform", "linux/amd64", "-o", path(&file), "app:1"]).run().ok();
    host.mini(["save", "-o", "/no/such/dir/file", "app:1"]).run().error(1, &["/no/such/dir/file"]);
    let mut terminal = host.mini(["save", "app:1"]).terminal(24, 100);
    terminal.expect_screen("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    terminal.ends_with(1);
}

#[test]
fn a_full_disk_and_a_killed_writer_leave_nothing() {
    let host = Host::new();
    host.load(&saying("x"), "app:1");
    let place = host.work().join("small");
    fs::create_dir(&place).expect("mkdir");
    host.tool("mount", ["-t", "tmpfs", "-o", "size=64k", "small", path(&place)]);
    let file = place.join("app.tar");
    let output =
        host.mini(["save", "-o", path(&file), "app:1"]).run().error(1, &["cannot write the archive"]);
    assert!(output.err().to_lowercase().contains("no space left"), "{output}");
    only(&place, &[]);
    host.tool("umount", [path(&place)]);
    // Removed while somebody saves it, it is saved all the same, and gone afterwards.
    let mut save = host.mini(["save", "app:1"]).start();
    // It has begun, and goes on when somebody reads: the layer fits into no pipe.
    save.line();
    host.mini(["rmi", "app:1"]).run().ok();
    assert!(!blobs(&host).is_empty(), "what is being saved stays");
    let archive = save.wait().ok().stdout;
    there(&host, ["load"]).stdin(archive).run().ok().stdout_has("Loaded image: app:1");
    assert!(blobs(&host).is_empty(), "and then goes");
}
