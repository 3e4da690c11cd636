//! A stack of trees as one tree of files that belongs to somebody: what a container gets where overlay cannot stack for it.
//!
//! The trees are hostile, and nobody changes them meanwhile; the copy is made in an empty directory of our own. So names can be
//! looked up more than once, but no link is ever followed.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::confined::Dir;
use super::dirs::{join, open_deep};
use super::duplicate::{Shift, copy_attributes, copy_file};
use super::error::{Call, UnpackError};
use super::stack::{Shown, Stack};
use crate::op::{Op, OpError};

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files and directories.
    pub objects: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

/// Why nothing was copied, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A tree cannot be opened.
    #[error(transparent)]
    Op(#[from] OpError),
    /// One of its files cannot be read, or not be made.
    #[error("copying a layer's files")]
    Files(#[from] UnpackError),
    /// Files with several names are remembered, and these are too many.
    #[error("more than {MAX} bytes of names of files with several names", MAX = LINKS_MAX)]
    TooManyLinks,
}

/// Bytes of path that are kept for files with several names.
const LINKS_MAX: usize = 256 << 20;

/// Copies what `trees`, topmost first, show together into the empty directory `into`, which is called `name` in the narration.
///
/// # Errors
/// See [`CopyError`]. What was copied before stays.
pub fn copy(trees: &[PathBuf], into: OwnedFd, name: &str, shift: &Shift<'_>) -> Result<Copied, CopyError> {
    let stack = Stack::open(trees)?;
    let count = Cell::new(None);
    let shown = fmt::from_fn(|out| match count.get() {
        Some(Copied { objects, bytes }) => write!(out, ": {objects} files and directories, {bytes} bytes"),
        None => Ok(()),
    });
    let op = Op {
        call: format_args!("copy({} layers, {name:?}){shown}", trees.len()),
        shell: format_args!("for layer in LAYERS; do cp -a \"$layer/.\" {name}; done; chown …"),
    };
    let mut failure = None;
    let copied = op.perform(|| match copy_quietly(&stack, &Dir::new(into), shift) {
        Ok(copied) => {
            count.set(Some(copied));
            Ok(copied)
        }
        Err(error) => {
            let answer = match &error {
                CopyError::Files(error) => error.kernels_answer(),
                _ => std::io::ErrorKind::InvalidData.into(),
            };
            failure = Some(error);
            Err(answer)
        }
    });
    // The narrator was told the kernel's answer; the caller gets everything.
    failure.map_or_else(|| Ok(copied?), Err)
}

/// A directory's attributes come last, when everything that is in it has been made: an access list that is inherited, or the bit
/// that hands a group down, must not change what is copied.
fn copy_quietly(stack: &Stack, into: &Dir, shift: &Shift<'_>) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut budget = LINKS_MAX;
    let mut todo = vec![(Vec::new(), stack.all()?)];
    while let Some((path, trees)) = todo.pop() {
        let level = stack.enter(&path, &trees)?;
        let target = open_deep(into, &path).map_err(UnpackError::kernel(Call::Open, &path))?;
        for (name, shown) in level.shown().map_err(UnpackError::kernel(Call::List, &path))? {
            let below = join(&path, &name);
            copied.objects += 1;
            let (place, stat) = match shown {
                Shown::Directory(trees) => {
                    target.make_dir(&name, 0o700).map_err(UnpackError::kernel(Call::MakeDir, &below))?;
                    todo.push((below, trees));
                    continue;
                }
                Shown::Other(place, stat) => (place, stat),
            };
            let identity = (stat.st_dev, stat.st_ino);
            if let Some(first) = links.get(&identity).filter(|_| stat.st_nlink > 1) {
                link(into, first, &target, &name).map_err(UnpackError::kernel(Call::Link, &below))?;
                continue;
            }
            copied.bytes += copy_file((level.at(place), &name), (&target, &name), &below, shift)?;
            if stat.st_nlink > 1 {
                budget = budget.checked_sub(below.len() + 64).ok_or(CopyError::TooManyLinks)?;
                links.insert(identity, below);
            }
        }
        copy_attributes(level.top(), &target, &path, shift)?;
    }
    Ok(copied)
}

fn link(into: &Dir, first: &[u8], target: &Dir, name: &[u8]) -> Result<(), rustix::io::Errno> {
    let (parent, file) = super::entry::split(first);
    target.make_link(name, &open_deep(into, parent)?, file)
}
