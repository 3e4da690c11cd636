//! What commands that were killed have left of secrets.

use anyhow::Result;
use runtime::op::step;
use runtime::state::State;
use runtime::sys;

use super::Store;

/// Finds it, and removes it where `repair` is given; a sentence each.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn check(state: &State, repair: bool) -> Result<Vec<String>> {
    let store = Store::new(state.root());
    let mut found = Vec::new();
    if !store.root.is_dir() {
        return Ok(found);
    }
    step("Look for what is left of secrets");
    // Whoever makes or removes one holds this: what is half made now was left.
    let _alone = store.lock()?;
    for name in store.names() {
        let path = store.root.join(&name);
        let is_left = name.starts_with(".new.") || name.starts_with(".gone.");
        if is_left || !name.starts_with('.') && !path.join("secret.json").exists() {
            if repair {
                sys::removal::remove_tree(&path)?;
            }
            found.push(format!("{}: left by a command that was killed", path.display()));
        }
    }
    Ok(found)
}
