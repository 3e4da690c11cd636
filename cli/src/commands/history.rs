//! `mini history`: how an image came about.

use anyhow::{Context as _, Result};
use image::{Digest, Image, Store};
use serde_json::Value as Json;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format::{Format, FormatArg, Row};
use crate::output::size;

/// Show how an image came about, the last step first
///
/// Only steps whose image is here have an id: that of the image itself, and those of the images that it was committed on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini history busybox\n  mini history --no-trunc --format '{{.CreatedBy}} {{.Size}}' busybox\n  mini history -H=false busybox\n\nPlaceholders: .ID .CreatedSince .CreatedAt .CreatedBy .Size .Comment\n\nSee also: mini commit, mini image inspect, mini images"
)]
pub(crate) struct HistoryArgs {
    /// Ages and sizes as people say them; otherwise moments and bytes
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    human: bool,
    /// Whole ids and whole steps
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    format: FormatArg,
    /// The image
    image: String,
}

const MISSING: &str = "<missing>";

/// A row a step.
pub(crate) fn history(context: &Context, args: &HistoryArgs) -> Result<ExitCode> {
    let created = if args.human { "CreatedSince" } else { "CreatedAt" };
    let format = match args.format.asked() {
        // Only a plain table gives way to -q, as in docker.
        None | Some("table") if args.quiet => Format::only("ID"),
        asked => Format::new::<StepRow>(asked, &["ID", created, "CreatedBy", "Size", "Comment"])?,
    };
    let store = context.existing_store(&args.image)?;
    // What is listed is not removed meanwhile.
    let _pin = store.pin().context("cannot hold the image store")?;
    let image = store.resolve(&args.image)?;
    let mut rows = rows(&image, &store.layer_sizes(&image)?, args);
    for (row, id) in rows.iter_mut().zip(line_of(&store, &image)) {
        row.id = id.to_string();
    }
    output::print(format.text(&rows)?.as_bytes())?;
    Ok(ExitCode::Success)
}

/// The image and those that it was made of, as far as they are here.
fn line_of(store: &Store, image: &Image) -> Vec<Digest> {
    let mut line = vec![image.id];
    let mut parent = image.parent;
    while let Some(id) = parent.filter(|id| !line.contains(id)) {
        let Ok(image) = store.resolve(&id.to_string()) else { break };
        line.push(id);
        parent = image.parent;
    }
    line
}

/// The steps, the last one first. `sizes` are those of the layers, bottom first.
fn rows(image: &Image, sizes: &[u64], args: &HistoryArgs) -> Vec<StepRow> {
    let mut sizes = sizes.iter().copied();
    let now = clock::now();
    let steps = image.config.history().iter().flatten();
    let row = |step: &oci_spec::image::History| {
        let size = if step.empty_layer().unwrap_or(false) { 0 } else { sizes.next().unwrap_or(0) };
        StepRow {
            id: MISSING.to_owned(),
            created: step.created().as_deref().and_then(time),
            created_by: step.created_by().clone().unwrap_or_default(),
            size,
            comment: step.comment().clone().unwrap_or_default(),
            now,
            human: args.human,
            whole: args.no_trunc,
        }
    };
    let mut rows: Vec<StepRow> = steps.map(row).collect();
    rows.reverse();
    rows
}

/// ns since 1970.
fn time(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StepRow {
    /// `sha256:…`, or that there is none.
    id: String,
    /// When, ns since 1970.
    created: Option<u64>,
    created_by: String,
    /// Bytes, unpacked.
    size: u64,
    comment: String,
    /// Now, ns since 1970.
    now: u64,
    human: bool,
    whole: bool,
}

/// What a table shows of a step, letters.
const STEP_MAX: usize = 45;

impl Row for StepRow {
    const KIND: &'static str = "history";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", "CREATED"),
        ("ID", "IMAGE"),
        ("Size", "SIZE"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        let unknown = || "N/A".to_owned();
        let at = |created: u64| {
            clock::local(created / 1_000_000_000, "%Y-%m-%dT%H:%M:%S%:z").replace("+00:00", "Z")
        };
        let text = match name {
            "Comment" => self.comment.clone(),
            "CreatedAt" => self.created.map_or_else(unknown, at),
            "CreatedBy" if self.whole => self.created_by.replace('\t', " "),
            "CreatedBy" => shortened(&self.created_by.replace('\t', " ")),
            "CreatedSince" if !self.human => self.created.map_or_else(unknown, at),
            "CreatedSince" => {
                let age = |created| format!("{} ago", clock::human(self.now.saturating_sub(created)));
                self.created.map_or_else(unknown, age)
            }
            "ID" if self.whole => self.id.clone(),
            "ID" => self.id.strip_prefix("sha256:").map_or(self.id.clone(), |id| id[..12].to_owned()),
            "Size" if self.human => size::decimal(self.size),
            "Size" => self.size.to_string(),
            _ => return None,
        };
        Some(text.into())
    }
}

/// docker's rule: an ellipsis counts as a letter.
fn shortened(text: &str) -> String {
    match text.chars().count() > STEP_MAX {
        true => text.chars().take(STEP_MAX - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
