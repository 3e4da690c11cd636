//! Why a tree was not packed, or an archive not extracted.

use std::io;

use rustix::io::Errno;

use super::entry::{EntryError, NAME_MAX};
use super::error::{Call, TarError, TarErrorKind};
use super::record::escape;
use crate::layer::inflate::Compression;
use crate::op::OpError;

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The kernel refused an operation.
    #[error("{call}({path:?})")]
    Kernel {
        /// The system call.
        call: Call,
        /// The path in the archive.
        path: String,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// No archive may have such a name.
    #[error("the name {path:?}… has {length} bytes, at most {} are possible", NAME_MAX)]
    NameTooLong {
        /// Its beginning.
        path: String,
        /// Its length.
        length: usize,
    },
    /// More than the limit.
    #[error("more than {0} files")]
    TooManyEntries(u64),
    /// The names of a directory, or of files with several names, would take more memory than is given to them.
    #[error("{0:?} has more names than memory is kept for")]
    TooManyNames(String),
    /// Somebody moved a directory away while it was read.
    #[error("the directory {0:?} was moved while it was packed")]
    Moved(String),
    /// Overlay has written down where something lies instead of what it is.
    #[error(
        "the content of {0:?} lies in a lower layer: overlay's redirect_dir or metacopy is on (/sys/module/overlay/parameters)"
    )]
    Elsewhere(String),
}

impl PackError {
    /// What `map_err` needs for a system call on `path`.
    pub(super) fn kernel(call: Call, path: &[u8]) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Kernel { call, path: escape(path), source: errno.into() }
    }
}

/// Why a stream was not extracted, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// What is packed at the other end cannot be.
    #[error(transparent)]
    Pack(PackError),
    /// The archive is malformed or could not be read.
    #[error("reading the archive")]
    Tar(#[source] TarError),
    /// A compression that cannot be undone here.
    #[error("the archive has {0} compression; give it plain, with gzip or with zstd")]
    Compression(Compression),
    /// The archive asks for something that cannot be.
    #[error("entry {path:?}")]
    Entry {
        /// The entry's name.
        path: String,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// A directory in the archive, something else in the tree.
    #[error("cannot overwrite non-directory {0:?} with a directory")]
    NonDirectory(String),
    /// A directory in the tree, something else in the archive.
    #[error("cannot overwrite directory {0:?} with a non-directory")]
    Directory(String),
    /// A name leads through something that is no directory, or through a link that is not followed.
    #[error("{0:?} is not a directory")]
    NotDirectory(String),
    /// What would be replaced is a mount.
    #[error("cannot replace {0:?}: something is mounted there")]
    Mounted(String),
    /// A directory in a container that belongs to somebody outside.
    #[error("the directory {path:?} belongs to {uid}:{gid}, whom the container does not know")]
    Foreign {
        /// Below the directory.
        path: String,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A hard link to nothing.
    #[error("{path:?} is a hard link to {target:?}, which is not there")]
    LinkTarget {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// An owner that has no counterpart in the tree.
    #[error("{kind} {id}, who owns {path:?}, has no place in the container: its ids end at 65535")]
    Owner {
        /// `uid` or `gid`.
        kind: &'static str,
        /// The id in the archive.
        id: u32,
        /// The entry's name.
        path: String,
    },
    /// The kernel refused an operation.
    #[error("{call}({path:?})")]
    Kernel {
        /// The system call.
        call: Call,
        /// The path below the directory.
        path: String,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// More entries than the limit.
    #[error("the archive has more than {0} entries")]
    TooManyEntries(u64),
    /// More data than the limit.
    #[error("the archive's files have more than {0} bytes")]
    TooLarge(u64),
    /// The directory cannot be used at all.
    #[error(transparent)]
    Op(#[from] OpError),
}

impl ExtractError {
    /// What `map_err` needs for a system call on `path`.
    pub(super) fn kernel(call: Call, path: &[u8]) -> impl FnOnce(Errno) -> Self {
        move |error| Self::Kernel { call, path: escape(path), source: error.into() }
    }

    /// What the kernel answered, if it was the kernel.
    pub(super) fn kernels_answer(&self) -> io::Error {
        match self {
            Self::Kernel { source, .. } => source.raw_os_error().map(io::Error::from_raw_os_error),
            _ => None,
        }
        .unwrap_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl From<TarError> for ExtractError {
    /// Where the archive is packed while it is read, the packing's error counts.
    fn from(error: TarError) -> Self {
        match error.source {
            TarErrorKind::Io(source) => match source.downcast::<PackError>() {
                Ok(error) => Self::Pack(error),
                Err(source) => {
                    Self::Tar(TarError { position: error.position, source: TarErrorKind::Io(source) })
                }
            },
            _ => Self::Tar(error),
        }
    }
}
