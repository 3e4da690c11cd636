//! Where a container's files come from: references, registries, layers and the store.
//!
//! ```text
//! pull:   reference → registry → manifest → layers, each in one pass:
//!             download → digest → inflate → diff id → unpack        → store
//! load:   archive (docker's or OCI's) → the same pass               → store
//! commit: an upper directory → a layer: pack → diff id → unpack, and beside it its blob → store
//! import: an archive of files → a layer in the same way             → store
//! push:   name → manifest → blobs that the registry has not → registry
//! save:   names → manifests → blobs, each digest computed while it is written → archive
//! run:    Store::open → Store::resolve → Image { config, layers }
//! explore: layers, one upon the other → what each adds, changes and hides
//! cp:     a tree → Pack, read piece by piece → extract → a tree
//! ```
//!
//! What comes from an image is hostile: `archive` decides what its entries may mean and unpacks them so that
//! nothing can lie outside; digests and sizes are verified before anything becomes visible. This crate knows
//! neither containers nor networks of containers, prints nothing, and reads no environment.

pub mod reference;

mod pull;
mod push;
mod registry;

mod load;
mod make;
mod save;

mod manifest;
mod platform;

mod layer;

mod archive;

mod store;

mod explore;

mod digest;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod limits;
pub mod op;
mod progress;

pub use archive::{
    Became, Call, Changes, Copied, CopyError, EntryError, ExtraError, ExtractError, ExtractOptions,
    Extracted, HighId, IdKind, IdMap, Inside, Into, NumberError, Owners, Pack, PackError, PackOptions,
    Packed, PaxError, Shift, SparseError, TarError, TarErrorKind, Time, UnpackError, changed, copy, extract,
    inflated, lies_on_overlay, same_id,
};
pub use digest::{Digest, DigestError, Hasher};
pub use explore::{Change, ChangeKind, Count, Explored, ExploredLayer, Supplier, Waste};
pub use layer::LayerError;
pub use layer::deflate::Packing;
pub use layer::inflate::Compression;
pub use layer::ingest::IngestError;
pub use limits::{LAYERS_MAX, Limits};
pub use load::{LoadError, LoadOptions, Loaded, load};
pub use make::{About, CommitError, CommitOptions, ImportError, ImportOptions, New, Written, commit, import};
pub use manifest::{ConfigError, ManifestError};
pub use op::OpError;
pub use platform::{Platform, PlatformError};
pub use progress::{Event, LayerInfo, LayerState, Retrying};
pub use pull::{PullError, PullOptions, PullStatus, Pulled, pull, tags};
pub use push::{PushError, PushOptions, Pushed, Stop, push};
pub use reference::{Reference, ReferenceError};
pub use registry::{
    CredentialError, Download, DownloadError, HostOptions, Hosts, HttpError, LoginError, LoginOptions,
    ProxyOptions, RegistryError, Timeouts, log_in,
};
pub use save::{Save, SaveError, Saved, TAR_END, tar_header, tar_padding};
pub use store::chain::StackError;
pub use store::commit::Renamed;
pub use store::image::{Beyond, Image, Overview};
pub use store::{
    Again, Check, Conflict, Fault, Fetch, Finding, Interrupted, Keeping, Names, Pin, Problem, Prune, Pruned,
    RemoveError, Removed, ResolveError, Store, StoreError, Usage, Use,
};
