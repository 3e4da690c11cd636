//! Before the bench: what must be installed, built and made.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Measure, Plan, janitor};
use crate::build::{self, Profile};
use crate::command::{command, run};
use crate::workspace::Workspace;
use crate::{apt, busybox};

/// Starting a container, beside docker, podman, crun, runc, bubblewrap and the floor
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often everything is run back to back
    #[arg(long, default_value_t = 40)]
    rounds: u32,
    /// How often everything is run after an idle gap
    #[arg(long, default_value_t = 12)]
    idle_rounds: u32,
    /// How long that gap is, in milliseconds
    #[arg(long, default_value_t = 1500)]
    idle_ms: u64,
}

/// What is measured.
#[derive(Serialize, Deserialize)]
pub(super) struct Series {
    /// How often everything is run back to back.
    pub(super) rounds: u32,
    /// How often everything is run after an idle gap.
    pub(super) idle_rounds: u32,
    /// How long that gap is, in milliseconds.
    pub(super) idle_ms: u64,
    /// The floor's binary.
    pub(super) floor: PathBuf,
}

pub(super) fn main(args: &Args) -> Result<ExitCode> {
    let Args { rounds, idle_rounds, idle_ms } = *args;
    measure(|workspace, directory| {
        let floor = compile_floor(&workspace.root, directory)?;
        Ok(Measure::Start(Series { rounds, idle_rounds, idle_ms, floor }))
    })
}

/// Installs the peers, builds and makes what every bench needs, and hands it to the janitor. `prepare` is given the directory that
/// is kept from one bench to the next.
pub(super) fn measure(prepare: impl FnOnce(&Workspace, &Path) -> Result<Measure>) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    ensure!(apt::is_root(), "the bench starts daemons in namespaces of its own: run it as root");
    apt::ensure_installed(apt::BENCH)?;
    let mini = build::build(&workspace, Profile::Release)?;
    let directory = workspace.target.join("bench");
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let name = format!("mini-bench-{}", std::process::id());
    janitor::summon(&Plan {
        measure: prepare(&workspace, &directory)?,
        archive: busybox::archive(&workspace.target.join("busybox"))?,
        directory: directory.join(&name),
        cgroup: name,
        mini,
    })
}

/// The floor: one C program that does nothing but the kernel operations of a container start.
fn compile_floor(root: &Path, directory: &Path) -> Result<PathBuf> {
    let program = directory.join("floor");
    let source = root.join("xtask/floor/floor.c");
    run(command("cc", ["-std=c11", "-O2", "-static", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}
