//! `cargo xtask bench cli`: many containers. Started one after the other and side by side, listed, counted and removed beside
//! docker and podman; then mini alone: what a start costs beside hundreds of others, and what thousands of runs leave behind.

mod engines;
mod flat;
mod machine;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::figures::{Bar, Row, table, verdicts};
use super::inside::lay_out;
use super::memory::pss_of;
use super::{Measure, Plan, start};
use engines::Many;

/// Many containers, beside docker and podman: start, list, count, remove; flat costs; nothing left
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often each engine starts, lists and removes them all
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How many containers that are
    #[arg(long, default_value_t = 50)]
    containers: usize,
    /// Up to how many containers a start is measured beside others
    #[arg(long, default_value_t = 500)]
    beside: usize,
    /// How many runs in a row must leave nothing behind
    #[arg(long, default_value_t = 10_000)]
    cycles: u32,
}

/// What is measured.
#[derive(Serialize, Deserialize)]
pub(super) struct Series {
    rounds: u32,
    containers: usize,
    beside: usize,
    cycles: u32,
}

pub(super) fn main(args: &Args) -> Result<ExitCode> {
    let Args { rounds, containers, beside, cycles } = *args;
    start::measure(|_, _| Ok(Measure::Cli(Series { rounds, containers, beside, cycles })))
}

const ONE_BY_ONE: &str = "run -d, one after the other";
const SIDE_BY_SIDE: &str = "run -d, 8 at a time";
const LIST: &str = "ps";
const COUNT: &str = "stats --no-stream";
const REMOVE: &str = "rm -f of all";

/// What mini promises of its medians.
const BARS: &[Bar] = &[
    Bar { work: ONE_BY_ONE, peer: "docker", at_most: 1.0 / 30.0 },
    Bar { work: SIDE_BY_SIDE, peer: "podman", at_most: 1.0 / 15.0 },
    Bar { work: REMOVE, peer: "podman", at_most: 1.0 / 15.0 },
    Bar { work: LIST, peer: "docker", at_most: 1.0 / 8.0 },
    Bar { work: COUNT, peer: "docker", at_most: 1.0 / 10.0 },
];

/// mini's supporting memory, of podman's.
const MEMORY_BAR: f64 = 0.4;

/// How often what takes little time is done.
const LOOKS: usize = 10;
const COUNTS: usize = 3;

/// After how long a container that was started is one that runs, and a daemon is done with those that ended.
const SETTLED: Duration = Duration::from_secs(2);

/// In namespaces of its own.
pub(super) fn inside(plan: &Plan, series: &Series) -> Result<ExitCode> {
    let mut world = lay_out(plan)?;
    let (engines, _daemons) = engines::begin(&mut world);
    let mut rows = Vec::new();
    let mut memory = Vec::new();
    for round in 1..=series.rounds {
        for engine in &engines {
            eprintln!("round {round} of {}: {}", series.rounds, engine.who);
            let many = engine.many(&mut world, series.containers);
            match once(many, &mut rows) {
                Ok(pss) if round == 1 => memory.push((engine.who, pss)),
                Ok(_) => {}
                Err(error) => eprintln!("{} is not measured in this round: {error:#}", engine.who),
            }
        }
    }
    rows.sort_by_key(|row| {
        [ONE_BY_ONE, SIDE_BY_SIDE, LIST, COUNT, REMOVE].iter().position(|work| *work == row.work)
    });

    println!(
        "Milliseconds; {} containers, each engine in turn, {} rounds.\n",
        series.containers, series.rounds
    );
    println!("{}", table(&format!("{} containers", series.containers), &rows));
    println!("Bars, medians");
    print!("{}", verdicts(&rows, BARS));
    println!("\n{}", supporting(&memory, series.containers));
    if let Some(mini) = engines.iter().find(|engine| engine.who == "mini") {
        println!("{}", flat::beside_others(&mut world, mini, series.beside)?);
        println!("{}", flat::cycles(&mut world, mini, series.cycles)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is measured of one engine in one round; the memory that supported its containers, kB.
fn once(mut many: Many<'_, '_>, rows: &mut Vec<Row>) -> Result<u64> {
    let who = many.engine.who;
    let mut add = |work: &'static str, sample: f64| match rows
        .iter_mut()
        .find(|row| (row.work, row.who) == (work, who))
    {
        Some(row) => row.samples.push(sample),
        None => rows.push(Row { work, who, samples: vec![sample] }),
    };
    add(ONE_BY_ONE, many.start(1)?);
    thread::sleep(SETTLED);
    let memory = pss_of(many.engine.support)?;
    for _ in 0..LOOKS {
        add(LIST, many.list()?);
    }
    for _ in 0..COUNTS {
        add(COUNT, many.count()?);
    }
    add(REMOVE, many.remove()?);
    thread::sleep(SETTLED);
    add(SIDE_BY_SIDE, many.start(8)?);
    thread::sleep(SETTLED);
    add(REMOVE, many.remove()?);
    thread::sleep(SETTLED);
    Ok(memory)
}

/// What supports them, and whether it is little enough.
fn supporting(memory: &[(&str, u64)], containers: usize) -> String {
    let of =
        |wanted: &str| memory.iter().find(|(who, _)| *who == wanted).map(|(_, kilobytes)| *kilobytes as f64);
    let judgement = match of("mini").zip(of("podman")).map(|(own, other)| own / other) {
        Some(ratio) if ratio <= MEMORY_BAR => format!("{ratio:.4} met"),
        Some(ratio) => format!("{ratio:.4} MISSED"),
        None => "not measured".to_owned(),
    };
    let lines = memory.iter().map(|(who, kilobytes)| format!("  {who:<32} {kilobytes:>8}\n"));
    format!(
        "Memory that supports {containers} containers, kB PSS (at most {MEMORY_BAR} × podman's: {judgement})\n{}",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_judged_beside_podmans() {
        let text = supporting(&[("mini", 4000), ("podman", 50_000)], 50);
        assert!(text.contains("0.0800 met") && text.contains("mini") && text.contains("4000"), "{text}");
        assert!(supporting(&[("mini", 4000), ("podman", 5000)], 50).contains("0.8000 MISSED"));
        assert!(supporting(&[("mini", 4000)], 50).contains("not measured"));
    }
}
