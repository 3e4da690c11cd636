//! `mini push`: byte for byte to real registries, in docker's words, and read by others.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::http::Request;
use tests::image::{Compression, Flavour};
use tests::registry::Registry;
use tests::server::{Access, Body, Contents, ImageServer, Reply};
use tests::{Host, Image, Tarball, skip, wait};

fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

/// Loads an image with a name of its registry's, manifest and all.
fn load(host: &Host, image: &Image, name: &str) {
    host.mini(["load", "-q"]).stdin(image.oci_layout(name)).run().ok();
}

/// The manifest that a registry has under a tag.
fn manifest(registry: &Registry, name: &str) -> Vec<u8> {
    registry.manifest(name.split_once('/').expect("a registry's name").1.split_once(':').expect("a tag"))
}

#[test]
fn what_was_pulled_is_pushed_byte_for_byte() {
    let host = Host::with_busybox();
    let registry = Registry::start(&host);
    let port = registry.name().split(':').next_back().and_then(|port| port.parse().ok()).expect("a port");
    let flavours = [
        ("oci-gzip", Compression::Gzip, Flavour::Oci),
        ("oci-zstd", Compression::Zstd, Flavour::Oci),
        ("oci-plain", Compression::None, Flavour::Oci),
        ("docker-gzip", Compression::Gzip, Flavour::Docker),
    ];
    let mut pulled = Vec::new();
    for (tag, compression, flavour) in flavours {
        let (name, manifest) = registry.push("team/image", tag, &saying(tag).packed(compression, flavour));
        host.mini(["pull", "-q", &name]).run().ok();
        pulled.push((name, manifest));
    }
    // The registry loses everything.
    drop(registry);
    fs::remove_dir_all(host.work().join("registry")).expect("remove the registry's files");
    let registry = Registry::at(&host, port);
    let repository = format!("127.0.0.1:{port}/team/image");
    host.mini(["push", "-a", &repository]).run().ok();
    for (name, before) in &pulled {
        assert_eq!(manifest(&registry, name), before.bytes, "{name}");
    }
    let (name, before) = &pulled[1];
    host.mini(["image", "push", "--platform", "linux/amd64", name]).run().ok().stdout_has(&before.digest());
    let there = host.work().join("there");
    let back = host.mini(["pull", &format!("{repository}@{}", before.digest())]).env("MINI_ROOT", &there);
    back.run().ok().stdout_has("Downloaded newer image");
    let others = ["push", "--platform", "linux/s390x", name];
    host.mini(others).run().error(1, &["does not provide the specified platform (linux/s390x)"]);
}

#[test]
fn it_speaks_dockers_words() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let name = |text: &str| format!("{}/{text}", registry.name());
    let image = saying("words");
    for repository in ["a:1", "a:latest", "other/b:1"] {
        load(&host, &image, &name(repository));
    }
    let before = image.manifest();
    let (digest, size) = (before.digest(), before.bytes.len());
    let layers: Vec<String> =
        image.packed_layers().iter().map(|blob| blob.digest()["sha256:".len()..][..12].to_owned()).collect();
    let told = |how: &str| layers.iter().map(|layer| format!("{layer}: {how}")).collect::<Vec<_>>();
    let said = |output: &tests::Output| {
        let err = output.err();
        let mut lines: Vec<String> = err.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.ends_with(": Preparing") && !line.ends_with(": Pushing"));
        lines.sort_by_key(|line| layers.iter().position(|layer| line.starts_with(layer.as_str())));
        lines
    };
    let first = host.mini(["push", &name("a")]).run().ok().stdout(&format!(
        "Using default tag: latest\nThe push refers to repository [{}]\nlatest: digest: {digest} size: {size}\n",
        name("a")
    ));
    assert_eq!(said(&first), told("Pushed"));
    let second = host.mini(["push", &name("a:1")]).run().ok();
    assert_eq!(said(&second), told("Layer already exists"));
    let third = host.mini(["push", &name("other/b:1")]).run().ok();
    assert_eq!(said(&third), told("Mounted from a"));
    let quiet = host.mini(["push", "-q", &name("a:1")]).run().ok().stdout(&format!("{}\n", name("a:1")));
    assert_eq!(quiet.err(), "");
    let all = host.mini(["push", "--all-tags", &name("a")]).run().ok();
    all.stdout(&format!(
        "The push refers to repository [{}]\n1: digest: {digest} size: {size}\nlatest: digest: {digest} size: {size}\n",
        name("a")
    ));
    host.mini(["push", "-qa", &name("a")]).run().ok().stdout(&format!("{}\n", name("a")));
    let digests = host.mini(["images", "--digests", "--format", "{{.Digest}}", &name("a")]).run().ok();
    assert_eq!(digests.lines(), [digest.clone(), digest.clone()]);
    let events = host.mini(["events", "--since", "1h", "--until", "0s", "--filter", "event=push"]).run().ok();
    assert_eq!(events.lines().len(), 8, "{events}");
    for (line, expected) in [
        (&["push", &name("a:2")][..], format!("tag does not exist: {}", name("a:2"))),
        (&["push", &name("c")], format!("An image does not exist locally with the tag: {}", name("c"))),
        (&["push", "-a", &name("c")], format!("An image does not exist locally with the tag: {}", name("c"))),
        (&["push", "-a", &name("a:1")], "tag can't be used with --all-tags/-a".to_owned()),
        (&["push", &format!("{}@{digest}", name("a"))], "cannot push a digest reference".to_owned()),
        (&["push", "UPPER"], "must be lowercase".to_owned()),
    ] {
        host.mini(line).run().error(1, &[&expected]);
    }
}

#[test]
fn who_may_not_push_is_told_and_may_after_a_login() {
    let host = Host::new();
    let registry = Registry::with_password(&host);
    let name = format!("{}/private:1", registry.name());
    load(&host, &saying("secret"), &name);
    host.mini(["push", &name]).run().error(1, &[&name, "denied"]).hints("mini login");
    let login = ["login", "-u", "mini", "--password-stdin", &registry.name()];
    host.mini(login).stdin("secret").run().ok();
    host.mini(["push", &name]).run().ok();
    assert_eq!(manifest(&registry, &name), saying("secret").manifest().bytes);
}

#[test]
fn a_registry_that_takes_nothing_says_so() {
    let host = Host::new();
    let server = ImageServer::twisted(Contents::default(), Access::Open, |_, reply| reply);
    let name = format!("{}/a:1", server.name());
    load(&host, &saying("x"), &name);
    host.mini(["push", &name]).run().error(1, &[&name, "an upload to a"]);
    assert!(server.requests().iter().all(|request| request.method != "PUT"));
    host.mini(["push", "-q", &name]).env("MINI_OFFLINE", "1").run().error(1, &["a:1"]);
    load(&host, &saying("x"), "elsewhere.example/a:1");
    host.mini(["push", "elsewhere.example/a:1"]).run().error(1, &["MINI_OFFLINE"]);
}

/// A registry that opens uploads, and refuses what `twist` says.
fn stubborn(twist: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> ImageServer {
    let opened = AtomicUsize::new(0);
    ImageServer::twisted(Contents::default(), Access::Open, move |request, reply| {
        twist(request).unwrap_or_else(|| match request.method.as_str() {
            "POST" => {
                let place = format!("/v2/a/blobs/uploads/{}", opened.fetch_add(1, Ordering::Relaxed));
                Reply::new(202, "").with("location", &place)
            }
            "DELETE" => Reply::new(204, ""),
            _ => reply,
        })
    })
}

/// Where uploads were begun that were sent to, and where they were cancelled.
fn begun_and_cancelled(server: &ImageServer) -> [BTreeSet<String>; 2] {
    let requests = server.requests();
    ["PUT", "DELETE"].map(|method| {
        let of_it = requests.iter().filter(|request| request.method == method);
        of_it.filter_map(|request| Some(request.target.split('?').next()?.to_owned())).collect()
    })
}

#[test]
fn a_push_that_fails_cancels_what_it_has_begun_and_says_why_it_failed() {
    let host = Host::new();
    let index = host.root().join("image/index.json");
    let server = stubborn(move |request| {
        // The store cannot be swept any more when the push has failed.
        (request.method == "PUT").then(|| {
            fs::write(&index, "{").expect("damage the index");
            Reply::new(413, "")
        })
    });
    let name = format!("{}/a:1", server.name());
    load(&host, &saying("x"), &name);
    host.mini(["push", &name]).run().error(1, &[&name, "413"]);
    let [begun, cancelled] = begun_and_cancelled(&server);
    assert!(!begun.is_empty() && cancelled.is_superset(&begun), "{begun:?}, {cancelled:?}");
    host.mini(["system", "check", "--repair"]).run();
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn a_push_that_is_interrupted_cancels_what_it_has_begun() {
    for signal in [Signal::INT, Signal::TERM] {
        let host = Host::new();
        // An answer that never ends.
        let server = stubborn(|request| {
            (request.method == "PUT").then(|| Reply::new(500, "").lying(Body::Silence(100)))
        });
        let name = format!("{}/a:1", server.name());
        load(&host, &saying("x"), &name);
        let client = host.spawn(["push", &name]);
        wait::until("three uploads", || {
            let [begun, _] = begun_and_cancelled(&server);
            (begun.len() == 3).then_some(())
        });
        client.signal(signal);
        assert_eq!(client.wait().status.signal(), Some(signal.as_raw()));
        let [begun, cancelled] = begun_and_cancelled(&server);
        assert_eq!(begun, cancelled);
        host.mini(["system", "check"]).run().ok();
    }
}

#[test]
fn skopeo_reads_what_was_pushed() {
    if !Path::new("/usr/bin/skopeo").exists() {
        return skip("there is no skopeo");
    }
    let host = Host::new();
    let registry = Registry::start(&host);
    for (tag, flavour) in [("oci", Flavour::Oci), ("docker", Flavour::Docker)] {
        let name = format!("{}/team/image:{tag}", registry.name());
        let image = saying(tag).packed(Compression::Gzip, flavour);
        load(&host, &image, &name);
        host.mini(["push", &name]).run().ok();
        let remote = format!("docker://{name}");
        let shown = host.tool("skopeo", ["inspect", "--tls-verify=false", &remote]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["Digest"], json!(image.manifest().digest()));
        let copy = format!("dir:{}", host.work().join(tag).display());
        host.tool("skopeo", ["copy", "-q", "--src-tls-verify=false", &remote, &copy]);
    }
}

#[test]
fn the_story_tells_each_request() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let name = format!("{}/a:1", registry.name());
    load(&host, &saying("x"), &name);
    let output = host.mini(["push", "--explain=json", &name]).run().ok();
    let calls = output.err();
    for call in ["HEAD http://", "POST http://", "PUT http://"] {
        assert!(calls.contains(call), "{call}: {output}");
    }
}

#[test]
fn layers_that_were_made_here_are_compressed_as_it_is_said() {
    let host = Host::new();
    let registry = Registry::start(&host);
    for (line, kind) in [
        (&["push"][..], "tar+gzip"),
        (&["push", "--compression-format", "zstd"], "tar+zstd"),
        (&["push", "--compression-format=gzip", "--compression-level=9"], "tar+gzip"),
    ] {
        // docker's archives have no manifest, and plain layers.
        let name = format!("{}/image:{}", registry.name(), line.len());
        host.load(&saying(kind).built(&format!("2024-01-0{}T00:00:00Z", line.len())), &name);
        let pushed = host.mini(line.iter().copied().chain([name.as_str()])).run().ok();
        let first = pushed.text().lines().last().map(str::to_owned);
        let manifest: Value = serde_json::from_slice(&manifest(&registry, &name)).expect("JSON");
        for layer in manifest["layers"].as_array().expect("layers") {
            assert!(layer["mediaType"].as_str().is_some_and(|media| media.ends_with(kind)), "{layer}");
        }
        // The same from now on, whatever is said: it is this image's manifest by now.
        let again = host.mini(["push", "--compression-format=zstd", &name]).run().ok();
        assert_eq!(again.text().lines().last().map(str::to_owned), first);
        host.mini(["run", "--rm", &name]).run().ok().stdout(kind);
        host.mini(["rmi", &name]).run().ok();
        host.mini(["run", "--rm", &name]).run().ok().stdout(kind);
        host.mini(["rmi", "-f", &name]).run().ok();
    }
    let name = format!("{}/image:1", registry.name());
    host.mini(["push", "--compression-level", "12", &name]).run().error(1, &["gzip has 1 to 9"]);
    host.mini(["push", "--compression-level", "0", &name]).run().error(125, &["--compression-level"]);
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn what_a_container_wrote_is_pushed_with_what_it_stood_on() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let (base, _) = registry.push("base", "1", &saying("base"));
    let name = format!("{}/made:1", registry.name());
    let text = format!("echo {} >/new", "made ".repeat(2000));
    host.mini(["run", "--name", "maker", &base, "sh", "-c", &text]).run().ok();
    host.mini(["commit", "maker", &name]).run().ok();
    host.mini(["rm", "maker"]).run().ok();
    let pushed = host.mini(["push", &name]).run().ok();
    let told = |how: &str| pushed.err().lines().filter(|line| line.ends_with(how)).count();
    assert_eq!((told(": Mounted from base"), told(": Pushed")), (2, 1), "{pushed}");
    let made: Value = serde_json::from_slice(&manifest(&registry, &name)).expect("JSON");
    let sizes: Vec<u64> = made["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .filter_map(|layer| layer["size"].as_u64())
        .collect();
    assert!(sizes.len() == 3 && sizes[2] < 2000, "{made}");
    host.mini(["rmi", &name, &base]).run().ok();
    let output = host.mini(["run", "--rm", &name, "cat", "/new"]).run().ok();
    assert!(output.text().starts_with("made made"), "{output}");
}
