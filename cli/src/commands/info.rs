//! `mini info`: what this host gives containers, and what is here.

use anyhow::Result;
use runtime::cgroup::Layout;
use runtime::record::Status;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;

/// Print what this host gives containers
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {}

/// Looks and prints.
pub(crate) fn info(context: &Context, _: &InfoArgs) -> Result<ExitCode> {
    let entries = context.state().list()?;
    let running = entries.iter().filter(|entry| matches!(entry.status, Status::Running { .. })).count();
    let images = context.store()?.list()?.len();
    let uname = rustix::system::uname();
    let cgroups = match Layout::detect() {
        Ok(Layout::V1(hierarchies)) => {
            let controllers: Vec<&str> =
                hierarchies.iter().flat_map(|h| h.controllers.iter().copied()).collect();
            format!("1 ({})", controllers.join(" "))
        }
        Ok(Layout::V2(root)) => {
            format!(
                "2 ({})",
                std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default().trim()
            )
        }
        Err(error) => format!("none: {error}"),
    };
    let crate::config::IdsConfig { base, count } = context.config.ids;
    let lines = [
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Containers", format!("{} ({running} running)", entries.len())),
        ("Images", images.to_string()),
        ("Root", context.dirs.root.display().to_string()),
        ("Run root", context.dirs.run_root.display().to_string()),
        ("Kernel", uname.release().to_string_lossy().into_owned()),
        ("Architecture", super::version::architecture().to_owned()),
        ("Control groups", cgroups),
        ("Control group parent", context.config.cgroup.parent.clone()),
        ("User namespaces", format!("one a container, ids {base} to {}", base + (count - 1))),
        ("Bridge", context.config.network.bridge.clone()),
    ];
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    output::print(text.as_bytes())?;
    Ok(ExitCode::Success)
}
