//! `cargo xtask`: everything a clone needs, in one command each.
//!
//! It depends on no crate of ours, so that it builds in seconds and works while they do not. It is a tool for people who
//! work on the project: it prints, it starts programs and it writes files, which the product may not do freely.
#![expect(
    clippy::disallowed_methods,
    reason = "a build tool starts programs and writes files; it is no part of the product"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a build tool talks to the person who started it"
)]

mod apt;
mod bench;
mod build;
mod busybox;
mod ci;
mod command;
mod fuzz;
mod licences;
mod run;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Everything a clone needs: build, run, test, ci, bench")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Build(build::Args),
    Run(run::Args),
    Test(test::Args),
    Bench(bench::Args),
    Ci(ci::Args),
    VmTest(vm::Args),
    PowerLoss(vm::power::Args),
    Fuzz(fuzz::Args),
    /// Check what no compiler knows: who may know whom, file heads and sizes, the clippy door, the top level
    Tidy,
    /// Check the licence of every dependency, and that Cargo.lock is up to date
    Licences,
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Build(args) => build::main(&args),
        Task::Run(args) => run::main(&args),
        Task::Test(args) => test::main(&args),
        Task::Bench(args) => bench::main(&args),
        Task::Ci(args) => ci::main(&args),
        Task::VmTest(args) => vm::main(&args),
        Task::PowerLoss(args) => vm::power::main(&args),
        Task::Fuzz(args) => fuzz::main(&args),
        Task::Tidy => tidy::main(),
        Task::Licences => licences::main(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
