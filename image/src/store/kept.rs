//! Images that were removed while a container that does not run needs their files: docker's rule is that the image goes and what the
//! container stands on stays.
//!
//! Such an image has no entry in the index, so that nobody finds it, and a mark `kept/<id>`, which keeps its record, layers and blobs
//! from being garbage. The mark holds the entries that the image had in the index, but for its tags, in the form of an index: what a
//! check needs to make the image's parts anew, or to fetch them again. Marks that nobody needs any more go under the store's exclusive
//! lock, by whoever removes the container or another image: a mark too many keeps files for a while, one too few would take them away
//! from a container.

use super::audit::{is_temporary, stray_note};
use super::check::{Fault, Finding, Problem};
use super::index::{Index, IndexEntry};
use super::lock::Hold;
use super::removal::Use;
use super::{Image, KEPT, ResolveError, Store, StoreError};
use crate::digest::Digest;

impl Store {
    /// The image of a container, by its id, though it may have been removed since. Hold a pin as long as its files are relied on.
    ///
    /// # Errors
    /// It is not here, or its record cannot be read.
    pub fn image_of_container(&self, id: &str) -> Result<Image, ResolveError> {
        let kept = || id.parse().ok().filter(|id| self.is_kept(*id).unwrap_or(false));
        match self.resolve(id) {
            Err(ResolveError::NotFound(name)) => {
                Ok(self.image_named(kept().ok_or(ResolveError::NotFound(name))?, Vec::new())?)
            }
            found => found,
        }
    }

    /// A container has gone: images that were kept for it alone go too. `in_use` tells who uses the image of an id.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn let_go(&self, in_use: &dyn Fn(&Digest) -> Option<Use>) -> Result<(), StoreError> {
        if self.kept()?.is_empty() {
            return Ok(());
        }
        {
            let _lock = self.lock(Hold::Exclusive)?;
            self.forget_kept(&self.index()?, in_use)?;
        }
        self.sweep().map(drop)
    }

    /// The images that are kept so.
    pub(super) fn kept(&self) -> Result<Vec<Digest>, StoreError> {
        let Some(kept) = self.place().enter_if_there(KEPT)? else { return Ok(Vec::new()) };
        Ok(kept.names()?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    pub(super) fn is_kept(&self, id: Digest) -> Result<bool, StoreError> {
        Ok(self.place().has(&format!("{KEPT}/{}", id.hex()))?)
    }

    /// Whether it is kept, and no image of the index: not one whose removal was killed, or that is back.
    pub(super) fn is_kept_alone(&self, id: Digest) -> Result<bool, StoreError> {
        Ok(self.is_kept(id)? && !self.index()?.ids().contains(&id))
    }

    /// Before an image leaves `index` that somebody needs. The caller holds the exclusive lock.
    pub(super) fn keep(&self, index: &Index, id: Digest) -> Result<(), StoreError> {
        self.place().make_dir(KEPT, 0o700)?;
        Ok(self.place().enter(KEPT)?.write_whole(&id.hex(), &index.without_tags(id).to_json())?)
    }

    /// An image is in the index on disk again. The caller holds the exclusive lock.
    pub(super) fn keep_no_more(&self, id: Digest) -> Result<(), StoreError> {
        if self.is_kept(id)? {
            self.place().enter(KEPT)?.remove_file(&id.hex())?;
        }
        Ok(())
    }

    /// Takes away the marks of images that nobody uses, and of those that are back. The caller holds the exclusive lock, and has written
    /// the index.
    pub(super) fn forget_kept(
        &self,
        index: &Index,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<(), StoreError> {
        let here = index.ids();
        for id in self.kept()? {
            if here.contains(&id) || in_use(&id).is_none() {
                self.keep_no_more(id)?;
            }
        }
        Ok(())
    }

    /// The index, and in it the images that are kept.
    pub(super) fn index_and_kept(&self) -> Result<Index, StoreError> {
        let mut index = self.index()?;
        let kept = self.kept_entries(&index)?;
        index.entries.extend(kept);
        Ok(index)
    }

    /// All images whose parts somebody needs.
    pub(super) fn ids_and_kept(
        &self,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
    ) -> Result<Vec<Digest>, StoreError> {
        let here = self.index()?.ids();
        let mut ids = here.clone();
        ids.extend(self.kept()?.into_iter().filter(|id| !here.contains(id) && in_use(id).is_some()));
        Ok(ids)
    }

    /// What is known of the images that are kept and not in `index`. Where a mark cannot be read the record tells as much, but for where
    /// the image came from.
    pub(super) fn kept_entries(&self, index: &Index) -> Result<Vec<IndexEntry>, StoreError> {
        let here = index.ids();
        let mut entries = Vec::new();
        for id in self.kept()?.into_iter().filter(|id| !here.contains(id)) {
            match self.kept_index(id) {
                Ok(kept) => entries.extend(kept.entries.into_iter().filter(|entry| entry.id == id)),
                Err(error) => {
                    Fault::of(error)?;
                    entries.extend(self.entry_by_record(id));
                }
            }
        }
        Ok(entries)
    }

    fn kept_index(&self, id: Digest) -> Result<Index, StoreError> {
        let name = format!("{KEPT}/{}", id.hex());
        let damaged = |source| StoreError::Damaged { path: self.root().join(&name), source };
        Index::parse(&self.read(&name)?).map_err(damaged)
    }

    /// Looks at the marks: whether they can be read, and whether anybody needs them.
    pub(super) fn check_kept(
        &self,
        in_use: &dyn Fn(&Digest) -> Option<Use>,
        repair: bool,
    ) -> Result<Vec<Finding>, StoreError> {
        let Some(place) = self.place().enter_if_there(KEPT)? else { return Ok(Vec::new()) };
        // Whoever writes or removes a mark holds this lock alone.
        let _lock = self.lock(if repair { Hold::Exclusive } else { Hold::Shared })?;
        let here = self.index()?.ids();
        let mut findings = Vec::new();
        for name in place.names()? {
            let problem = match Digest::from_hex(&name) {
                Err(_) if is_temporary(&name) => Problem::Abandoned,
                Err(_) => Problem::Stray,
                Ok(id) if here.contains(&id) => Problem::Abandoned,
                Ok(id) if in_use(&id).is_none() => Problem::Unused,
                Ok(id) => match self.kept_index(id) {
                    Ok(_) => continue,
                    Err(error) => Problem::Mark(id, Fault::of(error)?),
                },
            };
            let (is_repaired, note) = match &problem {
                _ if !repair => (false, None),
                Problem::Stray => (false, Some(stray_note())),
                Problem::Mark(id, _) => self.mark_again(*id)?,
                _ => {
                    place.remove_file(&name)?;
                    (true, None)
                }
            };
            findings.push(Finding { path: [KEPT, &name].iter().collect(), problem, is_repaired, note });
        }
        Ok(findings)
    }

    /// Writes a mark of what the image's record says; whether that can be, and what is to be said of it.
    fn mark_again(&self, id: Digest) -> Result<(bool, Option<String>), StoreError> {
        let Some(entry) = self.entry_by_record(id) else {
            return Ok((false, Some("the image's record says nothing either".to_owned())));
        };
        let mut index = Index::default();
        index.entries.push(entry);
        self.keep(&index, id)?;
        Ok((true, Some("where the image came from is lost".to_owned())))
    }
}
