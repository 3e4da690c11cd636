//! The floor: what the kernel operations of a container start cost with no engine around them (floor/floor.c).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::inside::{BRIDGE, Candidate, NO_NETWORK, Place, World};
use super::start::Series;
use crate::command::{command, read, run};

const BRIDGE_NAME: &str = "floor0";
const ADDRESS: &str = "10.97.0.1/16";

pub(super) fn prepare(world: &World, floor: &Path, candidates: &mut Vec<Candidate>) -> Result<()> {
    run(command("ip", ["link", "add", BRIDGE_NAME, "type", "bridge"]))?;
    run(command("ip", ["address", "add", ADDRESS, "dev", BRIDGE_NAME]))?;
    run(command("ip", ["link", "set", BRIDGE_NAME, "up"]))?;
    let state = world.plan.directory.join("floor");
    fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
    let networked = ["-b", BRIDGE_NAME, "-a", ADDRESS];
    let mut add = |work, options: &[&str]| {
        candidates.push(Candidate::new(work, "floor", Place::Machine, words(world, floor, options, "once")));
    };
    add(BRIDGE, &networked);
    add(NO_NETWORK, &[]);
    Ok(())
}

/// The floor's own measurement of `exec`: it happens within one process, which a command of its own could not enter.
pub(super) fn exec(world: &World, series: &Series) -> Result<String> {
    let words = words(world, &series.floor, &["-n", &series.rounds.to_string()], "exec");
    let table = read(command(&words[0], &words[1..])).context("measuring the floor's exec")?;
    let total = table
        .lines()
        .find(|line| line.contains("= run and removal, or exec"))
        .context("the floor printed no sum")?;
    Ok(format!("The floor's exec, without a command around it (minimum, median, 90 % in µs)\n{total}\n"))
}

fn words(world: &World, floor: &Path, options: &[&str], mode: &str) -> Vec<String> {
    let cgroup = format!("{}/floor", world.plan.cgroup);
    let floor = floor.to_string_lossy();
    let state = world.plan.directory.join("floor");
    let (state, rootfs) = (state.to_string_lossy(), world.rootfs.to_string_lossy());
    let words = [&[&*floor, "-g", &cgroup], options, &[mode, &state, &rootfs, "/bin/true"]].concat();
    words.into_iter().map(str::to_owned).collect()
}
