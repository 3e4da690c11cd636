//! Bare OCI runtimes: crun and runc, with a bundle made of mini's own config.json.
//!
//! They are given a head start: the root is an unpacked directory whose ids are shifted to the container's already, where mini
//! makes idmapped mounts and an overlay for every container.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Child;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::inside::{Candidate, EXEC, NO_NETWORK, Place, World};
use super::mini;

pub(super) fn prepare(world: &mut World, candidates: &mut Vec<Candidate>) -> Result<Vec<Child>> {
    let own = mini::config(world)?;
    let base = own["linux"]["uidMappings"][0]["hostID"].as_u64().context("mini's config.json maps no ids")?;
    for runtime in ["crun", "runc"] {
        let quick = make(world, &own, base, &format!("{runtime}-quick"), &["true"])?;
        let sleeping = make(world, &own, base, &format!("{runtime}-sleeping"), &["sleep", "1000000"])?;
        let root = format!("/run/{runtime}");
        world.v1_only.run(&[runtime, "--root", &root, "run", "--detach", "--bundle", &sleeping, "c"])?;
        let words = [runtime, "--root", &root, "run", "--bundle", &quick, "quick"];
        candidates.push(Candidate::new(NO_NETWORK, runtime, Place::V1Only, words));
        candidates.push(Candidate::new(
            EXEC,
            runtime,
            Place::V1Only,
            [runtime, "--root", &root, "exec", "c", "true"],
        ));
    }
    Ok(Vec::new())
}

/// A bundle: the root with its ids moved up, and config.json. Returns its path.
fn make(world: &World, own: &Value, base: u64, name: &str, args: &[&str]) -> Result<String> {
    let bundle = world.plan.directory.join(name);
    unpack(&world.layer, &bundle.join("rootfs"), base)?;
    let empty = bundle.join("empty");
    fs::write(&empty, "").with_context(|| format!("writing {}", empty.display()))?;
    let cgroup = format!("/{}/{name}", world.plan.cgroup);
    let config = adapt(own, &cgroup, args, &empty.to_string_lossy(), |path| Path::new(path).exists());
    let file = bundle.join("config.json");
    fs::write(&file, config.to_string()).with_context(|| format!("writing {}", file.display()))?;
    Ok(bundle.to_string_lossy().into_owned())
}

/// mini's config.json for another runtime: its own root, cgroup and command. Everything else stays, but for what mini made for
/// its own container and only mini has: files to bind (`empty` instead) and namespaces. PURE.
fn adapt(own: &Value, cgroup: &str, args: &[&str], empty: &str, exists: impl Fn(&str) -> bool) -> Value {
    let mut config = own.clone();
    // Debian 12's crun refuses any later one; what the file says means the same in both.
    config["ociVersion"] = json!("1.0.2");
    config["root"] = json!({ "path": "rootfs" });
    config["process"]["args"] = json!(args);
    config["process"]["terminal"] = json!(false);
    config["linux"]["cgroupsPath"] = json!(cgroup);
    if let Some(config) = config.as_object_mut() {
        config.remove("hooks");
    }
    for namespace in config["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
        if let Some(namespace) = namespace.as_object_mut() {
            namespace.remove("path");
        }
    }
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        let binds = mount["options"]
            .as_array()
            .is_some_and(|options| options.iter().any(|option| option == "bind" || option == "rbind"));
        if binds && !mount["source"].as_str().is_some_and(&exists) {
            mount["source"] = json!(empty);
        }
    }
    config
}

/// Unpacks a layer with all ids moved up by `base`.
pub(super) fn unpack(layer: &[u8], directory: &Path, base: u64) -> Result<()> {
    let id = |id: u64| u32::try_from(id + base).context("an id beyond 32 bits");
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    lchown(directory, Some(id(0)?), Some(id(0)?))
        .with_context(|| format!("giving {} away", directory.display()))?;
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries().context("reading the layer")? {
        let mut entry = entry.context("reading the layer")?;
        let path = entry.path().context("reading the layer")?.into_owned();
        entry.unpack_in(directory).with_context(|| format!("unpacking {}", path.display()))?;
        let (owner, group) = (entry.header().uid()?, entry.header().gid()?);
        let unpacked = directory.join(&path);
        lchown(&unpacked, Some(id(owner)?), Some(id(group)?))
            .with_context(|| format!("giving {} away", unpacked.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_minis_own_but_for_what_only_mini_has() {
        let own = json!({
            "ociVersion": "1.3.0",
            "root": { "path": "/run/mini/x/rootfs", "readonly": true },
            "process": { "args": ["sh"], "terminal": true, "cwd": "/" },
            "hooks": { "prestart": [] },
            "linux": { "cgroupsPath": "/mini/x", "namespaces": [{ "type": "network", "path": "/proc/7/ns/net" }], "seccomp": { "x": 1 } },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/etc/hosts", "source": "/run/mini/x/hosts", "options": ["bind", "ro"] },
                { "destination": "/data", "source": "/here", "options": ["rbind"] }
            ]
        });
        let wanted = json!({
            "ociVersion": "1.0.2",
            "root": { "path": "rootfs" },
            "process": { "args": ["true"], "terminal": false, "cwd": "/" },
            "linux": { "cgroupsPath": "/b/crun", "namespaces": [{ "type": "network" }], "seccomp": { "x": 1 } },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/etc/hosts", "source": "/empty", "options": ["bind", "ro"] },
                { "destination": "/data", "source": "/here", "options": ["rbind"] }
            ]
        });
        assert_eq!(adapt(&own, "/b/crun", &["true"], "/empty", |path| path == "/here"), wanted);
    }
}
