//! What a stack of trees shows, one directory after the other: overlay's rules, for who reads all of it and mounts nothing.
//!
//! See [`super::view`] for the rules, and for single paths.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::confined::Dir;
use super::dirs::open_deep;
use super::error::{Call, UnpackError};
use super::marks::{is_opaque, is_whiteout};
use crate::op::{OpError, look};

/// Trees, topmost first.
pub(super) struct Stack {
    trees: Vec<Dir>,
}

/// One directory of the stack: those that merge there, topmost first, each with the number of its tree.
pub(super) struct Level {
    merged: Vec<(usize, Dir)>,
}

/// What a name of it stands for.
pub(super) enum Shown {
    /// The trees whose directories merge there, topmost first.
    Directory(Vec<usize>),
    /// Anything else, by its place in the [`Level`].
    Other(usize, Stat),
}

/// What is known of a name so far.
enum Known {
    Hidden,
    Open(Vec<usize>),
    Closed(Vec<usize>),
    Other(usize, Stat),
}

impl Stack {
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self, OpError> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let open = |path: &PathBuf| {
            look(format_args!("open({path:?}, O_DIRECTORY)"), || {
                rustix::fs::open(path, flags, rustix::fs::Mode::empty())
            })
            .map(Dir::new)
        };
        Ok(Self { trees: paths.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// The trees that merge at the root: a layer that comes twice counts where it is topmost.
    pub(super) fn all(&self) -> Result<Vec<usize>, UnpackError> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for (number, tree) in self.trees.iter().enumerate() {
            let stat = tree.stat().map_err(UnpackError::kernel(Call::Stat, b""))?;
            if seen.insert((stat.st_dev, stat.st_ino)) {
                all.push(number);
            }
        }
        Ok(all)
    }

    /// The directory at `path` of these trees, which all have one there.
    pub(super) fn enter(&self, path: &[u8], trees: &[usize]) -> Result<Level, UnpackError> {
        let enter = |tree: &usize| open_deep(&self.trees[*tree], path).map(|dir| (*tree, dir));
        let merged = trees.iter().map(enter).collect::<Result<_, _>>();
        Ok(Level { merged: merged.map_err(UnpackError::kernel(Call::Open, path))? })
    }
}

impl Level {
    /// The one whose attributes count.
    pub(super) fn top(&self) -> &Dir {
        self.at(0)
    }

    pub(super) fn at(&self, place: usize) -> &Dir {
        &self.merged[place].1
    }

    /// That of a tree which has a directory here.
    pub(super) fn of_tree(&self, tree: usize) -> &Dir {
        let found = self.merged.iter().find(|(number, _)| *number == tree);
        &found.expect("what is below a directory is in one that merges there").1
    }

    /// Everything that is seen, by name.
    pub(super) fn shown(&self) -> Result<BTreeMap<Vec<u8>, Shown>, Errno> {
        let mut known: BTreeMap<Vec<u8>, Known> = BTreeMap::new();
        for (place, (tree, directory)) in self.merged.iter().enumerate() {
            let is_last = place + 1 == self.merged.len();
            for (name, _) in directory.list()? {
                let before = match known.get_mut(&name) {
                    Some(Known::Hidden | Known::Closed(_) | Known::Other(..)) => continue,
                    Some(Known::Open(trees)) => Some(trees),
                    None => None,
                };
                let stat = directory.stat_of(&name)?;
                let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                let trees = match before {
                    None if is_whiteout(&stat) => {
                        known.insert(name, Known::Hidden);
                        continue;
                    }
                    None if !is_directory => {
                        known.insert(name, Known::Other(place, stat));
                        continue;
                    }
                    None => vec![*tree],
                    Some(trees) => {
                        let mut trees = std::mem::take(trees);
                        trees.extend(is_directory.then_some(*tree));
                        trees
                    }
                };
                // What is no directory ends those above it.
                let ends = !is_directory || !is_last && is_opaque(&directory.open(&name)?)?;
                known.insert(name, if ends { Known::Closed(trees) } else { Known::Open(trees) });
            }
        }
        let shown = |(name, known)| match known {
            Known::Hidden => None,
            Known::Open(trees) | Known::Closed(trees) => Some((name, Shown::Directory(trees))),
            Known::Other(place, stat) => Some((name, Shown::Other(place, stat))),
        };
        Ok(known.into_iter().filter_map(shown).collect())
    }
}
