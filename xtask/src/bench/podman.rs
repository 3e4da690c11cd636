//! podman, with storage and networks of its own. It has no daemon; Debian's runs containers with crun.

use std::fs;
use std::path::Path;
use std::process::Child;

use anyhow::{Context, Result};

use super::inside::{BRIDGE, Candidate, EXEC, NO_NETWORK, Place, SLEEPER, World};

pub(super) fn prepare(world: &mut World, candidates: &mut Vec<Candidate>) -> Result<Vec<Child>> {
    let nobody = begin(world)?;
    let parent = cgroup_parent(world);
    let run_in_cgroup = ["run", "--cgroup-parent", &parent];
    world.v1_only.run(&[&["podman"], &run_in_cgroup[..], SLEEPER].concat())?;
    let podman = |work, words: &[&str]| {
        Candidate::new(work, "podman", Place::V1Only, [&["podman"], words].concat()).with_aftermath()
    };
    candidates.push(podman(BRIDGE, &[&run_in_cgroup[..], &["--rm", "busybox", "true"]].concat()));
    candidates.push(podman(
        NO_NETWORK,
        &[&run_in_cgroup[..], &["--rm", "--network", "none", "busybox", "true"]].concat(),
    ));
    candidates.push(podman(EXEC, &["exec", "bench", "true"]));
    Ok(nobody)
}

/// Where its containers' control groups are to be.
pub(super) fn cgroup_parent(world: &World) -> String {
    format!("/{}/podman", world.plan.cgroup)
}

/// Writes its configuration, and gives it the image.
pub(super) fn begin(world: &mut World) -> Result<Vec<Child>> {
    let data = world.plan.directory.join("podman");
    fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
    write(Path::new("/etc/containers/storage.conf"), &storage(&data))?;
    write(Path::new("/etc/containers/containers.conf"), &containers(&data))?;

    // All its commands in one place: what podman mounts for a container is to be seen by the next one.
    let runner = &mut world.v1_only;
    runner.run(&["podman", "load", "--input", &world.plan.archive.to_string_lossy()])?;
    Ok(Vec::new())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn storage(data: &Path) -> String {
    format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"/run/podman-storage\"\n",
        data.join("storage").display()
    )
}

/// Nothing is said of podman's own database: its clean-up process would look for that beside the storage all the same.
/// There is no systemd to ask for cgroups or to log to, and where CAP_SYS_RESOURCE is missing podman's own limits are refused.
fn containers(data: &Path) -> String {
    format!(
        "[containers]\ndefault_ulimits = [\"nofile=20000:20000\", \"nproc=32768:32768\"]\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"crun\"\ntmp_dir = \"/run/libpod\"\n\
         [network]\nnetwork_config_dir = \"{}\"\n",
        data.join("networks").display()
    )
}
