//! `mini version`.

use anyhow::Result;

use crate::exit_code::ExitCode;
use crate::output;

/// Print mini's version
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {}

/// Prints it with what it was built for and what it speaks.
pub(crate) fn version(_: &VersionArgs) -> Result<ExitCode> {
    output::print_line(&format!(
        "mini {}\n OCI runtime spec: 1.2.0\n OS/Arch: linux/{}\n Kernel: {}",
        env!("CARGO_PKG_VERSION"),
        architecture(),
        rustix::system::uname().release().to_string_lossy(),
    ))?;
    Ok(ExitCode::Success)
}

/// This machine, by docker's names.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
