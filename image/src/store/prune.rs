//! `mini image prune`: all images that are to go, at once.
//!
//! When an image was last used is the time of its record's file: it is written by a pull, and set by [`Store::used`].

use super::family::Family;
use super::image::Image;
use super::lock::Hold;
use super::partial::Interrupted;
use super::removal::{Removed, Use, beyond_one};
use super::usage::Usage;
use super::{Store, StoreError, record_name};
use crate::archive::Time;
use crate::digest::Digest;
use crate::op::step;

/// Which images are to go.
pub struct Prune<'a> {
    /// Whether one may go, and when it was last used, ns since 1970.
    pub goes: &'a dyn Fn(&Image, u64) -> bool,
    /// Whether a download may go that was cut short.
    pub interrupted: &'a dyn Fn(&Interrupted) -> bool,
    /// Tells who uses the image of an id: asked under the lock, so that one which is being made is seen.
    pub in_use: &'a dyn Fn(&Digest) -> Option<Use>,
    /// Bytes of layers that may stay: those go that were not used for the longest time, until the rest takes no more.
    pub keep: Option<u64>,
    /// Nothing is removed: what would be is told.
    pub dry_run: bool,
}

/// What a prune took away.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Names and images, in docker's order: of each image its names first.
    pub removed: Vec<Removed>,
    /// Downloads that were cut short.
    pub interrupted: Vec<Interrupted>,
    /// Bytes of the layers that no image has any more, and of those downloads.
    pub bytes: u64,
}

/// What a prune does to which image.
#[derive(Default)]
struct Chosen {
    /// They go.
    all: Vec<Digest>,
    /// Others were made of them: they lose their names.
    parents: Vec<Digest>,
    /// Somebody uses them: they keep one.
    used: Vec<Digest>,
}

impl Store {
    /// Removes every image that may go and nobody uses, with all its names. One of which another was made that stays loses its names
    /// alone, one that somebody uses all but one, as docker has it. And of the downloads that nobody is at those go that may.
    ///
    /// # Errors
    /// The store cannot be read or written. Either all of the images are gone, or none.
    pub fn prune(&self, prune: &Prune<'_>) -> Result<Pruned, StoreError> {
        let mut pruned = self.prune_images(prune)?;
        pruned.interrupted = self.interrupted_that(prune.interrupted, !prune.dry_run)?;
        pruned.bytes += pruned.interrupted.iter().map(|one| one.bytes).sum::<u64>();
        if !prune.dry_run {
            self.sweep()?;
        }
        Ok(pruned)
    }

    fn prune_images(&self, prune: &Prune<'_>) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let _lock = self.lock(if prune.dry_run { Hold::Shared } else { Hold::Exclusive })?;
        let mut index = self.index()?;
        let usage = self.usage_of(&index)?;
        let Chosen { all, parents, used } = self.chosen(&usage, prune)?;
        let names = |id| index.names_of(id).into_iter().cloned().collect::<Vec<_>>();
        let mut unnamed: Vec<_> = parents.into_iter().flat_map(names).collect();
        unnamed.extend(used.into_iter().flat_map(|id| beyond_one(names(id))));
        if all.is_empty() && unnamed.is_empty() {
            if !prune.dry_run {
                self.forget_kept(&index, prune.in_use)?;
            }
            return Ok(pruned);
        }
        pruned.bytes = usage.only_of(&|id| all.contains(&id));
        if !prune.dry_run {
            step("Let go of the images that nobody uses");
        }
        for name in unnamed {
            index.remove_name(&name);
            pruned.removed.push(Removed::Untagged(name.familiar()));
        }
        for id in all {
            let chains = self.chains_only_of(&index, id)?;
            let names = index.names_of(id).into_iter();
            pruned.removed.extend(names.map(|name| Removed::Untagged(name.familiar())));
            pruned.removed.push(Removed::Deleted(id));
            pruned.removed.extend(chains.into_iter().map(Removed::Deleted));
            index.remove_image(id);
        }
        if !prune.dry_run {
            self.write_index(&index)?;
            self.forget_kept(&index, prune.in_use)?;
        }
        Ok(pruned)
    }

    /// In the order in which they came; with a limit the least recently used first, and no others.
    fn chosen(&self, usage: &Usage, prune: &Prune<'_>) -> Result<Chosen, StoreError> {
        let (mut all, mut in_use) = (Vec::new(), Vec::new());
        for image in &usage.images {
            let used = self.last_used(image.id)?;
            if (prune.goes)(image, used) {
                match (prune.in_use)(&image.id) {
                    None => all.push((used, image.id)),
                    Some(_) => in_use.push(image.id),
                }
            }
        }
        if prune.keep.is_some() {
            all.sort_by_key(|(used, _)| *used);
        }
        let family = Family::new(usage.images.iter().map(|image| (image.id, image.parent)));
        let (order, parents) = family.in_order(all.into_iter().map(|(_, id)| id).collect());
        Ok(match prune.keep {
            Some(keep) => {
                let all = usage.until_no_more_than(keep, order.into_iter());
                Chosen { all, ..Chosen::default() }
            }
            None => Chosen { all: order, parents, used: in_use },
        })
    }

    /// When an image was last pulled or loaded, or a container of it last ran, ns since 1970; the beginning of time for one that has
    /// lost its record.
    ///
    /// # Errors
    /// The record cannot be looked at.
    pub fn last_used(&self, id: Digest) -> Result<u64, StoreError> {
        let name = record_name(id);
        let path = || self.root().join(&name);
        let time =
            self.place().modified(&name).map_err(|source| StoreError::Read { path: path(), source })?;
        Ok(time.map_or(0, |time| {
            let seconds = u64::try_from(time.seconds).unwrap_or(0);
            seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into())
        }))
    }

    /// Somebody has used an image at that time, ns since 1970. One that is not here is nobody's business.
    ///
    /// # Errors
    /// The record cannot be looked at or changed.
    pub fn used(&self, id: Digest, when: u64) -> Result<(), StoreError> {
        let before = self.last_used(id)?;
        if before == 0 || before >= when {
            return Ok(());
        }
        let seconds = i64::try_from(when / 1_000_000_000).unwrap_or(i64::MAX);
        let nanos = u32::try_from(when % 1_000_000_000).expect("a remainder below 2³²");
        Ok(self.place().set_time(&record_name(id), Time { seconds, nanos })?)
    }
}
