//! What a user asked for, understood and checked, before anything is looked at. PURE.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use network::{HostPort, PortRequest, Protocol};
use oci_spec::image::ImageConfiguration;
use runtime::caps::{self, CapSet};
use runtime::plan::IdMap;
use serde::{Deserialize, Serialize};

use super::devices::Devices;
use super::health::HealthRequest;
use super::ids;
use super::life::Life;
use super::limits::{Asked, Resources};
use super::logging::LogRequest;
use super::options::{self, Options};
use super::origin::Origin;
use super::security::Security;
use super::spaces::{self, Spaces, Users};
use super::stdio::Attach;
use super::storage::{Bind, Understood};
use super::values;
use super::whose::{Whose, whose};
use super::without::Without;
use crate::commands::flags::ContainerArgs;

/// Which network a container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkMode {
    /// An address on mini's bridge.
    Bridge,
    /// Nothing but a loopback interface.
    None,
    /// The host's own.
    Host,
    /// Another container's; [`Spaces`] says whose.
    Container,
    /// A network namespace that has a path; [`Spaces`] says which.
    Path,
}

impl NetworkMode {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            NetworkMode::Bridge => "bridge",
            NetworkMode::None => "none",
            NetworkMode::Host => "host",
            NetworkMode::Container => "container",
            NetworkMode::Path => "ns",
        }
    }
}

/// Who asks, and from where.
pub(crate) struct Caller<'a> {
    /// Relative sources of volumes begin here.
    pub(crate) cwd: &'a Path,
    /// Refuse what would share the host's user namespace without being asked to.
    pub(crate) strict: bool,
    /// mini's own capabilities.
    pub(crate) own: CapSet,
    /// Host ids that mini gives to containers by itself.
    pub(crate) ids: IdMap,
    /// Whether mini itself lives in the first user namespace: its root is the host's then.
    pub(crate) first_users: &'a dyn Fn() -> bool,
    /// The configuration wants an init in every container.
    pub(crate) init: bool,
    /// The kernel's version.
    pub(crate) kernel: (u32, u32),
    /// The client's variables.
    pub(crate) environment: Environment<'a>,
    /// All of them.
    pub(crate) variables: &'a dyn Fn() -> Vec<(String, String)>,
    /// How files are read.
    pub(crate) read: &'a dyn Fn(&str) -> Result<String>,
    /// How a container's name becomes its id.
    pub(crate) find: &'a dyn Fn(&str) -> Result<String>,
}

/// Everything that `run` was asked for.
///
/// Kept with the container, so that it can be started again: an older record has no field that came later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) image: String,
    pub(crate) args: Vec<String>,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) name: Option<String>,
    pub(crate) env: Vec<EnvRequest>,
    pub(crate) workdir: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) hostname: Option<String>,
    /// Directories and files of the host.
    #[serde(rename = "volumes")]
    pub(crate) binds: Vec<Bind>,
    pub(crate) tmpfs: Vec<(PathBuf, Vec<String>)>,
    pub(crate) ports: Vec<PortRequest>,
    pub(crate) network: NetworkMode,
    /// A user namespace of its own; what `--userns` or the flags that share the host's imply.
    pub(crate) user_namespace: bool,
    /// Why there is no user namespace although nobody said `--userns=host`.
    pub(crate) implied_by: Option<String>,
    pub(crate) privileged: bool,
    pub(crate) capabilities: CapSet,
    pub(crate) read_only: bool,
    pub(crate) memory: Option<u64>,
    pub(crate) nano_cpus: Option<u64>,
    pub(crate) cpu_shares: Option<u64>,
    pub(crate) pids: PidsLimit,
    pub(crate) interactive: bool,
    pub(crate) terminal: bool,
    pub(crate) detached: bool,
    pub(crate) auto_remove: bool,
    /// Every port that image and user expose is published.
    #[serde(default)]
    pub(crate) publish_all: bool,
    /// Which streams its client stays with; an older record does not say.
    #[serde(default = "all_streams")]
    pub(crate) attach: Attach,
    /// Beyond the everyday.
    #[serde(default)]
    pub(crate) options: Options,
}

fn all_streams() -> Attach {
    Attach::ALL
}

/// How many processes a container may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PidsLimit {
    /// Nobody said: [`DEFAULT_PIDS`] where the host can enforce it.
    Default,
    /// `-1`.
    None,
    /// So many, or not at all.
    Most(i64),
}

/// One `-e`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EnvRequest {
    /// `K=V`, or `K` as the client has it.
    Set(String, String),
    /// `K`, where the client has none: what the image says of it is removed.
    Unset(String),
}

/// What the client's environment has under a name.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fewer processes than this kill a host; more than this a container hardly has.
pub(crate) const DEFAULT_PIDS: i64 = 4096;

impl Request {
    /// Understands the flags.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub(crate) fn new(args: &ContainerArgs, detached: bool, caller: &Caller<'_>) -> Result<Request> {
        args.refused.refuse()?;
        let Caller { cwd, strict, own, environment, read, .. } = *caller;
        let without = Without::new(args, caller.first_users)?;
        let (network, other) = spaces::network(without.network(&args.network), caller.find)?;
        let mut spaces = Spaces::new(args, other, caller.ids, caller.find)?;
        without.share(&mut spaces);
        spaces::check(args, &spaces, network)?;
        let (user_namespace, implied_by) = match spaces.joins() {
            // What it shares decides, and is looked at when it starts.
            true => (spaces.users != Users::Host, None),
            false => match whose(&spaces, spaces.of_host(args.privileged, network), &[], strict)? {
                Whose::Host(implied_by) => (false, implied_by),
                Whose::Own | Whose::Joined(_) => (true, None),
            },
        };
        // A user namespace of its own has every capability to give; the host's, what mini itself has.
        let available = if user_namespace { CapSet::ALL } else { own };
        let mut ports = Vec::new();
        for text in &args.publish {
            ports.extend(
                network::parse_publish(text).with_context(|| format!("invalid port mapping {text:?}"))?,
            );
        }
        if let Some(user) = &args.user {
            runtime::user::check(user)?;
        }
        if let Some(hostname) = &args.hostname {
            check_hostname(hostname)?;
        }
        let mut variables = Vec::new();
        for file in &args.env_file {
            let text = read(file)?;
            for line in options::lines(&text) {
                variables.push(env(line, environment).with_context(|| format!("--env-file {file}"))?);
            }
        }
        for text in &args.env {
            variables.push(env(text, environment)?);
        }
        let Understood { mut binds, tmpfs, storage } = Understood::new(&args.storage, cwd)?;
        let (nodes, rule) = without.devices();
        binds.extend(nodes);
        if let Some(bind) = binds.iter().find(|bind| user_namespace && bind.propagation.ends_with("shared")) {
            bail!(
                "{} on {}: what the container mounts there would be mounted on the host; a container with a user namespace of \
                 its own may not do that (rslave is the other way round, --userns=host shares the host's)",
                bind.propagation,
                bind.target.display()
            );
        }
        let mut options = Options::new(&args.more, network, read)?;
        options.spaces = spaces;
        options.origin = Origin::new(args, cwd, caller.variables)?;
        let capabilities =
            caps::grant(&without.capabilities(&args.cap_add), &args.cap_drop, args.privileged, available)?;
        options.security = Security::new(&args.security, caller.init, capabilities, caller.kernel, read)?;
        if let Some((filter, word)) = without.filter() {
            options.security.seccomp = filter;
            options.security.words.push(word.to_owned());
        }
        if let Some(key) = options.sysctls.keys().find(|key| !key.starts_with("net")) {
            ensure!(
                options.spaces.ipc != spaces::Ipc::Host,
                "sysctl {key:?} cannot be set with --ipc host: it is the host's"
            );
        }
        options.life = Life::new(&args.life, args.rm)?;
        options.health = HealthRequest::new(&args.health)?;
        options.log = LogRequest::new(&args.log)?;
        options.storage = storage;
        ensure!(
            !detached || args.attach.is_empty(),
            "conflicting options: cannot specify both --attach and --detach"
        );
        options.resources = Resources::new(&args.resources)?;
        options.devices = Devices::new(&args.devices)?;
        options.devices.rules.extend(rule.map(str::to_owned));
        let asked = Asked::new(&args.resources.limits)?;
        let mut request = Request {
            image: match &options.origin.rootfs {
                Some(directory) => directory.display().to_string(),
                None => args.image().to_owned(),
            },
            args: args.command().to_vec(),
            entrypoint: args.entrypoint.as_ref().map(|text| match text.as_str() {
                "" => Vec::new(),
                text => vec![text.to_owned()],
            }),
            name: args.name.as_deref().map(values::name).transpose()?,
            env: variables,
            workdir: args.workdir.as_deref().map(workdir).transpose()?,
            user: match (&args.user, &options.spaces.users) {
                (None, Users::KeepId) => Some(caller_of_sudo(environment)?),
                (user, _) => user.clone(),
            },
            hostname: args.hostname.clone(),
            binds,
            tmpfs,
            ports,
            network,
            user_namespace,
            implied_by,
            privileged: args.privileged,
            capabilities,
            read_only: args.read_only,
            memory: None,
            nano_cpus: None,
            cpu_shares: None,
            pids: PidsLimit::Default,
            interactive: args.interactive,
            terminal: args.tty,
            detached,
            auto_remove: args.rm,
            publish_all: args.publish_all,
            attach: if detached { Attach::NONE } else { Attach::parse(&args.attach)? },
            options,
        };
        asked.give(&mut request)?;
        Ok(request)
    }

    /// The streams that a client stays with: of input there is none where the container has none.
    pub(crate) fn attached(&self) -> Attach {
        Attach { input: self.attach.input && self.interactive, ..self.attach }
    }

    /// What is to be published of an image: what was said, and with `-P` every exposed tcp port besides.
    pub(crate) fn published(&self, image: &ImageConfiguration) -> Vec<PortRequest> {
        let mut all = self.ports.clone();
        if !self.publish_all {
            return all;
        }
        let of_image = image.config().as_ref().and_then(|config| config.exposed_ports().clone());
        for text in of_image.iter().flatten().chain(&self.options.expose) {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let (Ok(container_port @ 1..), "tcp") = (port.parse(), protocol) else { continue };
            if !all.iter().any(|known| known.container_port == container_port) {
                all.push(PortRequest {
                    host_ip: None,
                    host_port: HostPort::Ephemeral,
                    container_port,
                    protocol: Protocol::Tcp,
                });
            }
        }
        all
    }

    /// Docker warns that such ports are discarded; so do we.
    pub(crate) fn drops_ports(&self) -> bool {
        !self.ports.is_empty() && self.network != NetworkMode::Bridge
    }
}

/// `--userns=keep-id`: mini itself runs as root, so who is meant is who called it by sudo.
fn caller_of_sudo(environment: Environment<'_>) -> Result<String> {
    let id = |name| environment(name).and_then(|text| text.parse::<u32>().ok()).filter(|id| *id != 0);
    let (Some(user), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) else {
        bail!(
            "--userns=keep-id keeps the ids of who called mini by sudo, and nobody did (SUDO_UID and SUDO_GID name no user): \
             --user UID:GID says the same"
        );
    };
    ensure!(
        user < ids::RANGE && group < ids::RANGE,
        "--userns=keep-id: {user}:{group} is beyond the ids that a container has, 0 to {}",
        ids::RANGE - 1
    );
    Ok(format!("{user}:{group}"))
}

/// `K=V`, or `K` as the client has it now: who starts a container another time may be somebody else.
///
/// # Errors
/// A name that no environment has.
pub(crate) fn env(text: &str, environment: Environment<'_>) -> Result<EnvRequest> {
    let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
    ensure!(!key.is_empty(), "invalid environment variable: {text:?}");
    ensure!(
        !key.contains(char::is_whitespace),
        "invalid environment variable: {text:?} has white space in its name"
    );
    let value = value.map(str::to_owned).or_else(|| environment(key));
    Ok(match value {
        Some(value) => EnvRequest::Set(key.to_owned(), value),
        None => EnvRequest::Unset(key.to_owned()),
    })
}

fn workdir(text: &str) -> Result<PathBuf> {
    ensure!(text.starts_with('/'), "the working directory {text:?} is invalid: it must be an absolute path");
    Ok(PathBuf::from(text))
}

/// What sethostname(2) takes, in letters that hosts(5) takes.
fn check_hostname(name: &str) -> Result<()> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_');
    ensure!(plain && !name.is_empty() && name.len() <= 64, "invalid hostname: {name:?}");
    Ok(())
}
