//! An image under docker's field names.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::own_root;

/// Everything that is known of an image.
///
/// # Errors
/// Where its configuration cannot be read.
pub(super) fn image(store: &image::Store, image: &image::Image) -> Result<Value> {
    // The configuration as it came: docker's has more in it than OCI's.
    let json = store.config_json(image.id).with_context(|| format!("cannot read the image {}", image.id))?;
    let mut config: Value = serde_json::from_slice(&json).context("damaged configuration of the image")?;
    let familiar =
        |names: &[image::Reference]| names.iter().map(image::Reference::familiar).collect::<Vec<_>>();
    let mut text =
        |name: &str| config.get_mut(name).map(Value::take).filter(Value::is_string).unwrap_or("".into());
    let mut all = json!({
        "Id": image.id.to_string(),
        "RepoTags": familiar(&image.tags),
        "RepoDigests": familiar(&image.pinned),
        "Parent": image.parent.map(|id| id.to_string()).unwrap_or_default(),
        "Comment": text("comment"),
        "Created": text("created"),
        "DockerVersion": text("docker_version"),
        "Author": text("author"),
        "Architecture": text("architecture"),
        "Os": text("os"),
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": { "Name": own_root::driver(store.keeping() == image::Keeping::Copied), "Data": layers(image) },
        "Config": config.get_mut("config").map(Value::take),
        "RootFS": { "Type": "layers", "Layers": image.config.rootfs().diff_ids() },
    });
    let more = [
        ("Variant", "variant"),
        ("OsVersion", "os.version"),
        ("Container", "container"),
        ("ContainerConfig", "container_config"),
    ];
    for (field, name) in more {
        if let Some(value) = config.get_mut(name) {
            all[field] = value.take();
        }
    }
    Ok(all)
}

/// As overlay stacks them.
fn layers(image: &image::Image) -> Value {
    let Some((top, below)) = image.layers.split_first() else { return json!({}) };
    let below: Vec<String> = below.iter().map(|layer| layer.display().to_string()).collect();
    let mut data = json!({ "UpperDir": top });
    if !below.is_empty() {
        data["LowerDir"] = below.join(":").into();
    }
    data
}
