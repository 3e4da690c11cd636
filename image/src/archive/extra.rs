//! The small extra layer above a layer: what it takes from the layers below it.
//!
//! A layer unpacks alone. Three things in it depend on what is below: directories without an entry of their
//! own, which must not mask the lower ones' attributes; hard links to lower files, which overlay can only
//! show as one file within one layer; and whiteouts in directories that exist nowhere below, which overlay
//! would show (it hides them only where it merges). Each layer recorded them; for each chain they become
//! entries of an extra layer, stacked directly above the layer. Most layers need none.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::fs::Stat;

use super::confined::Dir;
use super::dirs::{is_at_or_below, open_deep};
use super::duplicate::{Shift, copy_attributes, copy_file, visible_xattrs};
use super::entry::split;
use super::error::{Call, UnpackError};
use super::record::{LayerRecord, PathText, RECORD_VERSION, escape};
use super::view::{Seen, View};

/// What an extra layer has to hold.
#[derive(Default)]
pub(crate) struct ExtraPlan {
    /// Directories, each with the one whose attributes it takes.
    directories: BTreeMap<Vec<u8>, Rc<Dir>>,
    links: Vec<LinkGroup>,
}

/// A file of a lower layer, and its names in the extra layer.
struct LinkGroup {
    directory: Rc<Dir>,
    name: Vec<u8>,
    /// Its own path comes first if it is still visible.
    names: Vec<Vec<u8>>,
}

/// Why a layer does not fit on those below it.
#[derive(Debug, thiserror::Error)]
pub enum ExtraError {
    /// A hard link to nothing.
    #[error("{path:?} is a hard link to {target:?}, which no layer below has")]
    MissingTarget {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A hard link to a directory.
    #[error("{path:?} is a hard link to the directory {target:?}")]
    Directory {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// The kernel refused something.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

impl ExtraPlan {
    /// Decides what the layer in `tree` needs on top, given the trees below it, topmost first.
    pub(crate) fn new(tree: &Rc<Dir>, record: &LayerRecord, below: &[Rc<Dir>]) -> Result<Self, ExtraError> {
        let lower = View::new(below.to_vec());
        let merged = View::new([std::slice::from_ref(tree), below].concat());
        let mut plan = Self::default();
        // Where nothing is below a directory, nothing is below what is in it; and paths in order come one
        // after the other.
        let mut bottom: Option<&[u8]> = None;
        for PathText(path) in &record.implicit {
            if bottom.is_some_and(|bottom| is_at_or_below(path, bottom)) {
                continue;
            }
            let Seen::Directory(under) = lower.exact(path)? else {
                bottom = Some(path);
                continue;
            };
            if let Seen::Directory(here) = merged.exact(path)?
                && attributes_differ(&here[0], &under[0]).map_err(UnpackError::kernel(Call::Stat, path))?
            {
                plan.directories.insert(path.clone(), Rc::clone(&under[0]));
            }
        }
        for path in &record.whiteouts {
            if let Seen::Directory(here) = merged.exact(&path.0)?
                && here.len() == 1
                && !path.0.is_empty()
            {
                plan.directories.entry(path.0.clone()).or_insert_with(|| Rc::clone(&here[0]));
            }
        }
        plan.plan_links(record, &lower, &merged)?;
        let paths: Vec<Vec<u8>> = plan.paths().map(<[u8]>::to_vec).collect();
        for path in paths {
            plan.plan_parents(&path, &merged)?;
        }
        Ok(plan)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.links.is_empty()
    }

    fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.links.iter().flat_map(|group| &group.names);
        self.directories.keys().chain(names).map(Vec::as_slice)
    }

    fn plan_links(&mut self, record: &LayerRecord, lower: &View, merged: &View) -> Result<(), ExtraError> {
        let mut groups: BTreeMap<Vec<u8>, LinkGroup> = BTreeMap::new();
        for (path, target) in &record.links {
            let (path, target) = (&path.0, &target.0);
            // The state before this layer counts; only a link that this layer made can be needed on the way.
            let (mut found_at, mut seen) = lower.following(target)?;
            if matches!(seen, Seen::Missing) {
                (found_at, _) = merged.following(target)?;
                seen = lower.exact(&found_at)?;
            }
            let (directory, name) = match seen {
                Seen::Missing => {
                    return Err(ExtraError::MissingTarget { path: escape(path), target: escape(target) });
                }
                Seen::Directory(_) => {
                    return Err(ExtraError::Directory { path: escape(path), target: escape(target) });
                }
                Seen::Other { directory, name, .. } => (directory, name),
            };
            let is_visible = match merged.exact(&found_at)? {
                Seen::Other { directory: there, .. } => same_directory(&there, &directory, &found_at)?,
                _ => false,
            };
            let group = groups.entry(found_at.clone()).or_insert_with(|| {
                let names = if is_visible { vec![found_at] } else { Vec::new() };
                LinkGroup { directory, name, names }
            });
            group.names.push(path.clone());
        }
        self.links = groups.into_values().collect();
        Ok(())
    }

    /// Directories above something in the extra layer look like what they merge with. Those without an entry of
    /// their own that differ from the ones below are planned already.
    fn plan_parents(&mut self, path: &[u8], merged: &View) -> Result<(), UnpackError> {
        let mut parent = split(path).0;
        while !parent.is_empty() && !self.directories.contains_key(parent) {
            if let Seen::Directory(directories) = merged.exact(parent)? {
                self.directories.insert(parent.to_vec(), Rc::clone(&directories[0]));
            }
            parent = split(parent).0;
        }
        Ok(())
    }

    /// Makes the extra layer of the layer in `tree` in the empty directory `into`.
    pub(crate) fn realise(&self, tree: &Dir, into: &Dir) -> Result<LayerRecord, UnpackError> {
        let mut record = LayerRecord { version: RECORD_VERSION, inodes: 1, ..LayerRecord::default() };
        let open = |path: &[u8]| open_deep(into, path).map_err(UnpackError::kernel(Call::Open, path));
        // A parent sorts before what is in it.
        for path in self.directories.keys() {
            let (parent, name) = split(path);
            open(parent)?.make_dir(name, 0o755).map_err(UnpackError::kernel(Call::MakeDir, path))?;
            record.inodes += 1;
        }
        for LinkGroup { directory, name, names } in &self.links {
            let (first, rest) = names.split_first().expect("a group begins with a link");
            let (parent, first_name) = split(first);
            let parent = open(parent)?;
            record.bytes += copy_file((directory, name), (&parent, first_name), first, &Shift::NONE)?;
            record.inodes += 1;
            for link in rest {
                let (directory, link_name) = split(link);
                let linked = open(directory)?.make_link(link_name, &parent, first_name);
                linked.map_err(UnpackError::kernel(Call::Link, link))?;
            }
        }
        // Times last, deepest first: making something in a directory changes its time.
        for (path, source) in self.directories.iter().rev() {
            copy_attributes(source, &open(path)?, path, &Shift::NONE)?;
        }
        copy_attributes(tree, into, b"", &Shift::NONE)?;
        Ok(record)
    }
}

fn attributes_differ(one: &Dir, other: &Dir) -> Result<bool, rustix::io::Errno> {
    let (a, b) = (one.stat()?, other.stat()?);
    let plain = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    Ok(plain(&a) != plain(&b) || visible_xattrs(one)? != visible_xattrs(other)?)
}

fn same_directory(one: &Dir, other: &Dir, path: &[u8]) -> Result<bool, UnpackError> {
    let stat = |dir: &Dir| dir.stat().map_err(UnpackError::kernel(Call::Stat, path));
    let (one, other) = (stat(one)?, stat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
