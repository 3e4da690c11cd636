//! How much an image may ask for. PURE.

/// Bounds that keep a hostile image from filling memory or disk; generous for honest ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one layer's archive after inflation.
    pub layer_bytes: u64,
    /// Entries of one layer.
    pub layer_entries: u64,
    /// Layers with more than this many bytes may not be more than [`Limits::ratio`] times their compressed
    /// size.
    pub ratio_from: u64,
    /// See [`Limits::ratio_from`]. Deflate reaches 1032; text and programs stay below 20.
    pub ratio: u64,
    /// Base-2 logarithm of the largest window that a zstd frame may ask for, which is memory; RFC 8878
    /// recommends decoders to allow 23 at least, zstd(1) allows 27.
    pub zstd_window_log: u32,
    /// Bytes of an image's configuration.
    pub config_bytes: u64,
    /// Bytes of a manifest or index; registries must accept 4 MiB (OCI distribution spec, "Pushing
    /// Manifests").
    pub manifest_bytes: u64,
    /// Bytes of an archive given to `load`, after inflation.
    pub archive_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes: 256 << 30,
            layer_entries: 10_000_000,
            ratio_from: 4 << 30,
            ratio: 200,
            zstd_window_log: 27,
            config_bytes: 8 << 20,
            manifest_bytes: 4 << 20,
            archive_bytes: 1 << 40,
        }
    }
}

/// The most layers that overlay takes (OVL_MAX_STACK, fs/overlayfs/params.h); chains' extra layers count.
pub const LAYERS_MAX: usize = 500;
