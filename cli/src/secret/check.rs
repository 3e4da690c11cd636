//! What commands that were killed have left of secrets.

use anyhow::Result;
use runtime::op::step;
use runtime::state::State;

use super::{Record, Store};

/// Finds it, and removes it where `repair` is given; a sentence each.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn check(state: &State, repair: bool) -> Result<Vec<String>> {
    let store = Store::new(state.root());
    if !store.0.is_there() {
        return Ok(Vec::new());
    }
    step("Look for what is left of secrets");
    let _alone = store.0.lock()?;
    store.0.check::<Record>(repair)
}
