//! Trees of files as archives: what their entries mean, and how they become files that cannot lie outside their
//! directory.
//!
//! Layers are unpacked into trees of mini's own ([`unpack`]), where whiteouts have a meaning. Everything else, `cp`, `export`
//! and the first content of volumes, goes from trees that others change ([`pack`]) to trees that others change ([`extract`]),
//! and names are just names.

pub(crate) mod compare;
pub(crate) mod confined;
mod data;
mod dirs;
mod duplicate;
pub(crate) mod entry;
mod error;
pub(crate) mod extra;
mod file;
mod link;
mod maker;
pub(crate) mod marks;
mod number;
mod pax;
pub(crate) mod record;
mod sparse;
mod stack;
pub(crate) mod tar;
pub(crate) mod unpack;
mod view;
mod walk;
mod whiteout;

mod changed;
mod copy;
mod extract;
mod ids;
mod object;
mod pack;
mod place;
mod stored;
mod tree_error;
pub(crate) mod write;

pub use changed::{Became, Changes, changed};
pub use copy::{Copied, CopyError, copy};
pub use duplicate::Shift;
pub use entry::{EntryError, Time};
pub use error::{Call, TarError, TarErrorKind, UnpackError};
pub use extra::ExtraError;
pub use extract::{ExtractOptions, Extracted, Inside, Into, Owners, extract, inflated};
pub use ids::{IdMap, same_id};
pub use marks::lies_on_overlay;
pub use number::NumberError;
pub use pack::{Pack, PackOptions, Packed};
pub use pax::PaxError;
pub use record::{HighId, IdKind};
pub use sparse::SparseError;
pub use tree_error::{ExtractError, PackError};
