//! An image under docker's field names.

use serde_json::{Value, json};

/// Everything that is known of an image.
pub(super) fn image(image: &image::Image) -> Value {
    let config = &image.config;
    json!({
        "Id": image.id.to_string(),
        "RepoTags": image.tags.iter().map(image::Reference::familiar).collect::<Vec<_>>(),
        "RepoDigests": image.pinned.iter().map(image::Reference::familiar).collect::<Vec<_>>(),
        "Created": config.created(),
        "Author": config.author().clone().unwrap_or_default(),
        "Architecture": config.architecture(),
        "Variant": config.variant(),
        "Os": config.os(),
        "Size": image.size,
        "Config": config.config(),
        "RootFS": { "Type": "layers", "Layers": config.rootfs().diff_ids() },
    })
}
