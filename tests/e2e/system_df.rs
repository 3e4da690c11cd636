//! `mini system df`: what takes how much of the disk.

use serde_json::{Value, json};
use tests::{Host, Image, Tarball};

/// What the totals say of a kind.
#[track_caller]
fn of(host: &Host, kind: &str) -> Value {
    let rows = host.mini(["system", "df", "--format", "json"]).run().ok().json_lines();
    rows.into_iter().find(|row| row["Type"] == kind).expect("a row of this kind")
}

fn row(kind: &str, [total, active]: [&str; 2], size: &str, reclaimable: &str) -> Value {
    json!({ "Type": kind, "TotalCount": total, "Active": active, "Size": size, "Reclaimable": reclaimable })
}

/// `bytes` in one file.
fn layer(name: &str, bytes: usize) -> Tarball {
    Tarball::new().file(name, 0o644, vec![b'x'; bytes])
}

#[test]
fn an_empty_host_has_dockers_four_lines() {
    let host = Host::new();
    host.mini(["system", "df"]).run().ok().stdout(
        "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\nImages          0         0         0B        0B\n\
         Containers      0         0         0B        0B\nLocal Volumes   0         0         0B        0B\n\
         Build Cache     0         0         0B        0B\n",
    );
    assert!(!host.root().join("image").exists(), "looking makes nothing");
}

#[test]
fn a_layer_that_two_images_have_counts_once() {
    let host = Host::new();
    let below = || Image::of([layer("below", 1000)]).set("Cmd", json!(["/below"]));
    host.load(&below().with(layer("one", 200)), "one:1");
    host.load(&below().with(layer("two", 30)), "two:1");
    assert_eq!(of(&host, "Images"), row("Images", ["2", "0"], "1.23kB", "1.23kB (100%)"));
    host.mini(["create", "--name", "box", "one:1"]).run().ok();
    assert_eq!(of(&host, "Images"), row("Images", ["2", "1"], "1.23kB", "30B (2%)"));
    let promised = host.mini(["image", "prune", "-af"]).run().ok();
    promised.stdout_has("untagged: two:1").stdout_has("Total reclaimed space: 30B\n");
    assert_eq!(of(&host, "Images"), row("Images", ["1", "1"], "1.2kB", "0B (0%)"));
    host.load(&below().with(layer("two", 30)), "two:1");
    let images = host.mini(["system", "df", "-v", "--format", "{{json .Images}}"]).run().ok().json();
    let mut images: Vec<_> = images
        .as_array()
        .expect("a list")
        .iter()
        .map(|image| {
            ["Repository", "Tag", "Size", "SharedSize", "UniqueSize", "Containers"]
                .map(|key| image[key].clone())
        })
        .collect();
    images.sort_by_key(|image| image[0].to_string());
    assert_eq!(
        images,
        [
            ["one", "1", "1.2kB", "1kB", "200B", "1"].map(Value::from),
            ["two", "1", "1.03kB", "1kB", "30B", "0"].map(Value::from),
        ]
    );
}

#[test]
fn containers_and_volumes_are_counted_as_their_lists_do() {
    let host = Host::with_busybox();
    let write =
        "dd if=/dev/zero of=/file bs=1000 count=5 2>/dev/null; cp /file /data/; echo ready; exec sleep 1000";
    let container = host.start(["--name", "box", "-v", "data:/data", "busybox", "sh", "-c", write]);
    tests::wait::until("its line", || (container.logs().text() == "ready\n").then_some(()));
    host.mini(["volume", "create", "unused"]).run().ok();
    host.mini(["create", "--name", "resting", "busybox"]).run().ok();
    assert_eq!(of(&host, "Containers"), row("Containers", ["2", "1"], "5kB", "0B (0%)"));
    assert_eq!(of(&host, "Local Volumes"), row("Local Volumes", ["2", "1"], "5kB", "0B (0%)"));
    host.mini(["system", "df", "--format", "{{.Type}}={{.Active}}"])
        .run()
        .ok()
        .stdout("Images=1\nContainers=1\nLocal Volumes=1\nBuild Cache=0\n");
    let everything = host.mini(["system", "df", "-v"]).run().ok().text();
    let parts: Vec<&str> = everything.split("\n\n").collect();
    let words = |line: &str| {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("|")
    };
    let heads: Vec<String> =
        parts.iter().map(|part| words(part.lines().next().unwrap_or_default())).collect();
    assert_eq!(
        heads,
        [
            "Images space usage:",
            "REPOSITORY|TAG|IMAGE ID|CREATED|SIZE|SHARED SIZE|UNIQUE SIZE|CONTAINERS",
            "Containers space usage:",
            "CONTAINER ID|IMAGE|COMMAND|LOCAL VOLUMES|SIZE|CREATED|STATUS|NAMES",
            "Local Volumes space usage:",
            "VOLUME NAME|LINKS|SIZE",
            "Build cache usage: 0B",
            "CACHE ID|CACHE TYPE|SIZE|CREATED|LAST USED|USAGE|SHARED",
        ]
    );
    let row = parts[3].lines().find(|line| line.ends_with("box")).expect("the container");
    assert!(row.contains("   1               5kB       "), "{row}");
    assert_eq!(parts[5].lines().skip(1).map(words).collect::<Vec<_>>(), ["data|1|5kB", "unused|0|0B"]);
    let one = host.mini(["system", "df", "-v", "--format", "json"]).run().ok().json();
    assert_eq!((&one["BuildCache"], &one["Volumes"][0]["Links"]), (&json!([]), &json!("1")));
    assert_eq!(one["Containers"][1]["ID"], json!(container.id), "nothing is cut short");
    host.mini(["system", "df", "-v", "--format", "{{range .Containers}}{{.Names}} {{.Size}};{{end}}"])
        .run()
        .ok()
        .stdout("resting 0B;box 5kB;\n");
    host.mini(["kill", "box"]).run().ok();
    container.wait();
    assert_eq!(of(&host, "Containers")["Reclaimable"], "5kB (100%)");
    // A container that rests refers to its volume still.
    assert_eq!(of(&host, "Local Volumes")["Active"], "1");
    host.mini(["rm", "box"]).run().ok();
    assert_eq!(of(&host, "Local Volumes")["Reclaimable"], "5kB (100%)");
    host.mini(["volume", "rm", "data", "unused"]).run().ok();
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_counted() {
    let host = Host::new();
    host.mini(["system", "df", "--format", "{{.Nope}}"]).run().error(1, &["Nope"]).hints(".Reclaimable");
    host.mini(["system", "df", "-v", "--format", "table {{.Size}}"]).run().error(1, &["does not go with -v"]);
    host.mini(["system", "df", "-v", "--format", "{{range"]).run().error(1, &["template parsing error"]);
}
