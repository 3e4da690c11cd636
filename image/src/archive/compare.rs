//! Two trees of files, one against the other: where the first difference is.
//!
//! Names, kinds, modes, owners, sizes, times, links, devices, extended attributes and content. However deep the trees are, one
//! directory of each is open at a time.

use std::fs::File;
use std::io::Read as _;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::confined::{self, Dir};
use super::dirs::join;
use super::marks::is_whiteout;
use super::record::escape;

/// Where two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// From the trees' root, with `\xNN` for bytes that are no UTF-8. It may hold what commands a terminal.
    pub(crate) path: String,
    /// What differs there.
    pub(crate) what: &'static str,
}

/// The first difference between a tree and what it should be.
pub(crate) fn difference(tree: &Dir, model: &Dir) -> Result<Option<Difference>, Errno> {
    let told = |path: &[u8], what| Some(Difference { path: format!("/{}", escape(path)), what });
    if let Some(what) = metadata(&tree.stat()?, &model.stat()?).or(attributes(tree, model)?) {
        return Ok(told(b"", what));
    }
    let (mut one, mut other) = (tree.open(b".")?, model.open(b".")?);
    let mut path: Vec<u8> = Vec::new();
    let mut levels = vec![match level(&one, &other)? {
        Ok(below) => below,
        Err((name, what)) => return Ok(told(&name, what)),
    }];
    while let Some(below) = levels.last_mut() {
        let Some(name) = below.pop() else {
            levels.pop();
            if !levels.is_empty() {
                (one, other) = (one.parent()?, other.parent()?);
                path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            }
            continue;
        };
        (one, other) = (one.open(&name)?, other.open(&name)?);
        path = join(&path, &name);
        if let Some(what) = attributes(&one, &other)? {
            return Ok(told(&path, what));
        }
        match level(&one, &other)? {
            Ok(below) => levels.push(below),
            Err((name, what)) => return Ok(told(&join(&path, &name), what)),
        }
    }
    Ok(None)
}

/// Compares what is in two directories; the names of those that are directories themselves.
type Level = Result<Vec<Vec<u8>>, (Vec<u8>, &'static str)>;

fn level(one: &Dir, other: &Dir) -> Result<Level, Errno> {
    let sorted = |dir: &Dir| {
        dir.list().map(|list| {
            let mut names: Vec<Vec<u8>> = list.into_iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names
        })
    };
    let (names, expected) = (sorted(one)?, sorted(other)?);
    for name in &expected {
        if names.binary_search(name).is_err() {
            return Ok(Err((name.clone(), "is missing")));
        }
    }
    let mut below = Vec::new();
    for name in names {
        if expected.binary_search(&name).is_err() {
            return Ok(Err((name, "does not belong there")));
        }
        let (here, there) = (one.stat_of(&name)?, other.stat_of(&name)?);
        let mut what = metadata(&here, &there);
        if what.is_none() {
            what = match FileType::from_raw_mode(here.st_mode) {
                FileType::Directory => None,
                FileType::Symlink => {
                    (one.read_link(&name)? != other.read_link(&name)?).then_some("leads elsewhere")
                }
                FileType::RegularFile => {
                    let (here, there) = (one.open_file(&name)?, other.open_file(&name)?);
                    match attributes(&here, &there)? {
                        None => content(here.into(), there.into())?,
                        what => what,
                    }
                }
                _ => None,
            };
        }
        if let Some(what) = what {
            return Ok(Err((name, what)));
        }
        if FileType::from_raw_mode(here.st_mode) == FileType::Directory {
            below.push(name);
        }
    }
    Ok(Ok(below))
}

fn metadata(one: &Stat, other: &Stat) -> Option<&'static str> {
    let kind = FileType::from_raw_mode(one.st_mode);
    // What a directory counts is the file system's own.
    let counted = kind != FileType::Directory;
    // Nobody sets the time of a whiteout, which nobody sees.
    let timed = !is_whiteout(one);
    let time = |stat: &Stat| confined::modified(stat);
    if kind != FileType::from_raw_mode(other.st_mode) {
        Some("is something else")
    } else if one.st_mode != other.st_mode {
        Some("has another mode")
    } else if (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid) {
        Some("has another owner")
    } else if counted && one.st_size != other.st_size {
        Some("has another size")
    } else if counted && one.st_nlink != other.st_nlink {
        Some("has another number of names")
    } else if one.st_rdev != other.st_rdev {
        Some("is another device")
    } else if timed && time(one) != time(other) {
        Some("has another time")
    } else {
        None
    }
}

fn attributes(
    one: impl std::os::fd::AsFd,
    other: impl std::os::fd::AsFd,
) -> Result<Option<&'static str>, Errno> {
    let (mut here, mut there) = (confined::xattrs(one)?, confined::xattrs(other)?);
    here.sort();
    there.sort();
    Ok((here != there).then_some("has other extended attributes"))
}

fn content(mut one: File, mut other: File) -> Result<Option<&'static str>, Errno> {
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let (mut here, mut there) = (vec![0; 128 * 1024], vec![0; 128 * 1024]);
    loop {
        let count = one.read(&mut here).map_err(failed)?;
        if count == 0 {
            return Ok(None);
        }
        if other.read_exact(&mut there[..count]).is_err() || here[..count] != there[..count] {
            return Ok(Some("has other bytes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Time;
    use crate::archive::marks::Marks;

    const THEN: Time = Time { seconds: 1000, nanos: 5 };

    fn write(directory: &Dir, name: &[u8], content: &str) {
        confined::write_all(directory.make_file(name, 0o644).unwrap(), content.as_bytes()).unwrap();
    }

    fn below(directory: &Dir, path: &[&[u8]]) -> Dir {
        path.iter().fold(directory.open(b".").unwrap(), |directory, name| directory.open(name).unwrap())
    }

    /// Two trees that are the same.
    fn trees() -> (tempfile::TempDir, Dir, Dir) {
        let directory = tempfile::tempdir().unwrap();
        let root = Dir::new(File::open(directory.path()).unwrap().into());
        let tree = |name: &[u8]| {
            root.make_dir(name, 0o755).unwrap();
            let tree = root.open(name).unwrap();
            tree.make_dir(b"a", 0o755).unwrap();
            let a = tree.open(b"a").unwrap();
            a.make_dir(b"b", 0o755).unwrap();
            let b = a.open(b"b").unwrap();
            b.make_dir(b"c", 0o755).unwrap();
            write(&b, b"file", "content");
            a.make_link(b"hard", &b, b"file").unwrap();
            a.make_symlink(b"soft", b"b/file").unwrap();
            Marks::Overlay.make_whiteout(&a, b"whiteout").unwrap();
            write(&tree, b"z", "last");
            even(&tree);
            tree
        };
        let (one, other) = (tree(b"one"), tree(b"other"));
        (directory, one, other)
    }

    /// Gives everything the same time, but whiteouts, whose time nobody sets.
    fn even(directory: &Dir) {
        for (name, kind) in directory.list().unwrap() {
            match kind {
                FileType::Directory => even(&directory.open(&name).unwrap()),
                FileType::CharacterDevice => {}
                _ => directory.change_time(&name, THEN).unwrap(),
            }
        }
        confined::set_time(directory, THEN).unwrap();
    }

    #[test]
    fn whatever_differs_is_told_with_its_path() {
        type Change = fn(&Dir, &Dir, &Dir);
        let changes: [(&str, Change); 9] = [
            ("/a/b/new does not belong there", |_, _, b| write(b, b"new", "")),
            ("/z is missing", |root, _, _| root.remove(b"z").unwrap()),
            ("/a/hard has other bytes", |_, a, b| {
                a.remove(b"hard").unwrap();
                b.remove(b"file").unwrap();
                write(b, b"file", "CONTENT");
                a.make_link(b"hard", b, b"file").unwrap();
            }),
            ("/z has another size", |root, _, _| {
                root.remove(b"z").unwrap();
                write(root, b"z", "longer");
            }),
            ("/z has another mode", |root, _, _| root.change_mode(b"z", 0o4755).unwrap()),
            ("/a/soft leads elsewhere", |_, a, _| {
                a.remove(b"soft").unwrap();
                a.make_symlink(b"soft", b"b/elif").unwrap();
            }),
            ("/a/b/c is something else", |_, _, b| {
                b.remove_dir(b"c").unwrap();
                write(b, b"c", "");
            }),
            ("/a/hard has another number of names", |_, a, _| {
                a.remove(b"hard").unwrap();
                write(a, b"hard", "content");
            }),
            ("/a/b has other extended attributes", |_, _, b| {
                Marks::Overlay.set_opaque(b).unwrap();
            }),
        ];
        let (_directory, one, other) = trees();
        assert_eq!(difference(&one, &other).unwrap(), None);
        for (expected, change) in changes {
            let (_directory, one, other) = trees();
            change(&one, &below(&one, &[b"a"]), &below(&one, &[b"a", b"b"]));
            even(&one);
            let Difference { path, what } = difference(&one, &other).unwrap().expect(expected);
            assert_eq!(format!("{path} {what}"), expected);
        }
    }

    #[test]
    fn times_and_owners_count() {
        let (_directory, one, other) = trees();
        let a = one.open(b"a").unwrap();
        a.change_time(b"soft", Time { nanos: 6, ..THEN }).unwrap();
        assert_eq!(difference(&one, &other).unwrap().unwrap().what, "has another time");
        even(&one);
        a.change_owner(b"soft", 1, 1).unwrap();
        assert_eq!(difference(&one, &other).unwrap().unwrap().what, "has another owner");
    }
}
