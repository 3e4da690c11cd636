//! The host's end of a copy. Its paths are the caller's, and are followed as the caller would follow them.

use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use runtime::sys;
use rustix::fs::CWD;

use super::container::Found;
use super::path::{End, Typed};
use crate::plan::values::normal;

/// As many links as docker follows at the end of a path.
const LINKS_MAX: usize = 10;

/// What is to be copied: a link itself, unless what was typed goes through it.
///
/// # Errors
/// Where it is not there, or no directory and typed as one.
pub(super) fn source(typed: &Typed, follow: bool) -> Result<Found> {
    let path = &typed.path;
    let shown = || format!("cannot copy {}", typed.shown());
    let held = match follow || typed.is_directory {
        true => sys::fs::open_path_following(path),
        false => sys::fs::open_path_at(CWD, path),
    };
    let held = held.with_context(shown)?;
    let is_directory = sys::fs::is_directory(held.as_fd())?;
    ensure!(is_directory || !typed.is_directory, "{} is not a directory", path.display());
    Ok(Found { held, is_directory })
}

/// docker's check before anything is asked of a container.
///
/// # Errors
/// A parent that is missing; something there that is neither a file nor a directory.
pub(super) fn check_output(typed: &Typed) -> Result<()> {
    if let Some(parent) = typed.path.parent().filter(|parent| !parent.exists()) {
        bail!("invalid output path: directory {:?} does not exist", parent.display().to_string());
    }
    let Ok(there) = std::fs::metadata(&typed.path) else { return Ok(()) };
    ensure!(
        is_plain(&there),
        "invalid output path: {:?} must be a directory or a regular file",
        typed.path.display().to_string()
    );
    Ok(())
}

fn is_plain(metadata: &Metadata) -> bool {
    let kind = metadata.file_type();
    !(kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket())
}

/// Where something goes. A link stands for what it leads to, whether that is there or not.
///
/// # Errors
/// Links that lead in a circle; a parent that is no directory.
pub(super) fn destination(typed: &Typed) -> Result<End> {
    let mut path: PathBuf = typed.path.clone();
    for _ in 0..=LINKS_MAX {
        let end = |exists, is_directory| End {
            path: path.clone(),
            exists,
            is_directory,
            wants_directory: typed.is_directory,
            is_content: typed.is_content,
        };
        match std::fs::symlink_metadata(&path) {
            Ok(there) if there.is_symlink() => {
                let target = std::fs::read_link(&path)
                    .with_context(|| format!("cannot read the link {}", path.display()))?;
                path = normal(&path.parent().unwrap_or(&path).join(target));
            }
            Ok(there) => return Ok(end(true, there.is_dir())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(&path);
                let above = std::fs::metadata(parent)
                    .with_context(|| format!("cannot copy to {}", path.display()))?;
                ensure!(above.is_dir(), "not a directory: {}", parent.display());
                return Ok(end(false, false));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot copy to {}", path.display())),
        }
    }
    bail!("too many symbolic links in {}", typed.path.display())
}
