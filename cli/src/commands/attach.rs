//! `mini attach`: stay with a container that runs already.

use std::io::IsTerminal;

use anyhow::{Result, bail};
use runtime::cgroup::Layout;
use runtime::record::Status;

use super::flags::StayArgs;
use super::{pause, run};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::plan::stdio::Attach;
use crate::session::{Outcome, Session};

/// Stay with the standard streams of a running container, and end with its exit code
///
/// Several may: each sees everything that is written from now on, and what each types goes in.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini attach shell\n  mini attach --no-stdin --sig-proxy=false web\n\nSee also: mini exec, mini logs, mini start"
)]
pub(crate) struct AttachArgs {
    #[command(flatten)]
    stay: StayArgs,
    /// Pass nothing in
    #[arg(long)]
    no_stdin: bool,
    /// The container
    container: String,
}

/// Connects to its monitor and stays.
pub(crate) fn attach(context: &Context, args: &AttachArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let entry = context.state().find(&args.container)?;
    let name = &entry.record.name;
    match entry.status {
        Status::Running { supervised: true, .. } => {}
        Status::Running { .. } => bail!("cannot attach to container {name}: its monitor is lost"),
        Status::Restarting { .. } => {
            bail!("you cannot attach to a restarting container, wait until {name} is running")
        }
        _ => bail!("you cannot attach to a stopped container, start {name} first"),
    }
    if Layout::detect().is_ok_and(|layout| pause::is_paused(context, &layout, &entry)) {
        bail!("you cannot attach to a paused container, unpause {name} first");
    }
    let streams = Attach { input: entry.record.interactive && !args.no_stdin, ..Attach::ALL };
    let stay = args.stay.stay(context, streams, entry.record.terminal)?;
    if entry.record.terminal && streams.input && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal: it is not a terminal; --no-stdin needs none");
    }
    let session =
        Session::attach(&entry.dirs.run, stay).map_err(|error| super::meanwhile(context, &entry, error))?;
    context.happened("attach", &entry.record);
    Ok(match session.stay(&mut None).map_err(|error| super::meanwhile(context, &entry, error))? {
        Outcome::Detached => {
            context.happened("detach", &entry.record);
            ExitCode::Success
        }
        Outcome::Ended { code, reason } => run::ended(code, reason),
    })
}
