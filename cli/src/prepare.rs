//! From a request to a container that is written down and can be launched: leases taken, plan made, record written.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use image::Image;
use runtime::op::step;
use runtime::plan::{InitPlan, RootPlan};
use runtime::record::{Record, VERSION};
use runtime::state::{Claim, StateError};
use runtime::sys;

use crate::clock;
use crate::commands::run::RunArgs;
use crate::context::Context;
use crate::launch;
use crate::names;
use crate::plan::facts::HostFacts;
use crate::plan::ids::{self, IdLease};
use crate::plan::{Leases, NetworkMode, Place, Request, RunPlan, spec};
use crate::settings::Settings;
use crate::supervise::{Charge, Held, Start, Words};

/// What overlay stacks below the writable layer (OVL_MAX_STACK, fs/overlayfs/params.h).
const MOST_LAYERS: usize = 500;

/// What is shared out among containers, and this one's share of it.
#[derive(Default)]
struct Taken {
    ids: Option<IdLease>,
    ports: Option<network::Reserved>,
    lease: Option<network::Lease>,
    leases: Leases,
}

impl Taken {
    /// Takes an id range, host ports and an address, as far as they are asked for.
    fn take(&mut self, context: &Context, request: &Request, image: &Image, id: &str) -> Result<()> {
        if request.user_namespace {
            let high = high_ids(image);
            let lease = IdLease::take(&context.config.ids, &context.dirs.ids(), id, !high.is_empty())?;
            let map = ids::map(&lease.bases, &high);
            self.ids = Some(lease);
            self.leases.map = map?;
        }
        if request.network == NetworkMode::Bridge {
            let config = context.network();
            let reserved = network::reserve(&config, &request.ports)?;
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
    args: &RunArgs,
    request: &Request,
    image: &Image,
    facts: HostFacts,
) -> Result<(Charge, Start)> {
    let id = new_id()?;
    let mut taken = Taken::default();
    let written = taken
        .take(context, request, image, &id)
        .and_then(|()| write_down(context, args, request, image, &facts, &id, &taken.leases));
    let (plan, init, record, claim) = match written {
        Ok(written) => written,
        Err(error) => {
            taken.give_back();
            return Err(error);
        }
    };
    let Taken { ids, ports, lease, .. } = taken;
    let Claim { dirs, lock } = claim;
    let words = Words {
        state: context.state(),
        record,
        dirs,
        attach: plan.network.attach.clone(),
        cgroup: init.cgroup.path.clone(),
        memory_limit: init.cgroup.limits.memory,
        stop_signal: plan.lifecycle.stop_signal,
    };
    let ports = ports.map_or_else(Vec::new, network::Reserved::into_sockets);
    let charge = Charge { words, held: Held { lock, ids, ports, lease } };
    let window = if request.terminal { launch::window() } else { None };
    let monitor_group = context.monitor_group();
    Ok((charge, Start { plan, init, layout: facts.cgroups, window, monitor_group }))
}

/// Plans the container under a name that is free, and writes it down: from here on it can be found, and removed.
fn write_down(
    context: &Context,
    args: &RunArgs,
    request: &Request,
    image: &Image,
    facts: &HostFacts,
    id: &str,
    leases: &Leases,
) -> Result<(RunPlan, InitPlan, Record, Claim)> {
    let state = context.state();
    let dirs = state.dirs(id);
    make_sources(request)?;
    let mut layers = image.layers.clone();
    if layers.len() < MOST_LAYERS {
        layers.push(state.mount_points()?);
    }
    let environment = |name: &str| std::env::var(name).ok();
    let parent = Path::new(&context.config.cgroup.parent);
    for attempt in 0..16 {
        let name = request.name.clone().unwrap_or_else(|| names::generate(id, attempt));
        let place = Place { id, name: &name, run: &dirs.run, cgroup_parent: parent };
        let plan = crate::plan::plan(request, &image.config, &layers, facts, &place, leases, &environment)?;
        let root = RootPlan {
            layers: layers.clone(),
            scratch: dirs.disk.clone(),
            volatile: request.auto_remove,
            read_only: request.read_only,
        };
        let init = runtime::plan::plan(&plan.spec, root)?;
        let record = record(request, args, image, facts, &plan)?;
        let config = serde_json::to_vec(&plan.spec).context("cannot write the OCI spec as JSON")?;
        let claim = match state.create(&record, &config) {
            Err(StateError::NameTaken { .. }) if request.name.is_none() => continue,
            other => other?,
        };
        for (name, content) in &plan.files {
            // Owned by the container's root, not idmapped: a run directory is a tmpfs, which cannot be before Linux 6.3.
            let (uid, gid) = init.root_ids();
            sys::fs::create_new_for(&claim.dirs.run.join(name), content.as_bytes(), 0o644, uid, gid)?;
        }
        return Ok((plan, init, record, claim));
    }
    bail!("no free name was found in 16 attempts: give one with --name")
}

/// For a dry run: what would be, taking nothing and making nothing.
pub(crate) fn foresee(
    context: &Context,
    request: &Request,
    image: &Image,
    facts: &HostFacts,
) -> Result<RunPlan> {
    let id = new_id()?;
    let dirs = context.state().dirs(&id);
    let mut leases = Leases::default();
    if request.user_namespace {
        let base = context.config.ids.base;
        leases.map = ids::map(&[base, base + ids::RANGE], &high_ids(image))?;
    }
    if request.network == NetworkMode::Bridge {
        leases.endpoint = Some(network::foresee(&context.network()).context("cannot foresee an address")?);
        leases.ports = request.ports.iter().map(foreseen).collect();
    }
    let name = request.name.clone().unwrap_or_else(|| names::generate(&id, 0));
    let parent = Path::new(&context.config.cgroup.parent);
    let place = Place { id: &id, name: &name, run: &dirs.run, cgroup_parent: parent };
    let environment = |name: &str| std::env::var(name).ok();
    crate::plan::plan(request, &image.config, &image.layers, facts, &place, &leases, &environment)
}

/// What a reservation would be if the first choice were free; 0 is any port.
fn foreseen(port: &network::PortRequest) -> network::PortMapping {
    network::PortMapping {
        host_ip: port.host_ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED),
        host_port: match port.host_port {
            network::HostPort::One(port) | network::HostPort::FirstFree(port, _) => port,
            network::HostPort::Ephemeral => 0,
        },
        container_port: port.container_port,
        protocol: port.protocol,
    }
}

/// Ids beyond 65535 in the image's files, each with a file that has it.
fn high_ids(image: &Image) -> Vec<(u32, &str)> {
    image.high_ids.iter().map(|high| (high.id, high.path.as_str())).collect()
}

fn record(
    request: &Request,
    args: &RunArgs,
    image: &Image,
    facts: &HostFacts,
    plan: &RunPlan,
) -> Result<Record> {
    let (entrypoint, cmd) = spec::command(request, &image.config)?;
    let config = image.config.config().as_ref();
    let settings = Settings {
        entrypoint: entrypoint.clone(),
        cmd: cmd.clone(),
        network: Some(request.network),
        ports: plan.network.attach.as_ref().map(|attach| attach.ports.clone()).unwrap_or_default(),
        exposed: config.and_then(|config| config.exposed_ports().clone()).unwrap_or_default(),
        labels: config.and_then(|config| config.labels().clone()).unwrap_or_default().into_iter().collect(),
        user_namespace: request.user_namespace,
        privileged: request.privileged,
        cap_add: capability_names(&args.cap_add),
        cap_drop: capability_names(&args.cap_drop),
        binds: args.volume.clone(),
        tmpfs: args.tmpfs.clone(),
        stop_signal: plan.lifecycle.stop_signal,
    };
    Ok(Record {
        version: VERSION,
        id: plan.id.clone(),
        name: plan.name.clone(),
        image: request.image.clone(),
        image_id: image.id.to_string(),
        command: [entrypoint, cmd].concat(),
        created: clock::now(),
        boot: facts.boot.clone(),
        auto_remove: request.auto_remove,
        terminal: request.terminal,
        interactive: request.interactive,
        settings: settings.value(),
        last: None,
    })
}

/// As docker keeps them: `CAP_` and capitals; `ALL` as it is.
fn capability_names(asked: &[String]) -> Vec<String> {
    let name = |text: &String| {
        runtime::caps::parse(text)
            .map_or_else(|_| text.to_uppercase(), |cap| runtime::caps::name(cap).to_owned())
    };
    asked.iter().map(name).collect()
}

/// docker makes the source of `-v` where it is missing: an empty directory.
fn make_sources(request: &Request) -> Result<()> {
    for volume in &request.volumes {
        if !volume.source.exists() {
            step("Make the directory that is to be shown in the container, as docker does");
            sys::fs::make_dirs_public(&volume.source).with_context(|| {
                format!("the source of the volume {} cannot be made", volume.source.display())
            })?;
        }
    }
    Ok(())
}

/// 256 random bits.
fn new_id() -> Result<String> {
    let mut bytes = [0u8; 32];
    let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("getrandom(32)")?;
    ensure!(length == bytes.len(), "getrandom(32) gave {length} bytes");
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
