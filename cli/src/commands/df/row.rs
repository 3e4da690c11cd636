//! All things of a kind as a line of `system df`, in docker's words; the columns of its other tables. PURE.

use serde_json::Value as Json;

use crate::output::format::Row;
use crate::output::size;

/// What all images, or all containers, take.
pub(super) struct UseRow {
    /// docker's word.
    pub(super) kind: &'static str,
    pub(super) total: usize,
    /// Those that somebody needs.
    pub(super) active: usize,
    pub(super) bytes: u64,
    /// What the others take alone.
    pub(super) reclaimable: u64,
}

pub(super) const TABLE: [&str; 5] = ["Type", "TotalCount", "Active", "Size", "Reclaimable"];

/// mini builds nothing, and scripts count on four lines.
pub(super) const BUILD_CACHE: &str = "Build Cache";

pub(super) const IMAGES: [&str; 8] =
    ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];

pub(super) const CONTAINERS: [&str; 8] =
    ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];

pub(super) const VOLUMES: [&str; 3] = ["Name", "Links", "Size"];

/// Headings of the table that is always empty.
pub(super) const CACHE: [&str; 7] =
    ["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"];

impl Row for UseRow {
    const KIND: &'static str = "usage";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Active", "ACTIVE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Size", "SIZE"),
        ("TotalCount", "TOTAL"),
        ("Type", "TYPE"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        Some(match name {
            "Active" => self.active.to_string().into(),
            "Reclaimable" => self.reclaimable().into(),
            "Size" => size::decimal_to_four(self.bytes).into(),
            "TotalCount" => self.total.to_string().into(),
            "Type" => self.kind.into(),
            _ => return None,
        })
    }
}

impl UseRow {
    /// `1.2MB (37%)`; nobody has a share of nothing.
    fn reclaimable(&self) -> String {
        let text = size::decimal_to_four(self.reclaimable);
        let share = u128::from(self.reclaimable) * 100;
        match share.checked_div(u128::from(self.bytes)) {
            Some(percent) if self.kind != BUILD_CACHE => format!("{text} ({percent}%)"),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_and_of_something() {
        let row = |kind, bytes, reclaimable| UseRow { kind, total: 2, active: 1, bytes, reclaimable };
        for (row, expected) in [
            (row("Images", 4_261_574, 2_130_787), "2.131MB (50%)"),
            (row("Images", 3, 2), "2B (66%)"),
            (row("Containers", 0, 0), "0B"),
            (row(BUILD_CACHE, 0, 0), "0B"),
        ] {
            assert_eq!(row.column("Reclaimable"), Some(expected.into()), "{}", row.kind);
        }
        assert!(row("Local Volumes", u64::MAX, u64::MAX).reclaimable().ends_with("PB (100%)"));
    }
}
