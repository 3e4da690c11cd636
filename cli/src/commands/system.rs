//! `mini system`: what is written down against what is there.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;
use runtime::op::step;
use runtime::record::{LastRun, Status};
use runtime::state::{Entry, State};
use runtime::sys;

use super::later::Later;
use super::{df, events, info, prune, rm, units};
use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::{own_root, secret, volume};

/// Look after what mini keeps
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini system check\n\nSee also: mini info, mini container, mini image")]
pub(crate) struct SystemArgs {
    #[command(subcommand)]
    command: SystemCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SystemCommand {
    Check(Later<CheckArgs>),
    Df(Later<df::DfArgs>),
    Events(Later<events::EventsArgs>),
    Info(Later<info::InfoArgs>),
    GenerateUnits(Later<units::UnitsArgs>),
    Prune(Later<prune::system::PruneArgs>),
}

/// Find what no container and no image needs, and what is damaged
///
/// Blobs are hashed, layers counted; --deep compares every file of every layer with the blob that it came from: its bytes, mode, owner,
/// time and attributes. What is damaged is made anew of what is whole, or fetched again from the registry that the image came from; where
/// that cannot be asked, the part stays marked, and the next pull fetches it. Ends with 1 where something was found and not mended.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini system check\n  mini system check --repair\n  mini system check --deep\n\nSee also: mini info, mini rm, mini rmi"
)]
struct CheckArgs {
    /// Unpack the blob of every layer once more, and compare everything; takes as long as that, and room for the largest layer
    #[arg(long)]
    deep: bool,
    /// Remove what nobody needs, and mend what can be mended
    #[arg(long)]
    repair: bool,
}

/// Something that is not as it should be.
#[derive(Debug)]
struct Found {
    what: String,
    repaired: bool,
    /// How, or why not, where there is something to say.
    note: Option<String>,
}

impl Found {
    fn new(what: String, repaired: bool) -> Found {
        Found { what, repaired, note: None }
    }

    fn line(&self) -> String {
        match (&self.note, self.repaired) {
            (Some(note), true) => format!("{} (repaired: {note})", self.what),
            (Some(note), false) => format!("{} (not repaired: {note})", self.what),
            (None, true) => format!("{} (repaired)", self.what),
            (None, false) => self.what.clone(),
        }
    }
}

/// Carries the subcommand out.
pub(crate) fn system(context: &Context, args: &SystemArgs) -> Result<ExitCode> {
    match &args.command {
        SystemCommand::Check(args) => check(context, args),
        SystemCommand::Df(args) => df::df(context, args),
        SystemCommand::Events(args) => events::events(context, args),
        SystemCommand::Info(args) => info::info(context, args),
        SystemCommand::GenerateUnits(args) => units::units(context, args),
        SystemCommand::Prune(args) => prune::system::prune(context, args),
    }
}

fn check(context: &Context, args: &CheckArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let mut found = left(context, args.repair)?;
    images(context, args, &mut found)?;
    found.iter().try_for_each(|found| output::print_line(&found.line()))?;
    Ok(if found.iter().all(|found| found.repaired) { ExitCode::Success } else { ExitCode::Failure })
}

/// Removes what nobody needs, but for images; how much that was.
///
/// # Errors
/// What cannot be looked at or mended.
pub(crate) fn repair(context: &Context) -> Result<usize> {
    left(context, true).map(|found| found.iter().filter(|found| found.repaired).count())
}

/// Everything but images: those are read whole.
fn left(context: &Context, repair: bool) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    containers(context, repair, &mut found)?;
    kept(context, repair, &mut found)?;
    groups(context, repair, &mut found)?;
    leases(context, repair, &mut found)?;
    networks(context, repair, &mut found)?;
    Ok(found)
}

/// Directories without a record, containers whose monitor could not remove them, names without a container.
fn containers(context: &Context, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    step("Look for what is left of containers");
    let state = context.state();
    for id in state.ids() {
        match state.load(&id)? {
            None => abandoned(&state, &id, repair, found)?,
            Some(entry) => {
                lost(context, &state, &entry, repair, found)?;
                half(&state, &entry, repair, found)?;
            }
        }
    }
    for name in state.stale_names() {
        if repair {
            sys::fs::remove_file(&name)?;
        }
        found.push(Found::new(format!("{}: the name of no container", name.display()), repair));
    }
    Ok(())
}

/// A directory that somebody fills or empties right now is locked; one that nobody works on was left half made.
fn abandoned(state: &State, id: &str, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    let dirs = state.dirs(id);
    let _lock = match sys::fs::try_lock(&dirs.run) {
        Ok(Some(lock)) if !sys::fs::is_unlinked(&lock) => Some(lock),
        Ok(_) => return Ok(()), // somebody works on it, or has just removed it
        Err(error) if error.errno() == libc::ENOENT && dirs.disk.exists() => state.lock(id).ok(),
        Err(error) if error.errno() == libc::ENOENT => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if state.load(id)?.is_some() {
        return Ok(()); // made meanwhile
    }
    let record = dirs.disk.join("record.json");
    // An empty one is of a machine that lost power before the container was made.
    let wrote = std::fs::read_dir(own_root::files(&dirs.disk)).is_ok_and(|mut files| files.next().is_some());
    if wrote && std::fs::metadata(&record).is_ok_and(|about| about.len() > 0) {
        // Written whole: whoever was killed has left all of it or nothing, so the disk has lost it.
        let note =
            "its own files lie beside it, in upper or copy: save what is needed, and remove the directory";
        let note = repair.then(|| note.to_owned());
        found.push(Found { what: format!("{}: damaged", record.display()), repaired: false, note });
        return Ok(());
    }
    let path = if dirs.disk.exists() { &dirs.disk } else { &dirs.run };
    found.push(Found::new(format!("{}: left by a command that was killed", path.display()), repair));
    if repair {
        state.remove(id, "")?;
    }
    Ok(())
}

/// A container that ended without a monitor to clean up behind it.
fn lost(context: &Context, state: &State, entry: &Entry, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    // With --rm, too, what was made and never started waits for that: `create` made it so.
    let has_run = entry.live.is_some() || entry.record.auto_remove && entry.status != Status::Created;
    if entry.status.is_up() || !has_run {
        return Ok(());
    }
    let id = &entry.record.id;
    let Ok(lock) = state.lock(id) else { return Ok(()) };
    if repair {
        rm::clear(context, entry)?;
        if entry.record.auto_remove {
            rm::forget(context, &entry.record, true)?;
        } else {
            write_off(state, entry)?;
        }
    }
    drop(lock);
    let what = match entry.record.auto_remove {
        true => {
            format!("container {} ({}): it had --rm, and nobody removed it", entry.record.name, &id[..12])
        }
        false => {
            format!(
                "container {} ({}): it ended, and nobody cleaned up behind it",
                entry.record.name,
                &id[..12]
            )
        }
    };
    found.push(Found::new(what, repair));
    Ok(())
}

/// A copy of an image that somebody was killed over.
fn half(state: &State, entry: &Entry, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    let Entry { record, dirs, .. } = entry;
    if !own_root::is_half(&dirs.disk) {
        return Ok(());
    }
    let Ok(_lock) = state.lock(&record.id) else { return Ok(()) };
    if own_root::is_half(&dirs.disk) {
        if repair {
            own_root::discard(&dirs.disk)?;
        }
        let (name, id) = (&record.name, &record.id[..12]);
        found.push(Found::new(
            format!("container {name} ({id}): its copy of the image was not finished"),
            repair,
        ));
    }
    Ok(())
}

/// Writes down what its monitor could not: how it ended, or when it started, and that nobody saw its end.
fn write_off(state: &State, entry: &Entry) -> Result<()> {
    let mut record = entry.record.clone();
    if let (Status::Exited { code, reason, .. }, Some(live)) = (&entry.status, &entry.live) {
        record.last = live.between.clone().or_else(|| {
            Some(LastRun {
                started: live.started,
                finished: clock::now(),
                code: *code,
                oom_killed: false,
                reason: reason.clone(),
            })
        });
        state.finish(&entry.dirs, &mut record)?;
    }
    Ok(sys::fs::remove_file(&entry.dirs.run.join("live.json"))?)
}

/// What is left of volumes and secrets.
fn kept(context: &Context, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    let state = context.state();
    let left = [volume::check::check(&state, repair)?, secret::check::check(&state, repair)?].concat();
    found.extend(left.into_iter().map(|what| Found::new(what, repair)));
    Ok(())
}

/// Control groups of containers that do not run.
fn groups(context: &Context, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    step("Look for control groups of containers that are gone");
    let layout = Layout::detect()?;
    let state = context.state();
    let mut seen: Vec<PathBuf> = Vec::new();
    let configured = PathBuf::from(&context.config.cgroup.parent);
    for parent in std::iter::once(configured).chain(state.noted_cgroup_parents()) {
        for directory in layout.directories(&parent) {
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                let Ok(id) = entry.file_name().into_string() else { continue };
                let path = parent.join(&id);
                if is_id(&id) && !seen.contains(&path) && is_nobodys(&state, &layout, &id, &path) {
                    seen.push(path);
                }
            }
        }
    }
    for path in seen {
        if repair {
            layout.remove(&path).with_context(|| format!("the control groups of {}", path.display()))?;
        }
        found.push(Found::new(format!("control groups {}: of no running container", path.display()), repair));
    }
    Ok(())
}

/// Another root's container is not ours to judge: its group has processes. One whose monitor tidies up right now is locked.
fn is_nobodys(state: &State, layout: &Layout, id: &str, path: &Path) -> bool {
    if !layout.processes(path).is_empty() {
        return false;
    }
    let locked = matches!(sys::fs::try_lock(&state.dirs(id).run), Ok(None));
    !locked && layout.directories(path).iter().any(|directory| directory.exists())
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Id ranges whose holders are gone.
fn leases(context: &Context, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    step("Look for id ranges that nobody holds");
    for entry in std::fs::read_dir(context.dirs.ids()).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Ok(Some(_lock)) = sys::fs::try_lock(&path) {
            if repair {
                sys::fs::remove_file(&path)?;
            }
            found.push(Found::new(format!("{}: a lease that nobody holds", path.display()), repair));
        }
    }
    Ok(())
}

fn networks(context: &Context, repair: bool, found: &mut Vec<Found>) -> Result<()> {
    let state = context.state();
    let live = |beginning: &str| super::is_live(&state, beginning);
    let findings = network::check(&context.network(), &live, repair).context("cannot check the network")?;
    found.extend(findings.iter().map(|finding| Found::new(finding.to_string(), finding.repaired)));
    Ok(())
}

fn images(context: &Context, args: &CheckArgs, found: &mut Vec<Found>) -> Result<()> {
    let store = context.store()?;
    let uses = super::rmi::users(context);
    let fetch = |again: &image::Again<'_>| {
        super::pull::fetch_again(context, &store, again).map_err(|error| format!("{error:#}"))
    };
    let repair = args.repair.then_some(&fetch as &image::Fetch<'_>);
    let check = image::Check { deep: args.deep, in_use: &|id| uses(id), repair };
    for finding in store.check(&check).context("cannot check the image store")? {
        // The names of files, and what a registry answers, are others' words.
        let what = format!("{}: {}", store.root().join(&finding.path).display(), finding.problem);
        let (what, note) = (output::visible(&what), finding.note.as_deref().map(output::visible));
        found.push(Found { what, repaired: finding.is_repaired, note });
    }
    Ok(())
}
