//! `mini run`: from an image's name to a program that runs.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use image::Image;
use runtime::op::step;
use runtime::plan::{InitPlan, RootPlan};
use runtime::record::{Record, VERSION};
use runtime::state::{Claim, StateError};
use runtime::sys;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::Form;
use crate::launch::{self, Outcome};
use crate::names;
use crate::output;
use crate::plan::facts::HostFacts;
use crate::plan::ids::{self, IdLease};
use crate::plan::{Leases, NetworkMode, Place, Request, RunPlan, spec};
use crate::settings::Settings;
use crate::supervise::{Charge, Start};

/// What overlay stacks below the writable layer (OVL_MAX_STACK, fs/overlayfs/params.h).
const MOST_LAYERS: usize = 500;

/// Make a container of an image and run a program in it
///
/// The image is pulled where it is not here yet. The container gets namespaces of its own, the user namespace among them: its
/// root is nobody on the host.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  mini run -it --rm busybox\n  mini run -d --name web -p 8080:80 nginx\n  mini run --rm --explain busybox true\n\nSee also: mini exec, mini ps, mini logs, mini stop"
)]
pub(crate) struct RunArgs {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Run in the background and print the container's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// The container's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Set an environment variable; without a value, copy it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Run as this user of the container
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Show a file or directory of the host in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub(crate) volume: Vec<String>,
    /// Publish a port of the container on the host
    #[arg(short, long, value_name = "[[IP:]PORT:]PORT[/tcp]")]
    pub(crate) publish: Vec<String>,
    /// The container's host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Limit memory, in bytes or with k, m, g
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory: Option<String>,
    /// Limit processors: 1.5 is one and a half
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) cpus: Option<String>,
    /// Relative weight of processor time; 1024 is normal
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) cpu_shares: Option<u64>,
    /// Limit processes and threads; -1 for no limit [default: 4096]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Run this program instead of the image's; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// The network: bridge, none or host
    #[arg(long, visible_alias = "net", value_name = "NETWORK", default_value = "bridge")]
    pub(crate) network: String,
    /// The user namespace: private or host
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// When to pull the image
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub(crate) pull: PullPolicy,
    /// Lift nearly every restriction; shares the host's user namespace
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Let nothing in the root be written
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Mount a file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Pull without a word
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Tell every kernel operation, in order
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) explain: Option<Form>,
    /// Print plan and OCI spec as JSON, and touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The image
    pub(crate) image: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullPolicy {
    /// Before every run
    Always,
    /// Where it is not here
    Missing,
    /// Never
    Never,
}

/// Plans, launches, and becomes the container's exit code.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<ExitCode> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let request = Request::new(args, &cwd, context.config.userns.strict, sys::process::own_capabilities())?;
    let stdin_attached = args.interactive && !args.detach;
    if args.tty && stdin_attached && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal (-it): it is not a terminal; leave -t out");
    }
    super::seal(request.user_namespace, &context.id_block())?;
    let story = context.listen(args.explain)?;
    announce(&request);
    step("Look the image up, and keep it from being removed meanwhile");
    let store = context.store()?;
    let (image, pin) = super::pull::ensure(&store, &request.image, args.pull, args.quiet, args.dry_run)?;
    let facts =
        HostFacts::detect(request.nano_cpus.is_some(), request.privileged && !request.user_namespace)?;
    if args.dry_run {
        let plan = foresee(context, &request, &image, &facts)?;
        output::print_json(&plan)?;
        return Ok(ExitCode::Success);
    }
    let (charge, start) = prepare(context, args, &request, &image, facts)?;
    drop((pin, image, store));
    let id = charge.record.id.clone();
    match launch::launch(charge, start, story) {
        Ok(Outcome::Detached) => {
            if args.detach {
                output::print_line(&id)?;
            }
            Ok(ExitCode::Success)
        }
        Ok(Outcome::Ended { code, reason }) => {
            if let Some(reason) = reason {
                output::notice(&reason);
            }
            Ok(ExitCode::Program(code))
        }
        Err(error) => {
            let code = launch::failure_code(&error);
            output::error(&error);
            Ok(code)
        }
    }
}

/// What a user should know before it happens.
fn announce(request: &Request) {
    if let Some(flag) = request.implied_by {
        step(&format!("{flag} shares the host's user namespace: root in the container is root on the host"));
        output::notice(&format!(
            "{flag} implies --userns=host: root in this container is root on the host (--userns=private keeps them apart)"
        ));
    }
    if request.drops_ports() {
        output::warn("published ports are discarded: the container has no network of its own");
    }
}

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
fn prepare(
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
    let charge = Charge {
        layout: facts.cgroups,
        state: context.state(),
        record,
        claim,
        ids,
        ports,
        lease,
        attach: plan.network.attach.clone(),
        cgroup: init.cgroup.path.clone(),
        memory_limit: init.cgroup.limits.memory,
        stop_signal: plan.lifecycle.stop_signal,
    };
    let window = if request.terminal { launch::window() } else { None };
    Ok((charge, Start { plan, init, window, monitor_group: context.monitor_group() }))
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
            sys::fs::create_new(&claim.dirs.run.join(name), content.as_bytes(), 0o644)?;
        }
        return Ok((plan, init, record, claim));
    }
    bail!("no free name was found in 16 attempts: give one with --name")
}

/// For a dry run: what would be, taking nothing and making nothing.
fn foresee(context: &Context, request: &Request, image: &Image, facts: &HostFacts) -> Result<RunPlan> {
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
