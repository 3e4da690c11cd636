//! What a stack of layers looks like, without mounting it: overlay's rules for looking a name up.
//!
//! Documentation/filesystems/overlayfs.rst: directories of one name merge until a whiteout, an opaque
//! directory, or something that is no directory ends the stack. Nothing here follows a link out: a link's
//! target is looked up in the same view.

use std::cell::Cell;
use std::rc::Rc;

use rustix::io::Errno;

use super::confined::{Dir, Found};
use super::dirs::{STEPS_MAX, join};
use super::entry::split;
use super::error::{Call, UnpackError};
use super::marks::is_opaque;
use super::record::escape;

/// A stack of trees, topmost first.
pub(crate) struct View {
    trees: Vec<Rc<Dir>>,
    /// Names looked up so far, to bound what a hostile layer can ask for.
    steps: Cell<u64>,
}

/// What a path stands for in a view.
#[derive(Debug)]
pub(crate) enum Seen {
    Missing,
    /// The directories that merge here, topmost first.
    Directory(Vec<Rc<Dir>>),
    /// Anything else, by the directory that it is in and its name.
    Other {
        directory: Rc<Dir>,
        name: Vec<u8>,
        found: Found,
    },
}

const LINKS_MAX: usize = 40;

impl View {
    pub(crate) fn new(trees: Vec<Rc<Dir>>) -> Self {
        Self { trees, steps: Cell::new(0) }
    }

    /// What `path` is; no link is followed.
    pub(crate) fn exact(&self, path: &[u8]) -> Result<Seen, UnpackError> {
        let mut level = self.trees.clone();
        let mut seen = None;
        for component in path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
            if let Some(found) = seen.take() {
                let Seen::Directory(directories) = found else { return Ok(Seen::Missing) };
                level = directories;
            }
            self.steps.set(self.steps.get() + level.len() as u64);
            if self.steps.get() > STEPS_MAX {
                return Err(UnpackError::TooManySteps);
            }
            seen = Some(look(&level, component).map_err(UnpackError::kernel(Call::Stat, path))?);
        }
        Ok(seen.unwrap_or(Seen::Directory(level)))
    }

    /// What `path` is, links in its parents being followed inside the view; and its path without them.
    pub(crate) fn following(&self, path: &[u8]) -> Result<(Vec<u8>, Seen), UnpackError> {
        let (parent, name) = split(path);
        let mut at = Vec::new();
        let mut todo: Vec<Vec<u8>> = components(parent);
        let mut links = 0;
        while let Some(component) = todo.pop() {
            if component == b".." {
                at.truncate(split(&at).0.len());
                continue;
            }
            let next = join(&at, &component);
            match self.exact(&next)? {
                Seen::Directory(_) => at = next,
                Seen::Other { found: Found::Symlink(target), .. } => {
                    links += 1;
                    if links > LINKS_MAX {
                        let path = escape(path);
                        return Err(UnpackError::Kernel {
                            call: Call::Open,
                            path,
                            source: Errno::LOOP.into(),
                        });
                    }
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    todo.extend(components(&target));
                }
                Seen::Missing | Seen::Other { .. } => return Ok((next, Seen::Missing)),
            }
        }
        let path = join(&at, name);
        let seen = self.exact(&path)?;
        Ok((path, seen))
    }
}

/// One step down from directories that merge.
fn look(level: &[Rc<Dir>], name: &[u8]) -> Result<Seen, Errno> {
    let mut merged = Vec::new();
    for directory in level {
        match directory.look(name)? {
            Found::Missing => {}
            Found::Whiteout => break,
            Found::Directory => {
                let below = directory.open(name)?;
                let is_last = is_opaque(&below)?;
                merged.push(Rc::new(below));
                if is_last {
                    break;
                }
            }
            _ if !merged.is_empty() => break,
            found => return Ok(Seen::Other { directory: Rc::clone(directory), name: name.to_vec(), found }),
        }
    }
    Ok(if merged.is_empty() { Seen::Missing } else { Seen::Directory(merged) })
}

/// Components in reverse, to be popped.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.rev().map(<[u8]>::to_vec).collect()
}
