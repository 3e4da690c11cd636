//! Images from registries: a real one, with every dialect, and with every way to authenticate.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image::{Digest, Event, LayerState, Platform, PullOptions, PullStatus, Reference, Store, pull};

use crate::archive::{Tar, docker_archive_with, gzip, zstd};
use crate::images::{TestStore, chain, read};
use crate::narration::recorded;
use crate::overlay::mounted;
use crate::peers::{layers, run};
use crate::registry::{Content, OCI, OCI_INDEX, OCI_LAYER, RealRegistry, bottom, hasty};
use crate::server::{Reply, Server};
use crate::snapshot::{differences, snapshot};

pub(crate) fn small() -> Vec<u8> {
    Tar::new().file("file", b"content").finish()
}

#[test]
fn a_real_registrys_image_is_the_one_that_was_pushed() {
    let registry = RealRegistry::start();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    std::fs::write(&archive, docker_archive_with(&layers(), &["app:1"], gzip)).unwrap();
    let loaded = TestStore::new();
    let expected = loaded.load_layers(&layers()).unwrap();
    let source = format!("docker-archive:{}", archive.display());
    for (format, compression) in [("oci", "gzip"), ("oci", "zstd"), ("v2s2", "gzip")] {
        let name = format!("{}/{format}-{compression}:1", registry.host);
        let destination = format!("docker://{name}");
        run(
            "skopeo",
            &[
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
                "--dest-compress-format",
                compression,
                "--format",
                format,
                &source,
                &destination,
            ],
        );
        let test = TestStore::new();
        let reference: Reference = name.parse().unwrap();
        let pulled = pull(&test.store, &reference, &hasty(), &|_| ())
            .unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        assert_eq!(pulled.status, PullStatus::Downloaded);
        let ours = mounted(&pulled.image.layers, snapshot);
        let theirs = mounted(&expected.layers, snapshot);
        let differences = differences(&ours, &theirs);
        assert!(
            differences.iter().all(|line| line.starts_with("\"\"")),
            "{name}: {}",
            differences.join("\n")
        );
        // The same again finds everything there.
        let before = test.files();
        let again = pull(&test.store, &reference, &hasty(), &|_| ()).unwrap();
        assert_eq!((again.status, again.digest), (PullStatus::UpToDate, pulled.digest));
        assert_eq!(test.files(), before);
        // By digest, too, and the name by digest is known afterwards.
        let pinned: Reference = format!("{}@{}", name.trim_end_matches(":1"), pulled.digest).parse().unwrap();
        assert_eq!(pull(&test.store, &pinned, &hasty(), &|_| ()).unwrap().image.id, pulled.image.id);
        assert_eq!(test.store.resolve(&pinned.to_string()).unwrap().id, pulled.image.id);
    }
}

#[test]
fn plain_gzip_and_zstd_layers_are_pulled() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Pack); 4] = [
        (OCI_LAYER, |bytes| bytes.to_vec()),
        ("application/vnd.oci.image.layer.v1.tar+gzip", |bytes| gzip(bytes)),
        ("application/vnd.oci.image.layer.v1.tar+zstd", |bytes| zstd(bytes)),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", |bytes| {
            [gzip(&bytes[..700]), gzip(&bytes[700..])].concat()
        }),
    ];
    for (media_type, pack) in cases {
        let server = Content::image(&[small()], media_type, pack).serve();
        let test = TestStore::new();
        let pulled =
            test.pull(&server, "app").unwrap_or_else(|error| panic!("{media_type}: {}", chain(&error)));
        assert_eq!(read(bottom(&pulled.image), "file"), "content", "{media_type}");
        assert_eq!(test.check(false, &|_| None), [], "{media_type}");
    }
}

#[test]
fn the_platform_is_chosen_from_an_index_of_indexes() {
    let mut content = Content::default();
    let arm =
        content.add_image("arm", &[Tar::new().file("file", b"arm").finish()], OCI_LAYER, <[u8]>::to_vec);
    let amd =
        content.add_image("amd", &[Tar::new().file("file", b"amd").finish()], OCI_LAYER, <[u8]>::to_vec);
    let descriptor = |media_type: &str, digest: Digest, size: usize, platform: serde_json::Value| serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size, "platform": platform });
    let linux = |architecture: &str, variant: &str| serde_json::json!({ "os": "linux", "architecture": architecture, "variant": variant });
    let unknown = serde_json::json!({ "os": "unknown", "architecture": "unknown" });
    let inner = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        descriptor(OCI, arm, content.manifest("arm").len(), linux("arm", "v7")),
        descriptor(OCI, amd, content.manifest("amd").len(), linux("amd64", "")),
        descriptor(OCI, digest_of_nothing(), 5, unknown),
    ] });
    let inner_size = inner.to_string().len();
    let inner = content.add_manifest("inner", OCI_INDEX, inner.to_string().into_bytes());
    let outer = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_INDEX, "digest": inner, "size": inner_size },
    ] });
    let outer = content.add_manifest("latest", OCI_INDEX, outer.to_string().into_bytes());
    let server = content.serve();
    for (platform, expected) in [("linux/amd64", "amd"), ("linux/arm/v7", "arm"), ("linux/arm64", "arm")] {
        let test = TestStore::new();
        let options = PullOptions { platform: platform.parse().unwrap(), ..hasty() };
        let pulled = test.pull_with(&server, "app", &options).unwrap();
        assert_eq!(read(bottom(&pulled.image), "file"), expected, "{platform}");
        assert_eq!(pulled.digest, outer, "the digest of what the name stands for");
    }
    let options = PullOptions { platform: Platform::new("linux", "riscv64", None), ..hasty() };
    let error = chain(&TestStore::new().pull_with(&server, "app", &options).unwrap_err());
    assert!(
        error.contains("no matching manifest for linux/riscv64")
            && error.contains("linux/arm/v7, linux/amd64"),
        "{error}"
    );
    assert!(!error.contains("unknown"), "{error}");
}

fn digest_of_nothing() -> Digest {
    Digest::of(b"")
}

#[test]
fn an_interrupted_blob_goes_on_where_it_stopped() {
    let layer = Tar::new().file("file", &vec![b'a'; 3_000_000]).finish();
    for knows_ranges in [true, false] {
        let tries = AtomicUsize::new(0);
        let layer = layer.clone();
        let server = Content::image(std::slice::from_ref(&layer), OCI_LAYER, <[u8]>::to_vec).serve_with(
            move |request, answer| {
                let Reply::Answer(status, headers, body) = answer else { panic!("an answer") };
                if !request.path.contains("/blobs/") || body.len() < 10_000 {
                    return Reply::Answer(status, headers, body);
                }
                match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => Reply::Cut(body.len() as u64, body[..1_000_000].to_vec()),
                    1 if knows_ranges => {
                        assert_eq!((status, body.len()), (206, layer.len() - 1_000_000));
                        Reply::Hang
                    }
                    1 => Reply::Hang,
                    2 => Reply::Answer(503, Vec::new(), Vec::new()),
                    _ if knows_ranges => Reply::Answer(status, headers, body),
                    _ => Reply::Answer(200, Vec::new(), layer.clone()),
                }
            },
        );
        let layer_events = Mutex::new(Vec::new());
        let test = TestStore::new();
        let reference: Reference = format!("{}/app", server.host()).parse().unwrap();
        let pulled = pull(&test.store, &reference, &hasty(), &|event| {
            if let Event::Layer { state: LayerState::Retrying(retrying), .. } = event {
                layer_events.lock().unwrap().push(retrying.attempt);
            }
        });
        let pulled = pulled.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(bottom(&pulled.image).join("file").metadata().unwrap().len(), 3_000_000);
        assert_eq!(*layer_events.lock().unwrap(), [2, 3, 4]);
    }
}

/// It says of the whole that it is a part, whatever it is asked for.
#[test]
fn a_registry_for_which_all_is_a_part() {
    let layer = Tar::new().file("file", &vec![b'a'; 3_000_000]).finish();
    let tries = AtomicUsize::new(0);
    let whole = layer.clone();
    let server = Content::image(std::slice::from_ref(&layer), OCI_LAYER, <[u8]>::to_vec).serve_with(
        move |request, answer| {
            let Reply::Answer(status, headers, body) = answer else { panic!("an answer") };
            if !request.path.contains("/blobs/") || body.len() < 10_000 {
                return Reply::Answer(status, headers, body);
            }
            if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                return Reply::Cut(body.len() as u64, body[..1_000_000].to_vec());
            }
            let range = format!("bytes 0-{}/{}", whole.len() - 1, whole.len());
            Reply::Answer(206, vec![("Content-Range".into(), range)], whole.clone())
        },
    );
    let pulled = TestStore::new().pull(&server, "app").unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(pulled.image.size, 3_000_000);
}

#[test]
fn pulls_at_the_same_time_share_what_they_need() {
    let shared: Vec<Vec<u8>> =
        (0..4).map(|number| Tar::new().file(format!("f{number}"), &vec![number; 500_000]).finish()).collect();
    let mut content = Content::default();
    for tag in 0..4 {
        let own = Tar::new().file("own", format!("{tag}").as_bytes()).finish();
        content.add_image(
            &format!("v{tag}"),
            &[shared.clone(), vec![own]].concat(),
            OCI_LAYER,
            <[u8]>::to_vec,
        );
    }
    let server = content.serve();
    let test = TestStore::new();
    std::thread::scope(|scope| {
        for tag in 0..4 {
            let (root, server) = (&test.root, &server);
            scope.spawn(move || {
                // A flock belongs to the open file: two stores in one process are as good as two processes.
                let store = Store::open(root).unwrap();
                let reference: Reference = format!("{}/app:v{tag}", server.host()).parse().unwrap();
                pull(&store, &reference, &hasty(), &|_| ())
                    .unwrap_or_else(|error| panic!("{}", chain(&error)));
            });
        }
    });
    for layer in &shared {
        assert_eq!(server.count(&Digest::of(layer).to_string()), 1, "each layer is fetched once");
    }
    assert_eq!(test.store.list().unwrap().len(), 4);
    assert_eq!(test.check(false, &|_| None), []);
}

#[test]
fn offline_means_that_nobody_else_is_asked() {
    let test = TestStore::new();
    let options = PullOptions { offline: true, ..hasty() };
    let error = pull(&test.store, &"busybox".parse().unwrap(), &options, &|_| ()).unwrap_err();
    assert!(error.is_offline(), "{}", chain(&error));
    let server = Content::image(&[small()], OCI_LAYER, <[u8]>::to_vec).serve();
    test.pull_with(&server, "app", &options).unwrap();
    let away = Server::start(|_| {
        Reply::Answer(302, vec![("Location".into(), "https://registry.example/".into())], Vec::new())
    });
    let error = test.pull_with(&away, "app", &options).unwrap_err();
    assert!(error.is_offline(), "{}", chain(&error));
}

#[test]
fn a_machine_without_certificates_still_pulls_from_itself() {
    // The TLS client alone needs them, and nothing here asked for it.
    let server = Content::image(&[small()], OCI_LAYER, <[u8]>::to_vec).serve();
    let host = format!("localhost:{}", server.port);
    let reference: Reference = format!("{host}/app").parse().unwrap();
    let pulled = pull(&TestStore::new().store, &reference, &hasty(), &|_| ()).unwrap();
    assert_eq!(pulled.image.tags[0].familiar(), format!("{host}/app:latest"));
}

#[test]
fn a_busy_registry_is_asked_again() {
    let busy = AtomicUsize::new(0);
    let server =
        Content::image(&[small()], OCI_LAYER, <[u8]>::to_vec).serve_with(move |_, answer| {
            match busy.fetch_add(1, Ordering::SeqCst) % 2 {
                0 => Reply::Answer(429, vec![("Retry-After".into(), "0".into())], Vec::new()),
                _ => answer,
            }
        });
    // The registry's own wish counts, or this would take an hour.
    let options = PullOptions { wait: Duration::from_secs(3600), ..hasty() };
    TestStore::new().pull_with(&server, "app", &options).unwrap();
}

#[test]
fn who_cannot_be_reached_is_not_asked_again_and_again() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference: Reference = format!("{nobody}/app").parse().unwrap();
    let store = TestStore::new();
    let (result, events) = recorded(|| pull(&store.store, &reference, &hasty(), &|_| ()));
    let error = result.unwrap_err();
    assert!(error.is_transient() && chain(&error).contains("refused"), "{}", chain(&error));
    assert_eq!(events.iter().filter(|event| event.is("mini::op", "GET ")).count(), 1, "{events:?}");
}

#[test]
fn what_arrived_whole_is_kept_for_another_attempt_and_no_longer() {
    let [good, bad] = [b"good", b"bad!"].map(|name| Tar::new().file(name, b"").finish());
    let (good_digest, bad_digest) = (Digest::of(&good), Digest::of(&bad));
    let is_cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let cutting = std::sync::Arc::clone(&is_cut);
    let server =
        Content::image(&[good, bad], OCI_LAYER, <[u8]>::to_vec).serve_with(move |request, answer| {
            let is_bad = request.path.contains(&bad_digest.to_string());
            if is_bad && cutting.load(Ordering::SeqCst) { Reply::Hang } else { answer }
        });
    let test = TestStore::new();
    // One layer after the other: the first is there when the second fails.
    let options = PullOptions { concurrency: 1, attempts: 2, ..hasty() };
    let error = test.pull_with(&server, "app", &options).unwrap_err();
    assert!(error.is_transient(), "{}", chain(&error));
    assert!(test.store.list().unwrap().is_empty());
    assert!(test.root.join("partial").join(good_digest.hex()).exists());
    assert_eq!(test.check(false, &|_| None), []);
    let orphan = test.root.join("layers").join(Digest::of(b"orphan").hex());
    std::fs::create_dir(&orphan).unwrap();
    is_cut.store(false, Ordering::SeqCst);
    test.pull_with(&server, "app", &options).unwrap();
    assert_eq!(server.count(&good_digest.to_string()), 1, "it was not fetched again");
    assert!(!orphan.exists(), "what nobody came to need is gone");
    assert_eq!(test.check(false, &|_| None), []);
}
