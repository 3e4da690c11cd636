//! Why a layer is refused: what is wrong with its archive, or what the kernel would not do.

use std::fmt;
use std::io;

use rustix::io::Errno;

use super::data::DataError;
use super::entry::EntryError;
use super::number::NumberError;
use super::pax::PaxError;
use super::record::escape;
use super::sparse::SparseError;
use super::tar::{EXTENSION_MAX, truncated};

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is malformed or could not be read.
    #[error("reading the layer")]
    Tar(#[from] TarError),
    /// The archive asks for something that no layer may have.
    #[error("entry {path:?}")]
    Entry {
        /// The entry's name; bytes that are no UTF-8 as `\xNN`.
        path: String,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// A hard link to a directory.
    #[error("entry {path:?} is a hard link to the directory {target:?}")]
    LinkToDirectory {
        /// The link's name.
        path: String,
        /// The directory.
        target: String,
    },
    /// The kernel refused an operation.
    #[error("{call}({path:?})")]
    Kernel {
        /// The system call.
        call: Call,
        /// The path below the layer's root.
        path: String,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// More entries than the limit.
    #[error("the layer has more than {0} entries")]
    TooManyEntries(u64),
    /// The layer's links lead in circles of circles.
    #[error("the layer's symbolic links are too many to follow")]
    TooManySteps,
    /// The layer needs more memory for names than it may have.
    #[error(
        "the layer has too many directories without entries, whiteouts or hard links to keep their names"
    )]
    TooManyPaths,
}

impl UnpackError {
    /// What the kernel answered, if it was the kernel.
    pub(crate) fn kernels_answer(&self) -> io::Error {
        match self {
            Self::Kernel { source, .. } => source.raw_os_error().map(io::Error::from_raw_os_error),
            _ => None,
        }
        .unwrap_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// What went wrong with the data of the file at `path`.
    pub(super) fn data(error: DataError, path: &[u8]) -> Self {
        match error {
            DataError::Archive(error) => error.into(),
            DataError::Write(errno) => Self::kernel(Call::Write, path)(errno),
        }
    }

    /// What `map_err` needs for a system call on `path`.
    pub(crate) fn kernel(call: Call, path: &[u8]) -> impl FnOnce(Errno) -> Self {
        move |error| Self::Kernel { call, path: escape(path), source: error.into() }
    }
}

/// The system calls of packing and unpacking, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `openat2`
    Open,
    /// `fstatat`
    Stat,
    /// `mkdirat`
    MakeDir,
    /// `openat` with `O_CREAT`
    MakeFile,
    /// `write`
    Write,
    /// `symlinkat`
    Symlink,
    /// `linkat`
    Link,
    /// `mknodat`
    MakeNode,
    /// `unlinkat`
    Remove,
    /// `fchown`
    SetOwner,
    /// `fchmod`
    SetMode,
    /// `utimensat`
    SetTime,
    /// `fsetxattr`
    SetXattr,
    /// `fgetxattr`
    GetXattr,
    /// `copy_file_range`
    Copy,
    /// `readlinkat`
    ReadLink,
    /// `getdents64`
    List,
    /// `read`
    Read,
    /// `lseek`
    Seek,
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Open => "openat2",
            Self::Stat => "fstatat",
            Self::MakeDir => "mkdirat",
            Self::MakeFile => "openat",
            Self::Write => "write",
            Self::Symlink => "symlinkat",
            Self::Link => "linkat",
            Self::MakeNode => "mknodat",
            Self::Remove => "unlinkat",
            Self::SetOwner => "fchown",
            Self::SetMode => "fchmod",
            Self::SetTime => "utimensat",
            Self::SetXattr => "fsetxattr",
            Self::GetXattr => "fgetxattr",
            Self::Copy => "copy_file_range",
            Self::ReadLink => "readlinkat",
            Self::List => "getdents64",
            Self::Read => "read",
            Self::Seek => "lseek",
        })
    }
}

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("tar archive, at byte {position}")]
pub struct TarError {
    /// How many bytes had been read.
    pub position: u64,
    /// What is wrong there.
    #[source]
    pub source: TarErrorKind,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarErrorKind {
    /// The stream could not be read: an error of the decompressor or of the connection.
    #[error("reading the archive")]
    Io(#[from] io::Error),
    /// The stream ends inside a member.
    #[error("the archive ends in the middle of a member")]
    Truncated,
    /// The header's checksum is wrong, so this is no header.
    #[error("header checksum mismatch")]
    Checksum,
    /// A numeric field holds something else.
    #[error("field {name}")]
    Number {
        /// The field's name in POSIX.
        name: &'static str,
        /// What it holds.
        #[source]
        source: NumberError,
    },
    /// A size below zero.
    #[error("negative size {0}")]
    NegativeSize(i64),
    /// The extended header and the header proper disagree on where the next member begins (CVE-2025-62518).
    #[error("the extended header says {pax} bytes, the header {header}")]
    Sizes {
        /// The size in the extended header.
        pax: i64,
        /// The size in the header.
        header: i64,
    },
    /// A link, directory or device that claims data, which some readers skip and others do not.
    #[error("member of type {:?} with {size} bytes of data", char::from(*kind))]
    UnexpectedData {
        /// The type flag.
        kind: u8,
        /// The size in the header.
        size: u64,
    },
    /// Two extensions of one kind before one member, or none after them.
    #[error("extension header {:?} that belongs to no member or comes twice", char::from(*.0))]
    Extension(u8),
    /// An extension larger than the 1 MiB that Go's reader takes, too.
    #[error("extension header of {0} bytes, at most {EXTENSION_MAX} are read")]
    ExtensionSize(u64),
    /// A bad extended header.
    #[error("pax extended header")]
    Pax(#[from] PaxError),
    /// A bad sparse map.
    #[error("sparse file")]
    Sparse(#[from] SparseError),
}

impl TarError {
    /// An error of the stream after `position` bytes.
    pub(crate) fn reading(position: u64, error: io::Error) -> Self {
        Self { position, source: truncated(error) }
    }
}
