//! `mini kill`: send a signal.

use anyhow::Result;

use super::Failures;
use super::ending::Ending;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::plan::values;

/// Send a signal to running containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini kill -s HUP web\n  mini kill web\n\nSee also: mini stop")]
pub(crate) struct KillArgs {
    /// The signal
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Signals all, then waits for those that SIGKILL ends.
pub(crate) fn kill(context: &Context, args: &KillArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let signal = values::signal(&args.signal)?;
    let state = context.state();
    let mut failures = Failures::default();
    let begin = |word| {
        let entry = state.find(word)?;
        Ending::signal(context, &entry, signal).map_err(|error| super::meanwhile(context, &entry, error))
    };
    let begun: Vec<_> = args.containers.iter().map(|word| (word, begin(word))).collect();
    for (word, begun) in begun {
        let killed = begun.and_then(|ending| if signal == libc::SIGKILL { ending.wait() } else { Ok(()) });
        match killed {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error.context(format!("cannot kill {word}"))),
        }
    }
    Ok(failures.code())
}
