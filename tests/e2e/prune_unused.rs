//! `prune` of what was not used for long, and of as much as it takes.

use serde_json::json;
use tests::{Host, Image, Tarball};

use crate::prune::{names, prune, saying};

/// Makes an image's record, and with it its last use, so many hours older.
fn age(host: &Host, image: &Image, hours: u64) {
    let id = image.configuration().digest();
    let record = host.root().join("image/images").join(format!("{}.json", &id[7..]));
    host.tool("touch", ["-d", &format!("-{hours} hours"), record.to_str().expect("text")]);
}

#[test]
fn what_was_not_used_for_long_goes() {
    let host = Host::new();
    let (old, used, young) = (saying("old"), saying("used"), saying("young"));
    for (image, name) in [(&old, "old:1"), (&used, "used:1"), (&young, "young:1")] {
        host.load(image, name);
    }
    age(&host, &old, 50);
    age(&host, &used, 50);
    host.mini(["run", "--rm", "used:1"]).run().ok().stdout("used");
    host.mini(["image", "prune", "-a", "-f", "--unused-for", "3d"])
        .run()
        .ok()
        .stdout("Total reclaimed space: 0B\n");
    // A container that is removed used its image until it ended.
    host.mini(["run", "--name", "box", "old:1"]).run().ok();
    age(&host, &old, 50);
    prune(&host, &["-a", "--dry-run", "--unused-for=2d"])
        .ok()
        .stdout("Total space that would be reclaimed: 0B\n");
    host.mini(["system", "prune", "-af", "--unused-for", "1h"])
        .run()
        .ok()
        .stdout("Total reclaimed space: 0B\n");
    host.mini(["rm", "box"]).run().ok();
    prune(&host, &["-a", "-f", "--unused-for", "1d12h"]).ok().stdout("Total reclaimed space: 0B\n");
    age(&host, &old, 50);
    prune(&host, &["-a", "-f", "--unused-for", "1d12h"])
        .ok()
        .stdout_has("untagged: old:1")
        .stdout_lacks("used:1");
    assert_eq!(names(&host), ["used:1", "young:1"]);
    // What nobody wrote down is not guessed.
    host.mini(["system", "prune", "--volumes", "--unused-for", "1h"]).run().error(1, &["--volumes"]);
    prune(&host, &["--unused-for", "yesterday"]).error(125, &["invalid duration"]);
    prune(&host, &["--keep-storage", "much"]).error(125, &["invalid size"]);
}

#[test]
fn the_least_recently_used_go_until_the_rest_fits() {
    let host = Host::new();
    let layer = |name: &str, bytes: usize| Tarball::new().file(name, 0o644, vec![b'x'; bytes]);
    let image = |name: &str| Image::of([layer("below", 1000), layer(name, 100)]).set("Cmd", json!(["/x"]));
    let (one, two, three) = (image("one"), image("two"), image("three"));
    for (image, name, hours) in [(&one, "one:1", 1), (&two, "two:1", 3), (&three, "three:1", 2)] {
        host.load(image, name);
        age(&host, image, hours);
    }
    host.mini(["image", "prune", "-a", "-f", "--keep-storage", "1300"])
        .run()
        .ok()
        .stdout("Total reclaimed space: 0B\n");
    prune(&host, &["-f", "--keep-storage", "0"]).ok().stdout("Total reclaimed space: 0B\n");
    let told = prune(&host, &["-a", "--dry-run", "--keep-storage", "1100b"]).ok();
    told.stdout_has("untagged: two:1").stdout_has("untagged: three:1").stdout_lacks("one:1");
    prune(&host, &["-a", "-f", "--keep-storage", "1250"])
        .ok()
        .stdout_has("two:1")
        .stdout_has("space: 100B\n");
    assert_eq!(names(&host), ["one:1", "three:1"]);
    host.mini(["create", "--name", "box", "three:1"]).run().ok();
    // What is in use stays, however much that is.
    host.mini([
        "system",
        "prune",
        "-f",
        "-a",
        "--keep-storage",
        "1k",
        "--filter",
        "label!=x",
        "--unused-for",
        "30m",
    ])
    .run()
    .ok()
    .stdout_has("untagged: one:1")
    .stdout_lacks("three:1");
    assert_eq!(names(&host), ["three:1"]);
}
