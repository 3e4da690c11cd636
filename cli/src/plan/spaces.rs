//! Whose namespaces a container lives in: its own, the host's, another container's. PURE.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use runtime::plan::IdMap;
use serde::{Deserialize, Serialize};

use super::NetworkMode;
use super::idmaps;
use crate::commands::flags::ContainerArgs;

/// Whose namespace of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Space {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of the container with this id.
    Container(String),
}

/// Whose System V objects, message queues and shared memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ipc {
    /// Its own, for nobody else.
    #[default]
    Private,
    /// Its own, and other containers may join.
    Shareable,
    /// Its own, without /dev/shm.
    None,
    /// The host's.
    Host,
    /// That of the container with this id.
    Container(String),
}

/// Whose users.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Users {
    /// Nobody said: its own, or those of what it shares.
    #[default]
    Unsaid,
    /// Its own.
    Private,
    /// Its own, as podman says it.
    Auto,
    /// Its own, and its program runs as who called sudo.
    #[serde(rename = "keep-id")]
    KeepId,
    /// The host's.
    Host,
    /// Those of the container with this id.
    Container(String),
}

/// A network namespace that is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkOf {
    /// That of the container with this id.
    Container(String),
    /// The one that is mounted there.
    Path(PathBuf),
}

/// What was asked for. Kept with the container; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Spaces {
    pub(crate) pid: Space,
    pub(crate) ipc: Ipc,
    /// `None`: the host's on the host's network, else its own.
    pub(crate) uts: Option<Space>,
    pub(crate) cgroup: Space,
    pub(crate) network: Option<NetworkOf>,
    pub(crate) users: Users,
    /// By hand; empty for a leased range.
    pub(crate) uid_map: Vec<IdMap>,
    /// By hand; empty for a leased range.
    pub(crate) gid_map: Vec<IdMap>,
}

impl Spaces {
    /// Understands the flags; `find` is how a container's name becomes its id.
    ///
    /// # Errors
    /// The first mode that is none, a container that is not there, maps that make no sense.
    pub(crate) fn new(
        args: &ContainerArgs,
        network: Option<NetworkOf>,
        block: IdMap,
        find: &dyn Fn(&str) -> Result<String>,
    ) -> Result<Spaces> {
        let flags = &args.spaces;
        let space = |kind: &str, text: &Option<String>| match text.as_deref().unwrap_or_default() {
            "" => Ok(None),
            text => space(kind, text, find).map(Some),
        };
        let (uid_map, gid_map) = idmaps::by_hand(&flags.uidmap, &flags.gidmap, block)?;
        let users = match args.userns.as_deref().unwrap_or_default() {
            "" => Users::Unsaid,
            "private" => Users::Private,
            "auto" => Users::Auto,
            "keep-id" => Users::KeepId,
            "host" => Users::Host,
            text => match text.strip_prefix("container:") {
                Some(name) => Users::Container(find(name).context("--userns")?),
                None => bail!(
                    "invalid USER mode: {text:?} is none of private, host, auto, keep-id, container:NAME"
                ),
            },
        };
        ensure!(
            uid_map.is_empty() || matches!(users, Users::Unsaid | Users::Private | Users::KeepId),
            "--uidmap makes a user namespace of its own: it does not go with --userns={}",
            args.userns.as_deref().unwrap_or_default()
        );
        Ok(Spaces {
            pid: space("PID", &flags.pid)?.unwrap_or_default(),
            ipc: match flags.ipc.as_deref().unwrap_or_default() {
                "" | "private" => Ipc::Private,
                "shareable" => Ipc::Shareable,
                "none" => Ipc::None,
                "host" => Ipc::Host,
                text => match text.strip_prefix("container:") {
                    Some(name) => Ipc::Container(find(name).context("--ipc")?),
                    None => bail!(
                        "invalid IPC mode: {text:?} is none of private, shareable, none, host, container:NAME"
                    ),
                },
            },
            uts: space("UTS", &flags.uts)?,
            cgroup: space("CGROUP", &flags.cgroupns)?.unwrap_or_default(),
            network,
            users,
            uid_map,
            gid_map,
        })
    }

    /// Whether it shares anything with another container or with a namespace that has a path: then others must be looked at
    /// before it starts.
    pub(crate) fn joins(&self) -> bool {
        !self.donors().is_empty() || matches!(self.network, Some(NetworkOf::Path(_)))
    }

    /// The containers that it shares something with: (the flag that says so, the container's id).
    pub(crate) fn donors(&self) -> Vec<(Flag, &str)> {
        fn of(space: &Space) -> Option<&str> {
            match space {
                Space::Container(id) => Some(id),
                Space::Private | Space::Host => None,
            }
        }
        let mut all = Vec::new();
        if let Users::Container(id) = &self.users {
            all.push((Flag::Users, id.as_str()));
        }
        all.extend(of(&self.pid).map(|id| (Flag::Pid, id)));
        if let Some(NetworkOf::Container(id)) = &self.network {
            all.push((Flag::Network, id.as_str()));
        }
        if let Ipc::Container(id) = &self.ipc {
            all.push((Flag::Ipc, id.as_str()));
        }
        all.extend(self.uts.as_ref().and_then(of).map(|id| (Flag::Uts, id)));
        all.extend(of(&self.cgroup).map(|id| (Flag::Cgroup, id)));
        all
    }

    /// Whether its host name is its own to choose.
    pub(crate) fn own_name(&self, network: NetworkMode) -> bool {
        match &self.uts {
            Some(space) => *space == Space::Private,
            None => network != NetworkMode::Host,
        }
    }

    /// The flag that shares a namespace of the host whose use needs the host's users.
    pub(crate) fn of_host(&self, privileged: bool, network: NetworkMode) -> Option<&'static str> {
        match self {
            _ if privileged => Some("--privileged"),
            _ if network == NetworkMode::Host => Some("--network host"),
            Spaces { pid: Space::Host, .. } => Some("--pid host"),
            Spaces { ipc: Ipc::Host, .. } => Some("--ipc host"),
            _ => None,
        }
    }
}

/// A flag by which something is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    Users,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
}

impl Flag {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Flag::Users => "--userns",
            Flag::Pid => "--pid",
            Flag::Network => "--network",
            Flag::Ipc => "--ipc",
            Flag::Uts => "--uts",
            Flag::Cgroup => "--cgroupns",
        }
    }

    /// What it shares, in words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Flag::Users => "user",
            Flag::Pid => "PID",
            Flag::Network => "network",
            Flag::Ipc => "IPC",
            Flag::Uts => "UTS",
            Flag::Cgroup => "cgroup",
        }
    }
}

fn space(kind: &str, text: &str, find: &dyn Fn(&str) -> Result<String>) -> Result<Space> {
    match text {
        "private" => Ok(Space::Private),
        "host" => Ok(Space::Host),
        text => match text.strip_prefix("container:") {
            Some(name) => Ok(Space::Container(find(name).with_context(|| format!("{kind} mode {text:?}"))?)),
            None => bail!("invalid {kind} mode: {text:?} is none of private, host, container:NAME"),
        },
    }
}

/// `bridge`, `none`, `host`, `container:NAME`, `ns:PATH`.
///
/// # Errors
/// Anything else; a container that is not there.
pub(crate) fn network(
    text: &str,
    find: &dyn Fn(&str) -> Result<String>,
) -> Result<(NetworkMode, Option<NetworkOf>)> {
    Ok(match text {
        "bridge" | "default" => (NetworkMode::Bridge, None),
        "none" => (NetworkMode::None, None),
        "host" => (NetworkMode::Host, None),
        "private" => (NetworkMode::Bridge, None),
        text => match (text.strip_prefix("container:"), text.strip_prefix("ns:")) {
            (Some(name), _) => {
                (NetworkMode::Container, Some(NetworkOf::Container(find(name).context("--network")?)))
            }
            (_, Some(path)) => {
                ensure!(path.starts_with('/'), "--network {text:?}: the namespace's path is not absolute");
                (NetworkMode::Path, Some(NetworkOf::Path(path.into())))
            }
            _ => {
                bail!("network {text:?} not found: there are bridge, none, host, container:NAME and ns:PATH")
            }
        },
    })
}

/// What cannot be said of a container that has another one's network, or another's name; docker's words.
///
/// # Errors
/// The first flag that has no meaning there.
pub(crate) fn check(args: &ContainerArgs, spaces: &Spaces, network: NetworkMode) -> Result<()> {
    let more = &args.more;
    if network == NetworkMode::Container {
        let conflicts = [
            (args.hostname.is_some(), "hostname and the network mode"),
            (!more.dns.is_empty(), "dns and the network mode"),
            (!more.add_host.is_empty(), "custom host-to-IP mapping and the network mode"),
            (
                !args.publish.is_empty() || args.publish_all,
                "port publishing and the container type network mode",
            ),
            (!more.expose.is_empty(), "port exposing and the container type network mode"),
        ];
        if let Some((_, what)) = conflicts.into_iter().find(|(said, _)| *said) {
            bail!("conflicting options: {what}");
        }
    }
    let name = args.hostname.is_some() || more.domainname.is_some();
    if name && matches!(spaces.uts, Some(Space::Host | Space::Container(_))) {
        bail!("conflicting options: hostname and the UTS mode");
    }
    let said = if args.hostname.is_some() { "--hostname" } else { "--domainname" };
    ensure!(
        !name || spaces.own_name(network),
        "{said} cannot be set with --network host: the name is the host's (--uts private gives it one of its own)"
    );
    ensure!(
        more.shm_size.is_none() || matches!(spaces.ipc, Ipc::Private | Ipc::Shareable),
        "--shm-size says how large its own /dev/shm is, and with that --ipc mode it has none"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Result<String> {
        ensure!(name == "web", "no such container: {name}");
        Ok("f00".to_owned())
    }

    #[test]
    fn modes_are_dockers() {
        assert_eq!(space("PID", "host", &find).unwrap(), Space::Host);
        assert_eq!(space("PID", "private", &find).unwrap(), Space::Private);
        assert_eq!(space("PID", "container:web", &find).unwrap(), Space::Container("f00".into()));
        for (text, complaint) in
            [("hosts", "invalid PID mode"), ("container:", "no such"), ("container:x", "no such")]
        {
            let error = format!("{:#}", space("PID", text, &find).unwrap_err());
            assert!(error.contains(complaint), "{text}: {error}");
        }
        let of = |text| network(text, &find).map_err(|error| format!("{error:#}"));
        assert_eq!(of("default"), Ok((NetworkMode::Bridge, None)));
        assert_eq!(
            of("ns:/run/netns/x"),
            Ok((NetworkMode::Path, Some(NetworkOf::Path("/run/netns/x".into()))))
        );
        assert_eq!(
            of("container:web"),
            Ok((NetworkMode::Container, Some(NetworkOf::Container("f00".into()))))
        );
        assert!(of("ns:x").unwrap_err().contains("not absolute"));
        assert!(of("mine").unwrap_err().contains("not found"));
    }

    #[test]
    fn the_form_that_is_kept_is_a_promise() {
        let spaces = Spaces {
            pid: Space::Container("a".into()),
            ipc: Ipc::Shareable,
            users: Users::KeepId,
            network: Some(NetworkOf::Path("/n".into())),
            ..Spaces::default()
        };
        let text = serde_json::to_string(&spaces).unwrap();
        assert_eq!(
            text,
            r#"{"pid":{"container":"a"},"ipc":"shareable","uts":null,"cgroup":"private","network":{"path":"/n"},"users":"keep-id","uid_map":[],"gid_map":[]}"#
        );
        assert_eq!(serde_json::from_str::<Spaces>(&text).unwrap(), spaces);
        assert_eq!(serde_json::from_str::<Spaces>("{}").unwrap(), Spaces::default());
    }
}
