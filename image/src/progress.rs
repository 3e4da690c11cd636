//! What a pull, load or push tells while it works; how that looks is the caller's matter. PURE.

use std::time::Duration;

use crate::digest::Digest;

/// Something happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The image's layers are known, bottom first. Comes before every [`Event::Layer`]; a push that has to compress layers first
    /// tells of those, and then of all.
    Layers(&'a [LayerInfo]),
    /// A mirror did not have the image, or had it wrong: somebody else is asked.
    Mirror {
        /// Its address.
        address: &'a str,
        /// Why.
        cause: &'a (dyn std::error::Error + 'static),
    },
    /// One layer went on; `index` is its place among the layers.
    Layer {
        /// Its place in [`Event::Layers`].
        index: usize,
        /// How it goes.
        state: LayerState<'a>,
    },
    /// The registry was asked for a manifest or a configuration in vain, and is asked again.
    Retrying(Retrying<'a>),
}

/// An attempt that failed, and the next one.
#[derive(Debug, Clone, Copy)]
pub struct Retrying<'a> {
    /// The attempt to come, 2 or more.
    pub attempt: u32,
    /// How long until then.
    pub wait: Duration,
    /// Why: an error with all that led to it.
    pub cause: &'a str,
}

/// A layer before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerInfo {
    /// The blob's digest; docker shows its first twelve digits. For a loaded layer the diff id.
    pub id: Digest,
    /// The blob's size in bytes.
    pub size: u64,
}

/// How a layer goes.
#[derive(Debug, Clone, Copy)]
pub enum LayerState<'a> {
    /// The store has it.
    Exists,
    /// Another process is getting it.
    Waiting,
    /// An earlier pull was interrupted; what it has left is gone on with.
    Resuming {
        /// Bytes that are there.
        done: u64,
    },
    /// Bytes of the blob arrive; so many have.
    Downloading {
        /// Bytes so far.
        done: u64,
    },
    /// It did not come, and is asked for again.
    Retrying(Retrying<'a>),
    /// All bytes are there; the last of them are being unpacked.
    Unpacking,
    /// Verified and in the store.
    Done,
    /// It is being compressed; so many bytes have been.
    Packing {
        /// Bytes so far.
        done: u64,
    },
    /// It is compressed.
    Packed,
    /// The registry is asked whether it has it.
    Preparing,
    /// The registry has it.
    Held,
    /// The registry had it in another repository.
    Mounted {
        /// That repository.
        from: &'a str,
    },
    /// Bytes of the blob are being sent; so many have been.
    Uploading {
        /// Bytes so far.
        done: u64,
    },
    /// The registry has it now, whole and verified.
    Pushed,
}
