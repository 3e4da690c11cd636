//! `mini images`: which images are here.

use anyhow::Result;
use serde::Serialize;

use super::ps::Listing;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, size, table};

/// List images
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini images\n  mini images -q busybox\n\nSee also: mini pull, mini rmi")]
pub(crate) struct ImagesArgs {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// A table, or one JSON object a line
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Listing,
    /// Only images of this repository, with this tag where one is given
    name: Option<String>,
}

/// Newest first, a row a name, as docker lists them.
pub(crate) fn images(context: &Context, args: &ImagesArgs) -> Result<ExitCode> {
    let wanted = args.name.as_deref().map(str::parse::<image::Reference>).transpose()?;
    let tagged = args
        .name
        .as_deref()
        .is_some_and(|name| name.rsplit('/').next().is_some_and(|last| last.contains(':')));
    let mut images = context.store()?.list()?;
    images.sort_by_key(|image| std::cmp::Reverse(created(image)));
    let mut rows = Vec::new();
    for image in &images {
        let names: Vec<(String, String)> = image
            .tags
            .iter()
            .filter(|name| wanted.as_ref().is_none_or(|wanted| matches(name, wanted, tagged)))
            .map(|name| (name.familiar_name(), name.tag().unwrap_or("<none>").to_owned()))
            .collect();
        let untagged = image.tags.is_empty() && wanted.is_none();
        let names = if untagged { vec![(repository_of_pinned(image), "<none>".to_owned())] } else { names };
        for (repository, tag) in names {
            rows.push(Row {
                created_at: created(image).map_or_else(|| "N/A".to_owned(), clock::human_time),
                created_since: age(image),
                id: if args.no_trunc { image.id.to_string() } else { short(image) },
                repository,
                size: size::decimal(image.size),
                tag,
            });
        }
    }
    let text: String = match (args.quiet, args.format) {
        (true, _) => {
            let mut ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
            ids.dedup();
            ids.iter().map(|id| format!("{id}\n")).collect()
        }
        (false, Listing::Json) => output::json_lines(&rows)?,
        (false, Listing::Table) => {
            let cells = |row: Row| vec![row.repository, row.tag, row.id, row.created_since, row.size];
            let heading = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
            table::table(&heading, &rows.into_iter().map(cells).collect::<Vec<_>>())
        }
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::Success)
}

/// An image as it is listed, under docker's names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    created_at: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    size: String,
    tag: String,
}

fn matches(name: &image::Reference, wanted: &image::Reference, tagged: bool) -> bool {
    name.familiar_name() == wanted.familiar_name() && (!tagged || name.tag() == wanted.tag())
}

fn repository_of_pinned(image: &image::Image) -> String {
    image.pinned.first().map_or_else(|| "<none>".to_owned(), image::Reference::familiar_name)
}

/// The twelve digits that people type.
pub(crate) fn short(image: &image::Image) -> String {
    image.id.hex()[..12].to_owned()
}

/// When it was built, ns since 1970.
fn created(image: &image::Image) -> Option<u64> {
    let text = image.config.created().as_deref()?;
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

fn age(image: &image::Image) -> String {
    match created(image) {
        Some(created) => format!("{} ago", clock::human(clock::now().saturating_sub(created))),
        None => "N/A".to_owned(),
    }
}
