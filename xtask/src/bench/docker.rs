//! docker, with a daemon and data of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::inside::{BRIDGE, Candidate, EXEC, NO_NETWORK, Place, SLEEPER, World, wait_for};
use crate::command::{command, run, succeeds};

pub(super) const SOCKET: &str = "/run/docker.sock";

pub(super) fn prepare(world: &mut World, candidates: &mut Vec<Candidate>) -> Result<Vec<Child>> {
    let daemon = begin(world)?;
    run(docker([&["run"], SLEEPER].concat()))?;
    let here = Place::Machine;
    let docker = |work, words: &[&str]| {
        Candidate::new(work, "docker", here, [&["docker"], words].concat()).with_aftermath()
    };
    candidates.push(docker(BRIDGE, &["run", "--rm", "busybox", "true"]));
    candidates.push(docker(NO_NETWORK, &["run", "--rm", "--network", "none", "busybox", "true"]));
    candidates.push(docker(EXEC, &["exec", "bench", "true"]));
    Ok(daemon)
}

/// Starts the daemon, and gives it the image.
pub(super) fn begin(world: &mut World) -> Result<Vec<Child>> {
    let data = world.plan.directory.join("docker");
    fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
    let mut daemon = Command::new("dockerd");
    daemon.args([
        "--host",
        &format!("unix://{SOCKET}"),
        "--exec-root",
        "/run/docker",
        "--pidfile",
        "/run/docker.pid",
    ]);
    daemon.arg("--data-root").arg(&data);
    // There is no systemd to ask for a cgroup here.
    daemon.args([
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--cgroup-parent",
        &format!("/{}/docker", world.plan.cgroup),
    ]);
    let log = data.join("daemon.log");
    let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
    let errors = file.try_clone().context("sharing docker's log")?;
    let mut daemon =
        daemon.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().context("starting dockerd")?;
    wait_for(Path::new(SOCKET), &mut daemon).with_context(|| last_lines(&log))?;
    wait_for_answer().with_context(|| last_lines(&log))?;

    run(docker(["load", "--input"]).arg(&world.plan.archive))?;
    Ok(vec![daemon])
}

pub(super) fn docker<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    command("docker", args)
}

/// The socket is there before the daemon answers.
fn wait_for_answer() -> Result<()> {
    for _ in 0..300 {
        if succeeds(docker(["version"])) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("dockerd did not answer within 30 s")
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    format!("dockerd says: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
}
