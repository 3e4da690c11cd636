//! `cargo xtask build`: the static `mini`, at `target/release/mini`.
//!
//! Static, because every process that the dynamic linker need not prepare starts about 0.2 ms sooner, and at a fixed address,
//! because a program that relocates itself first takes another 0.1 to 0.3 ms for it, and its relocated pages, 230 to 350 kB,
//! would be every monitor's own. The price is that the program's own addresses are not random; its stack, heap and mappings are.
//!
//! That takes an explicit `--target`: without one the flags would reach the procedural macros too, and those must be shared
//! objects. With one, cargo puts its output below `target/TRIPLE/`; a copy goes where people expect it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::run;
use crate::workspace::Workspace;

/// Build `mini`, statically linked, and leave it at target/release/mini
#[derive(clap::Args)]
pub(crate) struct Args {
    /// release is what users get; ci is what the tests run and builds in a fraction of the time
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
}

/// The profiles of the workspace's Cargo.toml.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    Release,
    Ci,
    Dev,
}

impl Profile {
    /// Its name, and the directory cargo keeps its output in: `dev` alone has another.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Profile::Release => ("release", "release"),
            Profile::Ci => ("ci", "ci"),
            Profile::Dev => ("dev", "debug"),
        }
    }
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mini = build(&Workspace::find()?, args.profile)?;
    println!("{}", mini.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the product and returns the path of `mini`.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let (name, directory) = profile.names();
    let mut cargo =
        workspace.cargo(["build", "--package", "mini", "--profile", name, "--target", &workspace.triple]);
    run(with_flags(&mut cargo))?;

    let built = workspace.target.join(&workspace.triple).join(directory).join("mini");
    let wanted = workspace.target.join(directory).join("mini");
    replace(&built, &wanted)?;
    Ok(wanted)
}

/// Links the C library in, at fixed addresses. The caller's own RUSTFLAGS stay: cargo reads only the first variable of several,
/// and this is the first (The Cargo Book, `build.rustflags`).
fn with_flags(cargo: &mut Command) -> &mut Command {
    let of_caller = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags: Vec<&str> = of_caller
        .split_whitespace()
        .chain(["-C", "target-feature=+crt-static", "-C", "relocation-model=static"])
        .collect();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
}

/// Makes `to` a copy of the file `from` in one step: whoever starts `to` meanwhile gets the old file or the new one, whole.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let directory = to.parent().expect("a file in the target directory has a parent");
    let draft = directory.join(format!(".{}.{}", file_name(to), std::process::id()));
    let attempt = fs::create_dir_all(directory)
        .and_then(|()| fs::copy(from, &draft))
        .and_then(|_| fs::rename(&draft, to))
        .with_context(|| format!("putting {} at {}", from.display(), to.display()));
    if attempt.is_err() {
        // The draft may not exist; the first cause is the one to report.
        let _ = fs::remove_file(&draft);
    }
    attempt
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_the_new_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("new/to"));
        fs::write(&from, "one").unwrap();
        replace(&from, &to).unwrap();
        fs::write(&from, "two").unwrap();
        replace(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        assert_eq!(fs::read_dir(directory.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("to");
        fs::write(&to, "old").unwrap();
        let error = replace(&directory.path().join("nothing"), &to).unwrap_err();
        assert!(error.to_string().ends_with(&format!("at {}", to.display())), "{error}");
        assert_eq!(fs::read_to_string(&to).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_that_cannot_take_its_place_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("new/to"));
        fs::write(&from, "one").unwrap();
        fs::create_dir_all(to.join("full")).unwrap();
        assert!(replace(&from, &to).is_err(), "a directory is in the way");
        assert_eq!(fs::read_dir(directory.path().join("new")).unwrap().count(), 1);
    }
}
