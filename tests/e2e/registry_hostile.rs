//! Registries that lie: a clear error, in bounded time and space, and a store in which nothing is visible.

use std::fs;
use std::time::Duration;

use tests::http::Request;
use tests::image::{Blob, Compression, Flavour};
use tests::server::{Access, Body, Contents, ImageServer, Reply};
use tests::{Host, Image, Tarball, disk};

pub(crate) fn image() -> Image {
    // Not packed: each answer is made from it again.
    let image = Image::busybox().with(Tarball::new().file("word", 0o644, "honest"));
    image.packed(Compression::None, Flavour::Oci)
}

/// Pulls from a registry that twists its answers: an error that holds one of `texts`, nothing visible, little left; then
/// the same image from an honest one.
#[track_caller]
pub(crate) fn refused(texts: &[&str], twist: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) {
    let host = Host::new();
    let mut contents = Contents::default();
    contents.add("given", "1", &image());
    let server = ImageServer::twisted(contents.clone(), Access::Open, twist);
    let output = host.mini(["pull", &format!("{}/given:1", server.name())]).patient(9).run().error(1, &[]);
    let said = output.err().to_lowercase();
    assert!(texts.iter().any(|text| said.contains(text)), "none of {texts:?} in: {output}");
    assert_eq!(host.mini(["images", "-q"]).run().ok().text(), "");
    host.mini(["system", "check"]).run().ok().stdout("");
    assert!(disk::used(&host.root()) < 64 << 20, "{} bytes were kept", disk::used(&host.root()));
    assert!(server.requests().len() < 200, "{} requests", server.requests().len());
    let honest = ImageServer::open(contents);
    let name = format!("{}/given:1", honest.name());
    host.mini(["run", "--rm", &name, "cat", "/word"]).run().ok().stdout("honest");
    host.mini(["system", "check"]).run().ok().stdout("");
}

pub(crate) fn is_layer(request: &Request) -> bool {
    request.target.ends_with(&image().packed_layers()[1].digest())
}

pub(crate) fn is_configuration(request: &Request) -> bool {
    request.target.ends_with(&image().configuration().digest())
}

pub(crate) fn is_manifest(request: &Request) -> bool {
    request.target.contains("/manifests/")
}

/// The manifest, changed.
pub(crate) fn other_manifest(change: impl Fn(&mut serde_json::Value)) -> Reply {
    let honest = image().manifest();
    let mut value = serde_json::from_slice(&honest.bytes).expect("our own JSON");
    change(&mut value);
    let blob = Blob { bytes: value.to_string().into_bytes(), ..honest };
    Reply::new(200, blob.bytes.clone())
        .with("content-type", &blob.media_type)
        .with("docker-content-digest", &blob.digest())
}

#[test]
fn a_layer_of_other_bytes() {
    // The unpacker or the digest, whichever comes first.
    refused(&["digest", "unpacking"], |request, reply| {
        if !is_layer(request) {
            return reply;
        }
        let mut bytes = image().packed_layers()[1].bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        reply.lying(Body::Whole(bytes))
    });
}

#[test]
fn a_layer_that_is_another_valid_layer() {
    refused(&["digest", "size", "bytes"], |request, reply| {
        let other = Image::of([Tarball::new().file("word", 0o644, "hostile!")]).packed_layers();
        if is_layer(request) { reply.lying(Body::Whole(other[0].bytes.clone())) } else { reply }
    });
}

#[test]
fn a_configuration_of_other_bytes() {
    refused(&["digest", "size", "bytes"], |request, reply| {
        if is_configuration(request) { reply.lying(Body::Whole(b"{}".to_vec())) } else { reply }
    });
}

#[test]
fn a_manifest_that_is_not_its_digest() {
    refused(&["digest"], |request, reply| {
        if !is_manifest(request) {
            return reply;
        }
        let other = other_manifest(|value| value["annotations"] = serde_json::json!({"a": "b"}));
        Reply { fields: reply.fields, ..other }
    });
}

#[test]
fn a_layer_longer_than_its_descriptor_says() {
    refused(&["size", "longer", "bytes"], |request, reply| {
        let bytes = image().packed_layers()[1].bytes.clone();
        if is_layer(request) { reply.lying(Body::Whole([bytes, vec![0; 4096]].concat())) } else { reply }
    });
}

#[test]
fn a_layer_shorter_than_its_descriptor_says() {
    refused(&["size", "shorter", "bytes", "digest"], |request, reply| {
        let bytes = image().packed_layers()[1].bytes.clone();
        if is_layer(request) { reply.lying(Body::Whole(bytes[..bytes.len() - 3].to_vec())) } else { reply }
    });
}

#[test]
fn a_layer_that_ends_in_the_middle() {
    refused(&["end", "body", "connection", "bytes", "truncated"], |request, reply| {
        let bytes = image().packed_layers()[1].bytes.clone();
        let length = bytes.len() as u64;
        if is_layer(request) {
            reply.lying(Body::Claiming(bytes[..bytes.len() / 2].to_vec(), length))
        } else {
            reply
        }
    });
}

#[test]
fn a_layer_without_an_end() {
    refused(
        &["size", "longer", "bytes"],
        |request, reply| {
            if is_layer(request) { reply.lying(Body::Endless) } else { reply }
        },
    );
}

#[test]
fn a_configuration_without_an_end() {
    refused(&["size", "longer", "bytes"], |request, reply| {
        if is_configuration(request) { reply.lying(Body::Endless) } else { reply }
    });
}

#[test]
fn a_manifest_without_an_end() {
    refused(
        &["manifest"],
        |request, reply| if is_manifest(request) { reply.lying(Body::Endless) } else { reply },
    );
}

#[test]
fn an_endless_error_page() {
    refused(&["500", "manifest"], |request, reply| {
        if is_manifest(request) { Reply::new(500, "").lying(Body::Endless) } else { reply }
    });
}

#[test]
fn slow_a_layer_byte_by_byte_is_given_up() {
    refused(&["slow", "time", "stall"], |request, reply| {
        let bytes = image().packed_layers()[1].bytes.clone();
        if is_layer(request) { reply.lying(Body::Drip(bytes, Duration::from_millis(1500))) } else { reply }
    });
}

#[test]
fn slow_a_layer_that_never_comes_is_given_up() {
    refused(&["slow", "time", "stall"], |request, reply| {
        let length = image().packed_layers()[1].bytes.len() as u64;
        if is_layer(request) { reply.lying(Body::Silence(length)) } else { reply }
    });
}

#[test]
fn a_manifest_that_is_no_json_or_another_thing() {
    refused(&["manifest"], |request, reply| {
        let page = "<html>Welcome to the hotel's network</html>";
        if is_manifest(request) { Reply::new(200, page).with("content-type", "text/html") } else { reply }
    });
    refused(&["manifest"], |request, reply| {
        if is_manifest(request) { other_manifest(|value| value["layers"] = "x".into()) } else { reply }
    });
    refused(&["schema", "manifest"], |request, reply| {
        if is_manifest(request) { other_manifest(|value| value["schemaVersion"] = 1.into()) } else { reply }
    });
}

#[test]
fn sizes_in_a_manifest_that_cannot_be() {
    for size in [
        serde_json::json!(-5),
        serde_json::json!(u64::MAX),
        serde_json::json!(1_u64 << 62),
        serde_json::json!(0),
    ] {
        refused(&["size", "manifest", "large", "bytes", "space"], move |request, reply| {
            let size = size.clone();
            if is_manifest(request) {
                other_manifest(|value| value["layers"][1]["size"] = size.clone())
            } else {
                reply
            }
        });
    }
}

#[test]
fn digests_in_a_manifest_that_are_paths() {
    for digest in [
        "sha256:../../../../../../etc/passwd",
        "../../x",
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:ZZ",
    ] {
        refused(&["digest", "manifest"], move |request, reply| {
            if is_manifest(request) {
                other_manifest(|value| value["layers"][1]["digest"] = digest.into())
            } else {
                reply
            }
        });
    }
}

#[test]
fn more_or_fewer_layers_than_the_configuration_knows() {
    refused(&["layer"], |request, reply| {
        let cut = |value: &mut serde_json::Value| value["layers"] = serde_json::json!([value["layers"][0]]);
        if is_manifest(request) { other_manifest(cut) } else { reply }
    });
    refused(&["layer"], |request, reply| {
        let doubled = |value: &mut serde_json::Value| {
            let first = value["layers"][0].clone();
            value["layers"].as_array_mut().expect("layers").push(first);
        };
        if is_manifest(request) { other_manifest(doubled) } else { reply }
    });
}

#[test]
fn a_million_layers() {
    refused(&["manifest", "layer", "large"], |request, reply| {
        let many = |value: &mut serde_json::Value| {
            let first = value["layers"][0].clone();
            value["layers"] = std::iter::repeat_n(first, 100_000).collect();
        };
        if is_manifest(request) { other_manifest(many) } else { reply }
    });
}

#[test]
fn an_index_that_leads_to_itself() {
    refused(&["index", "manifest", "digest", "platform", "bytes"], |request, reply| {
        if !is_manifest(request) {
            return reply;
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let value = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type,
            "manifests": [{
                "mediaType": media_type, "digest": format!("sha256:{}", "1".repeat(64)), "size": 100,
                "platform": {"os": "linux", "architecture": "amd64"},
            }],
        });
        let blob = Blob { media_type: media_type.into(), bytes: value.to_string().into_bytes() };
        Reply::new(200, blob.bytes.clone())
            .with("content-type", media_type)
            .with("docker-content-digest", &blob.digest())
    });
}

#[test]
fn authorisation_that_never_suffices() {
    refused(&["401", "denied", "unauthorized", "authoris"], |request, _| {
        let host = request.field("host").unwrap_or_default().to_owned();
        if request.target.starts_with("/token") {
            return Reply::new(200, r#"{"token":"worthless"}"#);
        }
        Reply::new(401, "{}")
            .with("www-authenticate", &format!("Bearer realm=\"http://{host}/token\",service=\"x\""))
    });
}

#[test]
fn a_token_service_elsewhere_gets_no_password() {
    let host = Host::new();
    let thief = ImageServer::open(Contents::default());
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"x\"", thief.name());
    let server = ImageServer::twisted(Contents::default(), Access::Open, move |_, _| {
        Reply::new(401, "{}").with("www-authenticate", &realm)
    });
    fs::create_dir(host.home().join(".docker")).expect("make a directory");
    let auths = serde_json::json!({"auths": {"127.0.0.1:1": {"auth": "c3RvbGVuOnB3"}}}).to_string();
    fs::write(host.home().join(".docker/config.json"), auths).expect("write");
    host.mini(["pull", &format!("{}/given:1", server.name())]).run().error(1, &["given"]);
    for request in thief.requests() {
        assert_eq!(request.field("authorization"), None, "another registry's password was sent");
    }
}

#[test]
fn redirects_without_an_end() {
    refused(&["redirect"], |request, _| {
        let host = request.field("host").unwrap_or_default();
        Reply::new(307, "").with("location", &format!("http://{host}{}", request.target))
    });
}

#[test]
fn a_redirect_to_a_file_of_the_host() {
    refused(&["redirect", "scheme", "url"], |request, reply| {
        if is_layer(request) { Reply::new(307, "").with("location", "file:///etc/passwd") } else { reply }
    });
}

#[test]
fn foreign_urls_in_a_manifest_are_not_fetched() {
    let host = Host::new();
    let victim = ImageServer::open(Contents::default());
    let url = format!("http://{}/internal", victim.name());
    let mut contents = Contents::default();
    contents.add("given", "1", &image());
    let server = ImageServer::twisted(contents, Access::Open, move |request, reply| {
        if !is_manifest(request) {
            return reply;
        }
        other_manifest(|value| {
            value["layers"][1]["urls"] = serde_json::json!([url]);
            value["layers"][1]["mediaType"] =
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        })
    });
    host.mini(["pull", &format!("{}/given:1", server.name())]).run();
    assert_eq!(victim.requests().len(), 0, "the manifest sent us somewhere else");
}

#[test]
fn a_server_that_fails_for_ever_is_given_up() {
    refused(
        &["503", "unavailable"],
        |request, reply| if is_layer(request) { Reply::new(503, "busy") } else { reply },
    );
}

#[test]
fn control_characters_in_an_error_reach_no_terminal() {
    let host = Host::new();
    let server = ImageServer::twisted(Contents::default(), Access::Open, |_, _| {
        Reply::new(404, "{\"errors\":[{\"code\":\"X\",\"message\":\"\\u001b]0;owned\\u0007\\u001b[2J\"}]}")
    });
    let output = host.mini(["pull", &format!("{}/given:1", server.name())]).run().error(1, &[]);
    assert!(!output.stderr.contains(&0x1b) && !output.stderr.contains(&0x07), "{output}");
}
