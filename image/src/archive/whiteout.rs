//! What a layer hides of those below it, in the form of [`super::marks`].

use super::confined::Found;
use super::dirs::join;
use super::entry::{Entry, split};
use super::error::{Call, UnpackError};
use super::record::PathText;
use super::unpack::Unpacker;

impl Unpacker {
    /// Hides what lower layers have at the path. What this layer has there stays (OCI image spec, layer.md:
    /// whiteouts apply to lower layers only), in whichever order the two come.
    pub(super) fn whiteout(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.directories.settle()?;
        let (parent, at) = self.directories.parent_of(&entry.path, entry.attributes.mtime)?;
        let name = split(&entry.path).1;
        let path = join(&parent, name);
        self.counts.whiteouts += 1;
        match at.look(name).map_err(UnpackError::kernel(Call::Stat, &path))? {
            Found::Missing if self.directories.record.links.contains_key(&PathText(path.clone())) => {}
            Found::Missing => {
                self.directories
                    .marks
                    .make_whiteout(&at, name)
                    .map_err(UnpackError::kernel(Call::MakeNode, &path))?;
                self.directories.record.inodes += 1;
                let parent = PathText(parent);
                if !self.directories.record.whiteouts.contains(&parent) {
                    self.directories.note(&parent.0)?;
                    self.directories.record.whiteouts.insert(parent);
                }
            }
            Found::Directory => {
                let dir = self.directories.open_resolved(&path)?;
                self.directories.mark_opaque(&path, &dir)?;
                // With the lower directory its attributes go.
                self.directories.record.implicit.remove(&PathText(path));
            }
            Found::Symlink(_) | Found::Whiteout | Found::Other => {}
        }
        Ok(())
    }

    pub(super) fn make_opaque(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.counts.whiteouts += 1;
        let (path, dir) = self.directories.directory(&entry.path, entry.attributes.mtime)?;
        if path.is_empty() {
            // Overlay merges roots whatever their attributes say; the chain begins anew at this layer
            // instead.
            self.opaque = true;
            return Ok(());
        }
        self.directories.mark_opaque(&path, &dir)
    }
}
