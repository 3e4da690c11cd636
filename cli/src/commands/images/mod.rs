//! `mini images`: which images are here.

mod filter;
mod row;

use anyhow::{Context as _, Result};
use image::{Image, Overview, Reference};

use self::filter::Filters;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format::{Format, FormatArg};

pub(super) use self::row::{Counts, ImageRow};

/// List images
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini images\n  mini images 'busy*'\n  mini images -q --filter dangling=true\n  mini images --format '{{.Repository}}:{{.Tag}} {{.Size}}'\n\nPlaceholders: .ID .Repository .Tag .Digest .CreatedSince .CreatedAt .Size .VirtualSize .SharedSize .UniqueSize .Containers\n\nSee also: mini pull, mini rmi"
)]
pub(crate) struct ImagesArgs {
    /// Those without a name that others were made of, too
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// What each was pulled as, by digest
    #[arg(long)]
    digests: bool,
    /// Only those that are so: dangling, label, before, since, until, reference
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
    /// Only images of this repository, with this tag where one is given; a pattern
    name: Option<String>,
}

const TABLE: [&str; 5] = ["Repository", "Tag", "ID", "CreatedSince", "Size"];
const TABLE_WITH_DIGESTS: [&str; 6] = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
const NONE: &str = "<none>";

/// docker's form for people without columns.
const RAW: [&str; 3] = [
    "repository: {{.Repository}}\ntag: {{.Tag}}\n",
    "digest: {{.Digest}}\n",
    "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
];

/// Newest first, a row a name, as docker lists them.
pub(crate) fn images(context: &Context, args: &ImagesArgs) -> Result<ExitCode> {
    let format = format(args)?;
    let now = clock::now();
    let store = context.store()?;
    let when = |name: &str| {
        built(&store.resolve(name)?).with_context(|| format!("nobody knows when {name} was built"))
    };
    let mut filters = Filters::new(&args.filter, &when, now)?;
    if let Some(name) = &args.name {
        filters = filters.and_names(name)?;
    }
    let images = store.overview()?.into_iter();
    let mut images: Vec<_> = images.map(|image| (moment(image.created.as_deref()), image)).collect();
    let parents: Vec<_> = images.iter().filter_map(|(_, image)| image.parent).collect();
    let is_between =
        |image: &Overview| image.tags.is_empty() && image.pinned.is_empty() && parents.contains(&image.id);
    images.retain(|(created, image)| (args.all || !is_between(image)) && filters.pass(image, *created));
    if filters.ask_for_labels() {
        let all = store.list()?;
        let labelled: Vec<_> =
            all.iter().filter(|image| filters.labels(image)).map(|image| image.id).collect();
        images.retain(|(_, image)| labelled.contains(&image.id));
    }
    images.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
    let digests = args.digests || format.asks_for("Digest");
    let mut rows = Vec::new();
    for (created, image) in &images {
        for name in names(image, &filters, digests, args.digests) {
            rows.push(row(image, *created, name, None, now, args.no_trunc));
        }
    }
    output::print(format.text(&rows)?.as_bytes())?;
    Ok(ExitCode::Success)
}

/// The one row that docker's disk usage has of an image: under the first of its names.
pub(super) fn row_of(image: &Image, counts: Counts, whole: bool) -> ImageRow {
    let none = || (NONE.to_owned(), NONE.to_owned(), NONE.to_owned());
    let (overview, created) = (Overview::of(image), built(image));
    let first = names(&overview, &Filters::default(), false, false).into_iter().next();
    row(&overview, created, first.unwrap_or_else(none), Some(counts), clock::now(), whole)
}

fn row(
    image: &Overview,
    created: Option<u64>,
    (repository, tag, digest): (String, String, String),
    counts: Option<Counts>,
    now: u64,
    whole: bool,
) -> ImageRow {
    let id = image.id.to_string();
    ImageRow { id, repository, tag, digest, created, size: image.size, counts, now, whole }
}

fn format(args: &ImagesArgs) -> Result<Format> {
    let columns = if args.digests { &TABLE_WITH_DIGESTS[..] } else { &TABLE[..] };
    let [names, digest, rest] = RAW;
    let raw = format!("{names}{}{rest}", if args.digests { digest } else { "" });
    match args.format.asked() {
        // Only a plain table gives way to -q, as in docker.
        None | Some("table") if args.quiet => Ok(Format::only("ID")),
        Some("raw") if args.quiet => Format::new::<ImageRow>(Some("image_id: {{.ID}}"), columns),
        Some("raw") => Format::new::<ImageRow>(Some(&raw), columns),
        Some(table) if table.starts_with("table ") && args.digests && !table.contains("{{.Digest}}") => {
            Format::new::<ImageRow>(Some(&format!("{table}\t{{{{.Digest}}}}")), columns)
        }
        asked => Format::new::<ImageRow>(asked, columns),
    }
}

/// Repository, tag and digest of each row that an image has. docker's rule: digests stand beside the tags of their
/// repository; a repository without tags has a row of its own, or one a digest. PURE.
fn names(
    image: &Overview,
    filters: &Filters,
    digests: bool,
    row_a_digest: bool,
) -> Vec<(String, String, String)> {
    let none = || NONE.to_owned();
    let asked_for = |names: &[Reference]| -> Vec<Reference> {
        names.iter().filter(|name| filters.name(name)).cloned().collect()
    };
    let (tags, pinned) = (asked_for(&image.tags), asked_for(&image.pinned));
    if tags.is_empty() && pinned.is_empty() {
        return if filters.ask_for_names() { Vec::new() } else { vec![(none(), none(), none())] };
    }
    let digest = |name: &Reference| name.digest().map_or_else(none, |digest| digest.to_string());
    let mut rows = Vec::new();
    for name in &tags {
        let (repository, tag) = (name.familiar_name(), name.tag().unwrap_or(NONE).to_owned());
        let of_repository = pinned.iter().filter(|pinned| digests && pinned.same_repository(name));
        let before = rows.len();
        rows.extend(of_repository.map(|pinned| (repository.clone(), tag.clone(), digest(pinned))));
        if rows.len() == before {
            rows.push((repository, tag, none()));
        }
    }
    for name in pinned.iter().filter(|name| !tags.iter().any(|tag| tag.same_repository(name))) {
        let repository = name.familiar_name();
        if row_a_digest {
            rows.push((repository, none(), digest(name)));
        } else if !rows.iter().any(|(known, ..)| *known == repository) {
            rows.push((repository, none(), String::new()));
        }
    }
    rows
}

/// When it was built, ns since 1970.
pub(crate) fn built(image: &Image) -> Option<u64> {
    moment(image.config.created().as_deref())
}

/// The same of what a configuration says of it.
fn moment(created: Option<&str>) -> Option<u64> {
    let time: jiff::Timestamp = created?.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}
