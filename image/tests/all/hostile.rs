//! Registries that lie, talk without end, or say nothing: a clear error, soon, and a store as it was.

use std::path::PathBuf;
use std::time::Duration;

use image::{Digest, PullOptions, Timeouts};

use crate::archive::{Tar, gzip};
use crate::attacks::{Case, Outcome, cases};
use crate::images::{TestStore, chain};
use crate::registry::{Content, OCI, OCI_CONFIG, OCI_INDEX, OCI_LAYER, bottom, hasty};
use crate::server::{Reply, Request, Server};

/// Gives up sooner still.
fn impatient() -> PullOptions {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(1),
        document: Duration::from_secs(2),
        rate_window: Duration::from_secs(2),
        rate: 1000,
    };
    PullOptions { timeouts, attempts: 2, wait: Duration::from_millis(1), ..PullOptions::default() }
}

fn layer() -> Vec<u8> {
    Tar::new().file("file", &[b'a'; 5000]).finish()
}

/// The registry of one image, whose answers for paths with `part` in them are changed.
fn lying(part: &str, lie: impl Fn(Vec<u8>) -> Reply + Send + Sync + 'static) -> Server {
    let part = part.to_owned();
    Content::image(&[layer()], OCI_LAYER, <[u8]>::to_vec).serve_with(move |request: &Request, answer| {
        match answer {
            Reply::Answer(_, _, body) if request.path.contains(&part) => lie(body),
            answer => answer,
        }
    })
}

fn refused(server: &Server, name: &str, expected: &str) {
    let test = TestStore::new();
    let before = test.files();
    let error = test.pull_with(server, "app", &impatient()).expect_err(name);
    assert!(chain(&error).contains(expected), "{name}: {}", chain(&error));
    // The beginning of a blob stays where the rest may come another time.
    let after = test.files();
    let stays =
        |path: &&PathBuf| before.contains(path) || !(error.is_transient() && path.starts_with("partial"));
    assert_eq!(after.iter().filter(stays).collect::<Vec<_>>(), before.iter().collect::<Vec<_>>(), "{name}");
    assert_eq!(test.check(false, &|_| None), [], "{name}");
    assert_eq!(test.store.list().unwrap().len(), 0, "{name}");
}

#[test]
fn wrong_bytes_are_never_taken() {
    let blob = format!("/blobs/{}", Digest::of(&layer()));
    let config = format!("/blobs/{}", Digest::of(&crate::archive::config(&[layer()])));
    let answer = |body: Vec<u8>| Reply::Answer(200, Vec::new(), body);
    let other = Tar::new().file("evil", &[b'b'; 5000]).finish();
    let longer = [layer(), vec![0; 512]].concat();
    refused(
        &lying(&blob, move |_| answer(other.clone())),
        "another layer of the same size",
        "the blob's digest is",
    );
    refused(&lying(&blob, move |_| answer(longer.clone())), "a longer blob", "more than the");
    refused(&lying(&blob, move |body| answer(body[..1000].to_vec())), "a shorter blob", "1000 bytes of");
    refused(
        &lying(&blob, move |body| Reply::Cut(body.len() as u64, body[..1000].to_vec())),
        "a blob cut off",
        "GET http://",
    );
    refused(
        &lying(&blob, move |body| answer(vec![b'x'; body.len()])),
        "a blob of garbage",
        // The unpacker or the digest, whichever comes first.
        "layer sha256:",
    );
    refused(
        &lying(&config, move |body| answer(vec![b'{'; body.len()])),
        "another configuration",
        "has the digest",
    );
    refused(
        &lying(&config, move |body| answer(body[1..].to_vec())),
        "a shorter configuration",
        "bytes, its descriptor says",
    );
    refused(
        &lying("/manifests/", move |_| answer(b"{".to_vec())),
        "half a manifest",
        "manifest is malformed",
    );
    refused(&lying("/manifests/", move |_| answer(Vec::new())), "no manifest", "manifest is malformed");
}

#[test]
fn a_digest_asked_for_is_a_digest_got() {
    let mut content = Content::image(&[layer()], OCI_LAYER, <[u8]>::to_vec);
    let other = content.add_image("other", &[Tar::new().finish()], OCI_LAYER, <[u8]>::to_vec);
    let wanted = Digest::of(content.manifest("latest"));
    let swapped = content.manifest("other").to_vec();
    let server = content.serve_with(move |request, answer| match request.path.contains("/manifests/") {
        true => Reply::Answer(200, Vec::new(), swapped.clone()),
        false => answer,
    });
    let test = TestStore::new();
    let error = chain(&test.pull(&server, &format!("app@{wanted}")).unwrap_err());
    assert!(error.contains(&format!("{wanted} has the digest {other}")), "{error}");
}

#[test]
fn endless_answers_end() {
    let blob = format!("/blobs/{}", Digest::of(&layer()));
    let config = format!("/blobs/{}", Digest::of(&crate::archive::config(&[layer()])));
    refused(&lying(&blob, |_| Reply::Endless), "an endless blob", "more than the");
    refused(&lying(&config, |_| Reply::Endless), "an endless configuration", "more than the");
    refused(&lying("/manifests/", |_| Reply::Endless), "an endless manifest", "more than the 4194304 bytes");
    refused(
        &Server::start(|request| match request.path.starts_with("/token") {
            true => Reply::Endless,
            false => {
                let realm = format!("Bearer realm=\"http://{}/token\"", request.headers["host"]);
                Reply::Answer(401, vec![("WWW-Authenticate".into(), realm)], Vec::new())
            }
        }),
        "an endless token",
        "more than the 1048576 bytes",
    );
    refused(
        &Server::start(|_| Reply::Answer(302, vec![("Location".into(), "/again".into())], Vec::new())),
        "endless redirects",
        "a chain of redirects",
    );
    refused(
        &Server::start(|_| Reply::Answer(500, Vec::new(), vec![b'x'; 100])),
        "an endless failure",
        "answered 500",
    );
}

#[test]
fn silence_and_dripping_end() {
    let blob = format!("/blobs/{}", Digest::of(&layer()));
    let drip = |body: Vec<u8>| Reply::Drip(body.len() as u64, Duration::from_millis(20));
    let silence = |body: Vec<u8>| Reply::Silence(body.len() as u64, body[..100].to_vec());
    refused(&lying(&blob, drip), "a dripping blob", "too slow to go on: ");
    refused(&lying(&blob, silence), "a blob that stops", "timed out: 1 s of waiting for more of the answer");
    refused(
        &lying("/manifests/", |_| Reply::Drip(4_000_000, Duration::from_millis(20))),
        "a dripping manifest",
        "timed out: 2 s of waiting for the end of the answer",
    );
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reference = format!("{}/app", deaf.local_addr().unwrap()).parse().unwrap();
    let test = TestStore::new();
    let error = chain(&image::pull(&test.store, &reference, &impatient(), &|_| ()).unwrap_err());
    assert!(error.contains("6 s of waiting for the head of an answer"), "{error}");
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let serve = |media_type: &str, manifest: serde_json::Value| {
        let mut content = Content::default();
        content.add_manifest("latest", media_type, manifest.to_string().into_bytes());
        content.serve()
    };
    let descriptor = |media_type: &str| serde_json::json!({ "mediaType": media_type, "digest": Digest::of(b""), "size": 0 });
    let manifest = |config: &str, layers: usize, layer: &str| {
        let layers = vec![descriptor(layer); layers];
        serde_json::json!({ "schemaVersion": 2, "mediaType": OCI, "config": descriptor(config), "layers": layers })
    };
    for (name, media_type, body, expected) in [
        (
            "schema 1",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            serde_json::json!({ "schemaVersion": 1 }),
            "schema 1",
        ),
        (
            "a chart",
            OCI,
            manifest("application/vnd.cncf.helm.config.v1+json", 1, OCI_LAYER),
            "artifact and no image",
        ),
        (
            "a foreign layer",
            OCI,
            manifest(OCI_CONFIG, 1, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            "no registry hands out",
        ),
        ("501 layers", OCI, manifest(OCI_CONFIG, 501, OCI_LAYER), "needs 501 layers, overlay takes 500"),
        (
            "both kinds",
            OCI,
            {
                let mut both = manifest(OCI_CONFIG, 0, OCI_LAYER);
                both["manifests"] = serde_json::json!([]);
                both
            },
            "several kinds",
        ),
        (
            "an index in itself",
            OCI_INDEX,
            serde_json::json!({ "schemaVersion": 2, "manifests": [] }),
            "no matching manifest",
        ),
        (
            "a huge configuration",
            OCI,
            {
                let mut huge = manifest(OCI_CONFIG, 0, OCI_LAYER);
                huge["config"]["size"] = serde_json::json!(1_u64 << 40);
                huge
            },
            "configuration has 1099511627776 bytes",
        ),
    ] {
        refused(&serve(media_type, body), name, expected);
    }
    refused(
        &Content::default().serve(),
        "nothing at all",
        "has no manifest of app:latest (latest is unknown)",
    );
}

#[test]
fn a_layer_that_fails_stops_the_others() {
    // One layer is refused while another one says nothing: the pull does not wait for that one.
    let bad = Tar::new().file("../x", b"").finish();
    let server =
        Content::image(&[layer(), bad], OCI_LAYER, <[u8]>::to_vec).serve_with(
            |request, answer| match request.path.contains(&Digest::of(&layer()).to_string()) {
                true => Reply::Silence(layer().len() as u64, Vec::new()),
                false => answer,
            },
        );
    let options = PullOptions {
        timeouts: Timeouts { idle: Duration::from_secs(3600), ..Timeouts::default() },
        ..hasty()
    };
    let test = TestStore::new();
    let before = test.files();
    let error = chain(&test.pull_with(&server, "app", &options).unwrap_err());
    assert!(error.contains("leaves its root"), "{error}");
    assert_eq!(test.files(), before);
}

#[test]
fn a_refused_layer_is_not_waited_for() {
    // What was seen of it is enough; the rest never comes.
    let bad = Tar::new().file("../x", b"").file("rest", &vec![1; 2_000_000]).finish();
    let server = Content::image(std::slice::from_ref(&bad), OCI_LAYER, <[u8]>::to_vec).serve_with(
        move |request, answer| match request.path.contains(&Digest::of(&bad).to_string()) {
            true => Reply::Silence(bad.len() as u64, bad[..1_000_000].to_vec()),
            false => answer,
        },
    );
    let timeouts = Timeouts { idle: Duration::from_secs(3600), ..Timeouts::default() };
    let error = TestStore::new().pull_with(&server, "app", &PullOptions { timeouts, ..hasty() }).unwrap_err();
    assert!(chain(&error).contains("leaves its root"), "{}", chain(&error));
}

#[test]
fn no_pulled_layer_reaches_outside_its_directory() {
    for Case { name, layer, outcome } in cases() {
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let server = Content::image(std::slice::from_ref(&layer), media_type, gzip).serve();
        let test = TestStore::new();
        let before = test.files();
        match (outcome, test.pull(&server, "app")) {
            (Outcome::Refused(expected), Err(error)) => {
                let error = chain(&error);
                assert!(error.contains(expected), "{name}: {error}");
                assert_eq!(test.files(), before, "{name}: the store changed");
            }
            (Outcome::Unpacked(look), Ok(pulled)) => look(bottom(&pulled.image)),
            (Outcome::Refused(_), Ok(_)) => panic!("{name}: was unpacked"),
            (Outcome::Unpacked(_), Err(error)) => panic!("{name}: {}", chain(&error)),
        }
    }
}
