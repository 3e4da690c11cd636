//! `--rootfs`: a directory of the host in the place of an image. It is the one layer, and as read-only as a layer is.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use image::{Beyond, Digest, Image};

/// The directory, as an image that says nothing about itself.
///
/// Owners from 65536 on have no place in the container and show as nobody: nobody has looked through the directory.
///
/// # Errors
/// Where it is no directory.
pub(crate) fn image_of(directory: &Path) -> Result<Image> {
    let found = std::fs::canonicalize(directory)
        .with_context(|| format!("the directory of --rootfs, {}", directory.display()))?;
    ensure!(found.is_dir(), "--rootfs wants a directory, and {} is none", found.display());
    let id = Digest::of(found.as_os_str().as_encoded_bytes());
    Ok(Image {
        id,
        tags: Vec::new(),
        pinned: Vec::new(),
        manifest: id,
        parent: None,
        config: oci_spec::image::ImageConfiguration::default(),
        beyond: Beyond::default(),
        layers: vec![found],
        high_ids: Vec::new(),
        size: 0,
    })
}
