//! `mini pause` and `mini unpause`: all processes of a container stand still, and go on.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use runtime::cgroup::Layout;
use runtime::op::step;
use runtime::record::Status;
use runtime::state::Entry;

use super::Failures;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;

/// Let all processes of containers stand still
///
/// They keep what they have, and do not notice: the freezer of control groups holds them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini pause web\n\nSee also: mini unpause, mini stop")]
pub(crate) struct PauseArgs {
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Let the processes of paused containers go on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini pause web\n  mini unpause web\n\nSee also: mini pause")]
pub(crate) struct UnpauseArgs {
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Freezes each; the others go on where one fails.
pub(crate) fn pause(context: &Context, args: &PauseArgs) -> Result<ExitCode> {
    each(context, &args.containers, "pause", |layout, group, name| {
        ensure!(!layout.is_frozen(group), "container {name} is paused already");
        step("Let the freezer hold all processes of its control group");
        let frozen = layout.freeze(group);
        let undone = frozen.as_ref().is_err_and(|error| error.errno() == libc::ECANCELED);
        ensure!(!undone, "container {name} was told to go on meanwhile");
        Ok(frozen?)
    })
}

/// Thaws each; the others go on where one fails.
pub(crate) fn unpause(context: &Context, args: &UnpauseArgs) -> Result<ExitCode> {
    each(context, &args.containers, "unpause", |layout, group, name| {
        ensure!(layout.is_frozen(group), "container {name} is not paused");
        step("Let the processes of its control group go on");
        Ok(layout.thaw(group)?)
    })
}

fn each(
    context: &Context,
    words: &[String],
    verb: &str,
    act: impl Fn(&Layout, &Path, &str) -> Result<()>,
) -> Result<ExitCode> {
    context.listen(None)?;
    let layout = Layout::detect()?;
    let mut failures = Failures::default();
    for word in words {
        let acted = context.state().find(word).map_err(anyhow::Error::from).and_then(|entry| {
            let Status::Running { .. } = entry.status else {
                bail!("container {} is not running", entry.record.name)
            };
            act(&layout, &context.group(&entry.record), &entry.record.name).map_err(|error| {
                match super::still_runs(&entry) {
                    true => error,
                    false => error.context(format!("container {} has ended", entry.record.name)),
                }
            })?;
            context.happened(verb, &entry.record);
            Ok(())
        });
        match acted {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error.context(format!("cannot {verb} {word}"))),
        }
    }
    Ok(failures.code())
}

/// Whether a container's processes are held.
pub(crate) fn is_paused(context: &Context, layout: &Layout, entry: &Entry) -> bool {
    entry.status.is_running()
        && entry.init_state.is_some_and(|state| layout.may_be_frozen(state))
        && layout.is_frozen(&context.group(&entry.record))
}
