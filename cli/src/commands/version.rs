//! `mini version`.

use anyhow::Result;
use serde_json::{Value as Json, json};

use crate::exit_code::ExitCode;
use crate::output;
use crate::output::format;

/// Print mini's version
///
/// docker's templates work: there is no server, and what is asked of one is answered by the program itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini version\n  mini version --format '{{.Server.Version}}'\n\nSee also: mini info"
)]
pub(crate) struct VersionArgs {
    /// Print it as json, or by a TEMPLATE
    #[arg(short, long, value_name = "FORM")]
    format: Option<String>,
}

/// Prints it with what it was built for and what it speaks.
pub(crate) fn version(args: &VersionArgs) -> Result<ExitCode> {
    if let Some(form) = args.format.as_deref().filter(|form| !form.is_empty()) {
        return format::print_one(form, &versions());
    }
    output::print_line(&format!(
        "mini {}\n OCI runtime spec: {SPEC}\n OS/Arch: linux/{}\n Kernel: {}",
        env!("CARGO_PKG_VERSION"),
        architecture(),
        kernel(),
    ))?;
    Ok(ExitCode::Success)
}

/// The version of the OCI runtime specification that plans are written in.
const SPEC: &str = "1.2.0";

/// As docker's API has it.
fn versions() -> Json {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "Client": { "Version": version, "Os": "linux", "Arch": architecture(), "Context": "default" },
        "Server": {
            "Platform": { "Name": "mini" },
            "Version": version,
            "Os": "linux",
            "Arch": architecture(),
            "KernelVersion": kernel(),
            "Components": [{
                "Name": "Engine",
                "Version": version,
                "Details": { "Arch": architecture(), "KernelVersion": kernel(), "OciSpec": SPEC, "Os": "linux" },
            }],
        },
    })
}

/// The kernel that runs.
pub(crate) fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// This machine, by docker's names.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
