//! The mounts that a user asks for, in the words of an OCI spec. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use oci_spec::runtime::{Mount, MountBuilder};

use super::Request;
use super::storage::{Below, Bind, VolumeMount};

/// Directories of the host, volumes, and file systems in memory, in the order in which they were typed.
///
/// # Errors
/// Two of them on one place.
pub(crate) fn asked_for(request: &Request) -> Result<Vec<Mount>> {
    let mut all = Vec::new();
    // Ids on disk are 0-based: the container sees them as its own.
    let idmap: &[&str] = if request.user_namespace { &["idmap"] } else { &[] };
    for bind in &request.binds {
        let options = [&bind_options(bind)[..], idmap].concat();
        all.push(mount(&bind.target, "bind", &bind.source, &options)?);
    }
    for volume in &request.options.storage.volumes {
        let writable = if volume.read_only { "rro" } else { "rw" };
        let idmap = if volume.unshifted { &[] } else { idmap };
        let options = [&["rbind", "rprivate", writable][..], idmap].concat();
        all.push(mount(&volume.target, "bind", &shown(volume), &options)?);
    }
    for (target, options) in &request.tmpfs {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        all.push(mount(target, "tmpfs", Path::new("tmpfs"), &options)?);
    }
    for (index, mount) in all.iter().enumerate() {
        if all[..index].iter().any(|other| other.destination() == mount.destination()) {
            bail!("duplicate mount point: {}", mount.destination().display());
        }
    }
    Ok(all)
}

/// The part of a volume that is shown, by its path on the host.
fn shown(volume: &VolumeMount) -> PathBuf {
    match &volume.subpath {
        Some(subpath) => volume.source.join(subpath),
        None => volume.source.clone(),
    }
}

fn mount(target: &Path, kind: &str, source: &Path, options: &[&str]) -> Result<Mount> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Ok(MountBuilder::default().destination(target).typ(kind).source(source).options(options).build()?)
}

/// A bind's options: `rro` is read-only with everything below (config.md, "mounts").
fn bind_options(bind: &Bind) -> [&str; 3] {
    let access = match (bind.read_only, bind.below) {
        (false, _) => "rw",
        (true, Below::Writable) => "ro",
        (true, _) => "rro",
    };
    [if bind.below == Below::Disabled { "bind" } else { "rbind" }, &bind.propagation, access]
}
