//! All tags at once, and how progress is told: bars, lines, JSON, not at all.

use serde_json::{Value, json};
use tests::image::Blob;
use tests::registry::Registry;
use tests::server::{Access, Contents, ImageServer, Reply};
use tests::{Host, Image, Tarball};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

#[test]
fn all_tags_are_pulled_in_dockers_words() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let repository = format!("{}/team/image", registry.name());
    let mut expected = String::new();
    for tag in ["1", "2", "latest"] {
        let (_, manifest) = registry.push("team/image", tag, &saying(tag));
        expected.push_str(&format!("{tag}: Pulling from team/image\nDigest: {}\n", manifest.digest()));
    }
    let pulled = host.mini(["pull", "-a", &repository]).run().ok();
    pulled.stdout(&format!("{expected}Status: Downloaded newer image for {repository}\n{repository}\n"));
    let again = host.mini(["pull", "--all-tags", &repository]).run().ok();
    again.stdout(&format!("{expected}Status: Image is up to date for {repository}\n{repository}\n"));
    host.mini(["run", "--rm", "--pull", "never", &format!("{repository}:2")]).run().ok().stdout("2");
    let one = host.mini(["pull", &repository]).run().ok();
    assert_eq!(one.lines()[0], "Using default tag: latest");
    host.mini(["pull", "-qa", &repository]).run().ok().stdout(&format!("{repository}\n"));
    host.mini(["pull", "-a", &format!("{repository}:1")])
        .run()
        .error(1, &["tag can't be used with --all-tags/-a"]);
    host.mini(["pull", "-a", &format!("{}/none", registry.name())]).run().error(1, &["/none"]);
}

#[test]
fn a_list_of_tags_comes_page_by_page_and_is_believed_no_further() {
    let host = Host::new();
    let mut contents = Contents::default();
    for tag in ["a", "b"] {
        contents.add("image", tag, &saying(tag));
    }
    let server = ImageServer::twisted(contents, Access::Open, |request, reply| {
        let list = |tags: Value| Reply::new(200, json!({ "name": "image", "tags": tags }).to_string());
        match request.target.as_str() {
            "/v2/image/tags/list" => {
                list(json!(["a", "../x"])).with("link", "</v2/image/tags/list?last=a>; rel=\"next\"")
            }
            // Somebody else's list, and nonsense.
            "/v2/image/tags/list?last=a" => {
                list(json!(["b"])).with("link", "<http://127.0.0.1:1/v2/>; rel=\"next\"")
            }
            "/v2/empty/tags/list" => list(Value::Null),
            "/v2/odd/tags/list" => Reply::new(200, "[]"),
            _ => reply,
        }
    });
    let name = |repository: &str| format!("{}/{repository}", server.name());
    host.mini(["pull", "-a", &name("image")]).run().ok();
    let listed = host.mini(["images", "--format", "{{.Tag}}", &name("image")]).run().ok();
    let mut tags = listed.lines();
    tags.sort();
    assert_eq!(tags, ["a", "b"]);
    host.mini(["pull", "-a", &name("empty")]).run().error(1, &["has no tags"]);
    host.mini(["pull", "-a", &name("odd")]).run().error(1, &["no list of tags"]);
}

/// Lines about a layer, without what differs from run to run.
fn layers(image: &Image) -> Vec<String> {
    image
        .packed_layers()
        .iter()
        .map(|blob: &Blob| blob.digest()["sha256:".len()..][..12].to_owned())
        .collect()
}

#[test]
fn programs_are_told_in_json_and_people_in_lines() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let image = saying("progress");
    let (name, _) = registry.push("a", "1", &image);
    let told = host.mini(["pull", "--progress=json", &name]).run().ok();
    let lines: Vec<Value> = told
        .err()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    for (layer, blob) in layers(&image).iter().zip(image.packed_layers()) {
        let of_layer: Vec<&Value> = lines.iter().filter(|line| line["id"] == json!(layer)).collect();
        let total = json!({ "current": blob.bytes.len(), "total": blob.bytes.len() });
        let all = json!({ "status": "Downloading", "progressDetail": total, "id": layer });
        assert!(of_layer.contains(&&all), "{told}");
        let last = json!({ "status": "Pull complete", "progressDetail": {}, "id": layer });
        assert_eq!(of_layer.last(), Some(&&last));
    }
    let pushed = host.mini(["push", "--progress", "json", &name]).run().ok();
    assert!(pushed.err().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{pushed}");
    assert!(pushed.err().contains("\"Layer already exists\""), "{pushed}");
    let plain = host.mini(["push", "--progress=plain", &name]).run().ok();
    assert_eq!(plain.err().lines().filter(|line| line.ends_with(": Layer already exists")).count(), 2);
    for quiet in [["push", "--progress=quiet"], ["pull", "--progress=quiet"]] {
        let output = host.mini(quiet.into_iter().chain([name.as_str()])).run().ok();
        assert_eq!(output.err(), "");
        assert!(output.text().lines().count() > 1, "{output}");
    }
    host.mini(["pull", "--progress=loud", &name]).run().error(125, &["auto, plain, json, quiet"]);
}

#[test]
fn a_terminal_shows_each_layer_and_all_together() {
    let host = Host::new();
    let image = saying("bars");
    let mut contents = Contents::default();
    contents.add("a", "1", &image);
    let held = image.packed_layers()[1].digest();
    let server = ImageServer::twisted(contents, Access::Open, move |request, reply| {
        // The last bytes of one layer come late.
        if !request.target.ends_with(&held) || request.method != "GET" {
            return reply;
        }
        let tests::server::Body::Whole(bytes) = reply.body.clone() else { return reply };
        reply.lying(tests::server::Body::Drip(bytes, std::time::Duration::from_millis(5)))
    });
    let mut terminal = host.mini(["pull", &format!("{}/a:1", server.name())]).terminal(24, 120);
    terminal.expect_screen("Total");
    terminal.expect_screen("Status: Downloaded newer image");
    terminal.ends_with(0);
    for layer in layers(&image) {
        assert!(terminal.contents().contains(&format!("{layer}: Pull complete")), "{}", terminal.contents());
    }
}
