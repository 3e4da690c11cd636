//! Which tags a repository has, for `mini pull --all-tags`.

use super::{PullError, PullOptions, from_mirrors, registry_of};
use crate::op::step;
use crate::progress::Event;
use crate::reference::Reference;
use crate::registry::{Attempts, Registry, Retry};

/// All tags of a reference's repository, as the registry lists them, or the first mirror of it that has any. Blocks.
///
/// # Errors
/// The registry does not tell, or has none.
pub fn tags(
    repository: &Reference,
    options: &PullOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<Reference>, PullError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PullError::Runtime)?;
    let attempts = Attempts { max: options.attempts.max(1), wait: options.wait };
    let again = |retry: Retry<'_>| retry.tell(|retrying| progress(Event::Retrying(retrying)));
    let one = |registry: Registry| {
        step("Ask the registry which tags there are");
        let registry = runtime.block_on(registry.settle())?;
        let tags = runtime.block_on(attempts.run(|| registry.tags(), again))?;
        // A registry cannot have tags that are none; it lists them in their order, but for older ones, which do not.
        let mut tags: Vec<Reference> = tags.iter().filter_map(|tag| repository.tagged(tag)).collect();
        tags.sort();
        match tags.is_empty() {
            true => Err(PullError::NoTags(repository.familiar_name())),
            false => Ok(tags),
        }
    };
    match from_mirrors(repository, options, progress, &one) {
        Some(tags) => tags,
        None => one(registry_of(repository, options)?),
    }
}
