//! `mini port`: where a container's ports are on the host.

use anyhow::{Context as _, Result, bail, ensure};
use network::PortMapping;
use runtime::record::Status;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::settings::Settings;

/// Print where a container's ports are published
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini port web\n  mini port web 80/tcp\n\nSee also: mini ps, mini run")]
pub(crate) struct PortArgs {
    /// The container
    container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/tcp]")]
    port: Option<String>,
}

/// A line each; a port that is not published is an error.
pub(crate) fn port(context: &Context, args: &PortArgs) -> Result<ExitCode> {
    let entry = context.state().find(&args.container)?;
    let mut ports = match entry.status {
        Status::Running { .. } => Settings::of(&entry.record).ports,
        _ => Vec::new(),
    };
    ports.sort();
    let host = |port: &PortMapping| format!("{}:{}", port.host_ip, port.host_port);
    let Some(wanted) = &args.port else {
        for port in &ports {
            output::print_line(&format!("{}/tcp -> {}", port.container_port, host(port)))?;
        }
        return Ok(ExitCode::Success);
    };
    let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let number: u16 = number.parse().with_context(|| format!("invalid port: {wanted:?}"))?;
    ensure!(protocol == "tcp", "invalid port: {wanted:?}: mini publishes tcp ports");
    let found: Vec<_> = ports.iter().filter(|port| port.container_port == number).collect();
    if found.is_empty() {
        bail!("no public port '{number}/tcp' published for {}", args.container);
    }
    for port in found {
        output::print_line(&host(port))?;
    }
    Ok(ExitCode::Success)
}
