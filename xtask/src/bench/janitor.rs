//! Around the bench: everything it starts and makes is gone when it has ended, however it ended.
//!
//! ```text
//!   bench start ── stdin ──► janitor ──► unshare: mount, network and process namespace
//!   (the terminal's)         (own process group,     └ sh, its first process ──► bench inside, daemons, containers …
//!                             so ctrl-C spares it)
//! ```
//!
//! The janitor waits for the end of either side: of the bench, or of its own stdin, which is whoever started it, killed or not.
//! Then it kills the namespaces' first process, and the kernel every other one; links and mounts go with their namespaces.
//! What is left are a directory and a cgroup in every hierarchy, which it made and removes.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Plan;
use super::docker::SOCKET as DOCKER_SOCKET;

/// Starts the janitor and waits for it.
pub(super) fn summon(plan: &Plan) -> Result<ExitCode> {
    let own = std::env::current_exe().context("looking for our own program")?;
    let mut janitor = Command::new(own);
    janitor.args(["bench", "janitor", &plan.to_argument()?]);
    let mut janitor = janitor.process_group(0).stdin(Stdio::piped()).spawn().context("starting the bench")?;
    let status = wait_holding_stdin(&mut janitor)?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// `Child::wait` would close its stdin first, which is what tells the janitor that we are gone.
fn wait_holding_stdin(child: &mut std::process::Child) -> Result<std::process::ExitStatus> {
    let held = child.stdin.take();
    let status = child.wait().context("waiting for the bench");
    drop(held);
    status
}

/// The janitor: makes directory and cgroups, runs the bench in namespaces of its own, removes all.
pub(super) fn main(plan: &Plan) -> Result<ExitCode> {
    let cgroups = cgroup_directories(&plan.cgroup);
    let made = fs::create_dir_all(&plan.directory)
        .with_context(|| format!("making {}", plan.directory.display()))
        .and_then(|()| make_all(&cgroups));
    let result = made.and_then(|()| bench_in_namespaces(plan));
    // Both to their ends; the first cause first.
    let removed = [remove_cgroups(&cgroups), remove_directory(&plan.directory)];
    let code = result?;
    removed.into_iter().collect::<Result<()>>()?;
    Ok(code)
}

/// The namespaces' first process must adopt what loses its parent there, and wait for it: dash does.
const FIRST: &str = "\"$@\" & wait $!";

fn bench_in_namespaces(plan: &Plan) -> Result<ExitCode> {
    let own = std::env::current_exe().context("looking for our own program")?;
    let mut world = Command::new("unshare");
    world.args([
        "--mount",
        "--net",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        FIRST,
        "sh",
    ]);
    world
        .arg(own)
        .args(["bench", "inside", &plan.to_argument()?])
        .stdin(Stdio::null())
        .envs(environment(plan));
    let mut world = world.spawn().context("starting the bench in namespaces of its own")?;

    let gone = end_of_stdin();
    loop {
        if let Some(status) = world.try_wait().context("waiting for the bench")? {
            return Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)));
        }
        if gone.recv_timeout(Duration::from_millis(50)) != Err(RecvTimeoutError::Timeout) {
            world.kill().context("ending the bench")?;
            world.wait().context("waiting for the bench")?;
            bail!("interrupted");
        }
    }
}

/// Where the engines find what is theirs, and nobody's settings.
fn environment(plan: &Plan) -> [(&'static str, OsString); 5] {
    let below = |name: &str| plan.directory.join(name).into_os_string();
    [
        ("MINI_ROOT", below("mini")),
        ("MINI_RUN_ROOT", "/run/mini".into()),
        ("DOCKER_HOST", format!("unix://{DOCKER_SOCKET}").into()),
        ("HOME", below("home")),
        ("LC_ALL", "C".into()),
    ]
}

/// Says one word, or hangs up, at the end of our stdin.
fn end_of_stdin() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // An error is an end too.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    receiver
}

/// The directory `name` in every hierarchy of this machine: in the one of cgroup v2, or in each of v1's.
fn cgroup_directories(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    if top.join("cgroup.controllers").exists() {
        return vec![top.join(name)];
    }
    let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    // Some are links to others, such as cpu to cpu,cpuacct.
    hierarchies.filter(|path| path.is_dir() && !path.is_symlink()).map(|path| path.join(name)).collect()
}

fn make_all(directories: &[PathBuf]) -> Result<()> {
    directories.iter().try_for_each(|directory| {
        fs::create_dir(directory).with_context(|| format!("making {}", directory.display()))
    })
}

/// Removes the cgroups from the leaves up. The last processes are still being buried when the first of them is dead.
fn remove_cgroups(directories: &[PathBuf]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    for directory in directories.iter().filter(|directory| directory.exists()) {
        while let Err(error) = remove_tree_of_cgroups(directory) {
            if Instant::now() > deadline {
                return Err(error).with_context(|| format!("removing {}", directory.display()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn remove_tree_of_cgroups(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree_of_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn remove_directory(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_directories_go_from_the_leaves_up() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir_all(top.join("c")).unwrap();
        remove_tree_of_cgroups(&top).unwrap();
        assert!(!top.exists());
    }
}
