//! A large file that appears under its name when it is whole: until then it has none, and goes with its writer.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::{Result, op};

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    file: OwnedFd,
    path: PathBuf,
    /// It has no name yet.
    nameless: bool,
}

impl NewFile {
    /// Begins one; a device or a pipe that is there is written to as it is, and so is every file of a file system that knows no
    /// files without a name.
    ///
    /// # Errors
    /// What open(2) answered.
    pub fn begin(path: &Path) -> Result<NewFile> {
        op!(
            ("open({path:?}, O_TMPFILE), linkat({path:?}) when it is whole"),
            ("cat >{0}.new && mv {0}.new {0}", path.display()),
            || {
                let there = rustix::fs::stat(path).ok();
                let is_plain = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let mode = Mode::from_raw_mode(0o600);
                if there.is_none_or(|stat| is_plain(stat.st_mode)) {
                    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
                    match rustix::fs::open(directory.unwrap_or(Path::new(".")), flags, mode) {
                        Ok(file) => return Ok(NewFile { file, path: path.to_owned(), nameless: true }),
                        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {}
                        Err(errno) => return Err(errno),
                    }
                }
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
                let file = rustix::fs::open(path, flags, mode)?;
                Ok(NewFile { file, path: path.to_owned(), nameless: false })
            }
        )
    }

    /// Gives it its name, in the place of what may have that.
    ///
    /// # Errors
    /// What linkat(2) or rename(2) answered.
    pub fn finish(self) -> Result<()> {
        if !self.nameless {
            return Ok(());
        }
        let path = &self.path;
        op!(("linkat(FD, {path:?}), over what is there"), ("mv {0}.new {0}", path.display()), || {
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            match rustix::fs::linkat(CWD, own.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW) {
                Err(rustix::io::Errno::EXIST) => {}
                other => return other,
            }
            // What is there is replaced by a rename, so it needs a name for a moment.
            let target = rustix::fs::readlinkat(CWD, path, Vec::new()).ok();
            let target = target.map_or_else(
                || path.clone(),
                |_| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
            );
            let mut moment: OsString = target.clone().into_os_string();
            moment.push(format!(".new{}", std::process::id()));
            rustix::fs::linkat(CWD, own.as_str(), CWD, Path::new(&moment), AtFlags::SYMLINK_FOLLOW)?;
            rustix::fs::renameat(CWD, Path::new(&moment), CWD, &target)
        })
    }
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
