//! `cargo xtask bench`: mini beside its peers, in one run on one machine. Absolute times move from machine to machine; a ratio
//! that was taken in one run, command by command in turn, means something.
//!
//! ```text
//!   start.rs     installs the peers, builds, makes the image
//!   janitor.rs   namespaces, a directory and cgroups around all that follows, and their end
//!   inside.rs    starts the engines, measures, prints
//!   cli/         the same for many containers: side by side, listed, counted, removed, and one after the other for a long time
//!   pull/        images out of a registry
//!   images/      images sent to a registry, written into archives and read from them, listed among 200
//!     docker.rs  podman.rs  bundle.rs (crun, runc)  mini.rs  floor.rs  bwrap.rs
//!     runner.rs    starts one command and times it
//!     memory.rs    what supports a running container
//!   figures.rs   PURE: medians, tables, verdicts
//! ```

mod bundle;
mod bwrap;
mod cli;
mod docker;
mod figures;
mod floor;
mod images;
mod inside;
mod janitor;
mod memory;
mod mini;
mod podman;
mod pull;
mod runner;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// Measure mini beside its peers
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Start(start::Args),
    Cli(cli::Args),
    Pull(pull::Args),
    Images(images::Args),
    /// Watch over the bench (it starts this itself)
    #[command(hide = true)]
    Janitor {
        plan: String,
    },
    /// The bench itself, in namespaces of its own (the janitor starts it)
    #[command(hide = true)]
    Inside {
        plan: String,
    },
    /// Time one command after the other (the bench starts it)
    #[command(hide = true)]
    Runner,
}

/// What the bench is told across its three processes.
#[derive(Serialize, Deserialize)]
struct Plan {
    /// For everything that is written; removed in the end.
    directory: PathBuf,
    /// The name of a cgroup in every hierarchy, parent of all others; removed in the end.
    cgroup: String,
    /// The release binary.
    mini: PathBuf,
    /// The image, for every engine's `load`.
    archive: PathBuf,
    /// What is measured.
    measure: Measure,
}

/// What is measured.
#[derive(Serialize, Deserialize)]
enum Measure {
    Start(start::Series),
    Cli(cli::Series),
    Pull(pull::Series),
    Images(images::Series),
}

impl Plan {
    fn to_argument(&self) -> Result<String> {
        serde_json::to_string(self).context("writing the bench's plan")
    }
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let read = |plan: &str| serde_json::from_str::<Plan>(plan).context("reading the bench's plan");
    match &args.what {
        What::Start(args) => start::main(args),
        What::Cli(args) => cli::main(args),
        What::Pull(args) => pull::main(args),
        What::Images(args) => images::main(args),
        What::Janitor { plan } => janitor::main(&read(plan)?),
        What::Inside { plan } => {
            let plan = read(plan)?;
            match &plan.measure {
                Measure::Start(series) => inside::main(&plan, series),
                Measure::Cli(series) => cli::inside(&plan, series),
                Measure::Pull(series) => pull::inside(&plan, series),
                Measure::Images(series) => images::inside(&plan, series),
            }
        }
        What::Runner => runner::main(),
    }
}
