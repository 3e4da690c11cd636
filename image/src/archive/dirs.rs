//! The directories of a tree that is being unpacked: finding them, making missing ones, and giving them back
//! their times.
//!
//! Resolution happens inside the tree, whatever a layer's links say: an absolute target begins at the tree's
//! root, and `..` at the root stays there, as if the tree were `/`. The common case, a path without links, is
//! one `openat2` or none.
//!
//! Changing a directory's content changes its time, so each open directory remembers the time it should have
//! and gets it back when it is closed. That keeps nothing in memory for the directories of a layer that are
//! not open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustix::io::Errno;

use super::confined::{self, Dir, Found};
use super::entry::{Time, split};
use super::error::{Call, UnpackError};
use super::maker::{Maker, SmallFile, concerns};
use super::marks::Marks;
use super::record::PathText;

/// The tree and the directories of it that are open.
pub(super) struct Directories {
    root: Arc<Dir>,
    pub(super) marks: Marks,
    /// Most recently used last.
    open: Vec<OpenDir>,
    /// Links followed and components looked at, over the whole layer.
    steps: u64,
    maker: Option<Maker>,
    pub(super) record: Record,
}

/// What only the directories know about the tree; part of it goes into the layer's record.
#[derive(Default)]
pub(super) struct Record {
    /// Made because something below them was: no entry of their own yet.
    pub(super) implicit: BTreeSet<PathText>,
    /// Directories with whiteouts in them.
    pub(super) whiteouts: BTreeSet<PathText>,
    /// Hard links to lower layers.
    pub(super) links: BTreeMap<PathText, PathText>,
    /// Attributes that would be inherited by what is made later, set when all is made: setgid modes and
    /// default access lists.
    pub(super) inheritable: BTreeMap<PathText, Inheritable>,
    /// Bytes of path in all of these, to bound the memory that a layer can claim.
    pub(super) path_bytes: usize,
    /// Objects in the tree now, and bytes in its files.
    pub(super) inodes: u64,
    pub(super) bytes: u64,
}

/// A directory and its path without links.
pub(super) type Located = (Vec<u8>, Arc<Dir>);

/// See [`Record::inheritable`].
#[derive(Default)]
pub(super) struct Inheritable {
    pub(super) mode: Option<u32>,
    pub(super) xattr: Option<Vec<u8>>,
}

struct OpenDir {
    /// Without symbolic links.
    path: Vec<u8>,
    dir: Arc<Dir>,
    time: Time,
    /// Of the last file in it that the second thread was given.
    owed: u64,
}

/// How many directories stay open: more than most trees are deep, but for those of tests.
const OPEN_MAX: usize = if cfg!(test) { 3 } else { 32 };
/// As many links in one path as Linux follows (MAXSYMLINKS, path_resolution(7)).
const LINKS_MAX: usize = 40;
/// What a layer may spend on walking component by component; an honest one hardly does so at all. Minutes at
/// most.
pub(super) const STEPS_MAX: u64 = 20_000_000;
/// Bytes of path that [`Record`] may hold.
const PATH_BYTES_MAX: usize = 32 << 20;
/// The longest path given to the kernel at once, safely below PATH_MAX.
const PATH_MAX: usize = 4000;

impl Directories {
    pub(super) fn new(root: Dir) -> Result<Self, UnpackError> {
        let record = Record { inodes: 1, ..Record::default() };
        let marks = Marks::of(&root).map_err(UnpackError::kernel(Call::Stat, b""))?;
        Ok(Self { root: Arc::new(root), marks, open: Vec::new(), steps: 0, maker: None, record })
    }

    /// The directory that holds `path`'s last component, and that directory's path without links. Missing
    /// ones are made, with `time`; whatever stands in the way of a directory is replaced by one.
    pub(super) fn parent_of(&mut self, path: &[u8], time: Time) -> Result<Located, UnpackError> {
        let (parent, _) = split(path);
        self.directory(parent, time)
    }

    /// The directory at `path`, made if need be, and its path without links.
    pub(super) fn directory(&mut self, path: &[u8], time: Time) -> Result<Located, UnpackError> {
        if let Some(dir) = self.try_open(path)? {
            return Ok((path.to_vec(), dir));
        }
        let path = self.resolve(path, Some(time))?.expect("what is missing was made");
        let dir = self.open_resolved(&path)?;
        Ok((path, dir))
    }

    /// The directory at `path` if the tree has it; nothing is made.
    pub(super) fn existing(&mut self, path: &[u8]) -> Result<Option<Located>, UnpackError> {
        if let Some(dir) = self.try_open(path)? {
            return Ok(Some((path.to_vec(), dir)));
        }
        let Some(path) = self.resolve(path, None)? else { return Ok(None) };
        let dir = self.open_resolved(&path)?;
        Ok(Some((path, dir)))
    }

    /// Opens a path that has no links, and remembers the directory's time.
    pub(super) fn open_resolved(&mut self, path: &[u8]) -> Result<Arc<Dir>, UnpackError> {
        match self.try_open(path)? {
            Some(dir) => Ok(dir),
            None => Err(UnpackError::kernel(Call::Open, path)(Errno::NOENT)),
        }
    }

    /// Sets the time that the directory at `path`, open now, has when it is closed.
    pub(super) fn set_time(&mut self, path: &[u8], time: Time) {
        if let Some(open) = self.open.iter_mut().rev().find(|open| open.path == path) {
            open.time = time;
        }
    }

    /// Makes the directory `name` in the one at `parent`, over whatever stands there; opens it. It is opaque
    /// if it replaces something: whatever lower layers have there was hidden by what it replaces.
    pub(super) fn make(
        &mut self,
        parent: &[u8],
        name: &[u8],
        time: Time,
    ) -> Result<(Vec<u8>, bool), UnpackError> {
        let at = self.open_resolved(parent)?;
        let path = join(parent, name);
        let mut replaces = self.record.links.remove(&PathText(path.clone())).is_some();
        let mut made = at.make_dir(name, 0o755);
        if made == Err(Errno::EXIST) {
            self.displace(parent, name)?;
            replaces = true;
            made = at.make_dir(name, 0o755);
        }
        made.map_err(UnpackError::kernel(Call::MakeDir, &path))?;
        self.record.inodes += 1;
        let dir = Arc::new(at.open(name).map_err(UnpackError::kernel(Call::Open, &path))?);
        self.remember(OpenDir { path: path.clone(), dir: Arc::clone(&dir), time, owed: 0 })?;
        if replaces {
            self.mark_opaque(&path, &dir)?;
        }
        Ok((path, replaces))
    }

    /// Marks the directory at `path` opaque.
    pub(super) fn mark_opaque(&mut self, path: &[u8], dir: &Dir) -> Result<(), UnpackError> {
        let made = self.marks.set_opaque(dir).map_err(UnpackError::kernel(Call::SetXattr, path))?;
        self.record.inodes += u64::from(made);
        Ok(())
    }

    /// Removes what stands at `name` in the directory at `parent`, with everything below it, so that
    /// something else can be made.
    pub(super) fn displace(&mut self, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        self.settle()?;
        let at = self.open_resolved(parent)?;
        let path = join(parent, name);
        let record = &mut self.record;
        let mut removed = |stat: &rustix::fs::Stat| record.forget(stat);
        let found = at.look(name).map_err(UnpackError::kernel(Call::Stat, &path))?;
        match found {
            Found::Missing => return Ok(()),
            Found::Directory => {
                self.open.retain(|open| !is_at_or_below(&open.path, &path));
                at.remove_tree(name, &mut removed).map_err(UnpackError::kernel(Call::Remove, &path))?;
                self.record.forget_below(&path);
            }
            _ => {
                removed(&at.stat_of(name).map_err(UnpackError::kernel(Call::Stat, &path))?);
                at.remove(name).map_err(UnpackError::kernel(Call::Remove, &path))?;
            }
        }
        Ok(())
    }

    /// Counts the path of something that is about to be remembered.
    pub(super) fn note(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        self.record.path_bytes += path.len() + 64;
        if self.record.path_bytes > PATH_BYTES_MAX {
            return Err(UnpackError::TooManyPaths);
        }
        Ok(())
    }

    /// Gives every open directory its time, and closes them, when all is made.
    pub(super) fn close(&mut self) -> Result<(), UnpackError> {
        for open in std::mem::take(&mut self.open) {
            open.close()?;
        }
        Ok(())
    }

    /// Has a second thread make files from now on.
    pub(super) fn share(&mut self, maker: Maker) {
        self.maker = Some(maker);
    }

    /// Whether the second thread is to make the file at `path`, in the open directory at `parent`.
    pub(super) fn is_shared(&mut self, parent: &[u8], path: &[u8]) -> Result<bool, UnpackError> {
        if self.maker.as_ref().is_some_and(Maker::is_given_back_much) {
            self.settle()?;
        }
        let Some(maker) = &mut self.maker else { return Ok(false) };
        maker.result()?;
        // Who replaces one of these directories, or a file that is still to come, does so at once.
        let is_seen = maker.owes(path) || self.open.iter().any(|open| concerns(path, &open.path));
        Ok(maker.takes(parent) && !is_seen)
    }

    /// Has the second thread make a file, in the open directory at `parent`.
    pub(super) fn hand_over(&mut self, parent: &[u8], file: SmallFile) {
        let maker = self.maker.as_mut().expect("there is a second thread");
        let number = maker.hand_over(file);
        let open = self.open.iter_mut().rev().find(|open| open.path == parent);
        open.expect("it is open").owed = number;
    }

    /// Waits until no file is owed, and puts those in their places where something was in the way.
    pub(super) fn settle(&mut self) -> Result<(), UnpackError> {
        let Some(maker) = &mut self.maker else { return Ok(()) };
        for file in maker.settle()? {
            let (parent, name) = split(&file.path);
            self.displace(parent, name)?;
            file.make().map_err(|(call, errno)| UnpackError::kernel(call, &file.path)(errno))?;
        }
        Ok(())
    }

    /// Makes sure that no file is owed at `path`, where something else is to be done.
    pub(super) fn clear(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        match &self.maker {
            Some(maker) if maker.owes(path) => self.settle(),
            _ => Ok(()),
        }
    }

    /// The directory at exactly `path`; `None` if a component is missing, a link, or no directory.
    fn try_open(&mut self, path: &[u8]) -> Result<Option<Arc<Dir>>, UnpackError> {
        if let Some(at) = self.open.iter().rposition(|open| open.path == path) {
            if at + 1 < self.open.len() {
                let open = self.open.remove(at);
                self.open.push(open);
            }
            return Ok(self.open.last().map(|open| Arc::clone(&open.dir)));
        }
        if self.maker.as_ref().is_some_and(|maker| maker.owes_on_the_way(path)) {
            self.settle()?;
        }
        let dir = match open_deep(&self.root, path) {
            Ok(dir) => Arc::new(dir),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(UnpackError::kernel(Call::Open, path)(error)),
        };
        let stat = dir.stat().map_err(UnpackError::kernel(Call::Stat, path))?;
        self.remember(OpenDir {
            path: path.to_vec(),
            dir: Arc::clone(&dir),
            time: confined::modified(&stat),
            owed: 0,
        })?;
        Ok(Some(dir))
    }

    fn remember(&mut self, open: OpenDir) -> Result<(), UnpackError> {
        if self.open.len() == OPEN_MAX {
            let oldest = self.open.remove(0);
            if let Some(maker) = &mut self.maker {
                maker.wait_for(oldest.owed);
            }
            oldest.close()?;
        }
        self.open.push(open);
        Ok(())
    }

    /// Walks `path` component by component inside the tree; returns it without links. With a time, what is
    /// missing is made; without, a missing directory ends the walk.
    fn resolve(&mut self, path: &[u8], make: Option<Time>) -> Result<Option<Vec<u8>>, UnpackError> {
        self.settle()?;
        let mut links = 0;
        let mut at = Vec::new();
        let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        while let Some(component) = todo.pop() {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(UnpackError::TooManySteps);
            }
            if component == b".." {
                at.truncate(split(&at).0.len());
                continue;
            }
            let dir = self.open_resolved(&at)?;
            let found =
                dir.look(&component).map_err(UnpackError::kernel(Call::Stat, &join(&at, &component)))?;
            match (found, make) {
                (Found::Directory, _) => at = join(&at, &component),
                (Found::Symlink(target), _) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(UnpackError::kernel(Call::Open, path)(Errno::LOOP));
                    }
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    todo.extend(components(&target).rev().map(<[u8]>::to_vec));
                }
                (_, None) => return Ok(None),
                (Found::Missing | Found::Whiteout | Found::Other, Some(time)) => {
                    let (made, replaces) = self.make(&at, &component, time)?;
                    at = made;
                    // What replaces something is new, and takes nothing from below.
                    if !replaces {
                        self.note(&at)?;
                        self.record.implicit.insert(PathText(at.clone()));
                    }
                }
            }
        }
        Ok(Some(at))
    }
}

impl OpenDir {
    fn close(self) -> Result<(), UnpackError> {
        confined::set_time(&*self.dir, self.time).map_err(UnpackError::kernel(Call::SetTime, &self.path))
    }
}

impl Record {
    /// An object lost a name.
    fn forget(&mut self, stat: &rustix::fs::Stat) {
        use rustix::fs::FileType;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            return;
        }
        self.inodes -= 1;
        if kind == FileType::RegularFile {
            self.bytes -= u64::try_from(stat.st_size).expect("no file has a negative size");
        }
    }

    /// A directory was removed: nothing that was remembered about it and what was in it counts any more.
    fn forget_below(&mut self, path: &[u8]) {
        let keep = |known: &PathText| !is_at_or_below(&known.0, path);
        self.implicit.retain(keep);
        self.whiteouts.retain(keep);
        self.links.retain(|known, _| keep(known));
        self.inheritable.retain(|known, _| keep(known));
    }
}

/// Opens `path` without links; in pieces where it is too long for the kernel.
pub(super) fn open_deep(root: &Dir, mut path: &[u8]) -> Result<Dir, Errno> {
    let mut above = None;
    while path.len() > PATH_MAX {
        let cut = split(&path[..PATH_MAX]).0.len();
        above = Some(above.as_ref().unwrap_or(root).beneath(&path[..cut])?);
        path = &path[cut + 1..];
    }
    above.as_ref().unwrap_or(root).beneath(path)
}

/// The components of a path or a link's target that lead anywhere.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b"."))
}

/// `parent/name`, where the root's path is empty.
pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

pub(super) fn is_at_or_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
