//! `mini volume ls`: which volumes there are.

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;

use crate::commands::filter::{Label, agree, key_value, truth};
use crate::commands::objects::joined;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::format::{Format, FormatArg, Row};
use crate::output::{self, size};
use crate::volume::users::Users;
use crate::volume::{Store, Volume};

/// List volumes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini volume ls\n  mini volume ls -q --filter dangling=true\n  mini volume ls --format '{{.Name}} {{.Size}}'\n\nPlaceholders: .Name .Driver .Scope .Mountpoint .Labels, {{.Label \"KEY\"}}, .Links .Size .Availability .Group .Status\n\nSee also: mini volume inspect, mini volume prune"
)]
pub(super) struct LsArgs {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// Only those that are so: dangling=true|false, driver=NAME, label=NAME[=VALUE], name=PART
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// What a volume must be like to be listed.
enum Filter {
    Dangling(bool),
    Driver(String),
    Label(Label),
    Name(String),
}

/// A volume as it is listed.
pub(in crate::commands) struct VolumeRow<'a> {
    pub(in crate::commands) volume: &'a Volume,
    /// How many containers refer to it.
    pub(in crate::commands) links: usize,
    /// Of its files, where they have been counted.
    pub(in crate::commands) bytes: Option<u64>,
}

impl Row for VolumeRow<'_> {
    const KIND: &'static str = "volume";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Availability", "AVAILABILITY"),
        ("Driver", "DRIVER"),
        ("Group", "GROUP"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        Some(match name {
            "Driver" | "Scope" => "local".into(),
            "Labels" => joined(&self.volume.record.labels).into(),
            "Links" => self.links.to_string().into(),
            "Mountpoint" => self.volume.mount_point().display().to_string().into(),
            "Name" => self.volume.record.name.clone().into(),
            "Size" => size::decimal(self.bytes.unwrap_or_else(|| self.volume.size())).into(),
            // What docker says where it has nothing to say.
            "Availability" | "Group" | "Status" => "N/A".into(),
            _ => return None,
        })
    }

    /// docker counts files and links for its disk usage alone.
    fn in_json(&self, name: &str) -> Option<Json> {
        match name {
            "Links" | "Size" if self.bytes.is_none() => Some("N/A".into()),
            name => self.column(name),
        }
    }

    fn label(&self, key: &str) -> Option<String> {
        Some(self.volume.label(key).unwrap_or_default().to_owned())
    }
}

/// Asks, prints.
pub(super) fn ls(context: &Context, store: &Store, args: &LsArgs) -> Result<ExitCode> {
    let asked = Format::new::<VolumeRow<'_>>(args.format.asked(), &["Driver", "Name"])?;
    let format = if args.quiet { Format::only("Name") } else { asked };
    let filters = args.filter.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    let users = Users::of(&context.state())?;
    let mut volumes = store.list()?;
    volumes.retain(|volume| passes(&filters, volume, &users));
    let row = |volume| VolumeRow { volume, links: users.count(&volume.record.name), bytes: None };
    let rows: Vec<VolumeRow<'_>> = volumes.iter().map(row).collect();
    output::print(format.text(&rows)?.as_bytes())?;
    Ok(ExitCode::Success)
}

fn parse(text: &str) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    Ok(match key {
        "dangling" => {
            let wanted = truth(value);
            let wanted =
                wanted.with_context(|| format!("invalid filter {text:?}: dangling is true or false"))?;
            Filter::Dangling(wanted)
        }
        "driver" => Filter::Driver(value.to_owned()),
        "label" => Filter::Label(Label::parse(value)),
        "name" => Filter::Name(value.to_owned()),
        other => bail!("invalid filter {other:?}: one of dangling, driver, label, name"),
    })
}

/// All keys must agree, and of a key one value; of labels all.
fn passes(filters: &[Filter], volume: &Volume, users: &Users) -> bool {
    let agrees = |filter: &Filter| match filter {
        Filter::Dangling(dangling) => users.has(&volume.record.name) != *dangling,
        Filter::Driver(driver) => driver == "local",
        Filter::Label(label) => label.is_among(|key| volume.label(key)),
        Filter::Name(part) => volume.record.name.contains(part.as_str()),
    };
    agree(filters, |filter| matches!(filter, Filter::Label(_)), agrees)
}
