//! `cargo xtask ci`: all that CI runs, and all that has to pass before a change lands.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::command::status;
use crate::workspace::Workspace;
use crate::{fuzz, licences, test, tidy, vm};

/// Run every check: format, lints, tidiness, licences, seeds of the fuzz targets, documentation, all tests, and the tests on cgroup v2
#[derive(clap::Args)]
pub(crate) struct Args {}

/// A step and what it came to.
struct Outcome {
    step: &'static str,
    passed: bool,
    took: Duration,
}

pub(crate) fn main(_args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let cargo = |args: &[&'static str], variable: Option<(&str, &str)>| -> Result<bool> {
        Ok(status(workspace.cargo(args.iter().copied()).envs(variable))?.success())
    };
    let task = |result: Result<ExitCode>| Ok(result? == ExitCode::SUCCESS);

    // Quick ones first; a failure stops none of the others, so that one run tells everything.
    let steps: [(&'static str, &dyn Fn() -> Result<bool>); 8] = [
        ("fmt", &|| cargo(&["fmt", "--all", "--check"], None)),
        ("tidy", &|| task(tidy::main())),
        ("licences", &|| task(licences::main())),
        ("clippy", &|| {
            cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"], None)
        }),
        ("fuzz", &fuzz::seeds),
        ("doc", &|| cargo(&["doc", "--workspace", "--no-deps"], Some(("RUSTDOCFLAGS", "--deny warnings")))),
        ("test", &|| task(test::main(&test::Args::default()))),
        ("vm-test", &|| task(vm::main(&vm::Args::default()))),
    ];
    let outcomes: Vec<Outcome> = steps.iter().map(|(step, act)| timed(step, act)).collect();
    // The tests' own lines last: who reads only the end sees whether any test ran.
    print!("{}{}", table(&outcomes), test::summary(&workspace, test::ALL)?);
    let passed = outcomes.iter().all(|outcome| outcome.passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn timed(step: &'static str, act: &dyn Fn() -> Result<bool>) -> Outcome {
    eprintln!("== {step}");
    let begin = Instant::now();
    let passed = act().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        false
    });
    Outcome { step, passed, took: begin.elapsed() }
}

fn table(outcomes: &[Outcome]) -> String {
    let row = |name: &str, word: &str, took: Duration| {
        let seconds = took.as_secs();
        format!("{name:<10} {word:<7} {:>3} min {:02} s\n", seconds / 60, seconds % 60)
    };
    let mut rows: String = outcomes
        .iter()
        .map(|outcome| row(outcome.step, if outcome.passed { "passed" } else { "FAILED" }, outcome.took))
        .collect();
    rows += &row("in all", "", outcomes.iter().map(|outcome| outcome.took).sum());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_failed_and_how_long_all_took() {
        let outcome = |step, passed, seconds| Outcome { step, passed, took: Duration::from_secs(seconds) };
        let table = table(&[outcome("fmt", true, 1), outcome("vm-test", false, 125)]);
        let wanted = "\
fmt        passed    0 min 01 s
vm-test    FAILED    2 min 05 s
in all               2 min 06 s
";
        assert_eq!(table, wanted);
    }

    #[test]
    fn an_error_is_a_failed_step() {
        assert!(!timed("x", &|| anyhow::bail!("broken")).passed);
        assert!(timed("x", &|| Ok(true)).passed);
    }
}
