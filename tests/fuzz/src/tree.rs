//! What an unpacked layer may look like.

use std::path::Path;

/// Checks what overlay would believe: only directories are opaque, and no other word for overlay is there.
///
/// # Panics
/// Where a layer has said something to overlay that layers may not say.
pub(crate) fn check(root: &Path) {
    let mut waiting = vec![root.to_owned()];
    // Deeper than a path can be is left to the archive's own tests.
    while let Some(path) = waiting.pop() {
        let Ok(stat) = path.symlink_metadata() else { continue };
        let mut names = [0_u8; 4096];
        let length = rustix::fs::llistxattr(&path, names.as_mut_slice()).unwrap_or(0);
        for name in names[..length].split(|byte| *byte == 0) {
            if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
                assert_eq!(name, b"trusted.overlay.opaque", "{}", path.display());
                assert!(stat.is_dir(), "{} is opaque and no directory", path.display());
            }
        }
        if stat.is_dir() {
            waiting
                .extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
}
