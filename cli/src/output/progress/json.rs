//! Progress for programs: a line of JSON for each step, with the keys of docker's API (`jsonmessage`). PURE.

use image::LayerState;
use serde_json::{Value, json};

/// Bytes of a layer that are not worth a line: a hundredth of it, or this many.
const STEP: u64 = 1 << 20;

/// Whether it is worth a line that so many bytes of `total` are done, where `told` were when it was told last. PURE.
pub(super) fn is_worth(done: u64, told: Option<u64>, total: u64) -> bool {
    told.is_none_or(|told| done >= total || done.saturating_sub(told) >= STEP.max(total / 100))
}

/// A line about one layer; `size` is its size in bytes. PURE.
pub(super) fn line(id: &str, size: u64, status: &str, state: LayerState<'_>) -> Value {
    let detail = match super::bytes(state) {
        Some(done) => json!({ "current": done, "total": size }),
        None => json!({}),
    };
    json!({ "status": status, "progressDetail": detail, "id": id })
}

/// A line that has no bytes to count: about a layer, or about the whole. PURE.
pub(super) fn message(id: Option<&String>, status: &str) -> Value {
    match id {
        Some(id) => json!({ "status": status, "progressDetail": {}, "id": id }),
        None => json!({ "status": status }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_a_layer_is() {
        let downloading = line("abc", 9, "Downloading", LayerState::Downloading { done: 3 });
        let expected =
            json!({"status": "Downloading", "progressDetail": {"current": 3, "total": 9}, "id": "abc"});
        assert_eq!(downloading, expected);
        let pushed = line("abc", 9, "Pushed", LayerState::Pushed);
        assert_eq!(pushed, json!({"status": "Pushed", "progressDetail": {}, "id": "abc"}));
    }

    #[test]
    fn small_steps_are_not_told() {
        for (done, told, total, expected) in [
            (0, None, 100 << 20, true),
            (1000, Some(0), 100 << 20, false),
            (1 << 20, Some(0), 100 << 20, true),
            (1 << 20, Some(0), 1000 << 20, false),
            (10 << 20, Some(0), 1000 << 20, true),
            (500, Some(0), 500, true),
        ] {
            assert_eq!(is_worth(done, told, total), expected, "{done} {told:?} {total}");
        }
    }
}
