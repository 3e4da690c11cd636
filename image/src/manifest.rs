//! Manifests, indexes and image configurations: parsed, checked, and reduced to what a pull needs. PURE.
//!
//! They come from a registry or an archive, so nothing in them is believed: a document that could be read as
//! two kinds is refused (CVE-2021-41190), kinds that mini does not know are refused by name.

use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE,
    IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};
use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use crate::digest::{Digest, DigestError};
use crate::layer::inflate::Compression;
use crate::platform::Platform;

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manifest {
    Image(ImageManifest),
    Index(Vec<IndexItem>),
}

/// One image: a configuration and layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageManifest {
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    /// Bottom first.
    pub(crate) layers: Vec<Descriptor>,
}

/// One of several images or indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexItem {
    pub(crate) manifest: Descriptor,
    pub(crate) media_type: String,
    pub(crate) platform: Option<Platform>,
    /// The names that annotations give it; what OCI calls it, and what containerd calls it.
    pub(crate) ref_name: Option<String>,
    pub(crate) image_name: Option<String>,
}

/// A blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or not of the expected shape.
    #[error("the manifest is malformed")]
    Json(#[source] serde_json::Error),
    /// Docker's format of before 2017.
    #[error(
        "the image has a manifest of schema 1, which docker gave up in 2017; push it again with a current tool"
    )]
    Schema1,
    /// A document of two kinds at once.
    #[error("the manifest claims to be several kinds of document")]
    Ambiguous,
    /// Neither a manifest nor an index.
    #[error("{0:?} is no image manifest")]
    MediaType(String),
    /// The registry and the document call it differently.
    #[error("the registry calls the manifest {header:?}, it calls itself {body:?}")]
    MediaTypes {
        /// `Content-Type`.
        header: String,
        /// `mediaType`.
        body: String,
    },
    /// A configuration that is no image's: a chart, a signature, some other artifact.
    #[error("the configuration is {0:?}, so this is an artifact and no image")]
    Artifact(String),
    /// A layer that mini cannot use.
    #[error("layer {digest} is {media_type:?}{}", foreign(media_type))]
    LayerType {
        /// The layer's digest.
        digest: String,
        /// Its media type.
        media_type: String,
    },
    /// A digest that mini cannot compute.
    #[error("a digest of the manifest")]
    Digest(#[from] DigestError),
    /// A size below zero.
    #[error("{digest} is said to have {size} bytes")]
    Size {
        /// The blob's digest.
        digest: String,
        /// The size.
        size: i64,
    },
}

/// Why an image configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No JSON, or not of the expected shape.
    #[error("the image's configuration is malformed")]
    Json(#[source] serde_json::Error),
    /// An image for another operating system.
    #[error("the image is for {0}; mini runs linux images")]
    Os(String),
    /// A rootfs that is not made of layers.
    #[error("the image's rootfs is of type {0:?}")]
    RootFs(String),
    /// A diff id that mini cannot compute.
    #[error("a diff id of the image's configuration")]
    DiffId(#[from] DigestError),
    /// The configuration and the manifest list different numbers of layers.
    #[error("the manifest has {layers} layers, the configuration {diff_ids}")]
    Count {
        /// Layers of the manifest.
        layers: usize,
        /// Diff ids of the configuration.
        diff_ids: usize,
    },
}

const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// The media types to ask a registry for.
pub(crate) const ACCEPTED: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];

/// What tells the kinds apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest or index; `content_type` is what a registry calls it.
    pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let shape: Shape = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        // Parameters (`; charset=utf-8`) say nothing about the kind.
        let header = content_type.map(|header| header.split(';').next().unwrap_or_default().trim());
        let header = header.filter(|header| ACCEPTED.contains(header) || SCHEMA_1.contains(header));
        if shape.schema_version == Some(1) || header.is_some_and(|header| SCHEMA_1.contains(&header)) {
            return Err(ManifestError::Schema1);
        }
        if let (Some(header), Some(body)) = (header, &shape.media_type)
            && header != body
        {
            return Err(ManifestError::MediaTypes { header: header.to_owned(), body: body.clone() });
        }
        let is_image = shape.config.is_some() || shape.layers.is_some();
        let media_type = match shape.media_type.as_deref().or(header) {
            Some(media_type) => media_type,
            None if is_image => OCI_IMAGE_MEDIA_TYPE,
            None => OCI_IMAGE_INDEX_MEDIA_TYPE,
        };
        let is_index = shape.manifests.is_some();
        match media_type {
            _ if is_image == is_index => Err(ManifestError::Ambiguous),
            OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE if is_image => {
                let manifest: OciImageManifest =
                    serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
                ImageManifest::new(&manifest, media_type.to_owned()).map(Self::Image)
            }
            OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE if is_index => {
                let index: OciImageIndex = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
                items(index).map(Self::Index)
            }
            known if ACCEPTED.contains(&known) => Err(ManifestError::Ambiguous),
            other => Err(ManifestError::MediaType(other.to_owned())),
        }
    }
}

impl ImageManifest {
    fn new(manifest: &OciImageManifest, media_type: String) -> Result<Self, ManifestError> {
        let config = &manifest.config;
        if !matches!(config.media_type.as_str(), IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE) {
            return Err(ManifestError::Artifact(config.media_type.clone()));
        }
        let layers = manifest.layers.iter().map(|layer| match layer.media_type.as_str() {
            IMAGE_LAYER_MEDIA_TYPE
            | IMAGE_LAYER_GZIP_MEDIA_TYPE
            | LAYER_ZSTD
            | IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE
            | IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE
            | DOCKER_LAYER_ZSTD => descriptor(layer),
            other => {
                Err(ManifestError::LayerType { digest: layer.digest.clone(), media_type: other.to_owned() })
            }
        });
        Ok(Self { media_type, config: descriptor(config)?, layers: layers.collect::<Result<_, _>>()? })
    }
}

/// The diff ids of an image's configuration, bottom first; `layers` is how many layers its manifest has.
pub(crate) fn diff_ids(config: &[u8], layers: usize) -> Result<Vec<Digest>, ConfigError> {
    let configuration: ImageConfiguration = serde_json::from_slice(config).map_err(ConfigError::Json)?;
    let os = configuration.os().to_string();
    if os != "linux" {
        return Err(ConfigError::Os(os));
    }
    let rootfs = configuration.rootfs();
    if rootfs.typ() != "layers" {
        return Err(ConfigError::RootFs(rootfs.typ().clone()));
    }
    let diff_ids = rootfs.diff_ids().iter().map(|id| id.parse()).collect::<Result<Vec<Digest>, _>>()?;
    if diff_ids.len() != layers {
        return Err(ConfigError::Count { layers, diff_ids: diff_ids.len() });
    }
    Ok(diff_ids)
}

/// The media type of a layer with this compression in a manifest of our own.
pub(crate) fn layer_media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => IMAGE_LAYER_GZIP_MEDIA_TYPE,
        Compression::Zstd => LAYER_ZSTD,
        Compression::Plain | Compression::Bzip2 | Compression::Xz => IMAGE_LAYER_MEDIA_TYPE,
    }
}

/// A manifest for an image that came without one.
pub(crate) fn compose(config: Descriptor, layers: &[(Descriptor, Compression)]) -> (String, Vec<u8>) {
    let describe = |descriptor: Descriptor, media_type: &str| OciDescriptor {
        media_type: media_type.to_owned(),
        digest: descriptor.digest.to_string(),
        size: i64::try_from(descriptor.size).expect("no file is larger"),
        ..OciDescriptor::default()
    };
    let layers = layers.iter().map(|(layer, compression)| describe(*layer, layer_media_type(*compression)));
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: describe(config, IMAGE_CONFIG_MEDIA_TYPE),
        layers: layers.collect(),
        ..OciImageManifest::default()
    };
    let json = serde_json::to_vec(&manifest).expect("strings and numbers become JSON");
    (OCI_IMAGE_MEDIA_TYPE.to_owned(), json)
}

fn items(index: OciImageIndex) -> Result<Vec<IndexItem>, ManifestError> {
    index
        .manifests
        .into_iter()
        .map(|entry| {
            let annotation =
                |key| entry.annotations.as_ref().and_then(|annotations| annotations.get(key).cloned());
            let platform = entry.platform.as_ref().map(|platform| {
                let variant = platform.variant.as_deref();
                Platform::new(&platform.os.to_string(), &platform.architecture.to_string(), variant)
            });
            Ok(IndexItem {
                manifest: checked(&entry.digest, entry.size)?,
                platform,
                ref_name: annotation("org.opencontainers.image.ref.name"),
                image_name: annotation("io.containerd.image.name"),
                media_type: entry.media_type,
            })
        })
        .collect()
}

fn descriptor(descriptor: &OciDescriptor) -> Result<Descriptor, ManifestError> {
    checked(&descriptor.digest, descriptor.size)
}

fn checked(digest: &str, size: i64) -> Result<Descriptor, ManifestError> {
    let checked_size =
        u64::try_from(size).map_err(|_| ManifestError::Size { digest: digest.to_owned(), size })?;
    Ok(Descriptor { digest: digest.parse()?, size: checked_size })
}

fn foreign(media_type: &str) -> &'static str {
    if media_type.contains("nondistributable") || media_type.contains("foreign") {
        ", which no registry hands out"
    } else {
        ", which is no layer of a linux image"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor(media_type: &str, text: &str) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": Digest::of(text.as_bytes()), "size": text.len() })
    }

    fn parse(value: &serde_json::Value, header: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string().as_bytes(), header)
    }

    #[test]
    fn both_dialects_of_manifest_are_read() {
        for (manifest, config, layer) in [
            (OCI_IMAGE_MEDIA_TYPE, IMAGE_CONFIG_MEDIA_TYPE, LAYER_ZSTD),
            (IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE),
        ] {
            let value = json!({
                "schemaVersion": 2,
                "mediaType": manifest,
                "config": descriptor(config, "config"),
                "layers": [descriptor(layer, "one"), descriptor(layer, "two!")],
            });
            let Manifest::Image(image) = parse(&value, Some(manifest)).unwrap() else { panic!("no image") };
            assert_eq!((image.media_type.as_str(), image.layers[1].size), (manifest, 4));
            assert_eq!(image.config.digest, Digest::of(b"config"));
        }
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": Digest::of(b""), "size": 9,
                "platform": { "os": "linux", "architecture": "arm64", "variant": "v8" },
                "annotations": { "org.opencontainers.image.ref.name": "x" },
            }],
        });
        let Manifest::Index(items) = parse(&index, Some("application/json; charset=utf-8")).unwrap() else {
            panic!("no index")
        };
        assert_eq!(items[0].platform, Some(Platform::new("linux", "arm64", None)));
        assert_eq!((items[0].manifest.size, items[0].ref_name.as_deref()), (9, Some("x")));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let config = descriptor(IMAGE_CONFIG_MEDIA_TYPE, "config");
        let image =
            |layer: &str| json!({ "schemaVersion": 2, "config": config, "layers": [descriptor(layer, "x")] });
        let mut negative = image(IMAGE_LAYER_MEDIA_TYPE);
        negative["layers"][0]["size"] = json!(-1);
        let mut sha512 = image(IMAGE_LAYER_MEDIA_TYPE);
        sha512["layers"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
        for (name, value, header, expected) in [
            ("schema 1", json!({ "schemaVersion": 1, "fsLayers": [] }), None, "schema 1"),
            ("schema 1 by header", json!({}), Some(SCHEMA_1[1]), "schema 1"),
            (
                "both kinds",
                json!({ "schemaVersion": 2, "config": config, "layers": [], "manifests": [] }),
                None,
                "several",
            ),
            ("no kind", json!({ "schemaVersion": 2 }), None, "several"),
            (
                "index called image",
                json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE, "manifests": [] }),
                None,
                "several",
            ),
            (
                "header differs",
                {
                    let mut value = image(IMAGE_LAYER_MEDIA_TYPE);
                    value["mediaType"] = json!(OCI_IMAGE_MEDIA_TYPE);
                    value
                },
                Some(IMAGE_MANIFEST_MEDIA_TYPE),
                "calls itself",
            ),
            (
                "artifact",
                json!({ "schemaVersion": 2, "config": descriptor("application/vnd.cncf.helm.config.v1+json", "{}"), "layers": [] }),
                None,
                "helm",
            ),
            (
                "unknown type",
                json!({ "schemaVersion": 2, "mediaType": "text/plain", "config": config, "layers": [] }),
                None,
                "text/plain",
            ),
            (
                "foreign layer",
                image("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
                None,
                "no registry hands out",
            ),
            ("wasm layer", image("application/vnd.wasm.content.layer.v1+wasm"), None, "wasm"),
            ("negative size", negative, None, "-1 bytes"),
            ("sha512", sha512, None, "digest"),
            ("no json", json!("x"), None, "malformed"),
        ] {
            let error = parse(&value, header).expect_err(name).to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn configurations_must_fit() {
        let config = |os: &str, kind: &str, ids: &[&str]| {
            json!({ "os": os, "architecture": "amd64", "rootfs": { "type": kind, "diff_ids": ids } })
                .to_string()
        };
        let id = Digest::of(b"").to_string();
        assert_eq!(diff_ids(config("linux", "layers", &[&id]).as_bytes(), 1).unwrap(), [Digest::of(b"")]);
        for (json, layers, expected) in [
            (config("windows", "layers", &[&id]), 1, "windows"),
            (config("linux", "other", &[&id]), 1, "\"other\""),
            (config("linux", "layers", &["sha256:../../x"]), 1, "diff id"),
            (config("linux", "layers", &[&id]), 2, "2 layers, the configuration 1"),
            ("{}".to_owned(), 0, "malformed"),
        ] {
            let error = diff_ids(json.as_bytes(), layers).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn dockers_configurations_with_nulls_are_read() {
        let json = json!({
            "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z", "docker_version": "20.10",
            "config": {
                "Hostname": "", "User": "", "AttachStdin": false, "Tty": false, "Env": ["PATH=/bin"], "Cmd": ["sh"],
                "Image": "sha256:0", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
                "ExposedPorts": { "80/tcp": {} }, "Healthcheck": { "Test": ["CMD", "true"] }, "ArgsEscaped": true,
                "Shell": ["/bin/sh"], "StopSignal": "SIGTERM",
            },
            "container": "0", "container_config": { "Cmd": null },
            "history": [{ "created": "2024-01-01T00:00:00Z", "created_by": "x", "empty_layer": true }],
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        assert_eq!(diff_ids(json.to_string().as_bytes(), 0).unwrap(), []);
        let config: ImageConfiguration = serde_json::from_value(json).unwrap();
        let process = config.config().as_ref().unwrap();
        assert_eq!(process.env().as_deref(), Some(&["PATH=/bin".to_owned()][..]));
        assert_eq!((process.entrypoint(), process.volumes()), (&None, &None));
        let bare = json!({ "architecture": "", "os": "linux", "config": null, "history": null, "rootfs": { "type": "layers", "diff_ids": [] } });
        assert!(diff_ids(bare.to_string().as_bytes(), 0).is_ok());
    }

    #[test]
    fn a_composed_manifest_reads_back() {
        let descriptor =
            |text: &str| Descriptor { digest: Digest::of(text.as_bytes()), size: text.len() as u64 };
        let (media_type, json) = compose(descriptor("config"), &[(descriptor("layer"), Compression::Gzip)]);
        let expected =
            ImageManifest { media_type, config: descriptor("config"), layers: vec![descriptor("layer")] };
        assert_eq!(Manifest::parse(&json, None).unwrap(), Manifest::Image(expected));
    }
}
