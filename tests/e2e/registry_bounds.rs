//! Registries that give too much, too slowly, or never the end: bounded time and memory, and an error that says what was waited
//! for or which limit was passed.

use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tests::Host;
use tests::image::Blob;
use tests::server::{Access, Body, Contents, ImageServer, Reply};

use crate::registry_hostile::{image, is_configuration, is_layer, is_manifest, other_manifest, refused};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An index of one thing for this machine.
fn index(of: &Blob, size: Option<u64>) -> Blob {
    let mut descriptor = of.descriptor();
    descriptor["platform"] = json!({"os": "linux", "architecture": "amd64"});
    if let Some(size) = size {
        descriptor["size"] = size.into();
    }
    let value = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
    Blob { media_type: INDEX.into(), bytes: value.to_string().into_bytes() }
}

/// Pulls `given:1` of these contents, in vain.
#[track_caller]
fn cannot_pull(contents: Contents, texts: &[&str]) {
    let host = Host::new();
    let server = ImageServer::open(contents);
    host.mini(["pull", &format!("{}/given:1", server.name())]).run().error(1, texts);
    assert!(server.requests().len() < 20, "{} requests", server.requests().len());
    host.mini(["images", "-q"]).run().ok().stdout("");
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn indexes_in_indexes_come_to_an_end() {
    for (depth, is_too_deep) in [(3, false), (4, true), (200, true)] {
        let mut contents = Contents::default();
        let mut top = contents.add("given", "image", &image());
        for _ in 0..depth {
            top = index(&top, None);
            contents.add_manifest("given", "1", top.clone());
        }
        if is_too_deep {
            cannot_pull(contents, &["nested too deeply"]);
        } else {
            let host = Host::new();
            let server = ImageServer::open(contents);
            host.mini(["pull", &format!("{}/given:1", server.name())]).run().ok();
        }
    }
}

#[test]
fn an_index_that_lies_about_the_size_of_a_manifest() {
    for size in [0, 1, 1 << 40, u64::MAX >> 1] {
        let mut contents = Contents::default();
        let manifest = contents.add("given", "image", &image());
        contents.add_manifest("given", "1", index(&manifest, Some(size)));
        cannot_pull(contents, &["its descriptor says"]);
    }
}

#[test]
fn an_index_of_a_hundred_thousand_is_too_large() {
    let mut contents = Contents::default();
    let manifest = contents.add("given", "image", &image());
    let mut value: Value = serde_json::from_slice(&index(&manifest, None).bytes).expect("our own JSON");
    let one = value["manifests"][0].clone();
    value["manifests"] = std::iter::repeat_n(one, 100_000).collect();
    let bytes = value.to_string().into_bytes();
    contents.add_manifest("given", "1", Blob { media_type: INDEX.into(), bytes });
    cannot_pull(contents, &["more than the 4194304 bytes"]);
}

#[test]
fn json_that_is_nested_a_million_deep() {
    for open in ["[", "{\"a\":"] {
        let mut contents = Contents::default();
        let bytes = format!("{{\"schemaVersion\":2,\"x\":{}", open.repeat(500_000)).into_bytes();
        contents.add_manifest("given", "1", Blob { media_type: INDEX.into(), bytes });
        cannot_pull(contents, &["manifest"]);
    }
}

#[test]
fn a_configuration_of_a_gigabyte_is_not_asked_for() {
    refused(&["at most 8388608 are read"], |request, reply| {
        assert!(!is_configuration(request), "it was asked for");
        if is_manifest(request) {
            return other_manifest(|value| value["config"]["size"] = (1_u64 << 30).into());
        }
        reply
    });
}

#[test]
fn lengths_that_are_not_those_of_the_bytes() {
    refused(&["more than the"], |request, reply| {
        let bytes = image().configuration().bytes;
        if is_configuration(request) { reply.lying(Body::Claiming(bytes, 1 << 40)) } else { reply }
    });
    refused(&["more than the"], |request, reply| {
        let bytes = image().packed_layers()[1].bytes.clone();
        if is_layer(request) { reply.lying(Body::Claiming(bytes, 1 << 40)) } else { reply }
    });
    refused(&["bytes of"], |request, reply| {
        let bytes = image().packed_layers()[1].bytes.clone();
        if is_layer(request) { reply.lying(Body::Claiming(bytes, 100)) } else { reply }
    });
    refused(&["has the digest"], |request, reply| {
        let bytes = image().manifest().bytes;
        if is_manifest(request) { reply.lying(Body::Claiming(bytes, 100)) } else { reply }
    });
}

#[test]
fn what_is_packed_once_more_on_the_way_is_not_unpacked() {
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
    };
    // A gigabyte in a megabyte.
    let bomb = pack(&vec![b' '; 1 << 26]).repeat(16);
    // What is hashed are the bytes as they came.
    let expected = format!("has the digest {}", tests::image::digest(&bomb));
    refused(&[&expected], move |request, reply| {
        assert_eq!(request.field("accept-encoding"), Some("identity"));
        if is_manifest(request) {
            return reply.lying(Body::Whole(bomb.clone())).with("content-encoding", "gzip");
        }
        reply
    });
    refused(&["digest", "size", "bytes"], move |request, reply| {
        let bytes = pack(&image().configuration().bytes);
        if is_configuration(request) {
            return reply.lying(Body::Whole(bytes)).with("content-encoding", "gzip");
        }
        reply
    });
}

#[test]
fn a_head_without_an_end() {
    refused(&["manifests/1"], |request, reply| {
        if is_manifest(request) { reply.lying(Body::EndlessHead(Duration::ZERO)) } else { reply }
    });
}

#[test]
fn slow_a_head_that_drips_is_given_up() {
    refused(&["60 s of waiting for the head of an answer"], |request, reply| {
        if is_manifest(request) { reply.lying(Body::EndlessHead(Duration::from_secs(1))) } else { reply }
    });
}

#[test]
fn slow_a_manifest_that_drips_is_given_up() {
    refused(&["too slow to go on: "], |request, reply| {
        let bytes = image().manifest().bytes.repeat(100);
        if is_manifest(request) { reply.lying(Body::Drip(bytes, Duration::from_millis(500))) } else { reply }
    });
}

#[test]
fn slow_a_manifest_that_never_comes_is_given_up() {
    refused(&["30 s of waiting for more of the answer"], |request, reply| {
        if is_manifest(request) { reply.lying(Body::Silence(1000)) } else { reply }
    });
}

#[test]
fn redirects_in_a_circle_of_two() {
    refused(&["a chain of redirects redirects to"], |request, reply| {
        let host = request.field("host").unwrap_or_default();
        let (path, turn) = request.target.split_once("?turn=").unwrap_or((&request.target, "0"));
        let turn: u64 = turn.parse().expect("our own number");
        if !is_layer(request) && !request.target.contains("?turn=") {
            return reply;
        }
        // Two names of the same machine.
        let port = host.split(':').nth(1).unwrap_or_default();
        let next = if host.starts_with("127") { "localhost" } else { "127.0.0.1" };
        Reply::new(307, "").with("location", &format!("http://{next}:{port}{path}?turn={}", turn + 1))
    });
}

#[test]
fn a_token_without_an_end_or_with_a_line_break() {
    for token in ["x".repeat(2 << 20), "a\\r\\nHost: elsewhere".to_owned()] {
        let host = Host::new();
        let server = ImageServer::twisted(Contents::default(), Access::Token, move |request, reply| {
            if request.target.starts_with("/token") {
                return Reply::new(200, format!("{{\"token\":\"{token}\"}}"));
            }
            reply
        });
        let pull = host.mini(["pull", &format!("{}/given:1", server.name())]).run().error(1, &["given"]);
        assert!(["more than the", "gave no token"].iter().any(|text| pull.err().contains(text)), "{pull}");
        assert!(server.requests().len() < 4, "{}", server.requests().len());
    }
}

#[test]
fn tags_without_an_end() {
    // One by one too many requests; many at a time too many tags.
    for (per_page, pages) in [(1, 1000), (20_000, 6)] {
        let host = Host::new();
        let server = ImageServer::twisted(Contents::default(), Access::Open, move |request, _| {
            let page =
                request.target.split("page=").nth(1).and_then(|page| page.parse().ok()).unwrap_or(0_u64);
            let tags: Vec<String> = (0..per_page).map(|number| format!("v{page}-{number}")).collect();
            Reply::new(200, json!({"name": "given", "tags": tags}).to_string())
                .with("link", &format!("</v2/given/tags/list?page={}>; rel=\"next\"", page + 1))
        });
        let pull = host.mini(["pull", "-a", &format!("{}/given", server.name())]).run();
        pull.error(1, &["lists the tags of given without an end"]);
        assert_eq!(server.requests().len(), pages, "{per_page} a page");
    }
}
