//! Whole trees: removed, or counted. However deep they are, one descriptor at a time is open.

use std::collections::HashSet;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::confined::Dir;

impl Dir {
    /// Removes the directory `name` with all it holds, and tells `removed` of everything that goes.
    ///
    /// Walks down and up again with one descriptor, so that no depth exhausts them. What vanishes meanwhile
    /// is not missed.
    pub(crate) fn remove_tree(&self, name: &[u8], removed: &mut dyn FnMut(&Stat)) -> Result<(), Errno> {
        let mut directory = match self.open(name) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        // From `name` down to `directory`: each directory's name, and its subdirectories still to be removed.
        let mut path = vec![(name.to_vec(), directory.remove_files(removed)?)];
        while let Some((_, subdirectories)) = path.last_mut() {
            if let Some(below) = subdirectories.pop() {
                directory = directory.open(&below)?;
                path.push((below, directory.remove_files(removed)?));
                continue;
            }
            let stat = directory.stat()?;
            let (emptied, _) = path.pop().expect("the loop's condition");
            let above = if path.is_empty() { None } else { Some(directory.parent()?) };
            match above.as_ref().unwrap_or(self).remove_dir(&emptied) {
                Ok(()) => removed(&stat),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
            directory = above.unwrap_or(directory);
        }
        Ok(())
    }

    /// Removes what is no directory; returns the names of those that are.
    fn remove_files(&self, removed: &mut dyn FnMut(&Stat)) -> Result<Vec<Vec<u8>>, Errno> {
        let mut directories = Vec::new();
        for (name, _) in self.list()? {
            match self.stat_of(&name) {
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    directories.push(name);
                }
                Ok(stat) => match self.remove(&name) {
                    Ok(()) => removed(&stat),
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(directories)
    }

    /// How many objects the tree has, itself included, and how many bytes are in its regular files; each
    /// object counts once, however many names it has.
    pub(crate) fn count(&self) -> Result<(u64, u64), Errno> {
        let (mut objects, mut bytes) = (1, 0);
        let mut linked = HashSet::new();
        let mut directory = self.open(b".")?;
        let mut path = vec![directory.count_files(&mut objects, &mut bytes, &mut linked)?];
        while let Some(subdirectories) = path.last_mut() {
            match subdirectories.pop() {
                Some(below) => {
                    directory = directory.open(&below)?;
                    path.push(directory.count_files(&mut objects, &mut bytes, &mut linked)?);
                }
                None => {
                    path.pop();
                    if !path.is_empty() {
                        directory = directory.parent()?;
                    }
                }
            }
        }
        Ok((objects, bytes))
    }

    /// Counts what is here; returns the names of the directories among it.
    fn count_files(
        &self,
        objects: &mut u64,
        bytes: &mut u64,
        linked: &mut HashSet<u64>,
    ) -> Result<Vec<Vec<u8>>, Errno> {
        let mut directories = Vec::new();
        for (name, _) in self.list()? {
            let stat = self.stat_of(&name)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind != FileType::Directory && stat.st_nlink > 1 && !linked.insert(stat.st_ino) {
                continue;
            }
            *objects += 1;
            match kind {
                FileType::Directory => directories.push(name),
                FileType::RegularFile => {
                    *bytes += u64::try_from(stat.st_size).expect("no file has a negative size");
                }
                _ => {}
            }
        }
        Ok(directories)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Dir) {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(directory.path()).unwrap();
        (directory, Dir::new(file.into()))
    }

    #[test]
    fn a_tree_of_any_depth_is_removed_and_nothing_beside_it() {
        let (_directory, root) = temporary();
        root.make_dir(b"beside", 0o755).unwrap();
        root.make_dir(b"tree", 0o755).unwrap();
        let mut directory = root.open(b"tree").unwrap();
        directory.make_symlink(b"link", b"../beside").unwrap();
        // More than a process may have open (RLIMIT_NOFILE is 1024 by default).
        for _ in 0..1500 {
            directory.make_file(b"file", 0o600).unwrap();
            directory.make_dir(b"d", 0o700).unwrap();
            directory = directory.open(b"d").unwrap();
        }
        assert_eq!(root.count().unwrap(), (3004, 0));
        let mut count = 0;
        root.remove_tree(b"tree", &mut |_| count += 1).unwrap();
        assert_eq!(count, 3002);
        let left: Vec<_> = root.list().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [b"beside"]);
        root.remove_tree(b"missing", &mut |_| ()).unwrap();
    }

    #[test]
    fn names_of_one_file_count_once() {
        let (_directory, root) = temporary();
        super::super::confined::write_all(root.make_file(b"one", 0o600).unwrap(), b"12345").unwrap();
        root.make_link(b"two", &root, b"one").unwrap();
        root.make_symlink(b"three", b"one").unwrap();
        assert_eq!(root.count().unwrap(), (3, 5));
    }
}
