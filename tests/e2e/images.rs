//! `mini images` and `mini rmi`: the list, and what goes when a name goes.

use std::fs;

use serde_json::{Value, json};
use tests::{Host, Image, Tarball, disk};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

#[test]
fn the_list_has_dockers_columns() {
    let host = Host::new();
    let image = saying("x");
    host.load(&image, "team/name:1.0");
    let lines = host.mini(["images"]).run().ok().lines();
    let words = |line: &str| -> Vec<String> {
        line.split("  ").map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    assert_eq!(words(&lines[0]), ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let row = words(&lines[1]);
    let id = &image.configuration().digest()[7..19];
    assert_eq!((row[0].as_str(), row[1].as_str(), row[2].as_str()), ("team/name", "1.0", id));
    assert!(row[3].ends_with("ago") && row[4].ends_with('B'), "{row:?}");
    host.mini(["images", "-q"]).run().ok().stdout(&format!("{id}\n"));
}

/// The index says all that a list shows; one that an older mini wrote does not, and nobody sees a difference.
#[test]
fn a_list_opens_the_index_alone_and_the_records_where_that_says_too_little() {
    let host = Host::new();
    let image = saying("x").built("2020-02-02T02:02:02.5Z");
    host.load(&image, "dated:1");
    host.load(&saying("y").built(&"x".repeat(100)), "undated:1");
    host.mini(["tag", "dated:1", "dated:2"]).run().ok();
    host.mini(["run", "--name", "box", "dated:1", "true"]).run().ok();
    host.mini(["commit", "box", "child:1"]).run().ok();
    let list = || {
        let words = ["{{.Repository}}:{{.Tag}} {{.ID}} {{.CreatedAt}} {{.Size}}"];
        host.mini(["images", "-a", "--no-trunc", "--format"]).args(words).run().ok().text()
    };
    let seen = list();
    assert!(seen.contains("dated:2 ") && seen.contains("2020-02-02 02:02:02"), "{seen}");
    let records = host.root().join("image/images");
    fs::rename(&records, records.with_extension("away")).expect("rename");
    assert_eq!(list(), seen);
    fs::rename(records.with_extension("away"), &records).expect("rename");
    let path = host.root().join("image/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).expect("an index")).expect("JSON");
    for entry in index["manifests"].as_array_mut().expect("a list") {
        let annotations = entry["annotations"].as_object_mut().expect("annotations");
        assert!(annotations.remove("io.github.mini-containers.image.size").is_some(), "{annotations:?}");
        annotations.remove("org.opencontainers.image.created");
        annotations.remove("io.github.mini-containers.image.parent");
    }
    fs::write(&path, index.to_string()).expect("write");
    assert_eq!(list(), seen);
    host.mini(["rm", "box"]).run().ok();
}

#[test]
fn one_image_has_many_spellings() {
    let host = Host::with_busybox();
    for spelling in [
        "busybox",
        "busybox:latest",
        "library/busybox",
        "docker.io/busybox",
        "docker.io/library/busybox:latest",
        "index.docker.io/library/busybox",
    ] {
        host.mini(["run", "--rm", "--pull", "never", spelling, "true"]).run().ok();
    }
    host.mini(["images"]).run().ok().stdout_has("busybox").stdout_lacks("docker.io");
    host.mini(["run", "--rm", "--pull", "never", "other/busybox", "true"])
        .run()
        .error(125, &["other/busybox"]);
    host.mini(["run", "--rm", "--pull", "never", "localhost/busybox", "true"])
        .run()
        .error(125, &["localhost/busybox"]);
}

#[test]
fn an_image_is_found_by_its_id_and_a_prefix_of_it() {
    let host = Host::new();
    let image = saying("by id");
    host.load(&image, "x:1");
    let id = image.configuration().digest();
    for key in [id.as_str(), &id[7..], &id[7..19], &id[7..13]] {
        host.mini(["run", "--rm", key]).run().ok().stdout("by id");
    }
}

#[test]
fn rmi_takes_the_last_name_and_the_bytes_with_it() {
    let host = Host::new();
    let empty = disk::used(&host.root());
    host.load(&saying("x"), "x:1");
    host.mini(["load"]).stdin(saying("x").docker_archive(&["x:2"])).run().ok();
    host.mini(["rmi", "x:1"]).run().ok().stdout_has("Untagged: x:1");
    host.mini(["run", "--rm", "x:2"]).run().ok().stdout("x");
    host.mini(["rmi", "x:2"]).run().ok().stdout_has("Untagged: x:2").stdout_has("Deleted: sha256:");
    host.mini(["images", "-q"]).run().ok().stdout("");
    let left = disk::used(&host.root()) - empty;
    assert!(left < 10_000, "{left} bytes are left of an image that is gone");
}

#[test]
fn layers_that_others_use_stay() {
    let host = Host::new();
    host.load(&saying("one"), "one:1");
    host.load(&saying("two"), "two:1");
    host.mini(["rmi", "one:1"]).run().ok();
    host.mini(["run", "--rm", "two:1"]).run().ok().stdout("two");
}

#[test]
fn an_image_in_use_is_not_removed() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    host.mini(["rmi", "busybox"]).run().error(1, &["busybox", container.short()]);
    container.sh("true").ok();
    host.mini(["stop", "-t", "0", &container.id]).run().ok();
    host.mini(["rmi", "busybox"]).run().error(1, &[container.short()]);
    container.remove();
    host.mini(["rmi", "busybox"]).run().ok();
    host.mini(["rmi", "busybox"]).run().error(1, &["busybox"]);
}

#[test]
fn the_store_is_a_layout_that_others_can_read() {
    let host = Host::new();
    let image = saying("x");
    host.load(&image, "x:1");
    let store = host.root().join("image");
    let read = |path: &str| -> Value {
        let text =
            fs::read_to_string(store.join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"));
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let bytes = fs::read(store.join("blobs/sha256").join(&digest[7..])).expect("the blob is there");
        assert_eq!(
            (tests::image::digest(&bytes).as_str(), bytes.len() as u64),
            (digest, descriptor["size"].as_u64().expect("a size"))
        );
        bytes
    };
    let index = read("index.json");
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).expect("JSON");
    let config = blob(&manifest["config"]);
    assert_eq!(tests::image::digest(&config), image.configuration().digest(), "an image keeps its id");
    for layer in manifest["layers"].as_array().expect("layers") {
        blob(layer);
    }
}

#[test]
fn force_removes_what_has_several_names_or_a_stopped_user() {
    let host = Host::new();
    let image = saying("x");
    host.load(&image, "x:1");
    host.mini(["load"]).stdin(image.docker_archive(&["x:2"])).run().ok();
    let id = image.configuration().digest();
    host.mini(["rmi", &id[7..19]]).run().error(1, &["multiple repositories"]);
    host.mini(["run", "--name", "user", "x:1"]).run().ok();
    host.mini(["rmi", "x:2"]).run().ok().stdout("Untagged: x:2\n");
    host.mini(["rmi", "x:1"]).run().error(1, &[]);
    host.mini(["rmi", "--force", "x:1"]).run().ok().stdout_has("Untagged: x:1");
    host.mini(["images", "-q"]).run().ok().stdout("");
    // What runs keeps its image, whoever insists.
    host.load(&Image::busybox(), "busybox:latest");
    let container = host.start(["busybox", "sleep", "1000"]);
    host.mini(["image", "rm", "-f", &Image::busybox().configuration().digest()[7..]])
        .run()
        .error(1, &[container.short()]);
    container.sh("true").ok();
}

/// docker's rule: with -f the image goes, and what the container stands on stays until that goes too.
#[test]
fn what_a_stopped_container_stands_on_outlives_its_image() {
    let host = Host::new();
    let image = saying("x");
    let id = &image.configuration().digest()[7..];
    let gone = |by: &str| {
        host.load(&image, "x:1");
        host.mini(["run", "--name", "user", "x:1"]).run().ok();
        // No layer is deleted: the container has them.
        let deleted = format!("Untagged: x:1\nDeleted: sha256:{id}\n");
        host.mini(["rmi", "-f", by]).run().ok().stdout(&deleted);
        host.mini(["images", "-aq"]).run().ok().stdout("");
        host.mini(["rmi", "-f", by]).run().ok().stdout("");
        for command in [&["run", "--pull=never"][..], &["image", "inspect"], &["tag"], &["save"]] {
            let output = host.mini(command).args([id, "y:1"]).run();
            assert!(!output.status.success(), "{output}");
        }
    };
    let layers = || fs::read_dir(host.root().join("image/layers")).expect("the layers").count();
    gone(&id[..12]);
    host.mini(["ps", "-a", "--format", "{{.Image}}"]).run().ok().stdout(&format!("{}\n", &id[..12]));
    host.mini(["inspect", "-f", "{{.Image}}", "user"]).run().ok().stdout(&format!("sha256:{id}\n"));
    host.mini(["image", "prune", "-af"]).run().ok().stdout("Total reclaimed space: 0B\n");
    host.mini(["system", "check"]).run().ok();
    host.mini(["start", "-a", "user"]).run().ok().stdout("x");
    host.mini(["diff", "user"]).run().ok();
    host.mini(["commit", "user", "y:1"]).run().error(1, &["is not here any more"]);
    // It comes back, and is an image as before.
    host.load(&image, "x:2");
    host.mini(["rmi", "x:2"]).run().error(1, &["container"]);
    host.mini(["rmi", "-f", "x:2"]).run().ok().stdout_has("Deleted: ");
    assert!(layers() > 0);
    host.mini(["rm", "user"]).run().ok();
    assert_eq!(layers(), 0);
    gone("x:1");
    host.load(&image, "x:1");
    host.mini(["rm", "user"]).run().ok();
    host.mini(["run", "--rm", "x:1"]).run().ok().stdout("x");
    host.mini(["rmi", "x:1"]).run().ok();
    assert_eq!(layers(), 0, "it was back, and is nobody's now");
    // With --rm it is the container's monitor that lets go; and whoever takes its place, or all containers that have ended.
    host.load(&image, "x:1");
    host.mini(["create", "--rm", "--name", "user", "x:1"]).run().ok();
    host.mini(["rmi", "-f", id]).run().ok().stdout_has("Deleted: ");
    host.mini(["start", "-a", "user"]).run().ok().stdout("x");
    tests::wait::until("the layers have gone", || (layers() == 0).then_some(()));
    gone(id);
    host.mini(["container", "prune", "-f"]).run().ok();
    assert_eq!(layers(), 0);
    gone(id);
    let other = saying("other");
    host.load(&other, "other:1");
    let before = layers();
    host.mini(["create", "--replace", "--name", "user", "other:1"]).run().ok();
    assert_eq!(layers(), before - 1);
}

#[test]
fn what_is_loaded_and_removed_is_told_call_by_call() {
    let host = Host::new();
    let archive = Image::busybox().docker_archive(&["busybox:latest"]);
    let loaded = host.mini(["load", "-q", "--explain=json"]).stdin(archive).run().ok();
    let calls = |text: &str| -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(parse).filter(|line: &Value| line["call"].is_string()).collect()
    };
    let named = |calls: &[Value], what: &str| {
        calls.iter().any(|call| call["call"].as_str().is_some_and(|call| call.contains(what)))
    };
    assert!(named(&calls(&loaded.err()), "index.json"), "{loaded}");
    let removed = host.mini(["rmi", "--explain=json", "busybox"]).run().ok().stdout_has("Untagged");
    assert!(named(&calls(&removed.err()), "index.json"), "{removed}");
}

#[test]
fn some_of_many_go_and_each_failure_is_told() {
    let host = Host::new();
    let (one, two) = (saying("one"), saying("two"));
    host.load(&one, "one:1");
    host.load(&two, "two:1");
    let output = host.mini(["rmi", "one:1", "nosuch", "two:1"]).run().code(1);
    let output = output.stdout_has("Untagged: one:1").stdout_has("Untagged: two:1");
    assert!(output.err().contains("no such image: nosuch:latest"), "{output}");
    host.load(&one, "one:1");
    // With -f what is not there is as good as removed, and said.
    let output = host.mini(["rmi", "-f", "nosuch", "one:1"]).run().ok().stdout_has("Untagged: one:1");
    assert!(output.err().contains("no such image: nosuch:latest"), "{output}");
    host.load(&one, "one:1");
    host.mini(["create", "--name", "box", "one:1"]).run().ok();
    host.mini(["start", "box"]).run().ok();
    host.mini(["wait", "box"]).run().ok();
    let id = &one.configuration().digest()[7..];
    let missing = "0".repeat(64);
    // An error that is another one counts, -f or not.
    host.mini(["rmi", "-f", "nosuch", "Bad/Upper"]).run().code(1);
    host.mini(["rmi", id]).run().error(1, &["must be forced", "stopped container"]);
    host.mini(["rmi", &format!("one@sha256:{missing}")]).run().error(1, &["no such image"]);
    // Every image's id begins with nothing; that is no prefix.
    host.mini(["rmi", "sha256:"]).run().code(1);
    host.mini(["rm", "box"]).run().ok();
    host.mini(["rmi", &id[..4]]).run().ok().stdout_has(&format!("Deleted: sha256:{id}"));
}

#[test]
fn the_beginning_of_several_ids_names_them_all() {
    let host = Host::new();
    // Among 17 images two begin with the same digit.
    let images: Vec<_> = (0..17).map(|number| saying(&number.to_string())).collect();
    for (number, image) in images.iter().enumerate() {
        host.load(image, &format!("x:{number}"));
    }
    let id = |image: &Image| image.configuration().digest()[7..].to_owned();
    let with = |digit: &str| images.iter().filter(|image| id(image).starts_with(digit)).collect::<Vec<_>>();
    let digit =
        "0123456789abcdef".chars().map(String::from).find(|digit| with(digit).len() > 1).expect("a digit");
    let output = host.mini(["rmi", "-f", &digit]).run().code(1);
    for image in with(&digit) {
        assert!(output.err().contains(&id(image)[..12]), "{output}");
    }
    assert_eq!(host.mini(["images", "-q"]).run().ok().lines().len(), 17);
}

/// What others were made of is there as long as they are, and goes with the last of them.
#[test]
fn parents_lose_their_names_and_go_with_their_last_child() {
    let host = Host::new();
    let made = |names: [&str; 3]| {
        host.load(&saying("base"), names[0]);
        for pair in names.windows(2) {
            host.mini(["create", "--name", "maker", pair[0]]).run().ok();
            host.mini(["commit", "-m", pair[1], "maker", pair[1]]).run().ok();
            host.mini(["rm", "maker"]).run().ok();
        }
    };
    let all = || host.mini(["images", "-a", "-q"]).run().ok().lines().len();
    made(["base:1", "child:1", "grand:1"]);
    let id = saying("base").configuration().digest();
    for flags in [&["rmi"][..], &["rmi", "-f"]] {
        host.mini(flags).arg(&id[7..]).run().error(1, &["cannot be forced", "has dependent child images"]);
    }
    host.mini(["rmi", "base:1", "child:1"]).run().ok().stdout("Untagged: base:1\nUntagged: child:1\n");
    assert_eq!((host.mini(["images", "-q"]).run().ok().lines().len(), all()), (1, 3));
    host.mini(["image", "prune", "-f"]).run().ok().stdout("Total reclaimed space: 0B\n");
    let gone = host.mini(["rmi", "grand:1"]).run().ok();
    // Three images, and the layers that they share.
    assert!(gone.text().starts_with("Untagged: grand:1\nDeleted: ") && gone.lines().len() >= 5, "{gone}");
    assert_eq!(all(), 0);
    made(["base:1", "child:1", "grand:1"]);
    host.mini(["rmi", "base:1", "child:1"]).run().ok();
    assert_eq!(host.mini(["rmi", "--no-prune", "grand:1"]).run().ok().lines().len(), 2);
    assert_eq!(all(), 2);
    host.mini(["image", "prune", "-f"]).run().ok().stdout_has("Deleted Images:\ndeleted: ");
    assert_eq!(all(), 0);
    // A child in use keeps what it was made of, which has no name then.
    made(["base:1", "child:1", "grand:1"]);
    host.mini(["create", "--name", "uses", "child:1"]).run().ok();
    let pruned = host.mini(["image", "prune", "-af"]).run().ok();
    pruned
        .stdout_has("untagged: base:1")
        .stdout_has("untagged: grand:1")
        .stdout_lacks("child:1")
        .stdout_lacks(&id);
    assert_eq!(host.mini(["images", "-a", "--format", "{{.Repository}}"]).run().ok().lines().len(), 2);
    host.mini(["start", "-a", "uses"]).run().ok().stdout("base");
    host.mini(["rm", "uses"]).run().ok();
    host.mini(["rmi", "child:1"]).run().ok().stdout_has(&format!("Deleted: {id}"));
    assert_eq!(all(), 0);
}
