//! The store: an OCI image layout that any OCI tool reads, and beside it what `run` needs.
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/…      the OCI image layout (image-layout.md of the OCI image spec)
//! version                                     of everything below; another version is refused. `-copied` on an overlay
//! images/<id>.json                            configuration and layers of one image
//! layers/<diff id>/{tree,layer.json}          an unpacked layer, shared by all images that have it
//! chains/<chain id>/{tree,layer.json}         what a layer takes from those below it; most layers need none
//! ingest/<name>/                              in the making: locked by its maker, garbage once that is dead
//! partial/<digest>                            the first bytes of a blob whose download was cut short
//! lock                                        exclusive to change the index or remove things; shared to rely on it
//! damaged/<part>                              a mark: check found it damaged, and could not mend it
//! kept/<id>                                   its entries in the index: the image was removed, a stopped container stands on it
//! active                                      shared while a pull or load relies on things without a name yet
//! ```
//!
//! Invariants: what `index.json` refers to is whole, verified and on disk before the index says so. Nothing
//! outside `ingest/` and `partial/` is ever half made. Every lock is a `flock`, so a killed process holds none.

mod audit;
pub(crate) mod chain;
mod check;
pub(crate) mod commit;
pub(crate) mod disk;
mod family;
mod flush;
mod garbage;
pub(crate) mod image;
pub(crate) mod index;
mod kept;
pub(crate) mod lock;
mod marks;
mod mend;
pub(crate) mod partial;
mod prune;
mod removal;
mod remove;
pub(crate) mod resolve;
pub(crate) mod session;
mod tag;
mod usage;

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::marks::is_on_overlay;
use crate::digest::Digest;
use crate::op::{OpError, look, step};
use crate::reference::Reference;
use disk::Place;
use image::{IMAGE_VERSION, Image, ImageRecord, Overview};
use index::Index;
use lock::{Hold, Lock};

pub use check::{Check, Fault, Finding, Problem};
pub use mend::{Again, Fetch};
pub use partial::Interrupted;
pub use prune::{Prune, Pruned};
pub use removal::{Conflict, Removed, Use};
pub use remove::RemoveError;
pub use resolve::{Names, ResolveError};
pub use usage::Usage;

/// The images of one machine, or of one `--root`.
#[derive(Debug)]
pub struct Store {
    place: Place,
    keeping: Keeping,
}

/// What a container can make of the store's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Overlay stacks them.
    Stacked,
    /// Each container gets a copy: the store was made on an overlay, whose directories no other overlay can write to, whose ids
    /// cannot be shifted, and in which no whiteout can be made.
    Copied,
}

impl Keeping {
    /// How a new store at `place` keeps them.
    fn at(place: &Place) -> Result<Self, OpError> {
        let on_overlay = look(format_args!("fstatfs({:?})", place.path()), || is_on_overlay(place))?;
        Ok(if on_overlay { Self::Copied } else { Self::Stacked })
    }

    /// The version that such a store says it has.
    fn format(self) -> String {
        match self {
            Self::Stacked => FORMAT.to_string(),
            // An older mini, which would stack them, refuses it.
            Self::Copied => format!("{FORMAT}-copied"),
        }
    }
}

/// While it lives, no image can be removed from the store: hold it from looking an image up until the
/// container's record exists that keeps the image.
#[derive(Debug)]
pub struct Pin {
    _lock: Lock,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The kernel refused something.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A file of the store could not be read.
    #[error("reading {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Another version of mini has written it.
    #[error("the image store {path:?} has format {found:?}, this mini reads format {FORMAT}")]
    Version {
        /// The store's root.
        path: PathBuf,
        /// What its `version` says.
        found: String,
    },
    /// A file of the store does not hold what it should.
    #[error("damaged file {path:?}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// It came to where it lies as it is, from elsewhere: its layers are made to be stacked, which an overlay's cannot be.
    #[error("the image store {path:?} was made on another file system, and lies on an overlay now")]
    Overlay {
        /// The store's root.
        path: PathBuf,
    },
    /// A file that the index refers to is not there.
    #[error("missing file {path:?}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

/// The version of the store's format.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const BLOBS: &str = "blobs/sha256";
pub(crate) const LAYERS: &str = "layers";
pub(crate) const CHAINS: &str = "chains";
pub(crate) const IMAGES: &str = "images";
pub(crate) const INGEST: &str = "ingest";
pub(crate) const PARTIAL: &str = "partial";
const LAYOUT: &str = "oci-layout";
const LAYOUT_JSON: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const DAMAGED: &str = "damaged";
const KEPT: &str = "kept";
const LOCK: &str = "lock";
const ACTIVE: &str = "active";

impl Store {
    /// Opens the store at `root`, and makes it if there is none.
    ///
    /// # Errors
    /// It cannot be made or read, or has another format.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_or_make(root).map(|(store, _)| store)
    }

    /// The same, and tells whether it was made.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_or_make(root: &Path) -> Result<(Self, bool), StoreError> {
        let place = match Place::open_root(root)? {
            Some(place) => place,
            None => {
                step("Make a place for images that only its owner can enter");
                Place::make_root(root)?;
                let missing = || StoreError::Missing { path: root.to_owned() };
                Place::open_root(root)?.ok_or_else(missing)?
            }
        };
        match Self::at(place)? {
            Ok(store) => Ok((store, false)),
            Err(place) => {
                let store = Self { keeping: Keeping::at(&place)?, place };
                store.initialise()?;
                Ok((store, true))
            }
        }
    }

    /// Opens the store below a directory where there is one, and changes nothing on disk.
    ///
    /// # Errors
    /// The directory cannot be read, or its format is another version's.
    pub fn open_existing(root: &Path) -> Result<Option<Self>, StoreError> {
        let Some(place) = Place::open_root(root)? else { return Ok(None) };
        Ok(Self::at(place)?.ok())
    }

    /// The store at a place, or that place where there is none yet.
    fn at(place: Place) -> Result<Result<Self, Place>, StoreError> {
        let path = || place.path().join("version");
        let bytes = place.read("version").map_err(|source| StoreError::Read { path: path(), source })?;
        let Some(bytes) = bytes else { return Ok(Err(place)) };
        let found = String::from_utf8_lossy(&bytes).trim().to_owned();
        let all = [Keeping::Stacked, Keeping::Copied];
        let Some(keeping) = all.into_iter().find(|keeping| keeping.format() == found) else {
            return Err(StoreError::Version { path: place.path().to_owned(), found });
        };
        if keeping == Keeping::Stacked && Keeping::at(&place)? == Keeping::Copied {
            return Err(StoreError::Overlay { path: place.path().to_owned() });
        }
        Ok(Ok(Self { place, keeping }))
    }

    /// What a container can make of its layers.
    pub fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// The directory that it was opened with.
    pub fn root(&self) -> &Path {
        self.place.path()
    }

    /// Every image, in the order in which they came.
    ///
    /// # Errors
    /// The index or the record of an image cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        // No image goes between the reading of the index and that of its record.
        let _pin = self.pin()?;
        let index = self.index()?;
        index.images().into_iter().map(|(id, names)| self.image_named(id, names)).collect()
    }

    /// The same, as far as a list shows them: their records are not looked at.
    ///
    /// # Errors
    /// The index cannot be read, or the record of an image of which an older mini wrote too little there.
    pub fn overview(&self) -> Result<Vec<Overview>, StoreError> {
        let _pin = self.pin()?;
        let index = self.index()?;
        let briefs = index.briefs();
        let of = |(id, names)| {
            let brief = match briefs.get(&id) {
                Some(brief) => (*brief).clone(),
                None => self.image_record(id)?.brief(),
            };
            Ok(Overview::new(id, names, brief))
        };
        index.images().into_iter().map(of).collect()
    }

    /// Keeps all images from being removed until the pin is dropped; waits for a removal that is under way.
    ///
    /// # Errors
    /// The lock cannot be taken.
    pub fn pin(&self) -> Result<Pin, StoreError> {
        Ok(Pin { _lock: self.lock(Hold::Shared)? })
    }

    /// The configuration of an image, byte for byte as its id has it.
    ///
    /// # Errors
    /// The blob cannot be read.
    pub fn config_json(&self, id: Digest) -> Result<Vec<u8>, StoreError> {
        self.read_blob(id)
    }

    /// The content of a small blob.
    pub(crate) fn read_blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.read(&format!("{BLOBS}/{}", digest.hex()))
    }

    pub(crate) fn index(&self) -> Result<Index, StoreError> {
        self.parse_index(Index::parse)
    }

    /// As much of the index as is needed to find what a user typed.
    fn index_for(&self, text: &str) -> Result<Index, StoreError> {
        let reference = text.parse().ok();
        self.parse_index(|bytes| Index::parse_for(bytes, text, reference.as_ref()))
    }

    fn parse_index(
        &self,
        parse: impl FnOnce(&[u8]) -> serde_json::Result<Index>,
    ) -> Result<Index, StoreError> {
        let bytes = self.read("index.json")?;
        parse(&bytes).map_err(|source| StoreError::Damaged { path: self.root().join("index.json"), source })
    }

    pub(crate) fn write_index(&self, index: &Index) -> Result<(), StoreError> {
        Ok(self.place.write_whole("index.json", &index.to_json())?)
    }

    pub(crate) fn image(&self, index: &Index, id: Digest) -> Result<Image, StoreError> {
        self.image_named(id, index.names_of(id))
    }

    /// An image whose names are known.
    fn image_named(&self, id: Digest, names: Vec<&Reference>) -> Result<Image, StoreError> {
        let damaged = |source| StoreError::Damaged { path: self.root().join(record_name(id)), source };
        let record = self.image_record(id)?;
        record.into_image(id, names, self.root()).map_err(damaged)
    }

    pub(crate) fn image_record(&self, id: Digest) -> Result<ImageRecord, StoreError> {
        let name = record_name(id);
        let path = || self.root().join(&name);
        let bytes = self.read(&name)?;
        let record: ImageRecord =
            serde_json::from_slice(&bytes).map_err(|source| StoreError::Damaged { path: path(), source })?;
        if record.version != IMAGE_VERSION {
            return Err(StoreError::Version { path: path(), found: record.version.to_string() });
        }
        Ok(record)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Exclusive: to change the index or remove things. Shared: to rely on what is there.
    pub(crate) fn lock(&self, hold: Hold) -> Result<Lock, StoreError> {
        Ok(self.place.lock(LOCK, hold)?)
    }

    /// Says that things without a name are relied on: nobody may take them for garbage.
    pub(crate) fn activity(&self) -> Result<Lock, StoreError> {
        Ok(self.place.lock(ACTIVE, Hold::Shared)?)
    }

    /// `None` while a pull or load is under way; otherwise none can begin until the lock is dropped.
    pub(crate) fn quiet(&self) -> Result<Option<Lock>, StoreError> {
        Ok(self.place.try_lock(ACTIVE)?)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = || self.root().join(name);
        let bytes = self.place.read(name).map_err(|source| StoreError::Read { path: path(), source })?;
        bytes.ok_or_else(|| StoreError::Missing { path: path() })
    }

    /// Makes what a new store consists of. Its version comes last: a store without one is made again, and
    /// what is there stays.
    fn initialise(&self) -> Result<(), StoreError> {
        step("Lay out an empty image store");
        let _lock = self.lock(Hold::Exclusive)?;
        drop(self.activity()?);
        for directory in ["blobs", BLOBS, LAYERS, CHAINS, IMAGES, INGEST, PARTIAL] {
            self.place.make_dir(directory, 0o700)?;
        }
        if !self.place.has("index.json")? {
            self.write_index(&Index::default())?;
        }
        self.place.write_whole(LAYOUT, LAYOUT_JSON)?;
        Ok(self.place.write_whole("version", format!("{}\n", self.keeping.format()).as_bytes())?)
    }
}

pub(crate) fn record_name(id: Digest) -> String {
    format!("{IMAGES}/{}.json", id.hex())
}
