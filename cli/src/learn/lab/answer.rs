//! What a child answers through a pipe: `+` and what it has found, or `-` and why it could not.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, anyhow, bail};
use runtime::sys;

/// The child's side. Who asked may have gone, and hears nothing then.
pub(crate) fn give(write: &OwnedFd, said: Result<String>) {
    let text = match said {
        Ok(text) => format!("+{text}"),
        Err(error) => format!("-{error:#}"),
    };
    let _unheard = sys::fs::write_all(write.as_fd(), text.as_bytes());
}

/// The other side, with all that was read; `died` is said where that is no answer.
///
/// # Errors
/// Why the child could not.
pub(crate) fn understood(answer: &str, died: &'static str) -> Result<String> {
    match answer.split_at_checked(1) {
        Some(("+", text)) => Ok(text.to_owned()),
        Some(("-", why)) => Err(anyhow!("{why}")),
        _ => bail!(died),
    }
}
