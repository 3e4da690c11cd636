//! Where things are: the checkout, cargo's target directory, the machine's target triple.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{command, read};

/// The places every task needs.
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever the caller's environment or configuration puts it.
    pub(crate) target: PathBuf,
    /// This machine's target triple, such as `x86_64-unknown-linux-gnu`.
    pub(crate) triple: String,
}

/// What `cargo metadata` says, as far as anybody here asks.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    target_directory: PathBuf,
}

/// One package: ours, or a dependency.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) manifest_path: PathBuf,
}

/// One line below a `[…dependencies]` heading.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
}

impl Workspace {
    /// Looks once: starts `cargo metadata` and `rustc -vV`.
    pub(crate) fn find() -> Result<Workspace> {
        let root = root();
        let target = metadata(&["--no-deps"])?.target_directory;
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = read(Command::new(rustc).arg("-vV").current_dir(&root))?;
        let triple = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("`rustc -vV` names no host")?;
        Ok(Workspace { root, target, triple: triple.to_owned() })
    }

    /// A cargo command in the checkout.
    pub(crate) fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = command(&cargo(), args);
        command.current_dir(&self.root);
        command
    }
}

/// Asks `cargo metadata`; without `--no-deps` it includes the dependencies of this platform.
pub(crate) fn metadata(args: &[&str]) -> Result<Metadata> {
    let mut command = command(&cargo(), ["metadata", "--format-version", "1"]);
    let text = read(command.args(args).current_dir(root()))?;
    serde_json::from_str(&text).context("reading what `cargo metadata` printed")
}

/// The cargo that started us: a toolchain chosen by `+NAME` stays the same for everything we start.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The checkout: the directory above this package, which cargo names when it runs us. What was compiled in would be wrong
/// where two clones share a target directory.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(package).parent().expect("xtask lies in the checkout").to_owned()
}
