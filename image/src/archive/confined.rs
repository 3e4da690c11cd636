//! The door to a tree of files: every operation of unpacking goes through here, and none can leave the tree.
//!
//! A [`Dir`] is an open directory. Names given to its methods are single components, which the kernel cannot
//! walk out of; the one longer path, [`Dir::beneath`], goes through `openat2(2)` with `RESOLVE_BENEATH` and
//! without symbolic links. Links in a layer are resolved by [`super::dirs`], component by component, so
//! nothing here follows one.
//!
//! The trees are private: below a 0700 directory, and written by one process that holds a lock.

#![expect(clippy::disallowed_methods, reason = "this is the door that the lint points to")]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::entry::{Node, Time, Xattr};
use super::marks::is_whiteout;

/// An open directory of the tree.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

/// What a name stands for.
#[derive(Debug)]
pub(crate) enum Found {
    Missing,
    Directory,
    Symlink(Vec<u8>),
    /// What hides a name of lower layers ([`super::marks`]).
    Whiteout,
    /// A regular file or a special one.
    Other,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Proof that this thread's umask is zero, so that modes given to `open` and `mkdir` are the modes of what is
/// made.
///
/// It cannot leave its thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ZeroUmask(PhantomData<*const ()>);

impl ZeroUmask {
    /// Gives the calling thread a umask of its own (`unshare(CLONE_FS)`, which no permission is needed for)
    /// and clears it. For threads made for unpacking: the process's other threads keep theirs.
    pub(crate) fn on_this_thread() -> io::Result<Self> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
        rustix::process::umask(Mode::empty());
        Ok(Self(PhantomData))
    }
}

/// A umask of zero, until it is dropped; it cannot leave its thread.
#[derive(Debug)]
pub(super) struct Umask(Mode, PhantomData<*const ()>);

impl Umask {
    /// Clears this process's umask: for one that has a single thread.
    pub(super) fn zero() -> Self {
        Self(rustix::process::umask(Mode::empty()), PhantomData)
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        rustix::process::umask(self.0);
    }
}

impl Dir {
    /// Takes over an open directory.
    pub(crate) fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// The directory `path` below this one: no symbolic link on the way, no other filesystem.
    pub(crate) fn beneath(&self, path: &[u8]) -> Result<Self, Errno> {
        const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
            .union(ResolveFlags::NO_SYMLINKS)
            .union(ResolveFlags::NO_MAGICLINKS)
            .union(ResolveFlags::NO_XDEV);
        let path = if path.is_empty() { b"." } else { path };
        loop {
            // openat2(2): EAGAIN where something was renamed meanwhile and the kernel cannot be sure.
            match rustix::fs::openat2(&self.0, path, DIRECTORY, Mode::empty(), RESOLVE) {
                Err(Errno::AGAIN) => {}
                opened => return opened.map(Self),
            }
        }
    }

    /// The directory `name` in this one.
    pub(crate) fn open(&self, name: &[u8]) -> Result<Self, Errno> {
        rustix::fs::openat(&self.0, name, DIRECTORY, Mode::empty()).map(Self)
    }

    /// The directory above; only asked of one that was reached from inside the tree.
    pub(crate) fn parent(&self) -> Result<Self, Errno> {
        rustix::fs::openat(&self.0, "..", DIRECTORY, Mode::empty()).map(Self)
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.0)
    }

    pub(crate) fn look(&self, name: &[u8]) -> Result<Found, Errno> {
        let stat = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Found::Directory,
            FileType::Symlink => Found::Symlink(self.read_link(name)?),
            _ if is_whiteout(&stat) => Found::Whiteout,
            _ => Found::Other,
        })
    }

    pub(crate) fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.0, name, Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// `lstat` of something in this directory.
    pub(crate) fn stat_of(&self, name: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(crate) fn make_dir(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode))
    }

    /// Makes a new file, open for writing; never opens one that exists.
    pub(crate) fn make_file(&self, name: &[u8], mode: u32) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))
    }

    /// Opens a regular file for reading; a fifo in its place would not block.
    pub(crate) fn open_file(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::empty())
    }

    pub(crate) fn make_symlink(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, &self.0, name)
    }

    pub(crate) fn make_node(
        &self,
        name: &[u8],
        node: Node,
        mode: u32,
        device: (u32, u32),
    ) -> Result<(), Errno> {
        let kind = match node {
            Node::Character => FileType::CharacterDevice,
            Node::Block => FileType::BlockDevice,
            Node::Fifo => FileType::Fifo,
        };
        let device = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(&self.0, name, kind, Mode::from_raw_mode(mode), device)
    }

    /// Makes a socket that nobody listens on.
    pub(crate) fn make_socket(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::mknodat(&self.0, name, FileType::Socket, Mode::empty(), 0)
    }

    /// Gives the file `target` of `directory` the name `name` here. A symbolic link is linked itself (no
    /// `AT_SYMLINK_FOLLOW`).
    pub(crate) fn make_link(&self, name: &[u8], directory: &Self, target: &[u8]) -> Result<(), Errno> {
        rustix::fs::linkat(&directory.0, target, &self.0, name, AtFlags::empty())
    }

    /// Changes the owner of something here; a symbolic link's own.
    pub(crate) fn change_owner(&self, name: &[u8], uid: u32, gid: u32) -> Result<(), Errno> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(&self.0, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Changes the mode of something here that is no symbolic link.
    pub(crate) fn change_mode(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        rustix::fs::chmodat(&self.0, name, Mode::from_raw_mode(mode), AtFlags::empty())
    }

    /// Sets both times of something here; a symbolic link's own.
    pub(crate) fn change_time(&self, name: &[u8], time: Time) -> Result<(), Errno> {
        rustix::fs::utimensat(&self.0, name, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Removes something that is no directory.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty())
    }

    /// Removes a directory that is empty.
    pub(crate) fn remove_dir(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)
    }

    /// What the directory holds, without `.` and `..`.
    pub(crate) fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
        // A descriptor of its own: the position in a directory belongs to the open file.
        let again = rustix::fs::openat(&self.0, ".", DIRECTORY, Mode::empty())?;
        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(again, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push((name.to_vec(), entry.file_type()));
            }
        }
        Ok(names)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets the owner of an open file or directory.
pub(crate) fn set_owner(file: impl AsFd, uid: u32, gid: u32) -> Result<(), Errno> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// Sets the mode of an open file or directory.
pub(crate) fn set_mode(file: impl AsFd, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
}

/// Sets both times of an open file or directory.
pub(crate) fn set_time(file: impl AsFd, time: Time) -> Result<(), Errno> {
    rustix::fs::futimens(file, &timestamps(time))
}

/// Sets an extended attribute of an open file or directory.
pub(crate) fn set_xattr(file: impl AsFd, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
}

/// The extended attributes of an open file or directory.
pub(crate) fn xattrs(file: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    // xattr(7): a list has at most 64 KiB, and so has a value.
    const MAX: usize = 64 * 1024;
    let mut buffer = vec![0; MAX];
    let length = match rustix::fs::flistxattr(&file, buffer.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let names = buffer[..length].to_vec();
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = rustix::fs::fgetxattr(&file, name, buffer.as_mut_slice())?;
        found.push((name.to_vec(), buffer[..length].to_vec()));
    }
    Ok(found)
}

/// Whether an extended attribute of an open file or directory has this value.
pub(crate) fn has_xattr(file: impl AsFd, name: &str, value: &[u8]) -> Result<bool, Errno> {
    let mut found = [0; 16];
    match rustix::fs::fgetxattr(file, name, found.as_mut_slice()) {
        Ok(length) => Ok(found[..length] == *value),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes all of `bytes` at the file's position.
pub(crate) fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Moves a file's position to `offset` bytes from its beginning.
pub(crate) fn seek_to(file: impl AsFd, offset: u64) -> Result<(), Errno> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(offset)).map(drop)
}

/// Gives a file `size` bytes, what was not written reading as zeros.
pub(crate) fn set_size(file: impl AsFd, size: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(file, size)
}

/// Copies a file's bytes inside the kernel.
pub(crate) fn copy(from: impl AsFd, to: impl AsFd, size: u64) -> Result<(), Errno> {
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        let copied = match rustix::fs::copy_file_range(&from, None, &to, None, count) {
            // To a filesystem of another kind (copy_file_range(2), Linux 5.19).
            Err(Errno::XDEV | Errno::OPNOTSUPP) => rustix::fs::sendfile(&to, &from, None, count),
            other => other,
        };
        match copied {
            Ok(0) => return Err(Errno::IO),
            Ok(copied) => left -= copied as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn timestamps(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// The modification time in a `stat`.
pub(crate) fn modified(stat: &Stat) -> Time {
    let nanos = u32::try_from(stat.st_mtime_nsec).expect("the kernel counts nanoseconds below a second");
    Time { seconds: stat.st_mtime, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Dir) {
        let directory = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(directory.path(), DIRECTORY, Mode::empty()).unwrap();
        (directory, Dir::new(fd))
    }

    #[test]
    fn no_path_leads_out() {
        let (_outside, outside) = temporary();
        outside.make_dir(b"root", 0o755).unwrap();
        outside.make_dir(b"secret", 0o755).unwrap();
        let root = outside.open(b"root").unwrap();
        root.make_symlink(b"link", b"../secret").unwrap();
        root.make_symlink(b"absolute", b"/").unwrap();
        for path in [&b"../secret"[..], b"/", b"link", b"absolute", b"../root/../secret"] {
            assert!(root.beneath(path).is_err(), "{:?}", String::from_utf8_lossy(path));
        }
        assert!(root.beneath(b"").is_ok());
        assert_eq!(root.open(b"link").map(drop), Err(Errno::NOTDIR));
    }

    #[test]
    fn files_are_made_anew_or_not_at_all() {
        let (_directory, root) = temporary();
        root.make_symlink(b"link", b"target").unwrap();
        assert_eq!(root.make_file(b"link", 0o644).map(drop), Err(Errno::EXIST));
        assert!(matches!(root.look(b"target").unwrap(), Found::Missing));
        assert!(matches!(root.look(b"link").unwrap(), Found::Symlink(target) if target == b"target"));
    }
}
