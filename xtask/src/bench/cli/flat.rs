//! What must not grow: the cost of a start with the number of containers beside it, and what is left with the number of runs.

use std::fmt::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::engines::Engine;
use super::machine::Counts;
use crate::bench::figures::median;
use crate::bench::inside::{AFTERMATH, Place, World};

/// How many containers run beside the one that is measured.
const STEPS: [usize; 5] = [1, 50, 100, 250, 500];

/// How often each is measured.
const SAMPLES: usize = 30;

/// The most that a start may cost beside all the others, of what it costs beside one.
const BAR: f64 = 1.25;

/// How long the kernel may take to bury what has ended: network namespaces above all.
const BURIAL: Duration = Duration::from_secs(5);

/// Starts more and more containers, and measures one more each time.
pub(super) fn beside_others(world: &mut World, mini: &Engine, most: usize) -> Result<String> {
    let mut running: Vec<String> = Vec::new();
    let mut lines: Vec<(usize, f64, f64)> = Vec::new();
    for step in STEPS.into_iter().filter(|step| *step <= most) {
        eprintln!("a start beside {step} containers");
        while running.len() < step {
            let name = format!("beside-{}", running.len());
            world.runner(Place::Machine).time(&mini.sleeper(&name))?;
            running.push(name);
        }
        let (mut detached, mut short) = (Vec::new(), Vec::new());
        for _ in 0..SAMPLES {
            let runner = world.runner(Place::Machine);
            for (samples, command) in [(&mut detached, mini.sleeper("one-more")), (&mut short, mini.short())]
            {
                // The kernel takes the last one's network apart in the background, link by link of the machine.
                thread::sleep(AFTERMATH);
                samples.push(runner.time(&command)?);
            }
            runner.time(&mini.removal(&["one-more".to_owned()]))?;
        }
        lines.extend(median(&detached).zip(median(&short)).map(|(detached, short)| (step, detached, short)));
    }
    let all = world.runner(Place::Machine).time(&mini.removal(&running))?;
    Ok(format!("{}  rm -f of {} in one command: {all:.0} ms\n", flatness(&lines), running.len()))
}

/// Medians beside the first ones, and whether they stay what they are. PURE.
fn flatness(lines: &[(usize, f64, f64)]) -> String {
    let mut text = format!(
        "What a start costs beside others, ms, medians of {SAMPLES} (at most {BAR} × that beside one)\n  {:<16} {:>10} {:>10} {:>10} {:>10}\n",
        "running", "run -d", "", "run --rm", ""
    );
    let Some((_, first_detached, first_short)) = lines.first().copied() else { return text };
    for (step, detached, short) in lines {
        let (ratio, other) = (detached / first_detached, short / first_short);
        let _infallible =
            writeln!(text, "  {step:<16} {detached:>10.2} {ratio:>8.2} × {short:>10.2} {other:>8.2} ×");
    }
    let most = lines.iter().map(|(_, detached, short)| (detached / first_detached).max(short / first_short));
    let most = most.fold(0.0, f64::max);
    let _infallible = writeln!(text, "  {most:.2} {}", if most <= BAR { "met" } else { "MISSED" });
    text
}

/// Runs a container again and again, and counts what there is before and after.
pub(super) fn cycles(world: &mut World, mini: &Engine, cycles: u32) -> Result<String> {
    let places = [world.plan.directory.join("mini"), "/run/mini".into(), "/run/mini-host".into()];
    let look = || {
        thread::sleep(BURIAL);
        Counts::look(&places.each_ref().map(|place| Path::new(place).to_owned()))
    };
    let runs = |world: &mut World, number: u32| -> Result<f64> {
        let mut total = 0.0;
        for cycle in 1..=number {
            if cycle % 1000 == 0 {
                eprintln!("run {cycle} of {number}");
            }
            total += world.runner(Place::Machine).time(&mini.short())?;
        }
        Ok(total)
    };
    // What is made once is made: the bridge, the tables, the kernel's caches of what a run needs.
    runs(world, cycles.min(200))?;
    let before = look();
    let total = runs(world, cycles)?;
    let after = look();
    let each = total / f64::from(cycles.max(1));
    Ok(format!(
        "{cycles} × run --rm, {each:.2} ms each: what is there before and after\n{}",
        before.beside(&after)
    ))
}

#[cfg(test)]
mod tests {
    use super::flatness;

    #[test]
    fn the_steepest_step_is_judged() {
        let text = flatness(&[(1, 10.0, 20.0), (50, 11.0, 20.0), (500, 12.0, 26.0)]);
        assert!(text.contains("1.30 MISSED"), "{text}");
        assert!(flatness(&[(1, 10.0, 20.0), (500, 12.0, 19.0)]).contains("1.20 met"));
        assert!(!flatness(&[]).contains("met"));
    }
}
