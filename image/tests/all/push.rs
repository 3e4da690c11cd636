//! Images to registries: what they have is not sent, what is sent comes whole, and an interruption costs little.

use std::sync::Mutex;
use std::time::Duration;

use image::{Digest, Event, LayerState, Packing, PushError, PushOptions, Pushed, Reference, Timeouts, push};

use crate::archive::{Tar, docker_archive};
use crate::depot::{serve, status};
use crate::images::{TestStore, chain};
use crate::registry::{Content, OCI, OCI_LAYER, RealRegistry};
use crate::server::{Reply, Request, Server};

/// Options that give up soon.
pub(crate) fn hasty() -> PushOptions {
    let second = Duration::from_secs(1);
    let timeouts =
        Timeouts { connect: second, idle: 2 * second, document: 5 * second, ..Timeouts::default() };
    PushOptions { timeouts, wait: Duration::from_millis(1), chunk: 1 << 20, ..PushOptions::default() }
}

/// Bytes that no compression could shorten.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length / 32 + 1).flat_map(|number| hex(&Digest::of(&number.to_le_bytes()))).take(length).collect()
}

fn hex(digest: &Digest) -> Vec<u8> {
    digest.hex().into_bytes()
}

/// A store with an image of two layers, the second of `length` bytes and more, as `app:1` of these registries.
pub(crate) fn stored(names: &[&str], length: usize) -> TestStore {
    let test = TestStore::new();
    let layers = [Tar::new().file("a", b"first").finish(), Tar::new().file("b", &noise(length)).finish()];
    test.load(&docker_archive(&layers, names)).unwrap();
    test
}

impl TestStore {
    pub(crate) fn push(&self, name: &str, options: &PushOptions) -> Result<Pushed, PushError> {
        push(&self.store, &name.parse().unwrap(), options, &|_| ())
    }

    /// The same, and what was told of each layer last.
    fn push_told(&self, name: &str, options: &PushOptions) -> (Result<Pushed, PushError>, Vec<String>) {
        let told = Mutex::new(Vec::new());
        let progress = |event: Event<'_>| match event {
            Event::Layers(layers) => told.lock().unwrap().resize(layers.len(), String::new()),
            Event::Layer { index, state } => {
                let word = match state {
                    LayerState::Mounted { from } => format!("mounted from {from}"),
                    state => format!("{state:?}"),
                };
                told.lock().unwrap()[index] = word;
            }
            other => panic!("{other:?}"),
        };
        let reference: Reference = name.parse().unwrap();
        let pushed = push(&self.store, &reference, options, &progress);
        (pushed, told.into_inner().unwrap())
    }
}

#[test]
fn what_a_registry_has_is_not_sent() {
    let (server, depot) = serve(|_, _| None);
    let (app, other) = (format!("{}/team/app:1", server.host()), format!("{}/other:1", server.host()));
    let test = stored(&[&app, &other], 100);
    let (pushed, told) = test.push_told(&app, &hasty());
    let pushed = pushed.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(told, ["Pushed", "Pushed"]);
    let manifest = depot.lock().unwrap().manifests["team/app:1"].clone();
    assert_eq!((pushed.digest, pushed.size), (Digest::of(&manifest), manifest.len() as u64));
    assert_eq!(depot.lock().unwrap().blobs.len(), 3, "two layers and the configuration");
    // Once more: three questions and the manifest.
    let before = server.requests().len();
    assert_eq!(test.push_told(&app, &hasty()).1, ["Held", "Held"]);
    let again: Vec<String> =
        server.requests()[before..].iter().map(|request| request.method.clone()).collect();
    assert_eq!(again, ["HEAD", "HEAD", "HEAD", "PUT"]);
    // Another repository of the registry gets it from the first.
    let before = server.requests().len();
    assert_eq!(test.push_told(&other, &hasty()).1, ["mounted from team/app", "mounted from team/app"]);
    let sent: usize = server.requests()[before..].iter().map(|request| request.bytes.len()).sum();
    assert_eq!(sent, manifest.len(), "nothing but the manifest");
    // It can be had by digest now, under both names.
    let pinned = &test.store.resolve(&app).unwrap().pinned;
    assert_eq!(pinned.iter().map(Reference::digest).collect::<Vec<_>>(), [Some(pushed.digest); 2]);
}

#[test]
fn a_registry_that_does_not_mount_gets_the_blob() {
    for refusal in [202, 404] {
        let (server, depot) = serve(move |depot, request| {
            let is_mount = request.path.contains("mount=");
            if is_mount && refusal == 202 {
                let plain =
                    Request { path: request.path.split('?').next().unwrap().to_owned(), ..request.clone() };
                return Some(depot.answer(&plain));
            }
            is_mount.then(|| status(404, &[]))
        });
        let (app, other) = (format!("{}/app:1", server.host()), format!("{}/other:1", server.host()));
        let test = stored(&[&app, &other], 100);
        test.push(&app, &hasty()).unwrap();
        let (pushed, told) = test.push_told(&other, &hasty());
        pushed.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(told, ["Pushed", "Pushed"]);
        assert_eq!(depot.lock().unwrap().blobs.len(), 6);
        // The place that the question opened is used.
        let opened = server.requests().iter().filter(|request| request.method == "POST").count();
        assert_eq!(opened, if refusal == 202 { 6 } else { 9 });
    }
}

#[test]
fn an_interrupted_blob_goes_on_where_it_stopped() {
    let failures = Mutex::new(0);
    let (server, depot) = serve(move |depot, request| {
        let mut failures = failures.lock().unwrap();
        if request.method != "PATCH" || *failures == 2 {
            return None;
        }
        // Half of the chunk arrives, then the connection breaks; the next time, nothing of it, and with an answer.
        *failures += 1;
        if *failures == 1 {
            let half =
                Request { bytes: request.bytes[..request.bytes.len() / 2].to_vec(), ..request.clone() };
            depot.answer(&half);
            return Some(Reply::Hang);
        }
        Some(status(503, &[]))
    });
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 5 << 20);
    let (pushed, told) = test.push_told(&app, &hasty());
    pushed.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(told, ["Pushed", "Pushed"]);
    assert_eq!(depot.lock().unwrap().blobs.len(), 3);
    let requests = server.requests();
    let ranges = requests.iter().filter(|request| request.method == "PATCH");
    let begins: Vec<u64> = ranges
        .map(|request| request.headers["content-range"].split('-').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(&begins[..4], [0, 1 << 19, 1 << 19, 3 << 19], "{begins:?}");
    let sent: usize = requests.iter().map(|request| request.bytes.len()).sum();
    assert!(sent < 7 << 20, "{sent} bytes were sent");
}

#[test]
fn failures_before_a_chunk_that_arrives_are_forgotten() {
    let refused = Mutex::new(std::collections::HashSet::new());
    let (server, depot) = serve(move |_, request| {
        let range = request.headers.get("content-range")?;
        refused.lock().unwrap().insert(range.clone()).then(|| status(503, &[]))
    });
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 8 << 20);
    let options = PushOptions { attempts: 3, ..hasty() };
    test.push(&app, &options).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(depot.lock().unwrap().blobs.len(), 3);
    let chunks = server.requests().iter().filter(|request| request.method == "PATCH").count();
    assert!(chunks >= 2 * 3, "{chunks} chunks are too few to say anything");
    // Where nothing arrives they are not.
    let (server, _) = serve(|_, request| (request.method == "PATCH").then(|| status(503, &[])));
    let app = format!("{}/app:1", server.host());
    let error = chain(&stored(&[&app], 8 << 20).push(&app, &options).unwrap_err());
    assert!(error.contains("503"), "{error}");
    assert_eq!(server.requests().iter().filter(|request| request.method == "PATCH").count(), 3);
}

#[test]
fn a_blob_whose_last_answer_was_lost_is_not_sent_again() {
    let lost = Mutex::new(false);
    let (server, depot) = serve(move |depot, request| {
        let is_end = request.method == "PUT" && request.headers.contains_key("content-range");
        if !is_end || std::mem::replace(&mut *lost.lock().unwrap(), true) {
            return None;
        }
        // All of it is there by now, and nobody says so.
        depot.answer(&Request { method: "PATCH".to_owned(), ..request.clone() });
        Some(Reply::Hang)
    });
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 3 << 20);
    test.push(&app, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(depot.lock().unwrap().blobs.len(), 3);
    let requests = server.requests();
    let ends =
        requests.iter().filter(|request| request.method == "PUT" && request.path.contains("/uploads/"));
    let ends: Vec<usize> = ends.map(|request| request.bytes.len()).collect();
    assert_eq!(ends.iter().filter(|length| **length == 0).count(), 1, "{ends:?}");
}

#[test]
fn an_upload_that_the_registry_forgets_begins_anew() {
    let forgotten = Mutex::new(false);
    let (server, depot) = serve(move |_, request| {
        let mut forgotten = forgotten.lock().unwrap();
        let is_second = request.headers.get("content-range").is_some_and(|range| !range.starts_with("0-"));
        let is_lost = is_second && !*forgotten || request.method == "GET";
        *forgotten |= is_lost;
        is_lost.then(|| status(404, &[]))
    });
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 2 << 20);
    test.push(&app, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(depot.lock().unwrap().blobs.len(), 3);
}

#[test]
fn tokens_are_for_pushing_and_go_nowhere_else() {
    let storage = Server::start(|_| status(201, &[]));
    let elsewhere = format!("http://{}/upload", storage.host());
    let tokens = Server::start(|_| Reply::Answer(200, Vec::new(), br#"{"token":"T"}"#.to_vec()));
    let realm = format!(r#"Bearer realm="http://{}/token",service="s""#, tokens.host());
    let (server, depot) = serve(move |_, request| {
        if request.headers.get("authorization").map(String::as_str) != Some("Bearer T") {
            return Some(status(401, &[("WWW-Authenticate", &realm)]));
        }
        (request.method == "POST").then(|| status(202, &[("Location", &elsewhere)]))
    });
    let app = format!("{}/team/app:1", server.host());
    let test = stored(&[&app], 100);
    test.push(&app, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let asked = tokens.requests();
    assert!(asked[0].path.contains("scope=repository%3Ateam%2Fapp%3Apull%2Cpush"), "{}", asked[0].path);
    assert_eq!(depot.lock().unwrap().manifests.len(), 1);
    let sent = storage.requests();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|request| !request.headers.contains_key("authorization")), "{sent:?}");
}

#[test]
fn what_the_registry_does_not_take_is_told() {
    let body = br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    for (method, reply, expected) in [
        ("POST", Reply::Answer(403, Vec::new(), body.to_vec()), "requested access to the resource is denied"),
        ("PUT", Reply::Answer(413, Vec::new(), Vec::new()), "413"),
        ("POST", status(202, &[("Location", "file:///etc")]), "file:///etc"),
        ("POST", status(202, &[]), "not followed"),
    ] {
        let (server, depot) = serve(move |_, request| (request.method == method).then(|| reply.clone()));
        let app = format!("{}/app:1", server.host());
        let error = chain(&stored(&[&app], 100).push(&app, &hasty()).unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert!(depot.lock().unwrap().manifests.is_empty());
    }
    let (server, _) = serve(|_, request| {
        let other = Digest::of(b"other").to_string();
        request.path.contains("/manifests/").then(|| status(201, &[("Docker-Content-Digest", &other)]))
    });
    let app = format!("{}/app:1", server.host());
    let error = chain(&stored(&[&app], 100).push(&app, &hasty()).unwrap_err());
    assert!(error.contains("has the digest"), "{error}");
}

#[test]
fn a_silent_registry_is_given_up() {
    // It takes the connection, and not a byte of the blob.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("http://{}/upload", listener.local_addr().unwrap());
    let (server, _) =
        serve(move |_, request| (request.method == "POST").then(|| status(202, &[("Location", &place)])));
    let app = format!("{}/app:1", server.host());
    let options = PushOptions { attempts: 1, ..hasty() };
    let error = chain(&stored(&[&app], 100).push(&app, &options).unwrap_err());
    assert!(error.contains("timed out"), "{error}");
    drop(listener);
}

#[test]
fn damage_is_found_before_anything_is_sent() {
    let (server, _) = serve(|_, _| None);
    let app = format!("{}/app:1", server.host());
    let test = stored(&[&app], 100_000);
    // Once, so that there is nothing to compress, which would find it too.
    test.push(&app, &hasty()).unwrap();
    let before = server.requests().len();
    let blobs = test.root.join("blobs/sha256");
    let largest = std::fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    std::fs::write(&largest, b"short").unwrap();
    let error = chain(&test.push(&app, &hasty()).unwrap_err());
    assert!(error.contains("is damaged: it has 5 bytes"), "{error}");
    std::fs::remove_file(&largest).unwrap();
    let error = chain(&test.push(&app, &hasty()).unwrap_err());
    assert!(error.contains("missing file"), "{error}");
    assert_eq!(server.requests().len(), before);
}

#[test]
fn names_that_are_not_here_are_told_in_dockers_words() {
    let test = stored(&["localhost:1/app:1"], 100);
    for (name, expected) in [
        ("localhost:1/app", "tag does not exist: localhost:1/app:latest"),
        ("localhost:1/other:1", "An image does not exist locally with the tag: localhost:1/other"),
        (&format!("localhost:1/app@{}", Digest::of(b"x")), "cannot push a digest reference"),
    ] {
        assert_eq!(chain(&test.push(name, &hasty()).unwrap_err()), expected);
    }
}

#[test]
fn a_real_registry_takes_it_in_one_piece_and_in_many() {
    let registry = RealRegistry::start();
    let (one, many) = (format!("{}/one:1", registry.host), format!("{}/many:1", registry.host));
    let test = stored(&[&one, &many], 5 << 20);
    let whole = PushOptions { chunk: u64::MAX, ..hasty() };
    let first = test.push(&one, &whole).unwrap_or_else(|error| panic!("{}", chain(&error)));
    // So that nothing can be mounted.
    let apart = stored(&[&many], 5 << 20);
    let second = apart.push(&many, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(first, second);
    let back = TestStore::new();
    let reference: Reference = many.parse().unwrap();
    let pulled = image::pull(&back.store, &reference, &crate::registry::hasty(), &|_| ()).unwrap();
    assert_eq!((pulled.digest, pulled.image.id), (first.digest, first.id));
}

#[test]
fn layers_that_were_made_here_are_compressed_once() {
    for (packing, kind, magic) in
        [(Packing::Gzip(3), "gzip", &[0x1f, 0x8b][..]), (Packing::Zstd(3), "zstd", &[0x28, 0xb5, 0x2f, 0xfd])]
    {
        let (server, depot) = serve(|_, _| None);
        let (app, other) = (format!("{}/app:1", server.host()), format!("{}/other:1", server.host()));
        // docker's archives have no manifest: mini writes one, and the layers are as large as their files.
        let test = stored(&[&app, &other], 3 << 20);
        let before = test.store.resolve(&app).unwrap();
        let options = PushOptions { packing, ..hasty() };
        let pushed = test.push(&app, &options).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let depot = depot.lock().unwrap();
        let manifest = &depot.manifests["app:1"];
        assert_eq!(Digest::of(manifest), pushed.digest);
        let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let blob = &depot.blobs[&format!("app/{}", layer["digest"].as_str().unwrap())];
            assert!(blob.starts_with(magic), "{kind}");
            assert!(layer["mediaType"].as_str().unwrap().ends_with(kind), "{layer}");
            assert_eq!(layer["size"].as_u64(), Some(blob.len() as u64));
        }
        drop(depot);
        // The store has them so too now, under both names, and nothing else.
        let after = test.store.resolve(&other).unwrap();
        assert_eq!((after.id, after.manifest), (before.id, pushed.digest));
        assert_eq!(std::fs::read_dir(test.root.join("blobs/sha256")).unwrap().count(), 4);
        assert!(test.check(false, &|_| None).is_empty());
        assert_eq!(test.push_told(&app, &options).1, ["Held", "Held"]);
        // What comes back is the same image.
        assert_eq!(before.layers, after.layers);
    }
}

#[test]
fn an_image_keeps_the_manifest_that_it_came_with() {
    let (server, depot) = serve(|_, _| None);
    let content = Content::image(&[Tar::new().file("a", &noise(100)).finish()], OCI_LAYER, <[u8]>::to_vec);
    let expected = content.manifest("latest").to_vec();
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": OCI, "digest": Digest::of(&expected), "size": expected.len(),
        "annotations": { "io.containerd.image.name": format!("{}/app:1", server.host()) },
    }] });
    let mut archive = Tar::new();
    for (name, bytes) in content.layout(&index) {
        archive = archive.file(name, &bytes);
    }
    let test = TestStore::new();
    test.load(&archive.finish()).unwrap();
    test.push(&format!("{}/app:1", server.host()), &hasty())
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(depot.lock().unwrap().manifests["app:1"], expected);
}

/// Somebody else has put it there as mini wrote it, layers as they were: it has that digest now.
#[test]
fn a_manifest_that_was_pulled_stays_whoever_wrote_it() {
    let origin = stored(&["app:1"], 100);
    let written = origin.store.resolve("app:1").unwrap().manifest;
    let blob = move |digest: &str| std::fs::read(origin.root.join("blobs/sha256").join(digest)).unwrap();
    let expected = blob(&written.hex());
    let bytes = expected.clone();
    let (server, depot) = serve(move |_, request| {
        let headers = vec![("Content-Type".to_owned(), OCI.to_owned())];
        match (request.method.as_str(), request.path.split_once("/sha256:")) {
            ("GET", Some((_, digest))) => Some(Reply::Answer(200, Vec::new(), blob(digest))),
            ("GET", None) => Some(Reply::Answer(200, headers, bytes.clone())),
            _ => None,
        }
    });
    let app = format!("{}/app:1", server.host());
    let test = TestStore::new();
    image::pull(&test.store, &app.parse().unwrap(), &crate::registry::hasty(), &|_| ())
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let pushed = test.push(&app, &hasty()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!((pushed.digest, &depot.lock().unwrap().manifests["app:1"]), (written, &expected));
    assert_eq!(test.store.resolve(&app).unwrap().manifest, written);
}
