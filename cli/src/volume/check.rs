//! What commands that were killed have left of volumes.

use anyhow::Result;
use runtime::op::step;
use runtime::state::State;
use runtime::sys;

use super::Store;
use super::users::Users;

/// Finds it, and removes it where `repair` is given; a sentence each.
///
/// # Errors
/// What the kernel answered; a record that this mini cannot read.
pub(crate) fn check(state: &State, repair: bool) -> Result<Vec<String>> {
    let store = Store::new(state.root());
    let mut found = Vec::new();
    if !store.root.is_dir() {
        return Ok(found);
    }
    step("Look for what is left of volumes");
    // Whoever makes or removes one holds this: what is half made now was left.
    let alone = store.lock()?;
    for name in store.names() {
        let path = store.root.join(&name);
        let is_left = name.starts_with(".new.") || name.starts_with(".gone.");
        if is_left || !name.starts_with('.') && !path.join("volume.json").exists() {
            if repair {
                sys::removal::remove_tree(&path)?;
            }
            found.push(format!("{}: left by a command that was killed", path.display()));
        }
    }
    let users = Users::of(state)?;
    let volumes = store.list()?;
    drop(alone);
    for volume in volumes.iter().filter(|volume| volume.is_half()) {
        // Who holds it copies right now.
        let Some(_lock) = volume.try_lock()? else { continue };
        // The next start of a container that wants it copies it again.
        if !volume.is_half() || users.fills(&volume.record.name) {
            continue;
        }
        if repair {
            volume.give_up(users.has(&volume.record.name))?;
        }
        found.push(format!("volume {}: its first content was copied half", volume.record.name));
    }
    Ok(found)
}
