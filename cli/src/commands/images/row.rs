//! An image under one of its names, as a line of `images`, in docker's words.

use serde_json::Value as Json;

use crate::clock;
use crate::output::format::Row;
use crate::output::size;

/// A name of an image that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct ImageRow {
    /// `sha256:…`
    pub(super) id: String,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
    /// When it was built, ns since 1970.
    pub(super) created: Option<u64>,
    /// Bytes, unpacked.
    pub(super) size: u64,
    /// Where they are counted.
    pub(super) counts: Option<Counts>,
    /// Now, ns since 1970.
    pub(super) now: u64,
    /// Nothing is cut short.
    pub(super) whole: bool,
}

/// What takes longer to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) struct Counts {
    /// Bytes of its layers that another image has too.
    pub(in crate::commands) shared: u64,
    /// Containers that are made of it, running or not.
    pub(in crate::commands) containers: usize,
}

impl Row for ImageRow {
    const KIND: &'static str = "image";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Containers", "CONTAINERS"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "SIZE"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        let unknown = || "N/A".to_owned();
        let text = match name {
            // Counted by `system df` alone, as in docker.
            "Containers" => self.counts.map_or_else(unknown, |counts| counts.containers.to_string()),
            "SharedSize" => self.counts.map_or_else(unknown, |counts| size::decimal_to_four(counts.shared)),
            "UniqueSize" => self.counts.map_or_else(unknown, |counts| {
                size::decimal_to_four(self.size.saturating_sub(counts.shared))
            }),
            "CreatedAt" => self
                .created
                .map_or_else(unknown, |created| clock::human_time(created / 1_000_000_000 * 1_000_000_000)),
            "CreatedSince" => {
                let age = |created| format!("{} ago", clock::human(self.now.saturating_sub(created)));
                self.created.map_or_else(unknown, age)
            }
            "Digest" => self.digest.clone(),
            "ID" if self.whole => self.id.clone(),
            "ID" => self.id.strip_prefix("sha256:").unwrap_or(&self.id)[..12].to_owned(),
            "Repository" => self.repository.clone(),
            "Size" => size::decimal(self.size),
            "Tag" => self.tag.clone(),
            "VirtualSize" => size::decimal_to_four(self.size),
            _ => return None,
        };
        Some(text.into())
    }
}
