//! What a container would be: for who wants to see it, or to make it by other means. Nothing is written down, and nothing stays taken.

use std::mem::take;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use image::Image;
use runtime::plan::InitPlan;

use super::{Planned, high_ids, storage};
use crate::context::Context;
use crate::donors::Found;
use crate::names;
use crate::plan::facts::HostFacts;
use crate::plan::ids::{self, IdLease};
use crate::plan::{Leases, NetworkMode, Place, Request, RunPlan};
use crate::random::new_id;

/// For a dry run: what would be, taking nothing and making nothing.
pub(crate) fn foresee(
    context: &Context,
    request: &Request,
    image: &Image,
    facts: &HostFacts,
    found: Found,
) -> Result<RunPlan> {
    let id = new_id()?;
    let dirs = context.state().dirs(&id);
    let leases = leases(context, request, image, found)?;
    let name = request.name.clone().unwrap_or_else(|| names::generate(&id, 0));
    let parent = context.cgroup_parent(request);
    let place = Place { id: &id, name: &name, run: &dirs.run, cgroup_parent: &parent };
    crate::plan::plan(request, image, &image.layers, facts, &place, &leases)
}

/// Both plans of a container that somebody else makes, and what they refer to.
pub(crate) struct Outlined {
    pub(crate) plan: RunPlan,
    pub(crate) init: InitPlan,
    /// The run directory that its own files would be in.
    pub(crate) run: PathBuf,
    /// The files whose locks are the leases of its ids.
    pub(crate) ranges: Vec<PathBuf>,
}

/// What would be, with ids and ports that are free now; they are given back at once.
///
/// # Errors
/// As [`super::prepare`], as far as looking goes.
pub(crate) fn outline(
    context: &Context,
    request: &Request,
    image: &Image,
    facts: &HostFacts,
    found: Found,
) -> Result<Outlined> {
    let id = new_id()?;
    let dirs = context.state().dirs(&id);
    let mut leases = leases(context, request, image, found)?;
    let mut ranges = Vec::new();
    if request.user_namespace && leases.gid_map.is_none() {
        let high = high_ids(image);
        let lease = IdLease::take(
            &context.config.ids,
            &context.dirs.ids(),
            &id,
            !high.is_empty(),
            storage::whose_volumes(request, facts),
        )?;
        leases.map = ids::map(&lease.bases, &high)?;
        ranges.extend(lease.ranges().map(|(_, path, _)| path.to_owned()));
        lease.release()?;
    }
    if request.network == NetworkMode::Bridge {
        leases.ports = network::reserve(&context.network(), &request.published(&image.config))?.mappings;
    }
    let name = request.name.clone().unwrap_or_else(|| names::generate(&id, 0));
    let parent = context.cgroup_parent(request);
    let place = Place { id: &id, name: &name, run: &dirs.run, cgroup_parent: &parent };
    let Planned { plan, init } = Planned::new(request, image, &image.layers, facts, &place, &leases, &dirs)?;
    Ok(Outlined { plan, init, run: dirs.run, ranges })
}

/// What would be shared out, taking nothing.
pub(super) fn leases(
    context: &Context,
    request: &Request,
    image: &Image,
    mut found: Found,
) -> Result<Leases> {
    let mut leases = Leases { neighbours: take(&mut found.neighbours), ..Leases::default() };
    if let Some((users, groups)) = leases.neighbours.maps(&request.options.spaces) {
        (leases.map, leases.gid_map) = (users, Some(groups));
    } else if request.user_namespace {
        let base = context.config.ids.base;
        leases.map = ids::map(&[base, base + ids::RANGE], &high_ids(image))?;
    }
    if request.network == NetworkMode::Bridge {
        leases.endpoint = Some(network::foresee(&context.network()).context("cannot foresee an address")?);
        leases.ports = request.published(&image.config).iter().map(foreseen).collect();
    }
    Ok(leases)
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
