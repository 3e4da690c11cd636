//! Hard links of a layer that is being unpacked, to its own files and to those of layers that nobody knows
//! yet.

use rustix::io::Errno;

use super::confined::Found;
use super::dirs::join;
use super::entry::{Entry, EntryError, split};
use super::error::{Call, UnpackError};
use super::record::{PathText, escape};
use super::unpack::Unpacker;

impl Unpacker {
    /// A hard link shares everything with its target, so the header's owner, mode and time are not applied. A
    /// target that this layer does not have is a lower layer's: the link is made when the chain is known.
    pub(super) fn hard_link(&mut self, entry: &Entry, target: &[u8]) -> Result<(), UnpackError> {
        self.directories.settle()?;
        let (target_parent, target_name) = split(target);
        let found = match self.directories.existing(target_parent)? {
            Some((parent, dir)) => {
                let path = join(&parent, target_name);
                let found = dir.look(target_name).map_err(UnpackError::kernel(Call::Stat, &path))?;
                Some((path, dir, found))
            }
            None => None,
        };
        let (parent, at) = self.directories.parent_of(&entry.path, entry.attributes.mtime)?;
        let name = split(&entry.path).1;
        let path = join(&parent, name);
        self.counts.links += 1;
        let (target_path, target_dir) = match found {
            Some((target_path, _, _)) if target_path == path => {
                return Err(UnpackError::Entry {
                    path: escape(&entry.path),
                    source: EntryError::LinkToItself,
                });
            }
            Some((target_path, _, Found::Directory)) => {
                return Err(UnpackError::LinkToDirectory {
                    path: escape(&path),
                    target: escape(&target_path),
                });
            }
            Some((target_path, dir, Found::Symlink(_) | Found::Other)) => (target_path, dir),
            Some((target_path, _, Found::Missing | Found::Whiteout)) => {
                return self.link_to_lower(&parent, name, &target_path);
            }
            None => return self.link_to_lower(&parent, name, target),
        };
        self.directories.record.links.remove(&PathText(path.clone()));
        let target_name = split(&target_path).1;
        let mut linked = at.make_link(name, &target_dir, target_name);
        if linked == Err(Errno::EXIST) {
            self.directories.displace(&parent, name)?;
            linked = at.make_link(name, &target_dir, target_name);
        }
        linked.map_err(UnpackError::kernel(Call::Link, &path))
    }

    fn link_to_lower(&mut self, parent: &[u8], name: &[u8], target: &[u8]) -> Result<(), UnpackError> {
        self.directories.displace(parent, name)?;
        let path = PathText(join(parent, name));
        let target = PathText(target.to_vec());
        self.directories.note(&path.0)?;
        self.directories.note(&target.0)?;
        // A link to such a link is a link to the same file.
        let target = self.directories.record.links.get(&target).cloned().unwrap_or(target);
        self.directories.record.links.insert(path, target);
        Ok(())
    }
}
