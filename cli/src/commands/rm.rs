//! `mini rm`: remove containers and everything that is theirs.

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;
use runtime::op::step;
use runtime::record::{Record, Status};
use runtime::state::{Entry, State};
use runtime::sys;

use super::ending::Ending;
use super::{Failures, ending};
use crate::context::Context;
use crate::events::Event;
use crate::exit_code::ExitCode;
use crate::explain::ExplainArgs;
use crate::output;
use crate::plan::NetworkMode;
use crate::plan::spaces::Space;
use crate::settings::Settings;
use crate::volume;

/// Remove containers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini rm job\n  mini rm -f -v web\n  mini rm -f $(mini ps -aq)\n\nSee also: mini stop, mini ps, mini volume"
)]
pub(crate) struct RmArgs {
    /// End running ones first
    #[arg(short, long)]
    force: bool,
    /// Remove volumes without a name with them
    #[arg(short, long)]
    volumes: bool,
    #[command(flatten)]
    explain: ExplainArgs,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// How many are told to end before the first of them is waited for: their monitors clean up side by side. Each is held by two
/// descriptors meanwhile.
const TOGETHER: usize = 64;

/// How containers are removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Running ones, too.
    pub(crate) force: bool,
    /// With the volumes without a name that no other one refers to. One with `--rm` takes them along anyway.
    pub(crate) volumes: bool,
}

/// Removes each; the others go on where one fails.
pub(crate) fn rm(context: &Context, args: &RmArgs) -> Result<ExitCode> {
    let story = context.listen(args.explain.form())?;
    let state = context.state();
    let mut failures = Failures::default();
    let how = How { force: args.force, volumes: args.volumes };
    for words in args.containers.chunks(TOGETHER) {
        let found = words.iter().map(|word| (word, state.find(word)));
        let begun: Vec<_> = found
            .map(|(word, found)| (word, found.map(|entry| (begin(context, &entry, how), entry))))
            .collect();
        for (word, found) in begun {
            let removed = match found {
                // As docker: with -f what is not there is as good as removed, and said.
                Err(error @ runtime::state::FindError::NotFound(_)) => {
                    failures.add(&error.into());
                    continue;
                }
                Err(error) => Err(error.into()),
                Ok((begun, entry)) => begun.and_then(|ending| finish(context, &state, &entry, how, ending)),
            };
            match removed {
                Ok(_) => output::print_line(word)?,
                Err(error) => failures.add(&error.context(format!("cannot remove container {word}"))),
            }
        }
    }
    context.let_images_go();
    story.into_iter().for_each(crate::explain::Story::tell_what_is_there);
    Ok(if args.force { failures.code_but_not_found() } else { failures.code() })
}

/// Removes all containers of this root; how many those were. The others go on where one fails.
///
/// # Errors
/// Where no list can be made.
pub(crate) fn remove_all(context: &Context, how: How, failures: &mut Failures) -> Result<usize> {
    let state = context.state();
    let mut count = 0;
    for entries in state.list()?.chunks(TOGETHER) {
        let begun: Vec<_> = entries.iter().map(|entry| (entry, begin(context, entry, how))).collect();
        for (entry, begun) in begun {
            match begun.and_then(|ending| finish(context, &state, entry, how, ending)) {
                Ok(_) => count += 1,
                Err(error) => {
                    failures.add(&error.context(format!("cannot remove container {}", entry.record.name)));
                }
            }
        }
    }
    context.let_images_go();
    Ok(count)
}

/// Removes one container, once its monitor, or another command, is done with it; false where somebody else has removed it.
///
/// # Errors
/// Where it runs and is not to be ended, or the kernel refuses.
pub(crate) fn remove(context: &Context, state: &State, entry: &Entry, how: How) -> Result<bool> {
    finish(context, state, entry, how, begin(context, entry, how)?)
}

/// Tells it to end, where it is up; `None` where it has ended already.
fn begin(context: &Context, entry: &Entry, how: How) -> Result<Option<Ending>> {
    match entry.status.is_up() {
        true if how.force => {
            // Where that cannot be written, its end is only written down more thoroughly than it is worth.
            let _thorough = context.state().give_up(&entry.dirs);
            ending::end_now(context, entry)
        }
        true => Err(crate::error::StillRuns.into()),
        false => Ok(None),
    }
}

/// Waits until it has ended, and removes what its monitor leaves; false where somebody else has removed it meanwhile.
fn finish(context: &Context, state: &State, entry: &Entry, how: How, ending: Option<Ending>) -> Result<bool> {
    match (ending, &entry.status) {
        (Some(ending), _) => ending.wait()?,
        (None, Status::Exited { .. }) => drop(super::wait_for_monitor(entry)?),
        (None, _) => {}
    }
    let Some(_lock) = super::lock_at_rest(state, &entry.record.id)? else {
        return match state.load(&entry.record.id)? {
            // Somebody has started it meanwhile.
            Some(now) => remove(context, state, &now, how),
            None => Ok(false),
        };
    };
    step("Remove what the container left: control groups, ports, files, name");
    // Asked again under the lock: somebody may have started it, and it may have ended again.
    let now = state.load(&entry.record.id)?;
    // The last thing that a monitor removes is the run directory: where only the lock is there, nothing else is left.
    let has_run = std::fs::read_dir(&entry.dirs.run).is_ok_and(|mut files| files.next().is_some());
    if now.is_none() && !has_run && !entry.dirs.disk.exists() {
        // Somebody has removed it meanwhile, and told so; the lock that we hold is on a directory that we have made.
        sys::removal::remove_tree(&entry.dirs.run)?;
        return Ok(false);
    }
    let entry = now.as_ref().unwrap_or(entry);
    if has_run {
        clear(context, entry)?;
    }
    forget(context, &entry.record, how.volumes)?;
    Ok(true)
}

/// Removes what is written down of a container, and the volumes that were made for it where that is asked for (`--rm` asks for it).
/// The caller holds the container's lock.
pub(crate) fn forget(context: &Context, record: &Record, volumes: bool) -> Result<()> {
    let volumes = volumes || record.auto_remove;
    if volumes {
        volume::users::take_away_with(context, record)?;
    }
    context.state().remove(&record.id, &record.name)?;
    context.image_was_used(record);
    let mut events = vec![Event::container("destroy", record)];
    if volumes {
        events.extend(volume::users::gone_with(context, record));
    }
    context.journal().record(&events);
    if volumes { volume::users::remove_gone(context, record) } else { Ok(()) }
}

/// What a monitor clears when it ends, for those that could not. The caller holds the container's lock.
pub(crate) fn clear(context: &Context, entry: &Entry) -> Result<()> {
    let layout = Layout::detect()?;
    let group = context.group(&entry.record);
    let settings = Settings::of(&entry.record);
    if settings.request.as_ref().is_some_and(|request| request.options.spaces.pid != Space::Private) {
        layout.end_processes(&group)?;
    }
    layout.remove(&group)?;
    if entry.live.is_some() && settings.network == Some(NetworkMode::Bridge) {
        let state = context.state();
        let live = |id: &str| super::is_live(&state, id);
        network::check(&context.network(), &live, true).context("cannot take its address and ports back")?;
    }
    Ok(())
}
