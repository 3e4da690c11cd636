//! What commands that were killed have left of volumes.

use anyhow::Result;
use runtime::op::step;
use runtime::state::State;

use super::users::Users;
use super::{Record, Store};

/// Finds it, and removes it where `repair` is given; a sentence each.
///
/// # Errors
/// What the kernel answered; a record that this mini cannot read.
pub(crate) fn check(state: &State, repair: bool) -> Result<Vec<String>> {
    let store = Store::new(state.root());
    if !store.0.is_there() {
        return Ok(Vec::new());
    }
    step("Look for what is left of volumes");
    let alone = store.lock()?;
    let mut found = store.0.check::<Record>(repair)?;
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
