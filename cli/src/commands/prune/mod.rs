//! What `container`, `image`, `network`, `volume` and `system prune` have alike: they ask, remove what nobody needs, and say what
//! became free.
//!
//! Each takes away what it may at the moment when it has the lock that whoever needs it would hold. What somebody has begun to use
//! since the list was made stays, and nothing is said about it.

pub(crate) mod container;
pub(super) mod filter;
pub(crate) mod image;
pub(crate) mod network;
pub(super) mod system;

use std::io::BufRead as _;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::events::{Event, Kind};
use crate::output::{self, size};

/// What was taken away of one kind.
#[derive(Debug)]
pub(super) struct Pruned {
    /// docker's word above the list: `Containers`.
    pub(super) heading: &'static str,
    /// A line each.
    pub(super) lines: Vec<String>,
    /// What became free.
    pub(super) bytes: u64,
}

impl Pruned {
    /// For `mini events`: that somebody has tidied up, and what became free.
    pub(super) fn record(&self, context: &Context, kind: Kind) {
        context.journal().record(&[Event::new(kind, "prune", "").with("reclaimed", self.bytes)]);
    }

    /// The list, where there is anything in it.
    ///
    /// # Errors
    /// None: who reads no more has had enough.
    pub(super) fn print(&self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        output::print_line(&format!("Deleted {}:\n{}\n", self.heading, self.lines.join("\n")))
    }
}

/// docker's last line.
///
/// # Errors
/// None: who reads no more has had enough.
pub(super) fn print_total(bytes: u64) -> Result<()> {
    output::print_line(&format!("Total reclaimed space: {}", size::decimal_to_four(bytes)))
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
