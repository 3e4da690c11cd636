//! `mini wait`: until containers have ended, and with what code.

use anyhow::{Context as _, Result};
use runtime::record::Status;
use runtime::sys::pidfd;

use super::Failures;
use super::ending::Ending;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini wait job\n  code=$(mini wait job)\n\nSee also: mini run, mini stop"
)]
pub(crate) struct WaitArgs {
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// A line each, in their order; one that does not run has ended, or never began: 0.
pub(crate) fn wait(context: &Context, args: &WaitArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let mut failures = Failures::default();
    // All are held before the first is waited for: one that removes itself is not missed.
    let held: Vec<_> = args.containers.iter().map(|word| (word, hold(context, word))).collect();
    for (word, waiting) in held {
        match waiting.and_then(|waiting| waiting.code(context)) {
            Ok(code) => output::print_line(&code.to_string())?,
            Err(error) => failures.add(&error.context(format!("cannot wait for {word}"))),
        }
    }
    Ok(failures.code())
}

enum Waiting {
    Ended(i32),
    Runs { id: String, ending: Box<Ending> },
}

fn hold(context: &Context, word: &str) -> Result<Waiting> {
    let entry = context.state().find(word)?;
    Ok(match entry.status {
        Status::Running { .. } | Status::Restarting { .. } => {
            Waiting::Runs { id: entry.record.id.clone(), ending: Box::new(Ending::hold(context, &entry)?) }
        }
        Status::Exited { code, .. } => Waiting::Ended(code),
        Status::Created => Waiting::Ended(entry.record.last.map_or(0, |last| last.code)),
    })
}

impl Waiting {
    fn code(self, context: &Context) -> Result<i32> {
        let (id, ending) = match self {
            Waiting::Ended(code) => return Ok(code),
            Waiting::Runs { id, ending } => (id, ending),
        };
        ending.wait()?;
        if let Some(entry) = context.state().load(&id)? {
            return match entry.status {
                Status::Exited { code, .. } => Ok(code),
                // Somebody has started it again already.
                _ => ending.of().map(pidfd::Ending::code).context("it was started again"),
            };
        }
        if let Some(ending) = ending.of() {
            return Ok(ending.code());
        }
        // It had ended when it was looked for, or the kernel is an older one.
        let code = context.journal().exit_code(&id)?;
        code.context("it had --rm and is gone, and nothing says any more how it ended")
    }
}
