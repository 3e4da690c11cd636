//! Registries for tests: a real one, and one that can be made to lie.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use image::{Digest, Image, PullError, PullOptions, Pulled, Reference, Timeouts, pull};

use crate::archive::config;
use crate::images::TestStore;
use crate::server::{Reply, Request, Server};

/// What a registry holds: manifests by tag and digest, and blobs.
#[derive(Default, Clone)]
pub(crate) struct Content {
    manifests: HashMap<String, (String, Vec<u8>)>,
    blobs: HashMap<String, Vec<u8>>,
}

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Content {
    /// One image, tag `latest`; `pack` compresses its layers.
    pub(crate) fn image(layers: &[Vec<u8>], media_type: &str, pack: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let mut content = Self::default();
        content.add_image("latest", layers, media_type, pack);
        content
    }

    pub(crate) fn add_image(
        &mut self,
        tag: &str,
        layers: &[Vec<u8>],
        media_type: &str,
        pack: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Digest {
        let config = config(layers);
        let descriptor = |media_type: &str, bytes: &[u8]| serde_json::json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| pack(layer)).collect();
        let described: Vec<_> = packed.iter().map(|layer| descriptor(media_type, layer)).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI,
            "config": descriptor(OCI_CONFIG, &config), "layers": described,
        });
        for blob in packed.into_iter().chain([config]) {
            self.blobs.insert(Digest::of(&blob).to_string(), blob);
        }
        self.add_manifest(tag, OCI, manifest.to_string().into_bytes())
    }

    pub(crate) fn add_manifest(&mut self, tag: &str, media_type: &str, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.manifests.insert(digest.to_string(), (media_type.to_owned(), bytes.clone()));
        self.manifests.insert(tag.to_owned(), (media_type.to_owned(), bytes));
        digest
    }

    pub(crate) fn manifest(&self, name: &str) -> &[u8] {
        &self.manifests[name].1
    }

    /// The members of an OCI image layout with everything, and `index` as its index.
    pub(crate) fn layout(&self, index: &serde_json::Value) -> Vec<(String, Vec<u8>)> {
        let manifests = self.manifests.iter().filter(|(name, _)| name.starts_with("sha256:"));
        let manifests = manifests.map(|(name, (_, bytes))| (name, bytes));
        let blob =
            |(name, bytes): (&String, &Vec<u8>)| (format!("blobs/{}", name.replace(':', "/")), bytes.clone());
        let mut members: Vec<_> = manifests.chain(&self.blobs).map(blob).collect();
        members.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        members.push(("index.json".to_owned(), index.to_string().into_bytes()));
        members
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        let (kind, name) = match (path.split_once("/manifests/"), path.split_once("/blobs/")) {
            (Some((_, name)), _) => (&self.manifests.get(name).cloned(), name),
            (_, Some((_, name))) => {
                let blob = self.blobs.get(name).cloned();
                (&blob.map(|blob| ("application/octet-stream".to_owned(), blob)), name)
            }
            _ => (&None, path),
        };
        let Some((media_type, bytes)) = kind else {
            let body = format!(r#"{{"errors":[{{"code":"UNKNOWN","message":"{name} is unknown"}}]}}"#);
            return Reply::Answer(404, Vec::new(), body.into_bytes());
        };
        let content_type = ("Content-Type".to_owned(), media_type.clone());
        let range = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match range {
            Some(begin) if begin <= bytes.len() => {
                let range = format!("bytes {begin}-{}/{}", bytes.len() - 1, bytes.len());
                let headers = vec![content_type, ("Content-Range".to_owned(), range)];
                Reply::Answer(206, headers, bytes[begin..].to_vec())
            }
            _ => Reply::Answer(200, vec![content_type], bytes.clone()),
        }
    }

    /// An honest registry.
    pub(crate) fn serve(self) -> Server {
        self.serve_with(|_, answer| answer)
    }

    /// A registry whose answers pass through `change`.
    pub(crate) fn serve_with(
        self,
        change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let content = Arc::new(self);
        Server::start(move |request| change(request, content.answer(request)))
    }
}

/// Options that give up soon.
pub(crate) fn hasty() -> PullOptions {
    let timeouts = Timeouts {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(10),
        document: Duration::from_secs(20),
        ..Timeouts::default()
    };
    PullOptions { timeouts, wait: Duration::from_millis(1), ..PullOptions::default() }
}

impl TestStore {
    /// Pulls `name` from `server`.
    pub(crate) fn pull(&self, server: &Server, name: &str) -> Result<Pulled, PullError> {
        self.pull_with(server, name, &hasty())
    }

    pub(crate) fn pull_with(
        &self,
        server: &Server,
        name: &str,
        options: &PullOptions,
    ) -> Result<Pulled, PullError> {
        let reference: Reference = format!("{}/{name}", server.host()).parse().unwrap();
        pull(&self.store, &reference, options, &|_| ())
    }
}

/// The bottom layer's tree.
pub(crate) fn bottom(image: &Image) -> &Path {
    image.layers.last().unwrap()
}

/// Debian's docker-registry on a port of its own, until it is dropped.
pub(crate) struct RealRegistry {
    process: Child,
    pub(crate) host: String,
    _directory: tempfile::TempDir,
}

impl RealRegistry {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yml");
        let storage = directory.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{ level: info, formatter: json }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: '127.0.0.1:0' }}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("docker-registry")
            .args(["serve", config.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs docker-registry (apt-get install docker-registry): {error}")
            });
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let host = lines.find_map(|line| {
            let line = line.unwrap();
            let after = line.split_once("listening on ")?.1;
            Some(after.split([',', '"']).next().unwrap().to_owned())
        });
        let host = host.expect("the registry says where it listens");
        // Whatever else it says must not fill the pipe.
        std::thread::Builder::new().spawn(move || lines.for_each(drop)).unwrap();
        Self { process, host, _directory: directory }
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
