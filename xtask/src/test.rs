//! `cargo xtask test`: every test, from a bare clone.
//!
//! Two builds, on purpose. `mini` itself is built with the `ci` profile, which is the release without its slow link. The
//! tests are built with the `dev` profile, which clippy and this program have filled already: in the `ci` profile every
//! dependency would be compiled a second time, since a test must unwind where the product aborts.

mod report;

use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::apt;
use crate::build::{self, Profile};
use crate::command::{run, status, succeeds};
use crate::workspace::Workspace;

/// Install what the tests need, build, and run all tests; `core` leaves out the slow ones
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// `core` for the inner loop, then filters and options for `cargo nextest run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "core] [FILTER")]
    words: Vec<OsString>,
}

/// How many tests run at a time, unless somebody says otherwise: one more than processors, since many of them wait for something.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// The profiles of .config/nextest.toml: all tests, and all but the slow ones.
pub(crate) const ALL: &str = "default";
const CORE: &str = "core";

/// Where the tests find what they test.
pub(crate) const BINARY: &str = "MINI_BIN";

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let (profile, filters) = match args.words.split_first() {
        Some((first, rest)) if first == CORE => (CORE, rest),
        _ => (ALL, &*args.words),
    };
    // What an earlier run left would be read as this one's report.
    let report = report(&workspace, profile);
    if report.exists() {
        fs::remove_file(&report).with_context(|| format!("removing {}", report.display()))?;
    }
    ensure!(apt::is_root(), "the tests make namespaces, cgroups and networks of their own: run them as root");
    apt::ensure_installed(apt::TESTS)?;
    install_nextest(&workspace)?;
    let mini = build::build(&workspace, Profile::Ci)?;

    let mut nextest = workspace.cargo(["nextest", "run", "--workspace", "--profile", profile]);
    if std::env::var_os(THREADS).is_none() {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        nextest.env(THREADS, (processors + 1).to_string());
    }
    let passed = status(nextest.args(filters).env(BINARY, &mini))?.success();
    let documented = profile == CORE || !filters.is_empty() || doc_tests(&workspace)?;
    print!("{}", summary(&workspace, profile)?);
    Ok(if passed && documented { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which tests of the last run said that they cannot run here, and how many passed and failed. Empty where nothing was run:
/// because nothing compiled, or because of `--no-run`.
pub(crate) fn summary(workspace: &Workspace, profile: &str) -> Result<String> {
    let report = report(workspace, profile);
    if !report.exists() {
        return Ok(String::new());
    }
    let text = fs::read_to_string(&report).with_context(|| format!("reading {}", report.display()))?;
    Ok(report::summary(&text))
}

/// Nextest keeps its report below the checkout, wherever cargo's target directory is.
fn report(workspace: &Workspace, profile: &str) -> PathBuf {
    workspace.root.join("target/nextest").join(profile).join("junit.xml")
}

/// The examples in the libraries' documentation, which nextest does not run.
fn doc_tests(workspace: &Workspace) -> Result<bool> {
    Ok(status(workspace.cargo(["test", "--workspace", "--doc", "--quiet"]))?.success())
}

fn install_nextest(workspace: &Workspace) -> Result<()> {
    if succeeds(workspace.cargo(["nextest", "--version"])) {
        return Ok(());
    }
    eprintln!(
        "missing: cargo-nextest (it runs each test in a process of its own, so that tests can enter namespaces)"
    );
    run(workspace.cargo(["install", "--locked", "cargo-nextest"]))
}
