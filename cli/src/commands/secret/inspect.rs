//! `mini secret inspect`: what a secret is called, and only where that is asked for what it says.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::clock;
use crate::commands::Failures;
use crate::commands::objects::print;
use crate::exit_code::ExitCode;
use crate::output::format::OneFormat;
use crate::secret::{Record, Store};

/// Print what is known of secrets, as JSON
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini secret inspect password\n  mini secret inspect --showsecret password\n\nSee also: mini secret ls"
)]
pub(super) struct InspectArgs {
    /// Print also what they say
    #[arg(long)]
    showsecret: bool,
    /// json for an object a line, or a TEMPLATE: '{{.Spec.Name}}'
    #[arg(short, long, value_name = "FORM")]
    format: Option<String>,
    /// The secrets
    #[arg(required = true)]
    secrets: Vec<String>,
}

/// Each that is there; the others are told.
pub(super) fn inspect(store: &Store, args: &InspectArgs) -> Result<ExitCode> {
    let format = args.format.as_deref().map(OneFormat::new).transpose()?;
    let mut failures = Failures::default();
    let mut found = Vec::new();
    for word in &args.secrets {
        match look(store, word, args.showsecret) {
            Ok(value) => found.push(value),
            Err(error) => failures.add(&error),
        }
    }
    print(&found, format.as_ref())?;
    Ok(failures.code())
}

fn look(store: &Store, word: &str, show: bool) -> Result<Value> {
    let record = store.find(word)?;
    let mut value = shown(&record);
    if show {
        let data = String::from_utf8(store.read(&record.name)?);
        value["SecretData"] = json!(data.ok().with_context(|| format!("secret {word} is no text"))?);
    }
    Ok(value)
}

fn shown(record: &Record) -> Value {
    let made = clock::rfc3339_nano(record.created);
    json!({
        "ID": record.id,
        "CreatedAt": made,
        "UpdatedAt": made,
        "Spec": { "Name": record.name, "Labels": record.labels, "Driver": { "Name": "file" } },
    })
}
