//! One `mini run` as data: what was asked for, what the image and the host are like, and what will be done about it.

pub(crate) mod as_run;
pub(crate) mod devices;
pub(crate) mod facts;
pub(crate) mod health;
pub(crate) mod idmaps;
pub(crate) mod ids;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod logging;
mod mounts;
pub(crate) mod options;
pub(crate) mod origin;
mod places;
pub(crate) mod request;
pub(crate) mod resources;
pub(crate) mod security;
pub(crate) mod spaces;
pub(crate) mod spec;
pub(crate) mod stdio;
pub(crate) mod storage;
pub(crate) mod values;
pub(crate) mod whose;
mod without;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use network::{AttachPlan, Endpoint, PortMapping};
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::Spec;
use runtime::plan::IdMap;
use serde::{Deserialize, Serialize};

use facts::HostFacts;
use health::{HealthPlan, HealthRequest};
use image::{Beyond, Image};
use life::Life;
use logging::{LogPlan, Subject};
pub(crate) use request::{NetworkMode, Request};
use spec::Identity;
use stdio::Attach;
use whose::Neighbours;

/// The form of a plan that is printed or kept.
pub(crate) const VERSION: u32 = 1;

/// How long a container may take to end when it is told to, s; docker's.
pub(crate) const STOP_TIMEOUT: i64 = 10;

/// Everything that one `run` will do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunPlan {
    /// Form of this plan.
    pub(crate) version: u32,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Unique among containers.
    pub(crate) name: String,
    /// What the kernel is asked for, as any OCI runtime reads it.
    pub(crate) spec: Spec,
    /// Unpacked layers, topmost first.
    pub(crate) layers: Vec<PathBuf>,
    /// The network.
    pub(crate) network: NetworkPlan,
    /// The standard streams.
    pub(crate) stdio: StdioPlan,
    /// From start to end.
    pub(crate) lifecycle: LifecyclePlan,
    /// The files mini writes for the container: (name, content).
    pub(crate) files: Vec<(String, String)>,
    /// Those that it shares with another container: (name, whose it is).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<(String, PathBuf)>,
}

/// The network of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkPlan {
    /// Which.
    pub(crate) mode: NetworkMode,
    /// What is attached.
    pub(crate) attach: Option<AttachPlan>,
}

/// The standard streams of a container.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StdioPlan {
    /// Standard input is kept open.
    pub(crate) interactive: bool,
    /// They are a terminal.
    pub(crate) terminal: bool,
    /// Which of them the client stays with.
    pub(crate) attach: Attach,
    /// The first client that ends its input ends the container's.
    pub(crate) input_once: bool,
}

/// A container from start to end.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LifecyclePlan {
    /// Nobody waits for it.
    pub(crate) detached: bool,
    /// Its files go when it ends.
    pub(crate) auto_remove: bool,
    /// What stops it, signal(7).
    pub(crate) stop_signal: i32,
    /// After how long SIGKILL follows, s; negative is never.
    pub(crate) stop_timeout: i64,
    /// Whether it is started again, and when it must have ended.
    pub(crate) life: Life,
    /// How it is found out how it does.
    pub(crate) health: Option<HealthPlan>,
    /// What becomes of its output.
    pub(crate) log: LogPlan,
}

/// What the plan's container gets that is shared out among containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    /// Its id map; empty without a user namespace.
    pub(crate) map: Vec<IdMap>,
    /// That of its groups, where it is another.
    pub(crate) gid_map: Option<Vec<IdMap>>,
    /// What it shares with others.
    pub(crate) neighbours: Neighbours,
    /// Its place on the bridge.
    pub(crate) endpoint: Option<Endpoint>,
    /// Its published ports.
    pub(crate) ports: Vec<PortMapping>,
}

/// Where a container will be.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    /// 64 hexadecimal digits.
    pub(crate) id: &'a str,
    /// Unique among containers.
    pub(crate) name: &'a str,
    /// Its run directory.
    pub(crate) run: &'a Path,
    /// The group in which containers get theirs.
    pub(crate) cgroup_parent: &'a Path,
}

/// Plans a run. PURE.
///
/// # Errors
/// What request, image and host together make impossible.
pub(crate) fn plan(
    request: &Request,
    image: &Image,
    layers: &[PathBuf],
    facts: &HostFacts,
    place: &Place<'_>,
    leases: &Leases,
) -> Result<RunPlan> {
    let cgroup = place.cgroup_parent.join(place.id);
    let donor = leases.neighbours.network.as_ref();
    let hostname = spec::hostname(request, place.id, facts, donor);
    let identity = Identity {
        id: place.id,
        files: place.run,
        cgroup: &cgroup,
        map: &leases.map,
        gid_map: leases.gid_map.as_ref().unwrap_or(&leases.map),
        neighbours: &leases.neighbours,
    };
    let stop_signal = image.config.config().as_ref().and_then(|config| config.stop_signal().clone());
    let stop_signal = match (request.options.stop_signal, stop_signal.filter(|signal| !signal.is_empty())) {
        (Some(signal), _) => signal,
        (None, Some(signal)) => values::signal(&signal).context("the image's stop signal")?,
        (None, None) => libc::SIGTERM,
    };
    let attach = leases.endpoint.as_ref().map(|endpoint| AttachPlan::new(place.id, endpoint, &leases.ports));
    let gateway = leases.endpoint.as_ref().map(|endpoint| endpoint.gateway);
    let extra = options::extra_hosts(&request.options, gateway);
    let address = leases.endpoint.as_ref().map(|endpoint| endpoint.address);
    let spec = spec::spec(request, &image.config, facts, &identity)?;
    let subject = Subject {
        id: place.id,
        name: place.name,
        image: &request.image,
        image_id: &image.id.to_string(),
        labels: &labels(request, &image.config),
        env: spec.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default(),
    };
    let log = request.options.log.plan(&subject)?;
    Ok(RunPlan {
        version: VERSION,
        id: place.id.to_owned(),
        name: place.name.to_owned(),
        spec,
        layers: layers.to_vec(),
        network: NetworkPlan { mode: request.network, attach },
        stdio: StdioPlan {
            interactive: request.interactive,
            terminal: request.terminal,
            attach: request.attached(),
            input_once: request.attached().input && !request.terminal,
        },
        lifecycle: LifecyclePlan {
            detached: request.detached,
            auto_remove: request.auto_remove,
            stop_signal,
            stop_timeout: request.options.stop_timeout.unwrap_or(STOP_TIMEOUT),
            life: request.options.life.clone(),
            health: health(request, &image.beyond)?,
            log,
        },
        files: match donor {
            Some(_) => Vec::new(),
            None => {
                let hosts = network::hosts_file(&hostname, address, &extra);
                let mut files = vec![("hostname".to_owned(), format!("{hostname}\n"))];
                files.extend((!request.options.origin.no_hosts).then(|| ("hosts".to_owned(), hosts)));
                files.push(("resolv.conf".to_owned(), resolv_conf(request, facts)));
                files
            }
        },
        links: donor.map(|donor| donor.files.clone()).unwrap_or_default(),
    })
}

/// The image's labels, and the user's over them.
pub(crate) fn labels(request: &Request, image: &ImageConfiguration) -> BTreeMap<String, String> {
    let of_image = image.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default();
    of_image.into_iter().chain(request.options.labels.clone()).collect()
}

/// The user's health check over the image's.
fn health(request: &Request, beyond: &Beyond) -> Result<Option<HealthPlan>> {
    let shell = beyond.shell.clone().filter(|shell| !shell.is_empty());
    let shell = shell.unwrap_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).into());
    let of_image = beyond.healthcheck.clone().map(serde_json::from_value::<HealthRequest>).transpose();
    let of_image = of_image.context("the image's health check")?;
    request.options.health.over(of_image.as_ref()).plan(&shell)
}

/// On the host's network its own resolvers can be reached, loopback ones too.
fn resolv_conf(request: &Request, facts: &HostFacts) -> String {
    let host = match request.network {
        // Which resolvers that namespace reaches is its owner's to know.
        NetworkMode::Host | NetworkMode::Path => facts.resolv_conf.clone(),
        NetworkMode::Bridge | NetworkMode::None | NetworkMode::Container => {
            network::resolv_conf(&facts.resolv_conf)
        }
    };
    options::resolv_conf(&request.options, &host)
}
