//! mini itself, with a store, a configuration and a cgroup of its own.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result};
use serde_json::Value;

use super::inside::{BRIDGE, Candidate, EXEC, NO_NETWORK, Place, SLEEPER, World};
use crate::command::read;

pub(super) fn prepare(world: &mut World, candidates: &mut Vec<Candidate>) -> Result<Vec<Child>> {
    let nobody = begin(world)?;
    let mini = world.plan.mini.to_string_lossy().into_owned();
    world.machine.run(&[&[mini.as_str(), "run"], SLEEPER].concat())?;
    let own =
        |work, words: &[&str]| Candidate::new(work, "mini", Place::Machine, [&[&*mini], words].concat());
    candidates.push(own(BRIDGE, &["run", "--rm", "busybox", "true"]));
    candidates.push(own(NO_NETWORK, &["run", "--rm", "--network", "none", "busybox", "true"]));
    candidates.push(own(EXEC, &["exec", "bench", "true"]));
    Ok(nobody)
}

/// Writes its configuration, and gives it the image.
pub(super) fn begin(world: &mut World) -> Result<Vec<Child>> {
    fs::create_dir_all("/etc/mini").context("making /etc/mini")?;
    let config = format!("[cgroup]\nparent = \"{}/mini\"\n", world.plan.cgroup);
    fs::write("/etc/mini/config.toml", config).context("writing /etc/mini/config.toml")?;

    let mini = world.plan.mini.to_string_lossy().into_owned();
    let archive = world.plan.archive.to_string_lossy().into_owned();
    world.machine.run(&[&mini, "load", "--input", &archive])?;
    Ok(Vec::new())
}

/// The config.json of a container without network, as mini plans it.
pub(super) fn config(world: &World) -> Result<Value> {
    let mut mini = Command::new(&world.plan.mini);
    let plan = read(mini.args(["run", "--rm", "--dry-run", "--network", "none", "busybox", "true"]))?;
    let plan: Value = serde_json::from_str(&plan).context("reading mini's plan")?;
    Ok(plan["spec"].clone())
}
