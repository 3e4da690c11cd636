//! `mini update`: other limits for containers, while they run or before they do.

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::runtime::Spec;
use runtime::cgroup::{Layout, Limits};
use runtime::op::step;
use runtime::record::Status;
use runtime::state::{Entry, FindError, Held, HoldError, State, StateError};

use super::Failures;
use super::flags::LimitArgs;
use crate::clock::Moment;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::plan::Request;
use crate::plan::facts::HostFacts;
use crate::plan::life::RestartPolicy;
use crate::plan::limits::Asked;
use crate::plan::resources;
use crate::settings::Settings;

/// How long a container may be between two states before this gives up, s.
const PATIENCE: i64 = 10;

/// Change what containers may use
///
/// What runs has its new limits at once, and keeps them when it is started again. Where one of them cannot be had, none is changed.
/// A new restart policy counts from the next end on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini update --memory 512m --memory-swap 1g web\n  mini update --cpus 1.5 --pids-limit 200 web db\n  mini update --restart always web\n\nSee also: mini run, mini stats, mini inspect"
)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// When to start it again by itself: no, always, unless-stopped, on-failure or on-failure:MOST
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Changes each; the others go on where one fails.
pub(crate) fn update(context: &Context, args: &UpdateArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let asked = Asked::new(&args.limits)?;
    let restart = args.restart.as_deref().map(RestartPolicy::parse).transpose()?;
    ensure!(
        !asked.is_empty() || restart.is_some(),
        "nothing is to be changed: say at least one limit, such as --memory or --cpus, or --restart"
    );
    let edit = |request: &mut Request| {
        if let Some(restart) = restart {
            ensure!(
                !request.auto_remove || restart == RestartPolicy::No,
                "--restart cannot be changed: the container has --rm"
            );
            request.options.life.restart = restart;
        }
        asked.give(request)
    };
    let mut failures = Failures::default();
    for word in &args.containers {
        match change(context, word, &edit) {
            Ok(()) => output::print_line(word)?,
            Err(error) => failures.add(&error.context(format!("cannot update {word}"))),
        }
    }
    Ok(failures.code())
}

/// Changes what one container is made from, and what its kernel knows of it.
fn change(context: &Context, word: &str, edit: &dyn Fn(&mut Request) -> Result<()>) -> Result<()> {
    let state = context.state();
    let id = state.find(word)?.record.id;
    let deadline = Moment::deadline(PATIENCE);
    loop {
        if let Some(held) = hold(&state, &id)? {
            return apply(context, &state, &held, edit);
        }
        ensure!(
            deadline.is_none_or(|deadline| !deadline.is_past()),
            "it has been starting or ending for {PATIENCE} s"
        );
        // Whoever starts or ends it tells nobody when that is done.
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let _interrupted = rustix::thread::nanosleep(&pause);
    }
}

/// A container that can be changed now, with what keeps it so.
struct Changeable {
    held: Held,
    /// The lock of one that nobody supervises: nobody starts or removes it meanwhile.
    _at_rest: Option<std::os::fd::OwnedFd>,
}

/// Holds a container that rests, runs, or is about to be started again; `None` between these.
///
/// A start reads the record before it writes it anew, under the container's lock, and a monitor keeps that lock until its end. So
/// what rests is held by that lock, and what runs by the lock of its record: as long as its end has not been written, no start is
/// under way, and whoever writes that end waits for us. A monitor that starts it again notices that the record has changed since it
/// read it; once it has written its own, the container counts as starting until its program runs.
fn hold(state: &State, id: &str) -> Result<Option<Changeable>> {
    let at_rest = match state.lock(id) {
        Ok(lock) => Some(lock),
        Err(StateError::Busy(_)) => None,
        Err(StateError::Gone(_)) => return Err(FindError::NotFound(id.to_owned()).into()),
        Err(error) => return Err(error.into()),
    };
    let held = match state.hold(id) {
        Err(HoldError::Find(error)) => return Err(error.into()),
        other => other?,
    };
    let ended = held.entry.record.last.is_some();
    let changeable = match held.entry.status {
        Status::Running { .. } => !ended,
        Status::Restarting { .. } => ended,
        _ => false,
    };
    Ok((at_rest.is_some() || changeable).then_some(Changeable { held, _at_rest: at_rest }))
}

/// Groups first, then the record: what the kernel refuses is not written down.
fn apply(
    context: &Context,
    state: &State,
    Changeable { held, .. }: &Changeable,
    edit: &dyn Fn(&mut Request) -> Result<()>,
) -> Result<()> {
    let entry = &held.entry;
    let mut settings = Settings::of(&entry.record);
    let Some(request) = &mut settings.request else {
        bail!("it was made by a mini that could not change a container");
    };
    let old_request = request.clone();
    edit(request)?;
    let facts = HostFacts::of_limits(request)?;
    let mut spec: Spec = serde_json::from_slice(&entry.config()?).context("cannot read its OCI spec")?;
    let mut linux = spec.linux().clone().unwrap_or_default();
    let old = linux.resources().clone().unwrap_or_default();
    let mut new = resources::limits(request, &facts)?;
    new.set_devices(old.devices().clone());
    // By the record: the config is written before it, and may be that of an update that was killed.
    let before = Limits::from_oci(&resources::limits(&old_request, &facts).unwrap_or(old));
    let after = Limits::from_oci(&new);
    linux.set_resources(Some(new));
    spec.set_linux(Some(linux));
    let mut record = entry.record.clone();
    record.settings = settings.value();
    let config = serde_json::to_vec(&spec).context("cannot write the OCI spec as JSON")?;

    let path = context.group(&record);
    let live = Live { entry, layout: &facts.cgroups, path: &path };
    live.change(&before, &after)?;
    let written = state.amend(held, &record, &config).map_err(|error| {
        step("What cannot be written down is not to be: take it back");
        // The first cause is told; a change or start writes the groups anew.
        let _stays = live.change(&after, &before);
        error.into()
    });
    written.map(|()| context.happened("update", &record))
}

/// What the kernel knows of a container.
struct Live<'a> {
    entry: &'a Entry,
    layout: &'a Layout,
    path: &'a std::path::Path,
}

impl Live<'_> {
    /// Changes the limits of a container that runs; one that ends meanwhile needs none.
    fn change(&self, before: &Limits, after: &Limits) -> Result<()> {
        if !super::still_runs(self.entry) {
            return Ok(());
        }
        match self.layout.change(self.path, before, after) {
            Err(error) if super::still_runs(self.entry) => Err(error.into()),
            _ => Ok(()),
        }
    }
}
