//! The door to the store's own files: narrated, and safe against power loss.
//!
//! Whatever others may read is written to a temporary name, flushed, and renamed; afterwards the directory is
//! flushed too (fsync(2): syncing a file does not sync its name). Every lock is a `flock(2)`: the kernel
//! gives it back when its holder dies.

#![expect(clippy::disallowed_methods, reason = "this is the door that the lint points to")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::archive::Time;
use crate::archive::confined::{self, Dir};
use crate::op::{Op, OpError, look};

/// A directory of the store: open, and with its path for messages.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) dir: Dir,
    pub(super) path: PathBuf,
}

/// Bytes of a record of the store: most have fewer.
const SMALL: usize = 8192;

impl Place {
    /// Opens the directory at `path`, the store's root; `None` where nothing is.
    pub(crate) fn open_root(path: &Path) -> Result<Option<Self>, OpError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = look(format_args!("open({path:?}, O_DIRECTORY)"), || {
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(dir) => Ok(Some(dir)),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        Ok(opened.map(|dir| Self { dir: Dir::new(dir), path: path.to_owned() }))
    }

    /// Makes the directory at `path` and the missing ones above it, for their owner alone (CVE-2021-41091:
    /// setuid files of images).
    pub(crate) fn make_root(path: &Path) -> Result<(), OpError> {
        use std::os::unix::fs::DirBuilderExt;
        Op {
            call: format_args!("mkdir({path:?}, 0700)"),
            shell: format_args!("mkdir -p -m 700 {}", path.display()),
        }
        .perform(|| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path))
    }

    /// A directory inside this one.
    pub(crate) fn enter(&self, name: &str) -> Result<Self, OpError> {
        let path = self.path.join(name);
        let dir = look(format_args!("openat({path:?}, O_DIRECTORY)"), || self.dir.beneath(name.as_bytes()))?;
        Ok(Self { dir, path })
    }

    /// The same, `None` if it does not exist.
    pub(crate) fn enter_if_there(&self, name: &str) -> Result<Option<Self>, OpError> {
        match self.enter(name) {
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => Ok(None),
            entered => entered.map(Some),
        }
    }

    /// Makes a directory; one that exists is fine.
    pub(crate) fn make_dir(&self, name: &str, mode: u32) -> Result<(), OpError> {
        let path = self.path.join(name);
        Op {
            call: format_args!("mkdirat({path:?}, {mode:#o})"),
            shell: format_args!("mkdir -m {mode:o} {}", path.display()),
        }
        .perform(|| match self.dir.make_dir(name.as_bytes(), mode) {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        })
    }

    /// Makes the directory that a layer is unpacked into: owned by root, 0755, with nothing inherited from
    /// above, neither a group nor an access list.
    pub(crate) fn make_tree(&self, name: &str) -> Result<Dir, OpError> {
        let path = self.path.join(name);
        Op {
            call: format_args!("mkdirat({path:?}, 0755)"),
            shell: format_args!("install -d -m 755 -o 0 -g 0 {}", path.display()),
        }
        .perform(|| {
            self.dir.make_dir(name.as_bytes(), 0o755)?;
            let tree = self.dir.open(name.as_bytes())?;
            for list in ["system.posix_acl_default", "system.posix_acl_access"] {
                match rustix::fs::fremovexattr(&tree, list) {
                    Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                    Err(error) => return Err(error),
                }
            }
            confined::set_owner(&tree, 0, 0)?;
            confined::set_mode(&tree, 0o755)?;
            Ok(tree)
        })
    }

    /// A small file's content; `None` if there is no such file.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut file = match self.dir.open_file(name.as_bytes()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // How long it is is asked of what is not small alone: of most files that would take as many calls again.
        let mut bytes = Vec::with_capacity(SMALL);
        (&mut file).take(SMALL as u64).read_to_end(&mut bytes)?;
        if bytes.len() == SMALL {
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            bytes.reserve_exact(length.saturating_sub(SMALL) + 1);
            file.read_to_end(&mut bytes)?;
        }
        Ok(Some(bytes))
    }

    /// Writes a file whole: nobody ever sees a part of it, not even after a power loss.
    pub(crate) fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), OpError> {
        let path = self.path.join(name);
        let temporary = format!(".{name}.new");
        Op {
            call: format_args!("write({path:?}, {} bytes); fsync; rename", bytes.len()),
            shell: format_args!("cat > {0}.new; sync {0}.new; mv {0}.new {0}", path.display()),
        }
        .perform(|| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.dir, temporary.as_str(), flags, Mode::from_raw_mode(0o600))?;
            confined::write_all(&file, bytes)?;
            rustix::fs::fsync(&file)?;
            rustix::fs::renameat(&self.dir, temporary.as_str(), &self.dir, name)?;
            rustix::fs::fsync(&self.dir)
        })
    }

    /// Flushes the names in this directory (fsync(2)).
    pub(crate) fn sync_names(&self) -> Result<(), OpError> {
        let path = &self.path;
        Op { call: format_args!("fsync({path:?})"), shell: format_args!("sync {}", path.display()) }
            .perform(|| rustix::fs::fsync(&self.dir))
    }

    /// Writes a file whole, but leaves it to a later flush of the filesystem to make it last.
    pub(crate) fn write_unsynced(&self, name: &str, bytes: &[u8]) -> Result<(), OpError> {
        let path = self.path.join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Op {
            call: format_args!("write({path:?}, {} bytes)", bytes.len()),
            shell: format_args!("cat > {}", path.display()),
        }
        .perform(|| {
            let file = rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(0o600))?;
            confined::write_all(&file, bytes)
        })
    }

    /// Makes a new file for writing, open for reading too.
    pub(crate) fn make_file(&self, name: &str) -> Result<File, OpError> {
        let path = self.path.join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Op { call: format_args!("openat({path:?}, O_CREAT)"), shell: format_args!("> {}", path.display()) }
            .perform(|| rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(0o600)))
            .map(File::from)
    }

    /// Makes an open file end after its first `size` bytes, and goes there.
    pub(crate) fn cut(&self, name: &str, file: &File, size: u64) -> Result<(), OpError> {
        let path = self.path.join(name);
        Op {
            call: format_args!("ftruncate({path:?}, {size}); lseek"),
            shell: format_args!("truncate -s {size} {}", path.display()),
        }
        .perform(|| {
            confined::set_size(file, size)?;
            confined::seek_to(file, size)
        })
    }

    /// Flushes an open file's content.
    pub(crate) fn flush(&self, name: &str, file: &File) -> Result<(), OpError> {
        let path = self.path.join(name);
        Op { call: format_args!("fdatasync({path:?})"), shell: format_args!("sync -d {}", path.display()) }
            .perform(|| rustix::fs::fdatasync(file))
    }

    /// Opens a file for reading; `None` if there is none.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<File>, OpError> {
        let path = self.path.join(name);
        look(format_args!("openat({path:?}, O_RDONLY)"), || match self.dir.open_file(name.as_bytes()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Moves something to `to/new_name`, which must not exist; `false` if it does.
    pub(crate) fn rename(&self, name: &str, to: &Self, new_name: &str) -> Result<bool, OpError> {
        let (from, target) = (self.path.join(name), to.path.join(new_name));
        Op {
            call: format_args!("renameat2({from:?}, {target:?}, RENAME_NOREPLACE)"),
            shell: format_args!("mv -nT {} {}", from.display(), target.display()),
        }
        .perform(|| {
            match rustix::fs::renameat_with(&self.dir, name, &to.dir, new_name, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// Moves something to `to/new_name`, over what is there.
    pub(crate) fn replace(&self, name: &str, to: &Self, new_name: &str) -> Result<(), OpError> {
        let (from, target) = (self.path.join(name), to.path.join(new_name));
        Op {
            call: format_args!("renameat({from:?}, {target:?})"),
            shell: format_args!("mv -T {} {}", from.display(), target.display()),
        }
        .perform(|| rustix::fs::renameat(&self.dir, name, &to.dir, new_name))
    }

    /// Removes a file; none is fine.
    pub(crate) fn remove_file(&self, name: &str) -> Result<(), OpError> {
        let path = self.path.join(name);
        Op { call: format_args!("unlinkat({path:?})"), shell: format_args!("rm -f {}", path.display()) }
            .perform(|| match self.dir.remove(name.as_bytes()) {
                Err(Errno::NOENT) => Ok(()),
                removed => removed,
            })
    }

    /// Removes a file or a directory with all it holds; nothing there is fine.
    pub(crate) fn remove_all(&self, name: &str) -> Result<(), OpError> {
        let path = self.path.join(name);
        Op { call: format_args!("unlinkat({path:?}, …)"), shell: format_args!("rm -rf {}", path.display()) }
            .perform(|| match self.dir.remove(name.as_bytes()) {
                // unlink(2): EISDIR; EPERM is POSIX's answer.
                Err(Errno::ISDIR | Errno::PERM) => self.dir.remove_tree(name.as_bytes(), &mut |_| ()),
                Err(Errno::NOENT) => Ok(()),
                removed => removed,
            })
    }

    /// The names in this directory, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, OpError> {
        let path = &self.path;
        let list = look(format_args!("getdents64({path:?})"), || self.dir.list())?;
        // What is no UTF-8 was not made here, and is left alone.
        let mut names: Vec<String> =
            list.into_iter().filter_map(|(name, _)| String::from_utf8(name).ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Flushes the whole filesystem (syncfs(2)): one call instead of one fsync for each file.
    pub(crate) fn sync_filesystem(&self) -> Result<(), OpError> {
        let path = &self.path;
        Op { call: format_args!("syncfs({path:?})"), shell: format_args!("sync -f {}", path.display()) }
            .perform(|| rustix::fs::syncfs(&self.dir))
    }

    /// The same, before it has to be. Asked of a [`Place::reopen`]ed place, or what failed to be written would be told here and not
    /// by [`Place::sync_filesystem`]: syncfs(2) tells each open file once.
    pub(super) fn flush_early(&self) {
        let _told_later = rustix::fs::syncfs(&self.dir);
    }

    /// The same directory as an open file of its own (open(2), "open file description").
    pub(super) fn reopen(&self) -> Result<Self, OpError> {
        self.enter(".")
    }

    /// Size of a regular file; `None` if there is none.
    pub(crate) fn file_size(&self, name: &str) -> io::Result<Option<u64>> {
        match self.dir.stat_of(name.as_bytes()) {
            Ok(stat) => Ok(u64::try_from(stat.st_size).ok()),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// When a file was last changed; `None` if there is none.
    pub(crate) fn modified(&self, name: &str) -> io::Result<Option<Time>> {
        match self.dir.stat_of(name.as_bytes()) {
            Ok(stat) => Ok(Some(confined::modified(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets a file's times; none is fine.
    pub(crate) fn set_time(&self, name: &str, time: Time) -> Result<(), OpError> {
        let path = self.path.join(name);
        Op {
            call: format_args!("utimensat({path:?}, {})", time.seconds),
            shell: format_args!("touch -hd @{} {}", time.seconds, path.display()),
        }
        .perform(|| match self.dir.change_time(name.as_bytes(), time) {
            Err(Errno::NOENT) => Ok(()),
            changed => changed,
        })
    }

    /// Whether something of that name exists.
    pub(crate) fn has(&self, name: &str) -> Result<bool, OpError> {
        let path = self.path.join(name);
        look(format_args!("fstatat({path:?})"), || match self.dir.stat_of(name.as_bytes()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        })
    }

    pub(crate) fn into_dir(self) -> Dir {
        self.dir
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Place) {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::open_root(directory.path()).unwrap().unwrap();
        (directory, place)
    }

    #[test]
    fn a_place_that_is_opened_again_is_an_open_file_of_its_own() {
        use rustix::fs::{SeekFrom, seek};
        let (_directory, place) = temporary();
        place.write_unsynced("file", b"").unwrap();
        let again = place.reopen().unwrap();
        assert!(again.has("file").unwrap());
        // A position belongs to the open file, as an error of syncfs(2) does.
        seek(&place, SeekFrom::Start(1)).unwrap();
        assert_eq!([&place, &again].map(|place| seek(place, SeekFrom::Current(0)).unwrap()), [1, 0]);
        again.flush_early();
    }

    #[test]
    fn files_are_replaced_whole_and_nothing_else_stays() {
        let (_directory, place) = temporary();
        place.write_whole("file", b"old").unwrap();
        place.write_whole("file", b"new").unwrap();
        assert_eq!(place.read("file").unwrap().unwrap(), b"new");
        assert_eq!(place.names().unwrap(), ["file"]);
        assert_eq!(place.read("other").unwrap(), None);
        place.write_unsynced("other", b"kept").unwrap();
        assert!(!place.rename("file", &place, "other").unwrap(), "never over what is there");
        assert_eq!(place.read("other").unwrap().unwrap(), b"kept");
    }

    #[test]
    fn what_a_tree_would_inherit_is_taken_from_it() {
        use std::os::unix::fs::MetadataExt;
        let (directory, place) = temporary();
        // A directory that hands down its group, and a default access list (linux/posix_acl_xattr.h).
        let entry = |tag: u16, permissions: u16| {
            [tag.to_le_bytes(), permissions.to_le_bytes(), [0xff; 2], [0xff; 2]].concat()
        };
        let list = [2_u32.to_le_bytes().to_vec(), entry(1, 7), entry(4, 0), entry(0x20, 0)].concat();
        confined::set_owner(&place, 0, 1234).unwrap();
        confined::set_mode(&place, 0o2777).unwrap();
        confined::set_xattr(&place, b"system.posix_acl_default", &list).unwrap();
        let tree = place.make_tree("tree").unwrap();
        let stat = directory.path().join("tree").metadata().unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o755, 0, 0));
        assert!(confined::xattrs(&tree).unwrap().is_empty());
    }
}
