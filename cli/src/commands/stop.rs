//! `mini stop`: ask containers to end, and insist after a while.

use anyhow::Result;

use super::Failures;
use super::ending::Ending;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::ExplainArgs;
use crate::output;
use crate::plan::values;

/// Stop running containers
///
/// Each gets its stop signal, and SIGKILL when it still runs after the time is over.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini stop web\n  mini stop -t 1 web db\n\nSee also: mini kill, mini rm")]
pub(crate) struct StopArgs {
    /// Seconds to wait before SIGKILL; -1 waits for ever [default: the container's, or 10]
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// The signal, instead of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Signals all, then waits for all.
pub(crate) fn stop(context: &Context, args: &StopArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain.form())?;
    let signal = args.signal.as_deref().map(values::signal).transpose()?;
    let state = context.state();
    let mut failures = Failures::default();
    let mut ending: Vec<(&String, Ending)> = Vec::new();
    for word in &args.containers {
        let begun = state.find(word).map_err(anyhow::Error::from).and_then(|entry| {
            entry.status.is_up().then(|| Ending::stop(context, &entry, signal, args.time)).transpose()
        });
        match begun {
            Ok(Some(one)) => ending.push((word, one)),
            Ok(None) => output::print_line(word)?,
            Err(error) => failures.add(&error),
        }
    }
    for (word, one) in ending {
        match one.wait() {
            Ok(()) => {
                context.happened("stop", one.record());
                output::print_line(word)?;
            }
            Err(error) => failures.add(&error.context(format!("cannot stop {word}"))),
        }
    }
    story.into_iter().for_each(crate::explain::Story::tell_what_is_there);
    Ok(failures.code())
}
