//! `mini network prune`: take the bridge away that no container is on.

use anyhow::{Context as _, Result};
use network::RemoveError;

use super::filter::{COMMON, Filters};
use super::{Mode, Pruned, agreed};
use crate::clock;
use crate::context::Context;
use crate::events::{Event, Kind};
use crate::exit_code::ExitCode;
use crate::networks::Network;

/// Take away what no container uses of mini's networks
///
/// The bridge and its table of translations go, and the host is as it was before the first container, forwarding of packets too.
/// The next container makes them again, perhaps with another subnet.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini network prune -f\n  mini network prune -f --filter until=24h\n  mini network prune --dry-run\n\nSee also: mini network ls, mini system prune"
)]
pub(crate) struct PruneArgs {
    /// Only those that are so: until=TIME, label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Asks, removes, says what is gone.
pub(crate) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let filters = Filters::new(&args.filter, COMMON, clock::now())?;
    if !args.force
        && !args.dry_run
        && !agreed("This will remove all networks not used by at least one running container.")?
    {
        return Ok(ExitCode::Success);
    }
    remove(context, &filters, Mode { dry_run: args.dry_run, ..Mode::default() })?.print()?;
    Ok(ExitCode::Success)
}

/// Takes the bridge away where nobody is on it. When it was last used nobody knows: it stays where that is asked for.
///
/// # Errors
/// What the kernel answered.
pub(in crate::commands) fn remove(context: &Context, filters: &Filters, mode: Mode<'_>) -> Result<Pruned> {
    let Mode { dry_run, .. } = mode;
    let mut pruned = Pruned { heading: "Networks", lines: Vec::new(), bytes: 0, dry_run };
    let config = context.network();
    // When it was made is asked only where that matters: what cannot be looked at can be taken away.
    let made = if filters.ask_for_times() { Network::Bridge.made(context)? } else { None };
    // mini's networks have no labels.
    if mode.before.is_none() && filters.pass(made.unwrap_or(0), |_| None) {
        let removed = if dry_run { network::would_remove(&config) } else { network::remove_all(&config) };
        match removed {
            Ok(true) if dry_run => pruned.lines.push(Network::Bridge.name().to_owned()),
            Ok(true) => {
                let bridge = Network::Bridge;
                let event = Event::new(Kind::Network, "destroy", &bridge.id());
                context.journal().record(&[event.with("name", bridge.name()).with("type", bridge.driver())]);
                pruned.lines.push(bridge.name().to_owned());
            }
            // Nobody made it, or somebody is on it, of this root or of another.
            Ok(false) | Err(RemoveError::InUse { .. }) => {}
            Err(error) => return Err(error).context("cannot remove network bridge"),
        }
    }
    pruned.record(context, Kind::Network);
    Ok(pruned)
}
