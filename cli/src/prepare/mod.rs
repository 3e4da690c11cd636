//! From a request to a container that is written down and can be launched: leases taken, plan made, record written.

mod foresee;
mod record;
pub(crate) mod storage;

use std::mem::take;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use image::Image;
use runtime::birth::Joins;
use runtime::cgroup::Layout;
use runtime::plan::{InitPlan, RootPlan};
use runtime::record::Record;
use runtime::state::{Claim, Dirs, State, StateError};
use runtime::sys;
use runtime::sys::fs::Durability;

use crate::commands::flags::ContainerArgs;
use crate::context::Context;
use crate::donors::Found;
use crate::names;
use crate::own_root::{self, Ids};
use crate::plan::facts::HostFacts;
use crate::plan::ids::{self, IdLease};
use crate::plan::life::Backoff;
use crate::plan::{Leases, NetworkMode, Place, Request, RunPlan};
use crate::random::new_id;
use crate::session;
use crate::settings::Settings;
use crate::supervise::{Charge, Held, Start, Words};
use crate::volume;
use crate::volume::first_content::When;
pub(crate) use foresee::{Outlined, foresee, outline};
use storage::Secrets;

/// What overlay stacks below the writable layer (OVL_MAX_STACK, fs/overlayfs/params.h).
const MOST_LAYERS: usize = 500;

/// What is shared out among containers, and this one's share of it.
#[derive(Default)]
struct Taken {
    ids: Option<IdLease>,
    ports: Option<network::Reserved>,
    lease: Option<network::Lease>,
    joins: Joins,
    leases: Leases,
}

impl Taken {
    /// Takes an id range, host ports and an address, as far as they are asked for. What was found of others is kept first.
    fn take(
        &mut self,
        context: &Context,
        request: &Request,
        image: &Image,
        facts: &HostFacts,
        id: &str,
        mut found: Found,
    ) -> Result<()> {
        (self.joins, self.ids) = (take(&mut found.joins), found.ids.take());
        self.leases.neighbours = take(&mut found.neighbours);
        if let Some((users, groups)) = self.leases.neighbours.maps(&request.options.spaces) {
            (self.leases.map, self.leases.gid_map) = (users, Some(groups));
        } else if request.user_namespace {
            let high = high_ids(image);
            let volumes = storage::whose_volumes(request, facts);
            let lease =
                IdLease::take(&context.config.ids, &context.dirs.ids(), id, !high.is_empty(), volumes)?;
            let map = ids::map(&lease.bases, &high);
            self.ids = Some(lease);
            self.leases.map = map?;
        }
        if request.network == NetworkMode::Bridge {
            let config = context.network();
            let reserved = network::reserve(&config, &request.published(&image.config))?;
            let leased = network::lease(&config, id, &reserved.mappings).context("cannot get an address")?;
            self.leases.ports.clone_from(&reserved.mappings);
            self.leases.endpoint = Some(leased.endpoint.clone());
            (self.ports, self.lease) = (Some(reserved), Some(leased));
        }
        Ok(())
    }

    /// Gives everything back: no container came of it.
    fn give_back(self) {
        // The cause of all this is told; what cannot be given back is found by `mini system check`.
        let _ids = self.ids.map(IdLease::release);
        let _address = self.lease.map(network::Lease::release);
    }
}

/// Takes what is shared out, plans, and writes the container down. Everything taken is given back where this fails.
pub(crate) fn prepare(
    context: &Context,
    args: &ContainerArgs,
    request: &Request,
    image: &Image,
    facts: HostFacts,
    found: Found,
) -> Result<(Charge, Start)> {
    let id = new_id()?;
    let secrets = Secrets::read(context, request)?;
    let mut taken = Taken::default();
    let written = taken
        .take(context, request, image, &facts, &id, found)
        .and_then(|()| write_down(context, args, request, image, &facts, &id, &taken.leases))
        .and_then(|(mut planned, record, claim)| {
            planned.write_files(&claim.dirs).inspect_err(|_| record::forget(context, &record))?;
            secrets.tell(&mut planned.init);
            Ok((planned, record, claim))
        });
    match written {
        Ok((planned, record, claim)) => {
            let unsynced = !record.auto_remove;
            let (charge, start) = charge(context, taken, record, claim, planned, facts.cgroups);
            Ok((charge, Start { unsynced, ..start }))
        }
        Err(error) => {
            taken.give_back();
            Err(error)
        }
    }
}

/// Writes a container down that nobody starts yet: nothing is taken for it. Returns its id.
///
/// # Errors
/// What would keep it from being started, as far as that can be foreseen.
pub(crate) fn create(
    context: &Context,
    args: &ContainerArgs,
    request: &Request,
    image: &Image,
    mut facts: HostFacts,
) -> Result<String> {
    let id = new_id()?;
    // What it shares with others is looked at when it starts.
    let mut leases = foresee::leases(context, request, image, Found::default())?;
    if request.user_namespace && leases.gid_map.is_none() {
        // Those that it is going to get: what is made for it now is then right.
        let volumes = storage::whose_volumes(request, &facts);
        leases.map = ids::map(&ids::first_choices(&context.config.ids, &id, volumes), &high_ids(image))?;
    }
    // It is of no boot before it is started.
    facts.boot.clear();
    let (_, record, _claim) = write_down(context, args, request, image, &facts, &id, &leases)?;
    Ok(record.id)
}

/// Makes a container ready that was written down before, under the lock that the caller took. Everything taken is given back
/// where this fails.
///
/// # Errors
/// What is taken or gone, or what the host cannot do any more.
pub(crate) fn prepare_again(
    context: &Context,
    mut record: Record,
    request: &Request,
    image: &Image,
    facts: HostFacts,
    found: Found,
    lock: OwnedFd,
) -> Result<(Charge, Start)> {
    let state = context.state();
    let claim = Claim { dirs: state.dirs(&record.id), lock };
    let mut taken = Taken::default();
    let located = storage::located(context, request)?;
    let request = located.as_ref();
    let mut rewrite = |taken: &mut Taken, found| -> Result<Planned> {
        taken.take(context, request, image, &facts, &record.id, found)?;
        storage::check(context, request)?;
        let layers = layers(&state, image)?;
        let parent = cgroup_parent(context, request)?;
        let place =
            Place { id: &record.id, name: &record.name, run: &claim.dirs.run, cgroup_parent: &parent };
        let mut planned = Planned::new(request, image, &layers, &facts, &place, &taken.leases, &claim.dirs)?;
        let when = if record.last.is_some() { When::Again } else { When::New };
        provide(context, &record.id, request, &planned.init, when)?;
        Secrets::read(context, request)?.tell(&mut planned.init);
        let mut settings = Settings::of(&record);
        settings.ports = planned.ports();
        settings.user_namespace = request.user_namespace;
        let read = std::mem::replace(&mut record.settings, settings.value());
        record.boot.clone_from(&facts.boot);
        record.cgroup.clone_from(&planned.init.cgroup.path);
        record.last = None;
        record.stopped_by_user = false;
        planned.write_files(&claim.dirs)?;
        // Last: whatever fails before this leaves the record of the last run as it is.
        state.rewrite(&claim.dirs, &mut record, &read, &planned.config()?)?;
        Ok(planned)
    };
    match rewrite(&mut taken, found) {
        Ok(planned) => Ok(charge(context, taken, record, claim, planned, facts.cgroups)),
        Err(error) => {
            taken.give_back();
            Err(error)
        }
    }
}

/// A container as it will be made.
struct Planned {
    plan: RunPlan,
    init: InitPlan,
}

impl Planned {
    fn new(
        request: &Request,
        image: &Image,
        layers: &[PathBuf],
        facts: &HostFacts,
        place: &Place<'_>,
        leases: &Leases,
        dirs: &Dirs,
    ) -> Result<Planned> {
        let plan = crate::plan::plan(request, image, layers, facts, place, leases)?;
        let root = RootPlan {
            layers: layers.to_vec(),
            scratch: dirs.disk.clone(),
            copied: facts.copied,
            volatile: request.auto_remove,
            read_only: request.read_only,
        };
        let mut init = runtime::plan::plan(&plan.spec, root)?;
        let security = &request.options.security;
        init.process.reaper = security.init;
        init.process.groups.clone_from(&security.groups);
        storage::look_inside(&mut init, request);
        Ok(Planned { plan, init })
    }

    /// The OCI spec as it is kept.
    fn config(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.plan.spec).context("cannot write the OCI spec as JSON")
    }

    fn ports(&self) -> Vec<network::PortMapping> {
        self.plan.network.attach.as_ref().map(|attach| attach.ports.clone()).unwrap_or_default()
    }

    /// The files that mini shows inside.
    fn write_files(&self, dirs: &Dirs) -> Result<()> {
        // Owned by the container's root, not idmapped: a run directory is a tmpfs, which cannot be before Linux 6.3.
        let (uid, gid) = self.init.root_ids();
        for (name, content) in &self.plan.files {
            sys::fs::write_for(&dirs.run.join(name), content.as_bytes(), 0o644, uid, gid)?;
        }
        for (name, whose) in &self.plan.links {
            let own = dirs.run.join(name);
            sys::fs::remove_file(&own)?;
            sys::fs::link(whose, &own)?;
        }
        Ok(())
    }
}

/// What a monitor is given.
fn charge(
    context: &Context,
    taken: Taken,
    record: Record,
    claim: Claim,
    planned: Planned,
    layout: Layout,
) -> (Charge, Start) {
    let Taken { ids, ports, lease, joins, .. } = taken;
    let Claim { dirs, lock } = claim;
    let Planned { plan, init } = planned;
    let pidfile = Settings::of(&record).request.and_then(|request| request.options.origin.pidfile);
    let window = if plan.stdio.terminal { session::window() } else { None };
    let words = Words {
        state: context.state(),
        record,
        dirs,
        attach: plan.network.attach.clone(),
        cgroup: init.cgroup.path.clone(),
        stop_signal: plan.lifecycle.stop_signal,
        shares_processes: !init.has_own_processes(),
        pidfile,
        stop_patience: u64::try_from(plan.lifecycle.stop_timeout)
            .ok()
            .map(|seconds| seconds.saturating_mul(1_000_000_000)),
        input_once: plan.stdio.input_once,
        life: plan.lifecycle.life.clone(),
        restarted_elsewhere: false,
        health: plan.lifecycle.health.clone(),
        log: plan.lifecycle.log.clone(),
        between: None,
        backoff: Backoff::default(),
        context: context.clone(),
    };
    let ports = ports.map_or_else(Vec::new, network::Reserved::into_sockets);
    let charge = Charge { words, held: Held { lock, ids, ports, lease } };
    let monitor_group = context.monitor_group();
    (charge, Start { plan, init, joins, layout, window, monitor_group, unsynced: false })
}

/// The image's layers, and below them the places that mounts go to.
pub(crate) fn layers(state: &State, image: &Image) -> Result<Vec<PathBuf>> {
    let mut layers = image.layers.clone();
    if layers.len() < MOST_LAYERS {
        layers.push(state.mount_points()?);
    }
    Ok(layers)
}

/// Plans the container under a name that is free, and writes it down: from here on it can be found, and removed.
fn write_down(
    context: &Context,
    args: &ContainerArgs,
    request: &Request,
    image: &Image,
    facts: &HostFacts,
    id: &str,
    leases: &Leases,
) -> Result<(Planned, Record, Claim)> {
    let state = context.state();
    let dirs = state.dirs(id);
    storage::check(context, request)?;
    let layers = layers(&state, image)?;
    let parent = cgroup_parent(context, request)?;
    for attempt in 0..16 {
        let name = request.name.clone().unwrap_or_else(|| names::generate(id, attempt));
        let place = Place { id, name: &name, run: &dirs.run, cgroup_parent: &parent };
        let planned = Planned::new(request, image, &layers, facts, &place, leases, &dirs)?;
        let record = record::record(request, args, image, facts, &planned)?;
        let claim = match state.create(&record, &planned.config()?) {
            Err(StateError::NameTaken { .. }) if request.name.is_none() => continue,
            other => other?,
        };
        // After the record: what is made for a container is never without one that says so.
        if let Err(error) = provide(context, id, request, &planned.init, When::New) {
            // The cause of all this is told; what cannot be removed is found by `mini system check`.
            let _first_cause_counts = undo(context, &record);
            return Err(error);
        }
        return Ok((planned, record, claim));
    }
    bail!("no free name was found in 16 attempts: give one with --name")
}

/// Makes the container's copy of its image, where it gets one, its volumes, and their first content. It is written down already.
fn provide(context: &Context, id: &str, request: &Request, init: &InitPlan, when: When) -> Result<()> {
    let root = &init.root;
    if root.copied {
        let durability = if request.auto_remove { Durability::Cached } else { Durability::Synced };
        own_root::provide(&root.scratch, &root.layers, &Ids::of(init), durability)?;
    }
    storage::provide(context, id, request, init, when)
}

/// The group in which the container gets its own. One that only this container asks for is written down, so that
/// `mini system check` looks there too; it stays when the container goes, as docker's does.
fn cgroup_parent(context: &Context, request: &Request) -> Result<PathBuf> {
    let parent = context.cgroup_parent(request);
    if request.options.resources.cgroup_parent.is_some() {
        context.state().note_cgroup_parent(&parent)?;
    }
    Ok(parent)
}

/// Ids beyond 65535 in the image's files, each with a file that has it.
fn high_ids(image: &Image) -> Vec<(u32, &str)> {
    image.high_ids.iter().map(|high| (high.id, high.path.as_str())).collect()
}

/// Removes a container that was written down and of which nothing came.
fn undo(context: &Context, record: &Record) -> Result<()> {
    volume::users::take_away_with(context, record)?;
    context.state().remove(&record.id, &record.name)?;
    volume::users::remove_gone(context, record)
}
