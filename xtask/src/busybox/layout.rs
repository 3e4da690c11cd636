//! The image around the layer: one archive that is an OCI image layout and a docker archive at once, as docker's own `save`
//! writes it, so that every engine's `load` takes it. PURE.

use std::io::{Read, Result, Write};

use anyhow::bail;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// The archive's bytes. `created` is the image's age in RFC 3339; the lowest of the layers is the first.
pub(super) fn archive(name: &str, layers: &[&[u8]], created: &str) -> Result<Vec<u8>> {
    let zip = |layer: &&[u8]| {
        let mut zip = GzBuilder::new().write(Vec::new(), Compression::default());
        zip.write_all(layer)?;
        zip.finish()
    };
    let zipped = layers.iter().map(zip).collect::<Result<Vec<Vec<u8>>>>()?;
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    let history = json!({ "created": created, "created_by": "cargo xtask: a static busybox" });

    let config = text(&json!({
        "architecture": architecture(std::env::consts::ARCH),
        "os": "linux",
        "created": created,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": vec![history; layers.len()],
    }));
    let layer = |zipped: &Vec<u8>| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", zipped);
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": zipped.iter().map(layer).collect::<Vec<_>>(),
    }));
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{name}"),
        "org.opencontainers.image.ref.name": name,
    });

    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "oci-layout", &text(&json!({ "imageLayoutVersion": "1.0.0" })))?;
    append(&mut tar, "index.json", &text(&json!({ "schemaVersion": 2, "manifests": [entry] })))?;
    for blob in [&manifest, &config].into_iter().chain(&zipped) {
        append(&mut tar, &path(blob), blob)?;
    }
    let paths: Vec<String> = zipped.iter().map(|layer| path(layer)).collect();
    let docker = json!([{ "Config": path(&config), "RepoTags": [name], "Layers": paths }]);
    append(&mut tar, "manifest.json", &text(&docker))?;
    tar.into_inner()
}

/// The layer out of such an archive again: its only blob that is no JSON text.
pub(super) fn layer(archive: impl Read) -> anyhow::Result<Vec<u8>> {
    for entry in tar::Archive::new(archive).entries()? {
        let (mut entry, mut zip) = (entry?, Vec::new());
        entry.read_to_end(&mut zip)?;
        if zip.starts_with(&[0x1f, 0x8b]) {
            let mut layer = Vec::new();
            GzDecoder::new(&*zip).read_to_end(&mut layer)?;
            return Ok(layer);
        }
    }
    bail!("the archive has no layer")
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", sha256(blob)), "size": blob.len() })
}

fn path(blob: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(blob))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A processor's name as images say it, which is Go's.
pub(crate) fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_blob_has_the_digest_that_its_name_and_its_parents_say() {
        let bytes = archive("busybox:latest", &[b"the layer"], "2026-01-01T00:00:00Z").unwrap();
        let mut files = HashMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let (name, mut content) = (entry.path().unwrap().display().to_string(), Vec::new());
            entry.read_to_end(&mut content).unwrap();
            if let Some(digest) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(sha256(&content), digest);
            }
            files.insert(name, content);
        }
        let parse = |name: &str| -> Value { serde_json::from_slice(&files[name]).unwrap() };
        let blob = |descriptor: &Value| {
            let path = descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
            assert_eq!(descriptor["size"], files[&path].len());
            path
        };
        let manifest = parse(&blob(&parse("index.json")["manifests"][0]));
        let config = parse(&blob(&manifest["config"]));
        let mut layer = String::new();
        GzDecoder::new(&*files[&blob(&manifest["layers"][0])]).read_to_string(&mut layer).unwrap();
        assert_eq!(layer, "the layer");
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(b"the layer")));

        let docker = &parse("manifest.json")[0];
        assert_eq!(docker["RepoTags"][0], "busybox:latest");
        assert_eq!(docker["Config"].as_str(), Some(&*blob(&manifest["config"])));
        assert_eq!(docker["Layers"][0].as_str(), Some(&*blob(&manifest["layers"][0])));
    }

    #[test]
    fn the_layer_comes_out_again() {
        assert_eq!(layer(&*archive("x", &[b"the layer"], "now").unwrap()).unwrap(), b"the layer");
        assert!(layer(&*Vec::new()).is_err());
    }

    #[test]
    fn the_same_layer_gives_the_same_archive() {
        assert_eq!(archive("x", &[b"x"], "now").unwrap(), archive("x", &[b"x"], "now").unwrap());
    }
}
