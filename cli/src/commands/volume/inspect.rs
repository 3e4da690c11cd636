//! `mini volume inspect`: everything that is known of a volume, under docker's field names.

use anyhow::Result;
use serde_json::{Value, json};

use crate::clock;
use crate::commands::Failures;
use crate::commands::objects::print;
use crate::exit_code::ExitCode;
use crate::output::format::OneFormat;
use crate::volume::{Store, Volume};

/// Print what is known of volumes, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini volume inspect data\n\nSee also: mini volume ls, mini inspect")]
pub(super) struct InspectArgs {
    /// json for an object a line, or a TEMPLATE: '{{.Mountpoint}}'
    #[arg(short, long, value_name = "FORM")]
    format: Option<String>,
    /// The volumes
    #[arg(required = true)]
    volumes: Vec<String>,
}

/// Each that is there; the others are told.
pub(super) fn inspect(store: &Store, args: &InspectArgs) -> Result<ExitCode> {
    let format = args.format.as_deref().map(OneFormat::new).transpose()?;
    let mut failures = Failures::default();
    let mut found = Vec::new();
    for name in &args.volumes {
        match store.find(name) {
            Ok(volume) => found.push(shown(&volume)),
            Err(error) => failures.add(&error),
        }
    }
    print(&found, format.as_ref())?;
    Ok(failures.code())
}

/// docker's description.
pub(crate) fn shown(volume: &Volume) -> Value {
    let record = &volume.record;
    let or_null = |map: &std::collections::BTreeMap<String, String>| match map.is_empty() {
        true => Value::Null,
        false => json!(map),
    };
    json!({
        "CreatedAt": clock::rfc3339(record.created),
        "Driver": "local",
        "Labels": or_null(&record.labels),
        "Mountpoint": volume.mount_point(),
        "Name": record.name,
        "Options": or_null(&record.options),
        "Scope": "local",
    })
}
