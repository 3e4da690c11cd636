//! The images that are pulled, in the form in which docker-registry keeps them, so that nothing has to be pushed: blobs by their
//! digest, and files named `link` that hold a digest (distribution, registry/storage/paths.go).

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::busybox::architecture;

/// A registry's directory, to be filled.
pub(super) struct Storage {
    top: PathBuf,
}

/// How a layer is compressed.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Packing {
    /// gzip(1), at its default level, as docker's own.
    Gzip,
    /// zstd(1), with a window of 8 MiB.
    Zstd,
}

/// A layer, once it is stored.
pub(super) struct Layer {
    descriptor: Value,
    diff_id: String,
}

impl Storage {
    pub(super) fn new(directory: &Path) -> Self {
        Self { top: directory.join("docker/registry/v2") }
    }

    /// Compresses and stores a layer. `write` writes the tar archive.
    pub(super) fn layer(
        &self,
        packing: Packing,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Layer> {
        let draft = self.draft()?;
        let (program, options, kind): (_, &[&str], _) = match packing {
            Packing::Gzip => ("gzip", &["-nc"], "gzip"),
            Packing::Zstd => ("zstd", &["-qc", "-9", "--zstd=wlog=23"], "zstd"),
        };
        let mut child = crate::command::command(program, options)
            .stdin(std::process::Stdio::piped())
            .stdout(File::create(&draft).with_context(|| format!("making {}", draft.display()))?)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let mut hashing =
            Hashing { out: BufWriter::new(child.stdin.take().expect("it is a pipe")), hash: Sha256::new() };
        let written = write(&mut hashing).and_then(|()| hashing.out.flush().context("compressing a layer"));
        let Hashing { out, hash } = hashing;
        drop(out);
        let status = child.wait().with_context(|| format!("waiting for {program}"))?;
        written?;
        anyhow::ensure!(status.success(), "{program} ended with {status}");
        let media_type = format!("application/vnd.oci.image.layer.v1.tar+{kind}");
        Ok(Layer { descriptor: self.keep(&draft, &media_type)?, diff_id: digest(hash) })
    }

    /// Stores the rest of an image, which is pulled as `name:latest`.
    pub(super) fn image(&self, name: &str, layers: &[Layer]) -> Result<()> {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let created = "2026-01-01T00:00:00Z";
        let config = self.text(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": architecture(std::env::consts::ARCH),
                "os": "linux",
                "created": created,
                "config": { "Cmd": ["sh"] },
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
                "history": layers.iter().map(|_| json!({ "created": created })).collect::<Vec<_>>(),
            }),
        )?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let descriptors: Vec<&Value> = layers.iter().map(|layer| &layer.descriptor).collect();
        let manifest = self.text(
            media_type,
            &json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": descriptors }),
        )?;
        let repository = self.top.join("repositories").join(name);
        for descriptor in descriptors.into_iter().chain([&config]) {
            link(&repository.join("_layers"), descriptor)?;
        }
        let manifests = repository.join("_manifests");
        link(&manifests.join("revisions"), &manifest)?;
        let tag = manifests.join("tags/latest");
        link(&tag.join("index"), &manifest)?;
        put(&tag.join("current/link"), text_of(&manifest["digest"]))
    }

    fn text(&self, media_type: &str, value: &Value) -> Result<Value> {
        let draft = self.draft()?;
        put(&draft, &value.to_string())?;
        self.keep(&draft, media_type)
    }

    fn draft(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.top).with_context(|| format!("making {}", self.top.display()))?;
        Ok(self.top.join("draft"))
    }

    /// Moves a file to where a blob belongs; its descriptor.
    fn keep(&self, draft: &Path, media_type: &str) -> Result<Value> {
        let mut hashing = Hashing { out: io::sink(), hash: Sha256::new() };
        let file = File::open(draft).with_context(|| format!("opening {}", draft.display()))?;
        let size = io::copy(&mut BufReader::with_capacity(1 << 17, file), &mut hashing)
            .with_context(|| format!("reading {}", draft.display()))?;
        let digest = digest(hashing.hash);
        let hex = hex_of(&digest);
        let place = self.top.join("blobs/sha256").join(&hex[..2]).join(hex);
        fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        fs::rename(draft, place.join("data")).with_context(|| format!("moving {}", draft.display()))?;
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": size }))
    }
}

/// `DIRECTORY/sha256/HEX/link`.
fn link(directory: &Path, descriptor: &Value) -> Result<()> {
    let digest = text_of(&descriptor["digest"]);
    put(&directory.join("sha256").join(hex_of(digest)).join("link"), digest)
}

fn put(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().expect("a path below the registry's directory");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("writing {}", path.display()))
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("a digest is a text")
}

fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").expect("a digest made here")
}

fn digest(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// Writes through, and hashes.
struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Copies a file into a layer that is being written.
pub(super) fn copy(path: &Path, out: &mut dyn Write) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut buffer = vec![0; 1 << 17];
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("reading {}", path.display()))?;
        if count == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..count]).context("compressing a layer")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_finds_an_image_by_links_alone() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::new(directory.path());
        let layer = storage.layer(Packing::Gzip, |out| Ok(out.write_all(b"a layer")?)).unwrap();
        assert_eq!(layer.diff_id, digest(Sha256::new_with_prefix(b"a layer")));
        storage.image("bench/x", &[layer]).unwrap();
        let top = directory.path().join("docker/registry/v2");
        let read = |path: &str| fs::read_to_string(top.join(path)).unwrap();
        let blob = |digest: &str| {
            let hex = hex_of(digest);
            fs::read(top.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))).unwrap()
        };
        let manifest = read("repositories/bench/x/_manifests/tags/latest/current/link");
        read(&format!("repositories/bench/x/_manifests/revisions/sha256/{}/link", hex_of(&manifest)));
        let manifest: Value = serde_json::from_slice(&blob(&manifest)).unwrap();
        for descriptor in [&manifest["config"], &manifest["layers"][0]] {
            let digest = text_of(&descriptor["digest"]);
            assert_eq!(blob(digest).len() as u64, descriptor["size"].as_u64().unwrap());
            assert_eq!(read(&format!("repositories/bench/x/_layers/sha256/{}/link", hex_of(digest))), digest);
        }
        assert!(blob(text_of(&manifest["layers"][0]["digest"])).starts_with(&[0x1f, 0x8b]));
        assert!(!top.join("draft").exists());
    }
}
