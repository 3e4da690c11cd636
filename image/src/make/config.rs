//! The configuration of a new image. PURE.

use serde_json::{Map, Value, json};

use super::About;
use crate::digest::Digest;
use crate::manifest::{ConfigError, diff_ids};
use crate::platform::Platform;

/// What docker keeps in a configuration that its parent's says of the parent alone.
const OF_THE_PARENT: [&str; 9] =
    ["author", "comment", "config", "container", "container_config", "created", "id", "parent", "parent_id"];

/// The configuration of an image that adds `layer` to another one, whose configuration is `parent`; without a layer it has the
/// same files.
///
/// # Errors
/// The parent's configuration makes no sense, or the new one does not.
pub(super) fn child(parent: &[u8], about: &About, layer: Option<Digest>) -> Result<Vec<u8>, ConfigError> {
    let mut all: Map<String, Value> = serde_json::from_slice(parent).map_err(ConfigError::Json)?;
    for name in OF_THE_PARENT {
        all.remove(name);
    }
    let layers = all.get("rootfs").and_then(|rootfs| rootfs["diff_ids"].as_array()).map_or(0, Vec::len);
    let mut history = all.remove("history").and_then(list).unwrap_or_default();
    // One without a history has one line a layer: readers count the two against each other.
    let told = history.iter().filter(|line| line["empty_layer"] != true).count();
    history.extend((told..layers).map(|_| json!({})));
    let mut line = json!({ "created": about.created, "created_by": about.created_by });
    set(&mut line, about, layer.is_none());
    history.push(line);
    let mut all = Value::Object(all);
    all["history"] = history.into();
    if let (Some(layer), Some(diff_ids)) = (layer, all["rootfs"]["diff_ids"].as_array_mut()) {
        diff_ids.push(json!(layer));
    }
    finish(all, about)
}

/// The configuration of an image that has no parent.
///
/// # Errors
/// It makes no sense: what it says of itself is no configuration.
pub(super) fn orphan(platform: &Platform, about: &About, layer: Digest) -> Result<Vec<u8>, ConfigError> {
    let mut line = json!({ "created": about.created });
    set(&mut line, about, false);
    let mut all = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "history": [line],
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    });
    if let Some(variant) = &platform.variant {
        all["variant"] = variant.as_str().into();
    }
    finish(all, about)
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

/// What a line of the history says only where there is something to say.
fn set(line: &mut Value, about: &About, is_empty: bool) {
    for (name, text) in [("author", &about.author), ("comment", &about.comment)] {
        if !text.is_empty() {
            line[name] = text.as_str().into();
        }
    }
    if is_empty {
        line["empty_layer"] = true.into();
    }
}

fn finish(mut all: Value, about: &About) -> Result<Vec<u8>, ConfigError> {
    for (name, text) in [("author", &about.author), ("comment", &about.comment)] {
        if !text.is_empty() {
            all[name] = text.as_str().into();
        }
    }
    all["created"] = about.created.as_str().into();
    all["config"] = about.config.clone();
    if let Some((id, config)) = &about.container {
        all["container"] = id.as_str().into();
        all["container_config"] = config.clone();
    }
    let layers = all["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    let json = all.to_string().into_bytes();
    // Whoever looks the image up reads it so.
    diff_ids(&json, layers)?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            config: json!({ "Cmd": ["sh"] }),
            created: "2026-01-02T03:04:05Z".to_owned(),
            created_by: "sh -c x".to_owned(),
            author: "me".to_owned(),
            comment: "why".to_owned(),
            container: Some(("c".to_owned(), json!({ "Cmd": ["x"] }))),
        }
    }

    fn read(json: &[u8]) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn a_child_has_its_parents_past_and_its_own_words() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let parent = json!({
            "architecture": "arm64", "variant": "v8", "os": "linux", "author": "they", "parent": "x", "config": { "Env": ["A=1"] },
            "created": "2000-01-01T00:00:00Z", "surprise": 7,
            "history": [{ "created_by": "a" }, { "created_by": "b", "empty_layer": true }],
            "rootfs": { "type": "layers", "diff_ids": [old] },
        });
        let child_of = |layer| read(&child(parent.to_string().as_bytes(), &about(), layer).unwrap());
        let made = child_of(Some(new));
        assert_eq!(made["rootfs"]["diff_ids"], json!([old, new]));
        assert_eq!(
            made["history"][2],
            json!({ "created": "2026-01-02T03:04:05Z", "created_by": "sh -c x", "author": "me", "comment": "why" })
        );
        assert_eq!(
            (&made["architecture"], &made["variant"], &made["surprise"], made.get("parent")),
            (&json!("arm64"), &json!("v8"), &json!(7), None)
        );
        assert_eq!(
            (&made["author"], &made["config"], &made["container_config"]),
            (&json!("me"), &json!({ "Cmd": ["sh"] }), &json!({ "Cmd": ["x"] }))
        );
        let same = child_of(None);
        assert_eq!(same["rootfs"]["diff_ids"], json!([old]));
        assert_eq!(same["history"][2]["empty_layer"], true);
    }

    #[test]
    fn a_parent_without_a_past_gets_one_line_a_layer() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let parent = json!({ "architecture": "amd64", "os": "linux", "history": null, "rootfs": { "type": "layers", "diff_ids": [old] } });
        let made = read(&child(parent.to_string().as_bytes(), &about(), Some(new)).unwrap());
        assert_eq!((made["history"].as_array().unwrap().len(), &made["history"][0]), (2, &json!({})));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let layer = Digest::of(b"x");
        let platform = Platform::new("linux", "arm", Some("v7"));
        let made = read(&orphan(&platform, &about(), layer).unwrap());
        assert_eq!((&made["variant"], &made["rootfs"]["diff_ids"]), (&json!("v7"), &json!([layer])));
        assert!(orphan(&Platform::new("windows", "amd64", None), &about(), layer).is_err());
        assert!(orphan(&platform, &About { config: json!({ "Cmd": 7 }), ..about() }, layer).is_err());
    }
}
