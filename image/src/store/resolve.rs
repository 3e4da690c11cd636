//! From what the user typed to an image of the store.

use super::index::{FoundBy, Index, NotFound};
use super::{Image, Store, StoreError};
use crate::digest::Digest;
use crate::reference::{Reference, ReferenceError};

/// Why a name leads to no image of the store.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The store has no such image.
    #[error("no such image: {0}")]
    NotFound(String),
    /// Several images' ids begin like this.
    #[error("{prefix:?} is the beginning of several image ids: {}", list(ids))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The ids that begin with it.
        ids: Vec<Digest>,
    },
    /// The text is no name at all.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Finds an image by name (`busybox`, `host/app:1`, `app@sha256:…`), by id, or by the unique beginning of
    /// an id, with docker's precedence: a full id, then a name, then the beginning of an id.
    ///
    /// # Errors
    /// There is none, several ids begin so, or `name` is no reference.
    pub fn resolve(&self, name: &str) -> Result<Image, ResolveError> {
        self.find(name).map(|(image, _)| image)
    }

    /// The names of all images as they are now, for who looks many of them up: one file is read, once.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn names(&self) -> Result<Names, StoreError> {
        self.index().map(Names)
    }

    pub(crate) fn find(&self, name: &str) -> Result<(Image, FoundBy), ResolveError> {
        // An image may be removed between the reading of two files: then the index says so now.
        let mut last_missing = None;
        loop {
            let index = self.index_for(name)?;
            let (id, by) = locate(&index, name)?;
            match self.image(&index, id) {
                Err(StoreError::Missing { path }) if last_missing != Some(id) => {
                    drop(path);
                    last_missing = Some(id);
                }
                image => return Ok((image?, by)),
            }
        }
    }
}

/// Which image has which name, at one moment.
#[derive(Debug)]
pub struct Names(Index);

impl Names {
    /// The id of the image that a name, an id or the unique beginning of one leads to.
    pub fn id_of(&self, name: &str) -> Option<Digest> {
        locate(&self.0, name).ok().map(|(id, _)| id)
    }

    /// Every name as docker prints it (`busybox:latest`), with the image that has it.
    pub fn all(&self) -> impl Iterator<Item = (String, Digest)> {
        self.0.entries.iter().filter_map(|entry| Some((entry.name.as_ref()?.familiar(), entry.id)))
    }

    /// Every image, with a name or without.
    pub fn ids(&self) -> Vec<Digest> {
        self.0.ids()
    }
}

pub(crate) fn locate(index: &Index, name: &str) -> Result<(Digest, FoundBy), ResolveError> {
    let reference = name.parse::<Reference>();
    match index.find(name, reference.as_ref().ok()) {
        Ok(found) => Ok(found),
        Err(NotFound::Ambiguous(ids)) => Err(ResolveError::Ambiguous { prefix: name.to_owned(), ids }),
        Err(NotFound::Missing) => Err(match reference {
            Ok(reference) => ResolveError::NotFound(reference.with_default_tag().familiar()),
            Err(ReferenceError::Identifier(id)) => ResolveError::NotFound(id),
            Err(error) => error.into(),
        }),
    }
}

fn list(ids: &[Digest]) -> String {
    ids.iter().map(|id| id.hex()[..12].to_owned()).collect::<Vec<_>>().join(", ")
}
