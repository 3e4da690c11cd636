//! Images made in the test: layers and a configuration, written as an archive or handed to a registry.

use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Tarball;

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Whose media types a manifest uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `application/vnd.oci.image.…`.
    Oci,
    /// `application/vnd.docker.distribution.…`, schema 2. Knows no Zstandard.
    Docker,
}

/// An image: what is in it, and how it is written down.
#[derive(Debug, Clone)]
pub struct Image {
    /// Uncompressed tar archives, lowest first.
    pub layers: Vec<Vec<u8>>,
    /// The `config` object: `Cmd`, `Env`, `User` …
    pub config: Value,
    /// The CPU architecture, as Go names it.
    pub architecture: String,
    /// When it was built, RFC 3339.
    pub created: String,
    /// Its steps; one a layer where nothing is said.
    pub history: Option<Value>,
    /// How the layers are packed in layouts and registries.
    pub compression: Compression,
    /// Whose media types it uses there.
    pub flavour: Flavour,
}

/// A blob: what a registry or a layout keeps under its digest.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// `sha256:` and 64 digits.
    pub fn digest(&self) -> String {
        digest(&self.bytes)
    }

    /// The descriptor that refers to it.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// `sha256:` and 64 digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Image {
    /// An image of these layers, lowest first.
    pub fn of(layers: impl IntoIterator<Item = Tarball>) -> Self {
        Self {
            layers: layers.into_iter().map(Tarball::finish).collect(),
            config: json!({}),
            architecture: "amd64".into(),
            created: "2024-02-03T04:05:06Z".into(),
            history: None,
            compression: Compression::Gzip,
            flavour: Flavour::Oci,
        }
    }

    /// The same with one more layer on top.
    pub fn with(mut self, layer: Tarball) -> Self {
        self.layers.push(layer.finish());
        self
    }

    /// The same with a value in its `config` object.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config[key] = value.into();
        self
    }

    /// The same, built at another time.
    pub fn built(self, created: &str) -> Self {
        Self { created: created.into(), ..self }
    }

    /// The same, packed otherwise.
    pub fn packed(self, compression: Compression, flavour: Flavour) -> Self {
        Self { compression, flavour, ..self }
    }

    /// The configuration blob.
    pub fn configuration(&self) -> Blob {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| digest(layer)).collect();
        let step_a_layer = || self.layers.iter().map(|_| json!({"created_by": "a test"})).collect();
        let history = self.history.clone().unwrap_or_else(step_a_layer);
        let value = json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        let media_type = match self.flavour {
            Flavour::Oci => "application/vnd.oci.image.config.v1+json",
            Flavour::Docker => "application/vnd.docker.container.image.v1+json",
        };
        Blob { media_type: media_type.into(), bytes: bytes(&value) }
    }

    /// The layers, packed.
    pub fn packed_layers(&self) -> Vec<Blob> {
        let media_type = match (self.flavour, self.compression) {
            (Flavour::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
            (Flavour::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Flavour::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Flavour::Docker, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
            (Flavour::Docker, _) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        };
        let pack =
            |layer: &Vec<u8>| Blob { media_type: media_type.into(), bytes: pack(layer, self.compression) };
        self.layers.iter().map(pack).collect()
    }

    /// The manifest blob.
    pub fn manifest(&self) -> Blob {
        self.manifest_of(&self.packed_layers())
    }

    /// Every blob but the manifest, and the manifest.
    pub fn blobs(&self) -> (Vec<Blob>, Blob) {
        let layers = self.packed_layers();
        let manifest = self.manifest_of(&layers);
        let mut blobs = layers;
        blobs.push(self.configuration());
        (blobs, manifest)
    }

    fn manifest_of(&self, layers: &[Blob]) -> Blob {
        let media_type = match self.flavour {
            Flavour::Oci => "application/vnd.oci.image.manifest.v1+json",
            Flavour::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        };
        let value = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.configuration().descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        Blob { media_type: media_type.into(), bytes: bytes(&value) }
    }

    /// What `docker save` writes: `manifest.json`, a configuration, layers as plain tar archives.
    pub fn docker_archive(&self, names: &[&str]) -> Vec<u8> {
        let configuration = self.configuration();
        let name = format!("{}.json", &configuration.digest()[7..]);
        let mut archive = Tarball::new().file(&name, 0o644, &configuration.bytes);
        let mut layers = Vec::new();
        for layer in &self.layers {
            let path = format!("{}/layer.tar", &digest(layer)[7..]);
            if !layers.contains(&path) {
                archive = archive.file(&path, 0o644, layer);
            }
            layers.push(path);
        }
        let manifest = json!([{"Config": name, "RepoTags": names, "Layers": layers}]);
        archive.file("manifest.json", 0o644, bytes(&manifest)).finish()
    }

    /// An OCI image layout in a tar archive, with a name that docker and containerd understand.
    pub fn oci_layout(&self, name: &str) -> Vec<u8> {
        let (blobs, manifest) = self.blobs();
        let mut descriptor = manifest.descriptor();
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        descriptor["annotations"] = json!({
            "org.opencontainers.image.ref.name": tag,
            "io.containerd.image.name": name,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [descriptor],
        });
        layout(&index, blobs.iter().chain([&manifest]))
    }
}

/// A layout of this index and these blobs, as a tar archive.
pub fn layout<'a>(index: &Value, blobs: impl IntoIterator<Item = &'a Blob>) -> Vec<u8> {
    let mut archive = Tarball::new()
        .file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", 0o644, bytes(index))
        .directory("blobs", 0o755)
        .directory("blobs/sha256", 0o755);
    for blob in blobs {
        archive = archive.file(&format!("blobs/sha256/{}", &blob.digest()[7..]), 0o644, &blob.bytes);
    }
    archive.finish()
}

/// Packs bytes.
pub fn pack(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).expect("memory takes every byte"),
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value is serialisable")
}
