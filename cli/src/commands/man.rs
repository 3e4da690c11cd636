//! `mini man`: the manual pages, written to where man(1) finds them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::sys;

use crate::exit_code::ExitCode;
use crate::{output, tree};

/// Write the manual pages of all commands into a directory
///
/// There, `man mini-run` finds what `mini run --help` prints. It is made where it is missing; pages that are there are written anew.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini man\n  mini man ./man1\n\nSee also: mini help, mini completion, man(1)"
)]
pub(crate) struct ManArgs {
    /// The directory
    #[arg(value_name = "DIR", default_value = "/usr/local/share/man/man1")]
    directory: PathBuf,
}

/// Writes each, and says where.
pub(crate) fn man(args: &ManArgs) -> Result<ExitCode> {
    let pages = tree::pages(&super::whole()).context("cannot write pages in memory")?;
    sys::fs::make_dirs_public(&args.directory)?;
    for page in &pages {
        write(&args.directory.join(&page.file), &page.text)?;
    }
    output::say(&format!("{} pages in {}", pages.len(), args.directory.display()));
    Ok(ExitCode::Success)
}

/// Whole or not at all, for everybody to read.
fn write(page: &Path, text: &[u8]) -> Result<()> {
    let new = page.with_extension("1.new");
    sys::fs::remove_file(&new)?;
    sys::fs::create_new(&new, text, 0o644)?;
    Ok(sys::fs::rename(&new, page)?)
}
