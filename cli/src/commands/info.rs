//! `mini info`: what this host gives containers, and what is here.

use anyhow::Result;
use runtime::cgroup::Layout;
use runtime::record::Status;
use serde_json::{Value as Json, json};

use super::pause;
use crate::config::IdsConfig;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, format, size};
use crate::own_root;

/// Print what this host gives containers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini info\n  mini info --format '{{.Containers}} {{.CgroupVersion}}'\n  mini info --format json\n\nSee also: mini version, mini system check"
)]
pub(crate) struct InfoArgs {
    /// Print it as json, or by a TEMPLATE: docker's names
    #[arg(short, long, value_name = "FORM")]
    format: Option<String>,
}

/// Looks and prints.
pub(crate) fn info(context: &Context, args: &InfoArgs) -> Result<ExitCode> {
    let host = Host::look(context)?;
    if let Some(form) = args.format.as_deref().filter(|form| !form.is_empty()) {
        return format::print_one(form, &host.json(context));
    }
    output::print(host.text(context).as_bytes())?;
    Ok(ExitCode::Success)
}

/// What is asked of the host and the stores.
struct Host {
    containers: usize,
    running: usize,
    paused: usize,
    images: usize,
    /// Each container gets a copy of its image.
    copied: bool,
    cgroups: Result<(&'static str, Vec<String>), String>,
    operating_system: String,
    processors: usize,
    /// Bytes.
    memory: u64,
}

impl Host {
    fn look(context: &Context) -> Result<Host> {
        let layout = Layout::detect();
        let entries = context.state().list()?;
        let running = entries.iter().filter(|entry| matches!(entry.status, Status::Running { .. })).count();
        let is_paused = |entry| layout.as_ref().is_ok_and(|layout| pause::is_paused(context, layout, entry));
        let paused = entries.iter().filter(|entry| is_paused(entry)).count();
        let cgroups = match layout {
            Ok(Layout::V1(hierarchies)) => {
                let controllers = hierarchies.iter().flat_map(|hierarchy| hierarchy.controllers.iter());
                Ok(("1", controllers.map(|name| (*name).to_owned()).collect()))
            }
            Ok(Layout::V2(root)) => {
                let text = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
                Ok(("2", text.split_whitespace().map(str::to_owned).collect()))
            }
            Err(error) => Err(error.to_string()),
        };
        Ok(Host {
            containers: entries.len(),
            running: running - paused,
            paused,
            images: context.store()?.overview()?.len(),
            copied: own_root::is_wanted(context)?,
            cgroups,
            operating_system: pretty_name(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: super::stats::host_memory(),
        })
    }

    fn text(&self, context: &Context) -> String {
        let cgroups = match &self.cgroups {
            Ok((version, controllers)) => format!("{version} ({})", controllers.join(" ")),
            Err(error) => format!("none: {error}"),
        };
        let IdsConfig { base, count } = context.config.ids;
        let Host { containers, running, paused, .. } = self;
        let lines = [
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("Containers", format!("{containers} ({running} running, {paused} paused)")),
            ("Images", self.images.to_string()),
            ("Root", context.dirs.root.display().to_string()),
            ("Storage driver", self.driver()),
            ("Run root", context.dirs.run_root.display().to_string()),
            ("Kernel", super::version::kernel()),
            ("Operating system", self.operating_system.clone()),
            ("Architecture", super::version::architecture().to_owned()),
            ("Processors", self.processors.to_string()),
            ("Memory", size::binary(self.memory)),
            ("Control groups", cgroups),
            ("Control group parent", context.config.cgroup.parent.clone()),
            ("User namespaces", format!("one a container, ids {base} to {}", base + (count - 1))),
            ("Bridge", context.config.network.bridge.clone()),
        ];
        lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    fn driver(&self) -> String {
        let driver = own_root::driver(self.copied);
        if self.copied { format!("{driver}: {}", own_root::NOTICE) } else { driver.to_owned() }
    }

    /// Under docker's names, and what docker has not under mini's own.
    fn json(&self, context: &Context) -> Json {
        let (version, controllers) = self.cgroups.clone().unwrap_or(("", Vec::new()));
        let IdsConfig { base, count } = context.config.ids;
        json!({
            "Containers": self.containers,
            "ContainersRunning": self.running,
            "ContainersPaused": self.paused,
            "ContainersStopped": self.containers - self.running - self.paused,
            "Images": self.images,
            "Driver": own_root::driver(self.copied),
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": version,
            "CgroupControllers": controllers,
            "CgroupParent": context.config.cgroup.parent,
            "KernelVersion": super::version::kernel(),
            "OperatingSystem": self.operating_system,
            "OSType": "linux",
            "Architecture": rustix::system::uname().machine().to_string_lossy(),
            "NCPU": self.processors,
            "MemTotal": self.memory,
            "Name": rustix::system::uname().nodename().to_string_lossy(),
            "DockerRootDir": context.dirs.root,
            "RunRoot": context.dirs.run_root,
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "DefaultRuntime": "mini",
            "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns", "name=cgroupns"],
            "Bridge": context.config.network.bridge,
            "Ids": { "Base": base, "Count": count },
            "Warnings": self.copied.then(|| [format!("WARNING: {}", own_root::NOTICE)]),
        })
    }
}

/// os-release(5). PURE.
fn pretty_name(text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::pretty_name;

    #[test]
    fn a_systems_name_is_without_quotes() {
        let text = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(
            [pretty_name(text).as_str(), &pretty_name("")],
            ["Debian GNU/Linux 12 (bookworm)", "Linux"]
        );
    }
}
