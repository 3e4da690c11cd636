//! A large file that appears under its name when it is whole: until then it has none, and goes with its writer.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::{Result, op};

/// A file that is being written. One that is dropped unfinished leaves nothing.
#[derive(Debug)]
pub struct NewFile {
    file: OwnedFd,
    path: PathBuf,
    name: Name,
}

/// What a file is called while it is written.
#[derive(Debug)]
enum Name {
    /// Nothing yet: it goes with its writer, however that ends.
    None,
    /// Something beside the name that it is to have.
    Beside(PathBuf),
    /// What it is to be called: it is no plain file.
    Own,
}

impl NewFile {
    /// Begins one with these permissions; a device or a pipe that is there is written to as it is. On a file system that knows no
    /// files without a name (exFAT, NFS) it has a temporary one.
    ///
    /// # Errors
    /// What open(2) answered.
    pub fn begin(path: &Path, mode: u32) -> Result<NewFile> {
        op!(
            ("open({path:?}, O_TMPFILE), linkat({path:?}) when it is whole"),
            ("cat >{0}.new && mv {0}.new {0}", path.display()),
            || {
                let there = rustix::fs::stat(path).ok();
                let is_plain = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let mode = Mode::from_raw_mode(mode);
                let begun = |file, name| NewFile { file, path: path.to_owned(), name };
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                if there.is_some_and(|stat| !is_plain(stat.st_mode)) {
                    return rustix::fs::open(path, flags | OFlags::TRUNC, mode)
                        .map(|file| begun(file, Name::Own));
                }
                let nameless = flags | OFlags::TMPFILE;
                match rustix::fs::open(directory.unwrap_or(Path::new(".")), nameless, mode) {
                    Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                        beside(path, mode).map(|(file, moment)| begun(file, Name::Beside(moment)))
                    }
                    file => file.map(|file| begun(file, Name::None)),
                }
            }
        )
    }

    /// Writes over what was written before, from this byte on.
    ///
    /// # Errors
    /// What pwrite(2) answered: `ESPIPE` for what is no plain file.
    pub fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            written += rustix::io::pwrite(&self.file, &bytes[written..], offset + written as u64)?;
        }
        Ok(())
    }

    /// Brings what was written to the disk: after a power loss the name leads to all of it, or to what was there before.
    ///
    /// # Errors
    /// What fdatasync(2) answered.
    pub fn sync(&self) -> Result<()> {
        let path = &self.path;
        op!(("fdatasync({path:?})"), ("sync --data {}", path.display()), || {
            match rustix::fs::fdatasync(&self.file) {
                // A pipe or a device has nothing to keep.
                Err(rustix::io::Errno::INVAL) => Ok(()),
                done => done,
            }
        })
    }

    /// Gives it its name, in the place of what may have that.
    ///
    /// # Errors
    /// What linkat(2) or rename(2) answered.
    pub fn finish(mut self) -> Result<()> {
        let path = &self.path;
        match &self.name {
            Name::Own => return Ok(()),
            Name::Beside(moment) => {
                op!(
                    ("rename({moment:?}, {path:?})"),
                    ("mv {} {}", moment.display(), path.display()),
                    || { rustix::fs::renameat(CWD, moment, CWD, target(path)) }
                )?;
            }
            Name::None => {
                op!(
                    ("linkat(FD, {path:?}), over what is there"),
                    ("mv {0}.new {0}", path.display()),
                    || link(&self.file, path)
                )?;
            }
        }
        self.name = Name::Own;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Name::Beside(moment) = &self.name {
            // Whatever went wrong before is told already.
            let _gone = rustix::fs::unlink(moment);
        }
    }
}

/// A file of a temporary name beside `path`.
fn beside(path: &Path, mode: Mode) -> std::result::Result<(OwnedFd, PathBuf), rustix::io::Errno> {
    let moment = temporary(&target(path));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok((rustix::fs::open(&moment, flags, mode)?, moment))
}

fn temporary(target: &Path) -> PathBuf {
    let mut moment: OsString = target.as_os_str().to_owned();
    moment.push(format!(".new{}", std::process::id()));
    moment.into()
}

/// Where a link leads; everything else is itself.
fn target(path: &Path) -> PathBuf {
    match rustix::fs::readlinkat(CWD, path, Vec::new()) {
        Ok(_) => std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        Err(_) => path.to_owned(),
    }
}

/// Gives a file without a name one.
fn link(file: &OwnedFd, path: &Path) -> std::result::Result<(), rustix::io::Errno> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, own.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Err(rustix::io::Errno::EXIST) => {}
        other => return other,
    }
    // What is there is replaced by a rename, so it needs a name for a moment.
    let target = target(path);
    let moment = temporary(&target);
    rustix::fs::linkat(CWD, own.as_str(), CWD, &moment, AtFlags::SYMLINK_FOLLOW)?;
    rustix::fs::renameat(CWD, &moment, CWD, &target)
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.file.as_fd(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes everything to the disk that the file system of `path` holds back (syncfs(2)).
///
/// # Errors
/// What open(2) or syncfs(2) answered.
pub fn sync_all(path: &Path) -> Result<()> {
    op!(("syncfs({path:?})"), ("sync --file-system {}", path.display()), || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::syncfs(rustix::fs::open(path, flags, Mode::empty())?)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        std::fs::read_dir(directory).unwrap().flatten().map(|entry| entry.file_name()).collect()
    }

    /// As on a file system that knows no files without a name.
    fn begin_beside(path: &Path) -> NewFile {
        let (file, moment) = beside(path, Mode::from_raw_mode(0o600)).unwrap();
        NewFile { file, path: path.to_owned(), name: Name::Beside(moment) }
    }

    #[test]
    fn a_file_with_a_temporary_name_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let mut file = begin_beside(&path);
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["file"]);
        let mut file = begin_beside(&path);
        file.write_all(b"new").unwrap();
        file.sync().unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["file"]);
    }
}
