//! Which layer a path comes from: overlay's rules for one path, without mounting anything.

use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::archive::confined::Dir;
use crate::archive::marks::{is_opaque, is_overlays_whiteout, is_whiteout};
use crate::store::image::Image;
use crate::store::{Store, StoreError};

/// A layer that has something at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplier {
    /// Which of the explored layers.
    pub layer: usize,
    /// What it is there: `file`, `directory`, `whiteout` and so on.
    pub kind: &'static str,
    /// Bytes of a file.
    pub bytes: u64,
    /// Whether it is what is seen.
    pub is_seen: bool,
}

impl Store {
    /// Every layer that has something at `path`, topmost first. Links are not followed: a path that leads through one lies elsewhere.
    ///
    /// # Errors
    /// A layer is missing or cannot be read.
    pub fn suppliers(
        &self,
        image: &Image,
        upper: Option<&Path>,
        path: &[u8],
    ) -> Result<Vec<Supplier>, StoreError> {
        let mut suppliers = Vec::new();
        let mut is_over = false;
        for (layer, trees) in self.trees_of(image, upper)?.into_iter().enumerate().rev() {
            for place in trees.places.into_iter().rev() {
                let root = place.path().to_owned();
                let unreadable = |errno: Errno| StoreError::Read { path: root, source: errno.into() };
                let found = look(&place.into_dir(), path, trees.diff_id.is_some());
                let Some(found) = found.map_err(unreadable)? else { continue };
                let is_seen = !is_over && found.kind != "whiteout" && found.is_there;
                is_over |= found.ends;
                if found.is_there {
                    suppliers.push(Supplier { layer, kind: found.kind, bytes: found.bytes, is_seen });
                }
                // A directory is seen through all layers; its attributes are the topmost one's.
                is_over |= is_seen;
                break;
            }
        }
        Ok(suppliers)
    }
}

/// What a tree has at a path.
struct Looked {
    kind: &'static str,
    bytes: u64,
    /// At the path itself, and not only something on the way to it.
    is_there: bool,
    /// Nothing of the layers below is seen there.
    ends: bool,
}

fn look(root: &Dir, path: &[u8], of_layer: bool) -> Result<Option<Looked>, Errno> {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).peekable();
    let mut directory = root.open(b".")?;
    let directory_is = |ends| Looked { kind: "directory", bytes: 0, is_there: true, ends };
    let is_mark = if of_layer { is_whiteout } else { is_overlays_whiteout };
    let mut ends = false;
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        let stat = match directory.stat_of(name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {
                return Ok(ends.then_some(Looked { kind: "nothing", bytes: 0, is_there: false, ends }));
            }
            stat => stat?,
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                directory = directory.open(name)?;
                ends |= is_opaque(&directory)?;
                continue;
            }
            FileType::RegularFile => "file",
            FileType::Symlink => "link",
            _ if is_mark(&stat) => "whiteout",
            FileType::CharacterDevice | FileType::BlockDevice => "device",
            FileType::Fifo => "fifo",
            _ => "socket",
        };
        // What is no directory covers everything that lies below its path in lower layers.
        let bytes = if kind == "file" { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        return Ok(Some(Looked { kind, bytes, is_there: is_last || kind == "whiteout", ends: true }));
    }
    Ok(Some(directory_is(ends)))
}
