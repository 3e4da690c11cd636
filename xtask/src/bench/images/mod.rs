//! `cargo xtask bench images`: what is done with images once they are there, beside docker and podman.
//!
//! ```text
//!   engines.rs   who, and with which commands
//!   many.rs      an archive of 200 images, made out of nothing
//! ```

mod engines;
mod many;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::thread;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figures::{Bar, Row, table, verdicts};
use super::inside::{AFTERMATH, World, lay_out};
use super::memory::{REGISTRY, start_registry, start_registry_at};
use super::{Measure, Plan, pull, start};
use crate::apt;
use crate::command::{command, run};
use engines::Engine;

/// Pushing, saving and loading an image, and listing 200, beside docker and podman
///
/// The image is the one of `bench pull`. It is pushed into an empty registry on the loopback each time, saved into a file, and
/// loaded from docker's file into a store that has nothing of it. Then 200 images are there, and are listed and looked at.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often the image is pushed, saved and loaded
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How often the 200 images are listed
    #[arg(long, default_value_t = 20)]
    list_rounds: u32,
}

/// What is measured.
#[derive(Serialize, Deserialize)]
pub(super) struct Series {
    rounds: u32,
    list_rounds: u32,
    /// The directory that docker-registry serves.
    registry: PathBuf,
    /// The image in it.
    image: String,
}

const PUSH: &str = "push, an empty registry";
const SAVE: &str = "save";
const LOAD: &str = "load, docker's archive";
const IMAGES: &str = "images, of 200";
const INSPECT: &str = "image inspect, among 200";
const HISTORY: &str = "history, among 200";

/// What mini promises of its medians.
const BARS: &[Bar] = &[
    Bar { work: PUSH, peer: "podman", at_most: 1.0 / 4.0 },
    Bar { work: SAVE, peer: "docker", at_most: 1.0 / 2.0 },
    Bar { work: SAVE, peer: "podman", at_most: 1.0 / 2.0 },
    Bar { work: LOAD, peer: "docker", at_most: 1.0 / 2.0 },
    Bar { work: LOAD, peer: "podman", at_most: 1.0 / 2.0 },
    Bar { work: IMAGES, peer: "docker", at_most: 1.0 / 8.0 },
    Bar { work: INSPECT, peer: "docker", at_most: 1.0 / 8.0 },
    Bar { work: HISTORY, peer: "docker", at_most: 1.0 / 8.0 },
];

/// The registry that is pushed to.
const EMPTY: &str = "127.0.0.1:5001";

pub(super) fn main(args: &Args) -> Result<ExitCode> {
    let Args { rounds, list_rounds } = *args;
    apt::ensure_installed(apt::PULL)?;
    let (registry, image) = pull::debian()?;
    start::measure(|_, _| {
        Ok(Measure::Images(Series { rounds, list_rounds, registry, image: image.to_owned() }))
    })
}

/// In namespaces of its own.
pub(super) fn inside(plan: &Plan, series: &Series) -> Result<ExitCode> {
    let mut world = lay_out(plan)?;
    let registry = start_registry(&world, &series.registry)?;
    let (engines, _daemons) = engines::begin(&mut world);
    let pulled = format!("{REGISTRY}/{}:latest", series.image);
    let pushed = format!("{EMPTY}/{}:latest", series.image);
    for engine in &engines {
        for words in [engine.pull(&pulled), engine.command(["tag", &pulled, &pushed])] {
            run_shown(&mut world, engine, &words)?;
        }
    }
    end(registry);
    let docker = plan.directory.join("docker.tar");
    run(command("docker", ["save", "--output"]).arg(&docker).arg(&pulled))?;

    let mut rows = Vec::new();
    let push = |world: &mut World, engine: &Engine| {
        let storage = world.plan.directory.join("pushed");
        let registry = start_registry_at(EMPTY, world, &storage)?;
        let time = world.runner(engine.place).time(&engine.push(&pushed));
        end(registry);
        remove(&storage)?;
        time
    };
    rows.extend(measure(&mut world, &engines, PUSH, series.rounds, push));
    let save = |world: &mut World, engine: &Engine| {
        let file = world.plan.directory.join("saved.tar");
        let words = engine.command(["save", "--output", &file.to_string_lossy(), &pulled]);
        let time = world.runner(engine.place).time(&words);
        remove(&file)?;
        time
    };
    rows.extend(measure(&mut world, &engines, SAVE, series.rounds, save));
    let load = |world: &mut World, engine: &Engine| {
        let runner = world.runner(engine.place);
        // The second name is there in the first round alone.
        for name in [&pushed, &pulled] {
            let _gone = runner.time(&engine.command(["rmi", "--force", name]));
        }
        settle(world)?;
        let words = engine.command(["load", "--quiet", "--input", &docker.to_string_lossy()]);
        world.runner(engine.place).time(&words)
    };
    rows.extend(measure(&mut world, &engines, LOAD, series.rounds, load));

    let archive = plan.directory.join("many.tar");
    many::archive(&archive)?;
    for engine in &engines {
        run_shown(
            &mut world,
            engine,
            &engine.command(["load", "--quiet", "--input", &archive.to_string_lossy()]),
        )?;
    }
    let name = many::name(many::COUNT / 2);
    let looks: [(_, Vec<&str>); 3] = [
        (IMAGES, vec!["images"]),
        (INSPECT, vec!["image", "inspect", &name]),
        (HISTORY, vec!["history", &name]),
    ];
    for (work, words) in looks {
        let look = |world: &mut World, engine: &Engine| {
            world.runner(engine.place).time(&engine.command(words.iter().copied()))
        };
        rows.extend(measure(&mut world, &engines, work, series.list_rounds, look));
    }
    println!("{}{}", table("Milliseconds; each in turn", &rows), verdicts(&rows, BARS));
    Ok(ExitCode::SUCCESS)
}

/// Everybody in turn; the first round, which fills caches, is left out.
fn measure(
    world: &mut World,
    engines: &[Engine],
    work: &'static str,
    rounds: u32,
    act: impl Fn(&mut World, &Engine) -> Result<f64>,
) -> Vec<Row> {
    let mut rows: Vec<Row> =
        engines.iter().map(|engine| Row { work, who: engine.who, samples: Vec::new() }).collect();
    for round in 0..=rounds {
        eprintln!("{work}: round {round} of {rounds}");
        for (row, engine) in rows.iter_mut().zip(engines) {
            match act(world, engine).and_then(|time| settle(world).map(|()| time)) {
                Ok(time) if round > 0 => row.samples.push(time),
                Ok(_) => {}
                Err(error) => eprintln!("{}: not measured: {error:#}", engine.who),
            }
        }
    }
    rows
}

/// Nothing is left to be written behind whoever comes next.
fn settle(world: &World) -> Result<()> {
    thread::sleep(AFTERMATH);
    run(command("sync", ["--file-system"]).arg(&world.plan.directory))
}

fn run_shown(world: &mut World, engine: &Engine, words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.runner(engine.place).run(&words)
}

fn end(mut registry: Child) {
    // Both fail only where it has ended already.
    let _ = registry.kill();
    let _ = registry.wait();
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("removing {}", path.display()))
}
