//! `mini secret create`: a secret from a file or from standard input.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::commands::objects::pairs;
use crate::exit_code::ExitCode;
use crate::output;
use crate::secret::{LONGEST, Store};

/// Make a secret, and print its id
///
/// What it says is kept in a file that root alone can read, and given to containers in memory each time they start.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini secret create password ./password.txt\n  printf %s \"$TOKEN\" | mini secret create token -\n\nSee also: mini run --secret, mini secret ls"
)]
pub(super) struct CreateArgs {
    /// Keep a label with it
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Its name
    name: String,
    /// The file that holds it; - for standard input
    file: PathBuf,
}

/// Reads it and writes it down.
pub(super) fn create(store: &Store, args: &CreateArgs) -> Result<ExitCode> {
    let labels = pairs(&args.label, "label")?;
    let mut data = Vec::new();
    // One byte more than it may have, so that a longer one is seen.
    let most = LONGEST as u64 + 1;
    if args.file.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut data).context("cannot read standard input")?;
    } else {
        let shown = args.file.display();
        let file = File::open(&args.file).with_context(|| format!("cannot open {shown}"))?;
        file.take(most).read_to_end(&mut data).with_context(|| format!("cannot read {shown}"))?;
    }
    let record = store.create(&args.name, &data, labels)?;
    output::print_line(&record.id)?;
    Ok(ExitCode::Success)
}
