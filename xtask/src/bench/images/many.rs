//! An archive of many images, as `docker save` writes them: one layer that all share, and one of its own for each.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use crate::busybox::architecture;

pub(super) const COUNT: u32 = 200;

/// The name of one of them.
pub(super) fn name(number: u32) -> String {
    format!("many-{number}:latest")
}

/// Writes it.
pub(super) fn archive(path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("making {}", path.display()))?;
    write(BufWriter::new(file)).with_context(|| format!("writing {}", path.display()))
}

fn write(out: impl Write) -> Result<()> {
    let mut archive = Builder::new(out);
    let shared = layer("shared")?;
    add(&mut archive, "shared/layer.tar", &shared)?;
    let mut manifest = Vec::new();
    for number in 0..COUNT {
        let own = layer(&format!("own-{number}"))?;
        let place = format!("{number}/layer.tar");
        add(&mut archive, &place, &own)?;
        let created = format!("2026-01-01T00:{:02}:{:02}Z", number / 60, number % 60);
        let config = json!({
            "architecture": architecture(std::env::consts::ARCH),
            "os": "linux",
            "created": created,
            "config": { "Cmd": ["sh"], "Labels": { "number": number.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": [digest(&shared), digest(&own)] },
            "history": [
                { "created": created, "created_by": "shared" },
                { "created": created, "created_by": format!("own {number}") },
            ],
        });
        let config = config.to_string();
        let config_place = format!("{}.json", digest(config.as_bytes()).trim_start_matches("sha256:"));
        add(&mut archive, &config_place, config.as_bytes())?;
        manifest.push(json!({ "Config": config_place, "RepoTags": [name(number)], "Layers": ["shared/layer.tar", place] }));
    }
    add(&mut archive, "manifest.json", json!(manifest).to_string().as_bytes())?;
    archive.into_inner()?.flush().map_err(Into::into)
}

/// One file of its own name.
fn layer(name: &str) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    add(&mut archive, name, name.as_bytes())?;
    Ok(archive.into_inner()?)
}

fn add(archive: &mut Builder<impl Write>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_mtime(1_750_000_000);
    archive.append_data(&mut header, path, content).context("writing an archive")
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_has_a_config_and_two_layers_that_are_there() {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let mut paths = Vec::new();
        let mut manifest = serde_json::Value::Null;
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            if path == "manifest.json" {
                manifest = serde_json::from_reader(entry).unwrap();
            }
            paths.push(path);
        }
        let images = manifest.as_array().unwrap();
        assert_eq!(images.len(), COUNT as usize);
        for image in images {
            let layers = image["Layers"].as_array().unwrap();
            for place in layers.iter().chain([&image["Config"]]) {
                assert!(paths.iter().any(|path| path == place.as_str().unwrap()), "{place}");
            }
        }
    }
}
