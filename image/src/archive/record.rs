//! What unpacking a layer leaves for later: the parts of it that only the layers below can complete, and its
//! counts.
//!
//! Layers unpack without each other, in any order. What depends on the layers below is written down and
//! realised for each chain of layers in one small extra layer (`chain`). Written as `layer.json` beside the
//! tree; a promise on disk, versioned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What is known about an unpacked layer beside its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) version: u32,
    /// The boot during which it was unpacked (/proc/sys/kernel/random/boot_id). Until an image that is on
    /// disk refers to it, a layer is only worth something during that boot: after a power loss its files may
    /// be empty.
    pub(crate) boot: String,
    /// Sum of the sizes in the archive: docker's size of a layer.
    pub(crate) size: u64,
    /// Objects in the tree, for `check`: directories, files and so on, each once however many names it has.
    pub(crate) inodes: u64,
    /// Bytes in the tree's regular files, for `check`.
    pub(crate) bytes: u64,
    /// Whether nothing of the layers below shows through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) opaque: bool,
    /// Directories that have no entry of their own, and take their attributes from the layers below.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) implicit: BTreeSet<PathText>,
    /// Directories with whiteouts in them. Overlay hides these marks only where it merges directories, so
    /// where nothing is below, the chain has to provide something to merge with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) whiteouts: BTreeSet<PathText>,
    /// Hard links to files of lower layers: name and target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) links: BTreeMap<PathText, PathText>,
    /// Owners and groups of 65536 and more, each with a file that has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) high_ids: Vec<HighId>,
}

/// The version of [`LayerRecord`] that this code writes and reads.
pub(crate) const RECORD_VERSION: u32 = 1;

/// A user or group id beyond the usual range of a container, found in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighId {
    /// User or group.
    pub kind: IdKind,
    /// The id as it is on disk, 65536 or more.
    pub id: u32,
    /// A file that has it, relative to the image's root; non-UTF-8 bytes as `\xNN`.
    pub path: String,
}

/// What kind of id it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// A user's.
    Uid,
    /// A group's.
    Gid,
}

impl LayerRecord {
    /// Whether a chain has anything to add to this layer.
    pub(crate) fn needs_chain(&self) -> bool {
        !(self.implicit.is_empty() && self.whiteouts.is_empty() && self.links.is_empty())
    }
}

/// A path in bytes, written in JSON as text: bytes that are no UTF-8 become `\xNN`, a backslash becomes two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct PathText(pub(crate) Vec<u8>);

/// An escape that is none.
#[derive(Debug, thiserror::Error)]
#[error("bad escape in {0:?}")]
pub(crate) struct PathTextError(String);

/// `bytes` as text that can be turned back.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02x}"));
        }
    }
    text
}

impl From<PathText> for String {
    fn from(path: PathText) -> Self {
        escape(&path.0)
    }
}

impl TryFrom<String> for PathText {
    type Error = PathTextError;

    fn try_from(text: String) -> Result<Self, PathTextError> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let (byte, after) = match (first, after) {
                (b'\\', [b'\\', after @ ..]) => (b'\\', after),
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    let mut byte = [0];
                    hex::decode_to_slice(digits, &mut byte).map_err(|_| PathTextError(text.clone()))?;
                    (byte[0], after)
                }
                (b'\\', _) => return Err(PathTextError(text.clone())),
                (byte, after) => (*byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_json() {
        for (bytes, text) in [
            (&b"usr/bin"[..], r"usr/bin"),
            (b"a\\b", r"a\\b"),
            (b"\xff/\xc3\xa9\x80", r"\xff/é\x80"),
            (b"\\x41", r"\\x41"),
            (b"new\nline", "new\nline"),
        ] {
            let path = PathText(bytes.to_vec());
            assert_eq!(String::from(path.clone()), text);
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<PathText>(&json).unwrap(), path);
        }
        for bad in [r"\", r"\y", r"\x4", r"\xzz"] {
            assert!(PathText::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
