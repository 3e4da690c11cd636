//! Archives of before docker 1.10: `repositories`, and a directory a layer with its configuration as it was then. Others write
//! them beside the newer form to this day.
//!
//! ```text
//! repositories            {"NAME": {"TAG": "ID"}}
//! ID/json  ID/layer.tar   what the layer's image said about itself, with the id of the one below it; its files
//! ```
//!
//! As docker reads them (image/v1 of moby): the topmost `json` becomes the configuration, the others its history.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::AtomicU64;

use serde_json::{Map, Value, json};

use super::plan::{ImagePlan, LayerPlan, name};
use super::spool::{Extent, Spool};
use super::{LoadError, LoadOptions};
use crate::digest::{Digest, Hasher};
use crate::layer::blob::BlobReader;
use crate::layer::inflate::{Compression, Inflate};
use crate::limits::{LAYERS_MAX, Limits};
use crate::manifest::diff_ids;
use crate::op::step;
use crate::reference::Reference;

pub(super) const REPOSITORIES: &str = "repositories";
/// What a configuration of today has no place for.
const GONE: [&str; 6] = ["Size", "id", "layer_id", "parent", "parent_id", "throwaway"];

/// The images that `repositories` names, each once.
pub(super) fn images(
    spool: &Spool,
    repositories: &[u8],
    options: &LoadOptions,
) -> Result<Vec<ImagePlan>, LoadError> {
    step("Read an archive of the old form: compute what it does not say, the digest of each layer");
    let repositories: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(repositories)
        .map_err(|source| LoadError::Json { name: REPOSITORIES.to_owned(), source })?;
    let mut named: BTreeMap<&str, Vec<Reference>> = BTreeMap::new();
    for (repository, tags) in &repositories {
        for (tag, id) in tags {
            named.entry(id).or_default().push(name(&format!("{repository}:{tag}"))?);
        }
    }
    let mut known = BTreeMap::new();
    named.into_iter().map(|(id, names)| image(spool, id, names, &mut known, options)).collect()
}

fn image(
    spool: &Spool,
    id: &str,
    names: Vec<Reference>,
    known: &mut BTreeMap<String, LayerPlan>,
    options: &LoadOptions,
) -> Result<ImagePlan, LoadError> {
    let (mut layers, mut history) = (Vec::new(), Vec::new());
    let mut config = None;
    let mut next = Some(id.to_owned());
    while let Some(id) = next {
        if layers.len() == LAYERS_MAX {
            return Err(LoadError::TooDeep);
        }
        let said = said(spool, &id, options)?;
        let layer = match known.get(&id) {
            Some(layer) => *layer,
            None => layer(spool, &id, &options.limits)?,
        };
        layers.push(layer);
        known.insert(id, layer);
        history.push(line(&said));
        next = said.get("parent").and_then(Value::as_str).map(str::to_owned);
        config.get_or_insert(said);
    }
    layers.reverse();
    history.reverse();
    let mut config = config.expect("there is one layer at least");
    GONE.iter().for_each(|field| drop(config.remove(*field)));
    let own: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": own }));
    config.insert("history".to_owned(), history.into());
    let config = Value::Object(config).to_string().into_bytes();
    let diff_ids = diff_ids(&config, layers.len())?;
    Ok(ImagePlan { config, diff_ids, layers, manifest: None, names, parent: None })
}

/// What an image said about itself.
fn said(spool: &Spool, id: &str, options: &LoadOptions) -> Result<Map<String, Value>, LoadError> {
    let name = format!("{id}/json");
    let json = spool.read(&name, options.limits.config_bytes)?;
    let json = json.ok_or_else(|| LoadError::Missing(name.clone()))?;
    serde_json::from_slice(&json).map_err(|source| LoadError::Json { name, source })
}

/// A line of the history.
fn line(said: &Map<String, Value>) -> Value {
    let mut line = json!({});
    for field in ["author", "comment", "created"] {
        if let Some(text) = said.get(field).filter(|text| text.as_str().is_some_and(|text| !text.is_empty()))
        {
            line[field] = text.clone();
        }
    }
    let words = said.get("container_config").and_then(|config| config["Cmd"].as_array());
    let words = words.map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    if let Some(words) = words.filter(|words| !words.is_empty()) {
        line["created_by"] = words.into();
    }
    line
}

/// Where a layer lies, and its digest, which is computed.
fn layer(spool: &Spool, id: &str, limits: &Limits) -> Result<LayerPlan, LoadError> {
    let name = format!("{id}/layer.tar");
    let extent = spool.find(&name).ok_or(LoadError::Missing(name))?;
    let is_plain = spool.compression(extent)? == Compression::Plain;
    let diff_id = inflated_digest(spool, extent, limits)?;
    Ok(LayerPlan { diff_id, extent, blob: is_plain.then_some(diff_id) })
}

fn inflated_digest(spool: &Spool, extent: Extent, limits: &Limits) -> Result<Digest, LoadError> {
    let count = AtomicU64::new(0);
    let reader = BlobReader::new(spool.pieces(extent)?, None, &count);
    let mut inflate = Inflate::new(reader, limits.zstd_window_log).map_err(|refused| match refused {
        Ok(compression) => LoadError::Compression(compression),
        Err(error) => LoadError::Read(error),
    })?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 * 1024];
    let mut left = limits.layer_bytes;
    loop {
        match inflate.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                let rest = left.checked_sub(count as u64);
                left = rest.ok_or(LoadError::ArchiveTooLarge(limits.layer_bytes))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LoadError::Read(error)),
        }
    }
}
