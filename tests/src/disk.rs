//! How much a directory really takes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of all regular files below a directory; one with many names counts once.
pub fn used(directory: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    add(directory, &mut seen)
}

fn add(directory: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => add(&entry.path(), seen),
            Ok(meta) if meta.is_file() && seen.insert((meta.dev(), meta.ino())) => meta.len(),
            _ => 0,
        })
        .sum()
}
