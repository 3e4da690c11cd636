//! What became of a copy of a stack of trees: each file, held against what it was copied from.
//!
//! The copy may be a running container's, which changes it meanwhile: no link is followed, and what vanishes is not missed.
//! A file whose size, time, owner, mode and attributes are as they were counts as unchanged, as with docker's vfs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::confined::{self, Dir};
use super::copy::CopyError;
use super::dirs::{join, open_deep};
use super::duplicate::Shift;
use super::entry::split;
use super::error::{Call, UnpackError};
use super::record::IdKind;
use super::stack::{Level, Shown, Stack};
use crate::op::step;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It is new.
    Added,
    /// It was there; its content, its attributes or, of a directory, its entries are others.
    Changed,
    /// It was there, and is not any more.
    Deleted,
}

/// What has changed, by path: without a slash at its beginning, a directory before its entries.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<Path, Became>);

/// Sorted component by component.
type Path = Vec<Vec<u8>>;

impl Changes {
    /// All of them below the root.
    pub fn iter(&self) -> impl Iterator<Item = (Vec<u8>, Became)> {
        self.0
            .iter()
            .filter(|(path, _)| !path.is_empty())
            .map(|(path, became)| (path.join(&b"/"[..]), *became))
    }

    /// What became of a path.
    pub(super) fn of(&self, path: &[u8]) -> Option<Became> {
        self.0.get(&components(path)).copied()
    }

    /// Names that are not in a directory any more.
    pub(super) fn deleted_in(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let directory = components(directory);
        let below = self.0.range(directory.clone()..).take_while(|(path, _)| path.starts_with(&directory));
        let here =
            below.filter(|(path, became)| path.len() == directory.len() + 1 && **became == Became::Deleted);
        here.filter_map(|(path, _)| path.last().cloned()).collect()
    }

    fn note(&mut self, path: &[u8], became: Became) {
        self.0.insert(components(path), became);
        let mut above = split(path).0;
        while !above.is_empty() {
            self.0.entry(components(above)).or_insert(Became::Changed);
            above = split(above).0;
        }
    }
}

fn components(path: &[u8]) -> Path {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
}

/// What differs between `copy` and the `trees`, topmost first, of which it was copied with `shift`.
///
/// # Errors
/// What the kernel answered.
pub fn changed(trees: &[PathBuf], copy: OwnedFd, shift: &Shift<'_>) -> Result<Changes, CopyError> {
    step("Hold each of the container's files against what it was copied from");
    let (stack, copy) = (Stack::open(trees)?, Dir::new(copy));
    let mut changes = Changes::default();
    let mut todo = vec![(Vec::new(), Some(stack.all()?))];
    while let Some((path, trees)) = todo.pop() {
        let listing = |error| UnpackError::kernel(Call::List, &path)(error);
        let opened = present(open_deep(&copy, &path)).map_err(UnpackError::kernel(Call::Open, &path))?;
        let Some(here) = opened else { continue };
        let level = trees.map(|trees| stack.enter(&path, &trees)).transpose()?;
        if let Some(level) = level.as_ref().filter(|_| path.is_empty())
            && !same_directory(level.top(), &here, b".", shift).map_err(listing)?
        {
            changes.note(b"", Became::Changed);
        }
        let mut before = level.as_ref().map(Level::shown).transpose().map_err(listing)?.unwrap_or_default();
        for (name, _) in here.list().map_err(listing)? {
            let Some(stat) = present(here.stat_of(&name)).map_err(listing)? else { continue };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let below = join(&path, &name);
            let known = before.remove(&name).zip(level.as_ref());
            let became = match known {
                None => Some(Became::Added),
                Some((Shown::Directory(trees), level)) if is_directory => {
                    let was = level.of_tree(trees[0]).open(&name).map_err(listing)?;
                    let is_same = present(same_directory(&was, &here, &name, shift)).map_err(listing)?;
                    todo.push((below.clone(), Some(trees)));
                    (is_same != Some(true)).then_some(Became::Changed)
                }
                Some((Shown::Other(place, was), level)) if !is_directory => {
                    let is_same = same_file((level.at(place), &was), (&here, &stat), &name, shift);
                    let is_same = present(is_same).map_err(listing)?;
                    (is_same != Some(true)).then_some(Became::Changed)
                }
                Some(_) => Some(Became::Changed),
            };
            if let Some(became) = became {
                changes.note(&below, became);
            }
            let is_new = is_directory && todo.last().is_none_or(|(next, _)| *next != below);
            if is_new {
                todo.push((below, None));
            }
        }
        for name in before.into_keys() {
            changes.note(&join(&path, &name), Became::Deleted);
        }
    }
    Ok(changes)
}

/// What is gone, or something else by now, is not there.
fn present<T>(found: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match found {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        found => found.map(Some),
    }
}

fn same_owner(was: &Stat, is: &Stat, shift: &Shift<'_>) -> bool {
    let owner = (shift.owner(IdKind::Uid, was.st_uid), shift.owner(IdKind::Gid, was.st_gid));
    was.st_mode == is.st_mode && owner == (is.st_uid, is.st_gid)
}

/// What a directory holds is looked at by itself, and changes its time.
fn same_directory(was: &Dir, here: &Dir, name: &[u8], shift: &Shift<'_>) -> Result<bool, Errno> {
    let is = here.open(name)?;
    Ok(same_owner(&was.stat()?, &is.stat()?, shift) && shift.xattrs(was)? == shift.xattrs_of_copy(&is)?)
}

fn same_file(
    (there, was): (&Dir, &Stat),
    (here, is): (&Dir, &Stat),
    name: &[u8],
    shift: &Shift<'_>,
) -> Result<bool, Errno> {
    let told = |stat: &Stat| (stat.st_size, confined::modified(stat), stat.st_rdev);
    if !same_owner(was, is, shift) || told(was) != told(is) {
        return Ok(false);
    }
    match FileType::from_raw_mode(is.st_mode) {
        FileType::RegularFile => {
            let (was, is) = (there.open_file(name)?, here.open_file(name)?);
            Ok(shift.xattrs(was)? == shift.xattrs_of_copy(is)?)
        }
        FileType::Symlink => Ok(there.read_link(name)? == here.read_link(name)?),
        _ => Ok(true),
    }
}
