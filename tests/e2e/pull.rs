//! `mini pull`: references, authorisation, indexes, packings; each layer once, all at once, whole or not at all.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::image::{Blob, Compression, Flavour};
use tests::registry::{CREDENTIALS, Registry};
use tests::server::{Access, Contents, ImageServer, Reply};
use tests::{Host, Image, Tarball};

/// A small image with a word in it; its own layer differs with the word.
fn saying(word: &str) -> Image {
    Image::busybox().with(Tarball::new().file("word", 0o644, word)).set("Cmd", json!(["cat", "/word"]))
}

fn contents(images: &[(&str, &str, &Image)]) -> Contents {
    let mut contents = Contents::default();
    for (repository, tag, image) in images {
        contents.add(repository, tag, image);
    }
    contents
}

#[test]
fn a_real_registry_every_flavour_and_every_packing() {
    let host = Host::with_busybox();
    let registry = Registry::start(&host);
    for (tag, compression, flavour) in [
        ("oci-gzip", Compression::Gzip, Flavour::Oci),
        ("oci-zstd", Compression::Zstd, Flavour::Oci),
        ("oci-plain", Compression::None, Flavour::Oci),
        ("docker-gzip", Compression::Gzip, Flavour::Docker),
        ("docker-plain", Compression::None, Flavour::Docker),
    ] {
        let (name, manifest) = registry.push("team/image", tag, &saying(tag).packed(compression, flavour));
        let output = host.mini(["pull", &name]).run().ok();
        output.stdout_has(&manifest.digest());
        host.mini(["run", "--rm", &name]).run().ok().stdout(tag);
    }
}

#[test]
fn basic_authorisation_comes_from_the_docker_configuration() {
    let host = Host::new();
    let registry = Registry::with_password(&host);
    let (name, _) = registry.push("private", "1", &saying("secret"));
    let refused = host.mini(["pull", &name]).run();
    refused.error(1, &[&name]).hints("config.json");
    let config = host.home().join(".docker");
    fs::create_dir(&config).expect("make a directory");
    let auths = |auth: &str| json!({"auths": {registry.name(): {"auth": auth}}}).to_string();
    fs::write(config.join("config.json"), auths("bWluaTp3cm9uZw==")).expect("write");
    host.mini(["pull", &name]).run().error(1, &[&name]);
    fs::write(config.join("config.json"), auths(CREDENTIALS)).expect("write");
    host.mini(["pull", &name]).run().ok();
    host.mini(["run", "--rm", &name]).run().ok().stdout("secret");
}

#[test]
fn tokens_are_fetched_with_and_without_a_password() {
    let host = Host::new();
    let image = saying("by token");
    let open = ImageServer::twisted(contents(&[("a/b", "1", &image)]), Access::Token, |_, reply| reply);
    host.mini(["run", "--rm", &format!("{}/a/b:1", open.name())]).run().ok().stdout("by token");
    let closed = ImageServer::twisted(
        contents(&[("c", "1", &image)]),
        Access::TokenFor(CREDENTIALS.into()),
        |_, reply| reply,
    );
    let name = format!("{}/c:1", closed.name());
    host.mini(["pull", &name]).run().error(1, &[&name]);
    fs::create_dir(host.home().join(".docker")).expect("make a directory");
    let auths = json!({"auths": {closed.name(): {"auth": CREDENTIALS}}}).to_string();
    fs::write(host.home().join(".docker/config.json"), auths).expect("write");
    host.mini(["pull", &name]).run().ok();
}

/// An index of manifests, each with a platform.
fn index(flavour: Flavour, entries: &[(&Blob, Value)]) -> Blob {
    let (media_type, manifests): (&str, Vec<Value>) = (
        match flavour {
            Flavour::Oci => "application/vnd.oci.image.index.v1+json",
            Flavour::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
        },
        entries
            .iter()
            .map(|(blob, platform)| {
                let mut descriptor = blob.descriptor();
                descriptor["platform"] = platform.clone();
                descriptor
            })
            .collect(),
    );
    let value = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    Blob { media_type: media_type.into(), bytes: value.to_string().into_bytes() }
}

#[test]
fn of_an_index_our_platform_is_taken() {
    for flavour in [Flavour::Oci, Flavour::Docker] {
        let host = Host::new();
        let mut contents = Contents::default();
        let ours = contents.add("multi", "ours", &saying("amd64").packed(Compression::Gzip, flavour));
        let mut foreign = saying("arm64").packed(Compression::Gzip, flavour);
        foreign.architecture = "arm64".into();
        let foreign = contents.add("multi", "foreign", &foreign);
        let list = index(
            flavour,
            &[
                (&foreign, json!({"os": "linux", "architecture": "arm64", "variant": "v8"})),
                (&foreign, json!({"os": "linux", "architecture": "arm", "variant": "v7"})),
                (&foreign, json!({"os": "windows", "architecture": "amd64"})),
                (&foreign, json!({"os": "unknown", "architecture": "unknown"})),
                (&ours, json!({"os": "linux", "architecture": "amd64"})),
            ],
        );
        contents.add_manifest("multi", "latest", list.clone());
        let none = index(flavour, &[(&foreign, json!({"os": "linux", "architecture": "s390x"}))]);
        contents.add_manifest("multi", "none", none);
        let server = ImageServer::open(contents);
        let name = format!("{}/multi", server.name());
        host.mini(["run", "--rm", &name]).run().ok().stdout("amd64");
        let digest = list.digest();
        host.mini(["run", "--rm", &format!("{name}@{digest}")]).run().ok().stdout("amd64");
        host.mini(["pull", &format!("{name}:none")]).run().error(1, &["linux/amd64"]);
    }
}

#[test]
fn a_digest_pins_the_content() {
    let host = Host::new();
    let image = saying("pinned");
    let mut held = Contents::default();
    let manifest = held.add("a", "1", &image);
    held.add("a", "1", &saying("another"));
    let server = ImageServer::open(held);
    let name = format!("{}/a@{}", server.name(), manifest.digest());
    host.mini(["run", "--rm", &name]).run().ok().stdout("pinned");
    let absent = format!("{}/a@sha256:{}", server.name(), "0".repeat(64));
    host.mini(["pull", &absent]).run().error(1, &[&absent]);
}

#[test]
fn a_layer_that_is_there_is_not_fetched_again() {
    let host = Host::new();
    let (first, second) = (saying("first"), saying("second"));
    let base = first.packed_layers()[0].digest();
    let server = ImageServer::open(contents(&[("a", "1", &first), ("b", "1", &second)]));
    host.mini(["pull", &format!("{}/a:1", server.name())]).run().ok();
    host.mini(["pull", &format!("{}/b:1", server.name())]).run().ok();
    assert_eq!(server.fetched(&base), 1);
    let before = server.requests().iter().filter(|request| request.target.contains("/blobs/")).count();
    let again = host.mini(["pull", &format!("{}/a:1", server.name())]).run().ok();
    again.stdout_has("up to date");
    let after = server.requests().iter().filter(|request| request.target.contains("/blobs/")).count();
    assert_eq!(after, before, "an image that is there was fetched again");
}

#[test]
fn layers_come_side_by_side() {
    let host = Host::new();
    let image =
        (0..2).fold(saying("x"), |image, n| image.with(Tarball::new().file(&format!("n{n}"), 0o644, "n")));
    let layers: Vec<String> = image.packed_layers().iter().map(Blob::digest).collect();
    let waiting = Arc::new((Mutex::new(0), Condvar::new()));
    // No layer is answered before three have been asked for, as many as docker fetches at a time.
    let server =
        ImageServer::twisted(contents(&[("a", "1", &image)]), Access::Open, move |request, reply| {
            if request.method == "GET" && layers.iter().any(|digest| request.target.ends_with(digest)) {
                let (count, changed) = &*waiting;
                let mut count = count.lock().expect("nobody panics with it");
                *count += 1;
                changed.notify_all();
                let patience = Duration::from_secs(20);
                let (count, _) =
                    changed.wait_timeout_while(count, patience, |count| *count < 3).expect("nobody panics");
                if *count < 3 {
                    return Reply::new(500, "one at a time");
                }
            }
            reply
        });
    host.mini(["pull", &format!("{}/a:1", server.name())]).run().ok();
}

#[test]
fn many_pulls_of_overlapping_images_at_the_same_time() {
    let host = Host::new();
    let images: Vec<Image> = (0..4).map(|n| saying(&format!("image {n}"))).collect();
    let names: Vec<String> = (0..4).map(|n| format!("i{n}")).collect();
    let all: Vec<_> = names.iter().zip(&images).map(|(name, image)| (name.as_str(), "1", image)).collect();
    let server = ImageServer::open(contents(&all));
    let full = |n: usize| format!("{}/i{n}:1", server.name());
    let running: Vec<_> = (0..8).map(|n| host.spawn(["pull", "-q", &full(n % 4)])).collect();
    for one in running {
        one.wait().ok();
    }
    for n in 0..4 {
        host.mini(["run", "--rm", &full(n)]).run().ok().stdout(&format!("image {n}"));
    }
}

#[test]
fn a_redirect_to_where_the_blobs_are_is_followed_without_the_password() {
    let host = Host::new();
    let image = saying("elsewhere");
    let held = contents(&[("a", "1", &image)]);
    let store = ImageServer::open(held.clone());
    let target = store.name();
    let server = ImageServer::twisted(held, Access::Token, move |request, reply| {
        if request.target.contains("/blobs/") && reply.status == 200 {
            return Reply::new(307, "").with("location", &format!("http://{target}{}", request.target));
        }
        reply
    });
    host.mini(["run", "--rm", &format!("{}/a:1", server.name())]).run().ok().stdout("elsewhere");
    assert!(store.requests().iter().all(|request| request.field("authorization").is_none()));
    assert_eq!(store.fetched(&image.packed_layers()[0].digest()), 1);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let host = Host::new();
    let refused = AtomicUsize::new(0);
    let server = ImageServer::twisted(
        contents(&[("a", "1", &saying("at last"))]),
        Access::Open,
        move |request, reply| {
            if request.target.contains("/blobs/") && refused.fetch_add(1, Ordering::Relaxed) < 2 {
                return Reply::new(503, "busy");
            }
            reply
        },
    );
    host.mini(["run", "--rm", &format!("{}/a:1", server.name())]).run().ok().stdout("at last");
}

#[test]
fn q_prints_the_name_alone_and_progress_goes_to_stderr() {
    let host = Host::new();
    let server = ImageServer::open(contents(&[("a", "1", &saying("x"))]));
    let name = format!("{}/a:1", server.name());
    let quiet = host.mini(["pull", "-q", &name]).run().ok();
    quiet.stdout(&format!("{name}\n")).stderr("");
    host.mini(["rmi", &name]).run().ok();
    let plain = host.mini(["pull", &name]).run().ok();
    assert!(!plain.err().is_empty(), "no progress on a stream that is no terminal: {plain}");
    assert!(
        !plain.err().contains('\x1b') && !plain.err().contains('\r'),
        "bars where there is no terminal: {plain}"
    );
    assert_eq!(plain.lines().last(), Some(&name));
}

#[test]
fn on_a_terminal_there_are_bars() {
    let host = Host::new();
    let server = ImageServer::open(contents(&[("a", "1", &saying("x"))]));
    let name = format!("{}/a:1", server.name());
    let mut terminal = host.mini(["pull", &name]).terminal(24, 120);
    terminal.expect_screen(&name);
    terminal.ends_with(0);
    assert!(terminal.bytes().contains(&0x1b), "no cursor was moved");
}

#[test]
fn run_pulls_what_is_missing_and_its_output_stays_clean() {
    let host = Host::new();
    let server = ImageServer::open(contents(&[("a", "1", &saying("pulled"))]));
    let name = format!("{}/a:1", server.name());
    host.mini(["run", "--rm", &name]).run().ok().stdout("pulled");
    let before = server.requests().len();
    host.mini(["run", "--rm", &name]).run().ok().stdout("pulled").stderr("");
    assert_eq!(server.requests().len(), before, "what is there was asked for again");
    host.mini(["run", "--rm", "--pull", "always", &name]).run().ok().stdout("pulled");
    assert!(server.requests().len() > before, "--pull=always asked nobody");
    host.mini(["run", "--rm", "--pull", "never", &format!("{}/b:1", server.name())])
        .run()
        .error(125, &["/b:1"]);
}

#[test]
fn a_tag_that_moved_is_followed_by_pull() {
    let host = Host::new();
    let moved = Arc::new(AtomicUsize::new(0));
    let switch = Arc::clone(&moved);
    let (old, new) = (saying("old"), saying("new"));
    let mut held = Contents::default();
    held.add("a", "old", &old);
    let newer = held.add("a", "new", &new);
    let older = held.add("a", "1", &old);
    let server = ImageServer::twisted(held, Access::Open, move |request, reply| {
        if request.target == "/v2/a/manifests/1" {
            let blob = if switch.load(Ordering::Relaxed) == 0 { &older } else { &newer };
            return Reply::new(200, blob.bytes.clone())
                .with("content-type", &blob.media_type)
                .with("docker-content-digest", &blob.digest());
        }
        reply
    });
    let name = format!("{}/a:1", server.name());
    host.mini(["run", "--rm", &name]).run().ok().stdout("old");
    moved.store(1, Ordering::Relaxed);
    host.mini(["run", "--rm", &name]).run().ok().stdout("old");
    host.mini(["pull", &name]).run().ok();
    host.mini(["run", "--rm", &name]).run().ok().stdout("new");
}

#[test]
fn an_interrupted_pull_leaves_nothing_visible_and_the_next_one_works() {
    let host = Host::new();
    let image = saying("whole");
    let last = image.packed_layers()[1].digest();
    let asked = Arc::new((Mutex::new(false), Condvar::new()));
    let told = Arc::clone(&asked);
    let held = contents(&[("a", "1", &image)]);
    let stuck = ImageServer::twisted(held.clone(), Access::Open, move |request, reply| {
        if request.target.ends_with(&last) {
            *told.0.lock().expect("nobody panics with it") = true;
            told.1.notify_all();
            return reply.lying(tests::server::Body::Silence(1000));
        }
        reply
    });
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let client = host.spawn(["pull", &format!("{}/a:1", stuck.name())]);
        let flag = asked.0.lock().expect("nobody panics with it");
        drop(
            asked.1.wait_timeout_while(flag, tests::wait::PATIENCE, |asked| !*asked).expect("nobody panics"),
        );
        client.signal(signal);
        assert!(!client.wait().status.success());
        assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "");
        *asked.0.lock().expect("nobody panics with it") = false;
    }
    // What a killed one left is found and removed.
    host.mini(["system", "check", "--repair"]).run();
    let honest = ImageServer::open(held);
    host.mini(["run", "--rm", &format!("{}/a:1", honest.name())]).run().ok().stdout("whole");
}

#[test]
fn nobody_there_and_nothing_there_are_told_apart() {
    let host = Host::new();
    host.mini(["pull", "127.0.0.1:1/a:1"]).run().error(1, &["127.0.0.1:1"]);
    let server = ImageServer::open(Contents::default());
    let name = format!("{}/a:1", server.name());
    host.mini(["pull", &name]).run().error(1, &[&name, "no manifest"]);
    host.mini(["run", "--rm", &name]).run().error(125, &[&name]);
}

#[test]
fn plain_http_is_for_loopback_alone() {
    let host = Host::new();
    let outside = host.outside();
    let server = outside.run(|| {
        tests::net::serve(tests::outside::NEIGHBOUR, 5000, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    });
    host.mini(["pull", "192.0.2.2:5000/a:1"]).run().error(1, &["192.0.2.2:5000"]);
    drop(server);
}
