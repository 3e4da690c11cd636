//! `mini secret ls`: which secrets there are.

use anyhow::{Result, bail};
use serde_json::Value as Json;

use crate::clock;
use crate::commands::filter::{Label, key_value};
use crate::commands::objects::joined;
use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format::{Format, FormatArg, Row};
use crate::secret::{Record, Store};

/// List secrets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini secret ls\n  mini secret ls --format '{{.Name}} {{.CreatedAt}}'\n\nPlaceholders: .ID .Name .Driver .CreatedAt .UpdatedAt .Labels, {{.Label \"KEY\"}}\n\nSee also: mini secret create, mini secret inspect"
)]
pub(super) struct LsArgs {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only those that are so: id=BEGINNING, name=BEGINNING, label=NAME[=VALUE]
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// What a secret must be like to be listed.
enum Filter {
    Id(String),
    Name(String),
    Label(Label),
}

/// A secret as it is listed.
struct SecretRow {
    secret: Record,
    /// ns since 1970.
    now: u64,
}

impl Row for SecretRow {
    const KIND: &'static str = "secret";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("CreatedAt", "CREATED"),
        ("Driver", "DRIVER"),
        ("ID", "ID"),
        ("Labels", "LABELS"),
        ("Name", "NAME"),
        ("UpdatedAt", "UPDATED"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        let Record { id, name: called, labels, created, .. } = &self.secret;
        Some(match name {
            // A secret never changes: another one takes its place.
            "CreatedAt" | "UpdatedAt" => {
                format!("{} ago", clock::human(self.now.saturating_sub(*created))).into()
            }
            "Driver" => "file".into(),
            "ID" => id.clone().into(),
            "Labels" => joined(labels).into(),
            "Name" => called.clone().into(),
            _ => return None,
        })
    }

    fn label(&self, key: &str) -> Option<String> {
        Some(self.secret.labels.get(key).cloned().unwrap_or_default())
    }
}

/// Asks, prints.
pub(super) fn ls(store: &Store, args: &LsArgs) -> Result<ExitCode> {
    let columns = ["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"];
    let asked = Format::new::<SecretRow>(args.format.asked(), &columns)?;
    let format = if args.quiet { Format::only("ID") } else { asked };
    let filters = args.filter.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    let mut secrets = store.list()?;
    secrets.retain(|secret| filters.iter().all(|filter| filter.pass(secret)));
    let now = clock::now();
    let rows: Vec<SecretRow> = secrets.into_iter().map(|secret| SecretRow { secret, now }).collect();
    output::print(format.text(&rows)?.as_bytes())?;
    Ok(ExitCode::Success)
}

fn parse(text: &str) -> Result<Filter> {
    let (key, value) = key_value(text)?;
    Ok(match key {
        "id" => Filter::Id(value.to_owned()),
        "name" => Filter::Name(value.to_owned()),
        "label" => Filter::Label(Label::parse(value)),
        other => bail!("invalid filter {other:?}: one of id, name, label"),
    })
}

impl Filter {
    fn pass(&self, secret: &Record) -> bool {
        match self {
            Filter::Id(beginning) => secret.id.starts_with(beginning.as_str()),
            Filter::Name(beginning) => secret.name.starts_with(beginning.as_str()),
            Filter::Label(label) => label.is_among(|key| secret.labels.get(key).map(String::as_str)),
        }
    }
}
