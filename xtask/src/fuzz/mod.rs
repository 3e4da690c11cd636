//! `cargo xtask fuzz`: hostile input, searched for by libFuzzer, for everything that reads what mini did not write.
//!
//! ```text
//!   tests/fuzz/             the targets, a workspace of its own    ──► cargo-fuzz, nightly ──► target/fuzz
//!   tests/fuzz/seeds/NAME   small, made by hand, committed         ┐
//!   target/fuzz/corpus/NAME what was found so far, kept            ┴─► the target, for some minutes ──► target/fuzz/findings/NAME
//! ```
//!
//! The seeds alone are tried by a stable compiler too ([`seeds`]), which is what `cargo xtask ci` does.

mod figures;

use std::fs;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::apt;
use crate::command::{command, run, succeeds};
use crate::workspace::Workspace;
use figures::{Figures, table};

/// Search for input that mini reads wrongly: executions, coverage and findings of each target
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which targets, by name; all where none is named
    targets: Vec<String>,
    /// How long each is searched with; 0 tries the seeds and what was found before, and no more
    #[arg(long, default_value_t = 1)]
    minutes: u64,
}

/// Where the targets are.
const DIRECTORY: &str = "tests/fuzz";

/// cargo-fuzz needs flags that only a nightly compiler takes.
const TOOLCHAIN: &str = "nightly";

/// Bytes of an input; an archive of thirty blocks.
const LONGEST: usize = 16 * 1024;

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    ensure!(apt::is_root(), "archives are unpacked in mount namespaces of their own: run this as root");
    let known = targets(&workspace)?;
    let wrong: Vec<&String> = args.targets.iter().filter(|name| !known.contains(name)).collect();
    ensure!(wrong.is_empty(), "no target is named {wrong:?}; there are {}", known.join(", "));
    let wanted = if args.targets.is_empty() { &known } else { &args.targets };

    let fuzz = workspace.target.join("fuzz");
    build(&workspace, &fuzz, wanted)?;
    let mut rows = Vec::new();
    for name in wanted {
        let said = search(&workspace, &fuzz, name, args.minutes)?;
        let findings = findings(&fuzz.join("findings").join(name))?;
        rows.push((name.as_str(), Figures::read(&said), findings));
    }
    print!("{}", table(&rows));
    let found: Vec<&String> = rows.iter().flat_map(|(_, _, findings)| findings).collect();
    found.iter().for_each(|path| println!("{path}"));
    let all_ended = rows.iter().all(|(_, figures, _)| figures.is_some());
    Ok(if found.is_empty() && all_ended { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the targets and tries every seed, with the compiler that everything else is built with and no fuzzer.
pub(crate) fn seeds() -> Result<bool> {
    let workspace = Workspace::find()?;
    let manifest = format!("{DIRECTORY}/Cargo.toml");
    let directory = workspace.target.join("fuzz");
    let cargo = |words: &[&str]| {
        let mut cargo = workspace.cargo(words.iter().copied());
        cargo.args(["--locked", "--no-default-features", "--manifest-path", &manifest, "--target-dir"]);
        cargo.arg(&directory);
        cargo
    };
    run(workspace.cargo(["fmt", "--check", "--manifest-path", &manifest]))?;
    run(cargo(&["clippy", "--all-targets"]).args(["--", "--deny", "warnings"]))?;
    run(cargo(&["test", "--lib", "--tests"]))?;
    Ok(true)
}

/// The names of all targets, in order.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let directory = workspace.root.join(DIRECTORY).join("fuzz_targets");
    let entries = fs::read_dir(&directory).with_context(|| format!("listing {}", directory.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the targets, optimised, with checks of overflow and of memory.
fn build(workspace: &Workspace, fuzz: &Path, wanted: &[String]) -> Result<()> {
    let rustup = |args: &[&str]| command("rustup", [&["run", TOOLCHAIN], args].concat());
    ensure!(
        succeeds(rustup(&["rustc", "--version"])),
        "no {TOOLCHAIN} compiler: rustup toolchain install {TOOLCHAIN} --profile minimal"
    );
    apt::ensure_installed(apt::FUZZ)?;
    let tools = workspace.target.join("tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        eprintln!("missing: cargo-fuzz (it knows the flags that libFuzzer needs)");
        run(workspace.cargo(["install", "--locked", "cargo-fuzz", "--root"]).arg(&tools))?;
    }
    let mut path = vec![tools.join("bin")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path).context("no directory on PATH has a colon in its name")?;
    let mut cargo = rustup(&["cargo", "fuzz", "build", "--fuzz-dir", DIRECTORY, "--target-dir"]);
    cargo.arg(fuzz);
    // cargo-fuzz builds one target or all.
    if let [one] = wanted {
        cargo.arg(one);
    }
    run(cargo.current_dir(&workspace.root).env("PATH", &path).env_remove("RUSTFLAGS"))
}

/// Runs one target and returns what it says.
fn search(workspace: &Workspace, fuzz: &Path, name: &str, minutes: u64) -> Result<String> {
    let directory = |kind: &str| -> Result<std::path::PathBuf> {
        let path = fuzz.join(kind).join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    };
    let (corpus, findings) = (directory("corpus")?, directory("findings")?);
    let program = fuzz.join(&workspace.triple).join("release").join(name);
    // It ends with us, however we go.
    let mut target = command("setpriv", ["--pdeathsig", "KILL", "--"]);
    target.arg(&program).arg(format!("-max_len={LONGEST}"));
    target.arg(if minutes == 0 { "-runs=0".to_owned() } else { format!("-max_total_time={}", minutes * 60) });
    // Ten seconds for one input is a finding, and so are 2 GiB of memory.
    target.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    target.arg(format!("-artifact_prefix={}/", findings.display()));
    target.arg(&corpus).arg(workspace.root.join(DIRECTORY).join("seeds").join(name));
    eprintln!("== {name}");
    let log = fuzz.join(format!("{name}.log"));
    let file = fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
    target.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let status = target.status().with_context(|| format!("starting {}", program.display()))?;
    let said = String::from_utf8_lossy(&fs::read(&log).context("reading what the target said")?).into_owned();
    if !status.success() {
        eprintln!("{name} ended with {status}; the end of {}:", log.display());
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(60)..].iter().for_each(|line| eprintln!("{line}"));
    }
    Ok(said)
}

/// What lies in a directory of findings, of this search and of those before.
fn findings(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    let mut paths: Vec<String> = entries.flatten().map(|entry| entry.path().display().to_string()).collect();
    paths.sort();
    Ok(paths)
}
