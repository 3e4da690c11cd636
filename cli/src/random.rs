//! Names that nobody guesses, and that no two things have.

use anyhow::{Context as _, Result, ensure};

/// 256 random bits, as docker names things.
///
/// # Errors
/// Where the kernel has none to give.
pub(crate) fn new_id() -> Result<String> {
    Ok(bytes::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Random bytes.
///
/// # Errors
/// Where the kernel has none to give.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .with_context(|| format!("getrandom({N})"))?;
    ensure!(length == N, "getrandom({N}) gave {length} bytes");
    Ok(bytes)
}
