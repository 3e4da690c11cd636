//! One thing in a tree that somebody else changes at the same time: found once, held, and looked at through what is held.
//!
//! A name can stand for another thing at every call. So a name is looked up once, without opening what it stands for
//! (`O_PATH`, open(2)): a fifo does not block, a device does nothing. Everything else goes through that descriptor.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::confined::Dir;

/// A thing that is held, whatever its name stands for by now.
#[derive(Debug)]
pub(super) struct Object {
    held: OwnedFd,
    pub(super) stat: Stat,
}

impl Object {
    /// What `name` stands for in `directory`; a symbolic link itself.
    pub(super) fn find(directory: &Dir, name: &[u8]) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::held(rustix::fs::openat(directory, name, flags, Mode::empty())?)
    }

    /// What a descriptor refers to.
    pub(super) fn held(held: OwnedFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&held)?;
        Ok(Self { held, stat })
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// What tells it apart from everything else: file system and inode.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// A symbolic link's target.
    pub(super) fn target(&self) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.held, "", Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// Opens a directory.
    pub(super) fn open_directory(&self) -> Result<Dir, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.held, ".", flags, Mode::empty()).map(Dir::new)
    }

    /// Opens a regular file for reading: this very one, by this process's own table of descriptors.
    pub(super) fn open_file(&self) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", self.held.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
    }
}

/// Whether a name is where something is mounted. Who removes such a name in a mount namespace that is not its own takes the
/// mount away with it (`__detach_mounts`, fs/namespace.c).
pub(super) fn is_mount_point(directory: &Dir, name: &[u8]) -> Result<bool, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = rustix::fs::statx(directory, name, flags, StatxFlags::TYPE)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// File systems in which the kernel shows itself: what is in them is no content of anybody's (linux/magic.h).
const OF_THE_KERNEL: [i64; 16] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
    0x4249_4e4d, // binfmt_misc
    0x6265_6570, // configfs
    0x6573_5543, // fusectl
    0x6e73_6673, // nsfs
    0xf97c_ff8c, // selinuxfs
];

/// Whether a file lies in a file system of the kernel's own.
pub(super) fn is_the_kernels(file: impl AsFd) -> Result<bool, Errno> {
    Ok(OF_THE_KERNEL.contains(&rustix::fs::fstatfs(file)?.f_type))
}

/// What a directory holds, last name first; `budget` is what names may take of memory, in bytes, and becomes what is left of it.
/// `None` where it does not suffice.
pub(super) fn names(directory: &Dir, budget: &mut usize) -> Result<Option<Vec<Box<[u8]>>>, Errno> {
    let mut buffer = vec![std::mem::MaybeUninit::uninit(); 32 * 1024];
    let mut entries = rustix::fs::RawDir::new(directory, &mut buffer);
    let mut names: Vec<Box<[u8]>> = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match budget.checked_sub(cost(name)) {
            Some(left) => *budget = left,
            None => return Ok(None),
        }
        names.push(name.into());
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(Some(names))
}

/// What a name that is kept takes of memory, in bytes.
pub(super) fn cost(name: &[u8]) -> usize {
    name.len() + 48
}
