//! `mini image explore`: what each layer of an image adds, changes and hides.
//!
//! The layers' directories are read from the lowest up, as overlay would stack them, into one picture of what is seen
//! ([`merged`]). Nothing is mounted and no file is opened: sizes and kinds are all that counts. The upper directory of a
//! container is one more layer. Names are bytes that an image chose; a tree of any depth takes one descriptor, and only
//! so many objects are looked at.

mod merged;
mod supplier;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::archive::confined::Dir;
use crate::archive::marks::{is_opaque, is_overlays_whiteout, is_whiteout};
use crate::archive::record::escape;
use crate::digest::Digest;
use crate::op::step;
use crate::store::chain::chain_ids;
use crate::store::disk::Place;
use crate::store::image::Image;
use crate::store::session::Shelf;
use crate::store::{Store, StoreError};
use merged::{Gone, Id, Merged, ROOT};

pub use supplier::Supplier;

/// Objects that are looked at, over all layers: about 150 bytes of memory each.
const OBJECTS_MAX: usize = 1_000_000;
/// Bytes of paths that are told of one layer, and of all waste: of the largest changes first.
const PATHS_MAX: usize = 4 << 20;

/// What a stack of layers consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explored {
    /// Lowest first.
    pub layers: Vec<ExploredLayer>,
    /// Bytes of the files that are seen in the end.
    pub seen: u64,
    /// Bytes of files in lower layers that upper ones hide or replace.
    pub wasted: u64,
    /// Where they are, the most first.
    pub waste: Vec<Waste>,
    /// There is more than can be looked at, or told: the numbers may be too small, and the lists are too short.
    pub is_cut: bool,
}

/// One layer, or the upper directory of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExploredLayer {
    /// Its diff id; a container's has none.
    pub diff_id: Option<Digest>,
    /// Files and directories that were not there.
    pub added: Count,
    /// Files that replace others, and their own bytes.
    pub changed: Count,
    /// Files and directories of lower layers that are seen no more, and their bytes.
    pub hidden: Count,
    /// All of them, in the order of paths.
    pub changes: Vec<Change>,
    /// A layer above covers all of it.
    pub is_covered: bool,
}

/// Objects and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Files, directories and others.
    pub objects: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// What a layer does to one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root, with `\xNN` for bytes that are no UTF-8. An image chose it: it may hold what commands a terminal.
    pub path: String,
    /// What is done.
    pub kind: ChangeKind,
    /// Bytes that are new, or that are hidden.
    pub bytes: u64,
}

/// As `diff` calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It replaces another.
    Changed,
    /// It is there no more.
    Hidden,
}

/// Bytes that lie in layers and are seen no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waste {
    /// As of a [`Change`].
    pub path: String,
    /// How many.
    pub bytes: u64,
    /// How often something at this path was replaced or hidden.
    pub times: u64,
}

impl Explored {
    /// The part of all bytes that is seen, from 0 to 1; nothing wastes nothing.
    pub fn efficiency(&self) -> f64 {
        let all = self.seen + self.wasted;
        if all == 0 { 1.0 } else { self.seen as f64 / all as f64 }
    }
}

/// A layer's directories: its own, and that of what it takes from below.
struct Trees {
    diff_id: Option<Digest>,
    places: Vec<Place>,
}

impl Store {
    /// Reads all layers of an image, and `upper` above them.
    ///
    /// # Errors
    /// A layer is missing or cannot be read.
    pub fn explore(&self, image: &Image, upper: Option<&Path>) -> Result<Explored, StoreError> {
        step("Read what lies in each layer");
        let mut walk = Walk { merged: Merged::new(), waste: HashMap::new(), is_cut: false };
        let mut explored = Explored::default();
        for (number, trees) in self.trees_of(image, upper)?.into_iter().enumerate() {
            let number = u16::try_from(number).expect("an image has no more layers than overlay takes");
            let mut layer = ExploredLayer { diff_id: trees.diff_id, ..ExploredLayer::default() };
            layer.is_covered = trees.places.is_empty();
            let mut changes = Vec::new();
            for place in trees.places {
                let path = place.path().to_owned();
                let unreadable = |errno: Errno| StoreError::Read { path, source: errno.into() };
                walk.layer(place.into_dir(), number, &mut layer, &mut changes).map_err(unreadable)?;
            }
            changes.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
            let mut room = PATHS_MAX;
            for (id, kind, bytes) in changes {
                let Some(path) = walk.path(id, &mut room) else { break };
                layer.changes.push(Change { path, kind, bytes });
            }
            layer.changes.sort_by(|one, other| one.path.cmp(&other.path));
            explored.layers.push(layer);
        }
        explored.seen = walk.merged.bytes();
        explored.wasted = walk.waste.values().map(|(bytes, _)| bytes).sum();
        let mut waste: Vec<_> = std::mem::take(&mut walk.waste).into_iter().collect();
        waste.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        let mut room = PATHS_MAX;
        for (id, (bytes, times)) in waste {
            let Some(path) = walk.path(id, &mut room) else { break };
            explored.waste.push(Waste { path, bytes, times });
        }
        explored.is_cut = walk.is_cut;
        Ok(explored)
    }

    /// Lowest first.
    fn trees_of(&self, image: &Image, upper: Option<&Path>) -> Result<Vec<Trees>, StoreError> {
        let diff_ids: Vec<Digest> =
            image.config.rootfs().diff_ids().iter().filter_map(|id| id.parse().ok()).collect();
        let mut all = Vec::new();
        let last = |id: &Digest| diff_ids.iter().rposition(|other| other == id);
        for (number, (diff_id, chain)) in diff_ids.iter().zip(chain_ids(&diff_ids)).enumerate() {
            let mut places = Vec::new();
            for (shelf, digest) in [(Shelf::Layers, *diff_id), (Shelf::Chains, chain)] {
                let tree = self.root().join(shelf.path(digest)).join("tree");
                // A layer that comes twice lies in its topmost place; one under an opaque one is not there at all.
                let is_elsewhere = shelf == Shelf::Layers && last(diff_id) != Some(number);
                if image.layers.contains(&tree) && !is_elsewhere {
                    places.push(self.opened(tree)?);
                }
            }
            all.push(Trees { diff_id: Some(*diff_id), places });
        }
        if let Some(upper) = upper {
            all.push(Trees { diff_id: None, places: vec![self.opened(upper.to_owned())?] });
        }
        Ok(all)
    }

    fn opened(&self, path: PathBuf) -> Result<Place, StoreError> {
        match Place::open_root(&path)? {
            Some(place) => Ok(place),
            None => Err(StoreError::Missing { path }),
        }
    }
}

/// Layers, one upon the other.
struct Walk {
    merged: Merged,
    /// Bytes and how often, by what lay there last.
    waste: HashMap<Id, (u64, u64)>,
    is_cut: bool,
}

type Changes = Vec<(Id, ChangeKind, u64)>;

impl Walk {
    /// Stacks one tree. Walks down and up again with one descriptor, and no further where a container has moved the directory in which
    /// the walk is: what is above that may lie anywhere.
    fn layer(
        &mut self,
        root: Dir,
        number: u16,
        layer: &mut ExploredLayer,
        changes: &mut Changes,
    ) -> Result<(), Errno> {
        let mut directory = root;
        let mut linked = HashSet::new();
        let identity = |directory: &Dir| directory.stat().map(|stat| (stat.st_dev, stat.st_ino));
        let entries = self.entries(&directory, ROOT, number, layer, changes, &mut linked)?;
        let mut path = vec![(identity(&directory)?, entries)];
        while let Some((_, below)) = path.last_mut() {
            let Some((name, id)) = below.pop() else {
                path.pop();
                if let Some((above, _)) = path.last() {
                    directory = directory.parent()?;
                    if identity(&directory)? != *above {
                        self.is_cut = true;
                        return Ok(());
                    }
                }
                continue;
            };
            // A container's own directory may change meanwhile.
            directory = match directory.open(&name) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                entered => entered?,
            };
            let entries = self.entries(&directory, id, number, layer, changes, &mut linked)?;
            path.push((identity(&directory)?, entries));
        }
        Ok(())
    }

    /// What lies in one directory; the directories among it.
    fn entries(
        &mut self,
        directory: &Dir,
        id: Id,
        number: u16,
        layer: &mut ExploredLayer,
        changes: &mut Changes,
        linked: &mut HashSet<u64>,
    ) -> Result<Vec<(Vec<u8>, Id)>, Errno> {
        if is_opaque(directory)? {
            for (child, gone) in self.merged.clear(id, number) {
                self.hidden(child, gone, layer);
                changes.push((child, ChangeKind::Hidden, gone.bytes));
            }
        }
        let mut below = Vec::new();
        for (name, _) in directory.list()? {
            if self.merged.len() >= OBJECTS_MAX {
                self.is_cut = true;
                return Ok(Vec::new());
            }
            let stat = match directory.stat_of(&name) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let there = self.merged.child(id, &name);
            let of_layer = layer.diff_id.is_some();
            if if of_layer { is_whiteout(&stat) } else { is_overlays_whiteout(&stat) } {
                if let Some(there) = there {
                    let gone = self.merged.hide(there);
                    self.hidden(there, gone, layer);
                    changes.push((there, ChangeKind::Hidden, gone.bytes));
                }
                continue;
            }
            let is_directory = kind == FileType::Directory;
            let counts = kind == FileType::RegularFile && (stat.st_nlink < 2 || linked.insert(stat.st_ino));
            let bytes = if counts { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
            let own = match there {
                Some(there) if is_directory && self.merged.is_directory(there) => {
                    below.push((name, there));
                    continue;
                }
                // What a layer takes from below is no change of its own.
                Some(there) if self.merged.layer(there) == number => continue,
                Some(there) => {
                    let gone = self.merged.hide(there);
                    self.wasted(there, gone);
                    let own = self.merged.put(id, &name, number, is_directory, bytes);
                    if let Some(before) = self.waste.remove(&there) {
                        self.waste.insert(own, before);
                    }
                    layer.changed.add(bytes);
                    changes.push((own, ChangeKind::Changed, bytes));
                    own
                }
                None => {
                    let own = self.merged.put(id, &name, number, is_directory, bytes);
                    layer.added.add(bytes);
                    changes.push((own, ChangeKind::Added, bytes));
                    own
                }
            };
            if is_directory {
                below.push((name, own));
            }
        }
        Ok(below)
    }

    /// A path, as long as there is room for it.
    fn path(&mut self, id: Id, room: &mut usize) -> Option<String> {
        let path = escape(&self.merged.path(id));
        match room.checked_sub(path.len()) {
            Some(left) => *room = left,
            None => {
                self.is_cut = true;
                return None;
            }
        }
        Some(path)
    }

    fn hidden(&mut self, id: Id, gone: Gone, layer: &mut ExploredLayer) {
        layer.hidden.objects += gone.objects;
        layer.hidden.bytes += gone.bytes;
        self.wasted(id, gone);
    }

    fn wasted(&mut self, id: Id, gone: Gone) {
        if gone.bytes > 0 {
            let (bytes, times) = self.waste.entry(id).or_default();
            *bytes += gone.bytes;
            *times += 1;
        }
    }
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}
