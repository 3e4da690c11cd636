//! Layers as archives: what their entries mean, and how they become files that cannot lie outside their
//! directory.

pub(crate) mod confined;
mod dirs;
pub(crate) mod entry;
mod error;
pub(crate) mod extra;
mod link;
mod number;
mod pax;
pub(crate) mod record;
mod sparse;
pub(crate) mod tar;
pub(crate) mod unpack;
mod view;
mod walk;
mod whiteout;

pub use entry::{EntryError, Time};
pub use error::{Call, TarError, TarErrorKind, UnpackError};
pub use extra::ExtraError;
pub use number::NumberError;
pub use pax::PaxError;
pub use record::{HighId, IdKind};
pub use sparse::SparseError;
