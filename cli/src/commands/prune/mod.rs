//! What `container`, `image`, `network`, `volume` and `system prune` have alike: they ask, remove what nobody needs, and say what
//! became free.
//!
//! Each takes away what it may at the moment when it has the lock that whoever needs it would hold. What somebody has begun to use
//! since the list was made stays, and nothing is said about it. With `--dry-run` the same is looked at, and nothing is taken.

pub(crate) mod container;
pub(super) mod filter;
pub(crate) mod image;
pub(crate) mod network;
pub(super) mod system;

use std::io::BufRead as _;

use anyhow::{Context as _, Result};
use runtime::record::Record;

use crate::clock;
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::output::{self, size};
use crate::plan::values;

/// What was taken away of one kind.
#[derive(Debug)]
pub(super) struct Pruned {
    /// docker's word above the list: `Containers`.
    pub(super) heading: &'static str,
    /// A line each.
    pub(super) lines: Vec<String>,
    /// What became free.
    pub(super) bytes: u64,
    /// Nothing of it was taken.
    pub(super) dry_run: bool,
}

/// Which images may stay.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct Spare {
    /// Only what was not used for so long, such as 36h or 7d: an image is used by a pull, and as long as a container of it runs
    #[arg(long, value_name = "DURATION", value_parser = clock::period)]
    unused_for: Option<u64>,
    /// Only as many images, the least recently used first, as it takes until all layers together have no more than SIZE
    #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
    keep_storage: Option<u64>,
}

/// How it is gone about.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::commands) struct Mode<'a> {
    /// Nothing is taken away; what would be is told.
    pub(in crate::commands) dry_run: bool,
    /// Only what was last used before, ns since 1970.
    pub(super) before: Option<u64>,
    /// Bytes that images may keep.
    pub(super) keep: Option<u64>,
    /// Containers that are as good as gone.
    pub(super) gone: &'a [Record],
}

impl Mode<'_> {
    pub(super) fn new(dry_run: bool, spare: Spare) -> Mode<'static> {
        let before = spare.unused_for.map(|length| clock::now().saturating_sub(length));
        Mode { dry_run, before, keep: spare.keep_storage, gone: &[] }
    }

    /// Whether something that was last used then, ns since 1970, may go.
    pub(super) fn passes(&self, used: u64) -> bool {
        self.before.is_none_or(|before| used < before)
    }

    pub(super) fn has_gone(&self, id: &str) -> bool {
        self.gone.iter().any(|record| record.id == id)
    }
}

impl Pruned {
    /// For `mini events`: that somebody has tidied up, and what became free.
    pub(super) fn record(&self, context: &Context, kind: Kind) {
        if !self.dry_run {
            context.journal().record(&[Event::new(kind, "prune", "").with("reclaimed", self.bytes)]);
        }
    }

    /// The list, where there is anything in it.
    ///
    /// # Errors
    /// None: who reads no more has had enough.
    pub(super) fn print(&self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let heading = match self.dry_run {
            false => format!("Deleted {}:", self.heading),
            true => format!("{} that would be deleted:", self.heading),
        };
        output::print_line(&format!("{heading}\n{}\n", self.lines.join("\n")))
    }
}

/// docker's last line.
///
/// # Errors
/// None: who reads no more has had enough.
pub(super) fn print_total(bytes: u64, dry_run: bool) -> Result<()> {
    let what = if dry_run { "Total space that would be reclaimed" } else { "Total reclaimed space" };
    output::print_line(&format!("{what}: {}", size::decimal_to_four(bytes)))
}

/// Warns, and asks.
///
/// # Errors
/// Where the answer cannot be read.
pub(super) fn agreed(warning: &str) -> Result<bool> {
    output::print(format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] ").as_bytes())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
