//! `cargo xtask bench pull`: images out of a registry on the loopback, beside docker, podman, containerd and the floor.
//!
//! ```text
//!   cases.rs     what is pulled, and what mini promises of it
//!   image.rs     makes the images, once: debian.sh out of Debian's packages, made.rs out of nothing, storage.rs as a registry's
//!   engines.rs   who pulls, and how it is removed again; floor.sh
//!   usage.rs     processor time and memory of whole trees of processes
//! ```

mod cases;
mod engines;
mod image;
mod made;
mod storage;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::figures::{Row, median, table, verdicts};
use super::inside::{AFTERMATH, World, lay_out};
use super::{Measure, Plan, memory, start};
use crate::apt;
use crate::command::{command, run};
use cases::{Case, Headings};
use engines::Engine;
use usage::Watch;

/// Pulling images from a registry on the loopback, beside docker, podman, containerd and the floor
///
/// The images are made once, out of Debian's packages, and kept in the user's cache (~/.cache/mini-bench). Every engine pulls in
/// turn into an empty store on an ext4 with a journal; what it pulled is removed, and flushed, before the next one begins. The
/// floor is the same work by the fastest programs for each part of it: curl, igzip, openssl, tar and one sync.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often every engine pulls every image
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these images, by commas
    #[arg(long = "case", value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Only make the images, and measure nothing
    #[arg(long)]
    make: bool,
}

/// What is measured.
#[derive(Serialize, Deserialize)]
pub(super) struct Series {
    rounds: u32,
    cases: Vec<Case>,
    /// The directory that docker-registry serves.
    registry: PathBuf,
}

pub(super) fn main(args: &Args) -> Result<ExitCode> {
    let Args { rounds, ref cases, make } = *args;
    let all = [Case::Debian, Case::Zstd, Case::Layers, Case::Large, Case::Files];
    let cases = if cases.is_empty() { all.to_vec() } else { cases.clone() };
    apt::ensure_installed(apt::PULL)?;
    let registry = image::make(&cases)?;
    if make {
        return Ok(ExitCode::SUCCESS);
    }
    start::measure(|_, _| Ok(Measure::Pull(Series { rounds, cases, registry })))
}

/// Its largest image of programs, as a registry keeps it: the registry's directory, and the image's name.
pub(super) fn debian() -> Result<(PathBuf, &'static str)> {
    Ok((image::make(&[Case::Debian])?, Case::Debian.image()))
}

/// In namespaces of its own.
pub(super) fn inside(plan: &Plan, series: &Series) -> Result<ExitCode> {
    let mut world = lay_out(plan)?;
    let _registry = memory::start_registry(&world, &series.registry)?;
    let (engines, _daemons) = engines::begin(&mut world);
    println!("Each engine in turn, {} rounds, empty stores.", series.rounds);
    for case in &series.cases {
        println!("\n{}", measure(&mut world, &engines, *case, series.rounds));
    }
    Ok(ExitCode::SUCCESS)
}

/// One case: a round in which memory is looked at, which warms the caches too, then those that are timed.
fn measure(world: &mut World, engines: &[Engine], case: Case, rounds: u32) -> String {
    let Headings { time, processor, memory } = case.headings();
    let rows = |work: &'static str| -> Vec<Row> {
        engines.iter().map(|engine| Row { work, who: engine.who, samples: Vec::new() }).collect()
    };
    let (mut times, mut processors, mut memories) = (rows(time), rows(processor), rows(memory));
    for round in 0..=rounds {
        eprintln!("{case:?}: round {round} of {rounds}");
        for (index, engine) in engines.iter().enumerate() {
            let pulled = match round {
                0 => peak(world, engine, case).map(|peak| memories[index].samples.push(peak)),
                // What did not work once is not tried again.
                _ if memories[index].samples.is_empty() => continue,
                _ => once(world, engine, case).map(|(wall, busy)| {
                    times[index].samples.push(wall);
                    processors[index].samples.push(busy);
                }),
            };
            let removed = remove(world, engine, case);
            if let Err(error) = pulled.and(removed) {
                eprintln!("{}: not measured: {error:#}", engine.who);
            }
        }
    }
    let bar = case.memory_bar();
    let own = memories.iter().find(|row| row.who == "mini").and_then(|row| median(&row.samples));
    let judgement = match own {
        Some(own) if own <= bar => format!("{own:.0} met"),
        Some(own) => format!("{own:.0} MISSED"),
        None => "not measured".to_owned(),
    };
    let rows: Vec<Row> = times.into_iter().chain(processors).chain(memories).collect();
    let bars = verdicts(&rows, &case.bars());
    table(case.image(), &rows) + &bars + &format!("  {memory:<44} at most {bar:.0} {judgement}\n")
}

/// Pulls once; wall clock and processor time in ms.
fn once(world: &mut World, engine: &Engine, case: Case) -> Result<(f64, f64)> {
    let runner = world.runner(engine.place);
    let roots: Vec<u32> = engine.daemon.into_iter().chain([runner.pid()]).collect();
    let before = usage::processor(&roots);
    let wall = runner.time(&engine.pull(case.image()))?;
    Ok((wall, usage::processor(&roots) - before))
}

/// Pulls once; the most memory that was in use at a time, in MB. Looking takes time, so that this is not timed.
fn peak(world: &mut World, engine: &Engine, case: Case) -> Result<f64> {
    let runner = world.runner(engine.place);
    let client = engine.client_counts.then(|| runner.pid());
    let watch = Watch::begin(engine.daemon.into_iter().chain(client).collect(), runner.pid());
    let pulled = runner.time(&engine.pull(case.image()));
    let peak = watch.end();
    pulled.map(|_| peak)
}

/// Empties the store, and leaves nothing to be written behind it.
fn remove(world: &mut World, engine: &Engine, case: Case) -> Result<()> {
    world.runner(engine.place).time(&engine.remove(case.image()))?;
    thread::sleep(AFTERMATH);
    run(command("sync", ["--file-system"]).arg(&world.plan.directory))
}
