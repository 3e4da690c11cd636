//! Which image of an archive was made of which: docker says so in `manifest.json`. PURE.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::plan::ImagePlan;
use crate::digest::Digest;

/// What must begin as the parent's does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Past {
    #[serde(default)]
    history: Option<Vec<Value>>,
}

/// The images without the parents that are none: an image has its parent's layers and steps, and more steps than those; so no
/// image is its own ancestor.
pub(super) fn checked(mut images: Vec<ImagePlan>) -> Vec<ImagePlan> {
    let past = |image: &ImagePlan| {
        let past = serde_json::from_slice::<Past>(&image.config).ok();
        (past.and_then(|past| past.history).unwrap_or_default(), image.diff_ids.clone())
    };
    let pasts: HashMap<Digest, (Vec<Value>, Vec<Digest>)> =
        images.iter().map(|image| (Digest::of(&image.config), past(image))).collect();
    for image in &mut images {
        let id = Digest::of(&image.config);
        image.parent = image.parent.filter(|parent| {
            let Some(((steps, layers), (old_steps, old_layers))) = pasts.get(&id).zip(pasts.get(parent))
            else {
                return false;
            };
            steps.len() > old_steps.len() && steps.starts_with(old_steps) && layers.starts_with(old_layers)
        });
    }
    images
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(steps: &[&str], layers: &[&str], parent: Option<Digest>) -> ImagePlan {
        let steps: Vec<Value> = steps.iter().map(|step| json!({ "created_by": step })).collect();
        ImagePlan {
            config: json!({ "history": steps }).to_string().into_bytes(),
            diff_ids: layers.iter().map(|layer| Digest::of(layer.as_bytes())).collect(),
            layers: Vec::new(),
            manifest: None,
            names: Vec::new(),
            parent,
        }
    }

    #[test]
    fn a_parent_has_the_beginning_of_its_child() {
        let id = |image: &ImagePlan| Digest::of(&image.config);
        let base = image(&["a"], &["1"], None);
        let parent = Some(id(&base));
        for (child, expected) in [
            (image(&["a", "b"], &["1", "2"], parent), parent),
            (image(&["a", "b"], &["1"], parent), parent),
            (image(&["b", "a"], &["1", "2"], parent), None),
            (image(&["a", "b"], &["2"], parent), None),
            (image(&["a", "b"], &["1"], Some(Digest::of(b"elsewhere"))), None),
        ] {
            assert_eq!(checked(vec![base.clone(), child])[1].parent, expected);
        }
        // Alike but for what they say of themselves: each could be the other's parent, if one step more were not asked for.
        let other = json!({ "history": [{ "created_by": "a" }], "author": "somebody else" });
        let two = ImagePlan { config: other.to_string().into_bytes(), ..image(&["a"], &["1"], None) };
        let one = image(&["a"], &["1"], None);
        let (first, second) = (id(&one), id(&two));
        let circle =
            vec![ImagePlan { parent: Some(second), ..one }, ImagePlan { parent: Some(first), ..two }];
        assert!(checked(circle).iter().all(|image| image.parent.is_none()));
    }
}
