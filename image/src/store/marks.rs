//! What a check found damaged and could not mend yet: a file in `damaged/` for each part, named after it.
//!
//! A marked part is relied on by nobody: a pull or load that needs it makes it anew, whatever lies there, and takes the mark away
//! once the disk has the new one. Without a mark a later pull would see that the image is there, and do nothing.

use super::{DAMAGED, Store, StoreError};

impl Store {
    /// Whether a part is damaged, by its path from the store's root: `layers/…`, `chains/…`, `blobs/sha256/…`, `images/….json`.
    pub(crate) fn is_marked(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.place().has(&format!("{DAMAGED}/{}", mark_of(path)))?)
    }

    /// Whether anything is.
    pub(crate) fn has_marks(&self) -> Result<bool, StoreError> {
        let Some(marks) = self.place().enter_if_there(DAMAGED)? else { return Ok(false) };
        Ok(!marks.names()?.is_empty())
    }

    pub(super) fn mark(&self, path: &str) -> Result<(), StoreError> {
        self.place().make_dir(DAMAGED, 0o700)?;
        Ok(self.place().enter(DAMAGED)?.write_whole(&mark_of(path), b"")?)
    }

    /// The part is whole, and on disk.
    pub(crate) fn unmark(&self, path: &str) -> Result<(), StoreError> {
        if self.is_marked(path)? {
            self.place().enter(DAMAGED)?.remove_file(&mark_of(path))?;
        }
        Ok(())
    }

    /// The same for what was just made, which first has to get there.
    pub(super) fn unmark_new(&self, path: &str) -> Result<(), StoreError> {
        if self.is_marked(path)? {
            self.place().sync_filesystem()?;
            self.unmark(path)?;
        }
        Ok(())
    }

    /// Marks of parts that there are not, and that nothing refers to, say nothing.
    pub(super) fn forget_marks(&self, is_needed: &dyn Fn(&str) -> bool) -> Result<(), StoreError> {
        let Some(marks) = self.place().enter_if_there(DAMAGED)? else { return Ok(()) };
        for name in marks.names()? {
            if !is_needed(&name) {
                marks.remove_file(&name)?;
            }
        }
        Ok(())
    }

    /// The first layer of these, by its directory, that must not be used.
    ///
    /// # Errors
    /// The marks cannot be read.
    pub fn damaged_layer(&self, image: &super::Image) -> Result<Option<String>, StoreError> {
        if !self.has_marks()? {
            return Ok(None);
        }
        for tree in &image.layers {
            let Some(path) = tree.parent().and_then(|layer| layer.strip_prefix(self.root()).ok()) else {
                continue;
            };
            let path = path.to_string_lossy();
            if self.is_marked(&path)? {
                return Ok(Some(path.into_owned()));
            }
        }
        Ok(None)
    }
}

pub(super) fn mark_of(path: &str) -> String {
    path.replace('/', "-")
}
