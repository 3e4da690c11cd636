//! What commands on volumes and secrets have alike: labels as flags and in lists, objects as JSON or as a template makes them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::output::{self, format::OneFormat};

/// `K=V`, or `K` for an empty value.
///
/// # Errors
/// One without a name.
pub(super) fn pairs(texts: &[String], flag: &str) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for text in texts {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        ensure!(!key.trim().is_empty(), "invalid --{flag} {text:?}: it has no name");
        all.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// `a=1,b=2`.
pub(super) fn joined(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Things, as docker indents them, or each as it was asked for.
///
/// # Errors
/// The template does not fit one of them.
pub(super) fn print(found: &[Value], format: Option<&OneFormat>) -> Result<()> {
    match format {
        Some(format) => found.iter().try_for_each(|value| output::print(format.text(value)?.as_bytes())),
        None => output::print_json(&found),
    }
}
