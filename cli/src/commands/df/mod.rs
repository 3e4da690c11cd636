//! `mini system df`: what images, containers and volumes take on the disk, and what of it nobody needs.

mod row;

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use self::row::UseRow;
use super::images::{self, Counts, ImageRow};
use super::ps::{ContainerRow, Counted, Listed, Look, Shown};
use super::volume::VolumeRow;
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format::{Format, FormatArg, OneFormat, objects};
use crate::volume::users::Users;
use crate::volume::{Store, Volume};

/// Show what takes how much of the disk
///
/// A layer that several images have counts once. RECLAIMABLE is what would become free if everything went that no container uses,
/// of containers those that do not run. What interrupted pulls have left counts with images. mini builds nothing: its build cache is always empty.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini system df\n  mini system df -v\n  mini system df --format '{{.Type}} {{.Size}}'\n  mini system df -v --format '{{range .Volumes}}{{.Name}} {{.Size}}{{end}}'\n\nPlaceholders: .Type .TotalCount .Active .Size .Reclaimable; with -v .Images .Containers .Volumes .BuildCache, each a list\n\nSee also: mini system prune, mini ps -s, mini images, mini volume ls"
)]
pub(super) struct DfArgs {
    /// Each image, container and volume
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    format: FormatArg,
}

/// Everything that takes room.
struct Found<'a> {
    images: image::Usage,
    containers: Vec<Measured<'a>>,
    volumes: Vec<(Volume, u64)>,
    users: Users,
}

/// A container, and the bytes of its own files.
struct Measured<'a> {
    listed: Listed<'a>,
    bytes: u64,
}

/// Counts, prints.
pub(super) fn df(context: &Context, args: &DfArgs) -> Result<ExitCode> {
    let asked = args.format.asked();
    // Checked in any case: a mistake is one before anything is counted.
    let form = match (args.verbose, asked.map(|form| (form, form.strip_prefix("table")))) {
        (false, _) => Form::Totals(Format::new::<UseRow>(asked, &row::TABLE)?),
        (true, None) => Form::Tables,
        (true, Some((_, Some(template)))) if template.trim().is_empty() => Form::Tables,
        (true, Some((_, Some(_)))) => {
            bail!("--format 'table …' does not go with -v: these are several tables")
        }
        (true, Some((form, None))) => Form::One(OneFormat::new(form)?),
    };
    let look = Look::new(context, clock::now());
    let found = Found::look(context, &look)?;
    let text = match form {
        Form::Totals(format) => format.text(&found.totals())?,
        Form::Tables => found.tables()?,
        Form::One(format) => {
            let (images, containers, volumes) = found.rows(true);
            format.text(&json!({
                "Images": objects(&images),
                "Containers": objects(&containers),
                "Volumes": objects(&volumes),
                "BuildCache": [],
            }))?
        }
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::Success)
}

enum Form {
    Totals(Format),
    Tables,
    One(OneFormat),
}

impl<'a> Found<'a> {
    fn look(context: &'a Context, look: &'a Look<'a>) -> Result<Found<'a>> {
        let store =
            image::Store::open_existing(&context.dirs.image()).context("cannot open the image store")?;
        let images = store.map(|store| store.usage()).transpose().context("cannot look at the images")?;
        let mut containers = context.state().list_as::<Shown>()?;
        containers.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.record.created));
        let containers = containers.into_iter().map(|(entry, shown)| {
            let listed = Listed::new(entry, shown, look);
            Measured { bytes: listed.own_size(), listed }
        });
        let volumes = Store::new(&context.dirs.root).list()?.into_iter();
        Ok(Found {
            images: images.unwrap_or_default(),
            containers: containers.collect(),
            volumes: volumes
                .map(|volume| (volume.size(), volume))
                .map(|(size, volume)| (volume, size))
                .collect(),
            users: Users::of(&context.state())?,
        })
    }

    /// How many containers, running or not, are made of each image.
    fn uses(&self) -> HashMap<&str, usize> {
        let mut uses = HashMap::new();
        for container in &self.containers {
            *uses.entry(container.listed.entry.record.image_id.as_str()).or_default() += 1;
        }
        uses
    }

    fn totals(&self) -> [UseRow; 4] {
        let uses = self.uses();
        let is_used = |id: &image::Digest| uses.contains_key(id.to_string().as_str());
        let up = |container: &&Measured<'_>| container.listed.entry.status.is_up();
        let used = |volume: &&(Volume, u64)| self.users.has(&volume.0.record.name);
        let bytes: u64 = self.containers.iter().map(|container| container.bytes).sum();
        let bytes_up: u64 = self.containers.iter().filter(up).map(|container| container.bytes).sum();
        let volumes: u64 = self.volumes.iter().map(|(_, bytes)| bytes).sum();
        let volumes_used: u64 = self.volumes.iter().filter(used).map(|(_, bytes)| bytes).sum();
        [
            UseRow {
                kind: "Images",
                total: self.images.images.len(),
                active: self.images.images.iter().filter(|image| is_used(&image.id)).count(),
                bytes: self.images.bytes() + self.images.interrupted,
                reclaimable: self.images.only_of(&|id| !is_used(&id)) + self.images.interrupted,
            },
            UseRow {
                kind: "Containers",
                total: self.containers.len(),
                active: self.containers.iter().filter(up).count(),
                bytes,
                reclaimable: bytes - bytes_up,
            },
            UseRow {
                kind: "Local Volumes",
                total: self.volumes.len(),
                active: self.volumes.iter().filter(used).count(),
                bytes: volumes,
                reclaimable: volumes - volumes_used,
            },
            UseRow { kind: row::BUILD_CACHE, total: 0, active: 0, bytes: 0, reclaimable: 0 },
        ]
    }

    /// A row each, images newest first; `whole`: nothing is cut short.
    fn rows(&self, whole: bool) -> (Vec<ImageRow>, Vec<ContainerRow<'_>>, Vec<VolumeRow<'_>>) {
        let uses = self.uses();
        let mut images: Vec<_> = self.images.images.iter().collect();
        images.sort_by_cached_key(|image| std::cmp::Reverse(images::built(image)));
        let counts = |image: &image::Image| Counts {
            shared: self.images.shared(image.id),
            containers: uses.get(image.id.to_string().as_str()).copied().unwrap_or(0),
        };
        let images = images.into_iter().map(|image| images::row_of(image, counts(image), whole));
        let containers = self.containers.iter().map(|container| ContainerRow {
            listed: container.listed.clone(),
            whole,
            counted: Counted::Own(container.bytes),
        });
        let volumes = self.volumes.iter().map(|(volume, bytes)| VolumeRow {
            volume,
            links: self.users.count(&volume.record.name),
            bytes: Some(*bytes),
        });
        (images.collect(), containers.collect(), volumes.collect())
    }

    /// docker's four tables.
    fn tables(&self) -> Result<String> {
        let (images, containers, volumes) = self.rows(false);
        let images = Format::new::<ImageRow>(None, &row::IMAGES)?.text(&images)?;
        let containers = Format::new::<ContainerRow<'_>>(None, &row::CONTAINERS)?.text(&containers)?;
        let volumes = Format::new::<VolumeRow<'_>>(None, &row::VOLUMES)?.text(&volumes)?;
        let cache = output::table::table(&row::CACHE, &[]);
        let interrupted = match self.images.interrupted {
            0 => String::new(),
            bytes => format!("\nInterrupted downloads: {}\n", output::size::decimal(bytes)),
        };
        Ok(format!(
            "Images space usage:\n\n{images}{interrupted}\nContainers space usage:\n\n{containers}\nLocal Volumes space usage:\n\n{volumes}\nBuild cache usage: 0B\n\n{cache}"
        ))
    }
}
