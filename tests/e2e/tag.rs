//! `mini tag` and `mini history`: names of images, and how they came about.

use serde_json::json;
use tests::{Host, Image, Tarball};

fn id_of(host: &Host, name: &str) -> String {
    host.mini(["image", "inspect", "-f", "{{.Id}}", name]).run().ok().line()
}

#[test]
fn an_image_gets_names_and_another_loses_its_own() {
    let host = Host::new();
    let (one, two) = (Image::busybox(), Image::busybox().set("Cmd", json!(["true"])));
    host.load(&one, "one:1");
    host.load(&two, "two:1");
    let (one, two) = (id_of(&host, "one:1"), id_of(&host, "two:1"));
    host.mini(["tag", "one:1", "localhost:5000/team/app:2"]).run().ok().stdout("").stderr("");
    host.mini(["image", "tag", &one[7..19], "plain"]).run().ok();
    assert_eq!(id_of(&host, "localhost:5000/team/app:2"), one);
    assert_eq!(id_of(&host, "plain:latest"), one);
    let names = host.mini(["image", "inspect", "-f", "{{json .RepoTags}}", "one:1"]).run().ok().json();
    assert_eq!(names, json!(["one:1", "localhost:5000/team/app:2", "plain:latest"]));
    // The same again changes nothing; a name that another image had is taken from it.
    host.mini(["tag", "one:1", "plain"]).run().ok();
    host.mini(["tag", "plain", "two:1"]).run().ok();
    assert_eq!(id_of(&host, "two:1"), one);
    host.mini(["images", "-q", "--no-trunc", "-f", "dangling=true"]).run().ok().stdout(&format!("{two}\n"));
    host.mini(["rmi", "one:1", "plain", "two:1"]).run().ok();
    assert_eq!(id_of(&host, "localhost:5000/team/app:2"), one);
    host.mini(["events", "--since", "1h", "--until", "0s", "--filter", "event=tag"])
        .run()
        .ok()
        .stdout_has(&format!("image tag {one} (name=localhost:5000/team/app:2)"));
    for (target, expected) in [
        ("Upper", "must be lowercase"),
        ("a b", "invalid reference format"),
        ("x:", "invalid reference format"),
        (&format!("x@{one}"), "refusing to create a tag with a digest reference"),
        (&one[7..], "cannot specify 64-byte hexadecimal strings"),
    ] {
        host.mini(["tag", &one, target]).run().error(1, &[expected]);
    }
    host.mini(["tag", "none", "x"]).run().error(1, &["no such image: none:latest"]);
    host.mini(["system", "check"]).run().ok();
}

/// An image of two layers and a step without one.
fn with_a_past() -> Image {
    let mut image = Image::busybox().with(Tarball::new().file("word", 0o644, "word".repeat(500)));
    image.history = Some(json!([
        { "created": "2024-02-03T04:05:06Z", "created_by": "ADD rootfs.tar /" },
        { "created": "2024-02-03T04:05:07Z", "created_by": "CMD\t[\"sh\"]", "empty_layer": true, "comment": "buildkit" },
        { "created": "2024-02-03T04:05:08Z", "created_by": format!("RUN {}", "word ".repeat(20)), "author": "me" },
    ]));
    image
}

#[test]
fn every_step_of_an_image_is_told() {
    let host = Host::new();
    let image = with_a_past();
    host.load(&image, "app:1");
    let lines = host.mini(["history", "app:1"]).run().ok().lines();
    let id = image.configuration().digest();
    assert!(lines[0].starts_with("IMAGE          CREATED       CREATED BY  "), "{lines:?}");
    assert!(lines[0].ends_with("SIZE      COMMENT"), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{}   2 years ago", &id[7..19])), "{lines:?}");
    assert!(lines[1].contains("RUN word word word word word word word word …   2kB"), "{lines:?}");
    assert!(lines[2].starts_with("<missing>      2 years ago   CMD [\"sh\"]"), "{lines:?}");
    assert!(lines[2].ends_with("0B        buildkit"), "{lines:?}");
    assert_eq!(lines.len(), 4);
    host.mini(["image", "history", "-q", "app:1"])
        .run()
        .ok()
        .stdout(&format!("{}\n<missing>\n<missing>\n", &id[7..19]));
    let all = host.mini(["history", "--no-trunc", "--human=false", "app:1"]).run().ok();
    all.clone()
        .stdout_has(&id)
        .stdout_has("2024-02-03T04:05:08Z")
        .stdout_has(&"word ".repeat(20))
        .stdout_has(" 2000 ");
    host.mini(["history", "-H=false", "--format", "{{.Size}} {{.CreatedSince}}", "app:1"])
        .run()
        .ok()
        .stdout_has("2000 2024-02-03T04:05:08Z\n0 2024-02-03T04:05:07Z\n");
    let objects = host.mini(["history", "--format", "json", "--no-trunc", "app:1"]).run().ok().json_lines();
    assert_eq!(
        (&objects[1]["Comment"], &objects[1]["CreatedBy"], &objects[0]["ID"]),
        (&json!("buildkit"), &json!("CMD [\"sh\"]"), &json!(id))
    );
    host.mini(["history", "none"]).run().error(1, &["no such image: none:latest"]);
    host.mini(["history", "--format", "{{.Nope}}", "app:1"]).run().error(1, &["Nope"]);
}
