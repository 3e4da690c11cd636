//! The networks that there are: mini's bridge, the host's own, and none.

use anyhow::{Context as _, Result, bail};
use image::Digest;
use network::{Endpoint, Seen};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::commands::ps::Listed;
use crate::context::Context;
use crate::plan::NetworkMode;
use crate::settings::LiveSettings;

/// A network that a container can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Bridge,
    Host,
    None,
}

/// By name, as docker lists them.
pub(crate) const ALL: [Network; 3] = [Network::Bridge, Network::Host, Network::None];

/// There is no such network.
#[derive(Debug, thiserror::Error)]
#[error("network {0} not found")]
pub(crate) struct NotFound(pub(crate) String);

impl Network {
    /// The one that a container of this mode is in; another container's is not its own.
    pub(crate) fn of(mode: NetworkMode) -> Option<Network> {
        match mode {
            NetworkMode::Bridge => Some(Network::Bridge),
            NetworkMode::Host => Some(Network::Host),
            NetworkMode::None => Some(Network::None),
            NetworkMode::Container | NetworkMode::Path => None,
        }
    }

    /// By name, by id, or by the beginning of an id that no other one's begins with; `None` where there is none.
    ///
    /// # Errors
    /// A beginning of several ids.
    pub(crate) fn find(word: &str) -> Result<Option<Network>> {
        let whole = |network: &&Network| network.name() == word || network.id() == word;
        if let Some(network) = ALL.iter().find(whole) {
            return Ok(Some(*network));
        }
        let begin: Vec<_> =
            ALL.iter().filter(|network| !word.is_empty() && network.id().starts_with(word)).collect();
        match begin[..] {
            [] => Ok(None),
            [network] => Ok(Some(*network)),
            _ => bail!("network {word} is ambiguous ({} matches found based on ID prefix)", begin.len()),
        }
    }

    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Network::Bridge => "bridge",
            Network::Host => "host",
            Network::None => "none",
        }
    }

    /// docker's word for who makes it.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            Network::Bridge => "bridge",
            Network::Host => "host",
            Network::None => "null",
        }
    }

    /// 64 hexadecimal digits: the digest of the name, the same on every host.
    pub(crate) fn id(self) -> String {
        Digest::of(self.name().as_bytes()).hex()
    }

    /// The id of a container's place in it, 64 hexadecimal digits.
    pub(crate) fn endpoint_id(self, container: &str) -> String {
        Digest::of(format!("{} {container}", self.name()).as_bytes()).hex()
    }

    /// When it was made, ns since 1970; `None`: by nobody.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn made(self, context: &Context) -> Result<Option<u64>> {
        if self != Network::Bridge {
            return Ok(None);
        }
        Ok(time(&see(context)?))
    }

    /// docker's description; `containers` are all that there are.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn shown(self, context: &Context, containers: &[Listed<'_>]) -> Result<Value> {
        let mut members = Map::new();
        for container in containers.iter().filter(|container| self.has(container)) {
            let record = &container.entry.record;
            let endpoint = endpoint(container);
            let text = |of: &dyn Fn(&Endpoint) -> String| endpoint.as_ref().map(of).unwrap_or_default();
            members.insert(
                record.id.clone(),
                json!({
                    "Name": record.name,
                    "EndpointID": self.endpoint_id(&record.id),
                    "MacAddress": text(&|endpoint| endpoint.mac.clone()),
                    "IPv4Address": text(&|endpoint| format!("{}/{}", endpoint.address, endpoint.prefix_len)),
                    "IPv6Address": "",
                }),
            );
        }
        let mut value = json!({
            "Name": self.name(),
            "Id": self.id(),
            "Created": NOBODY,
            "Scope": "local",
            "Driver": self.driver(),
            "EnableIPv6": false,
            "IPAM": { "Driver": "default", "Options": null, "Config": [] },
            "Internal": false,
            "Attachable": false,
            "Ingress": false,
            "ConfigFrom": { "Network": "" },
            "ConfigOnly": false,
            "Containers": members,
            "Options": {},
            "Labels": {},
        });
        if self == Network::Bridge {
            let seen = see(context)?;
            let Seen { gateway, .. } = seen;
            if let Some(time) = time(&seen) {
                value["Created"] = clock::rfc3339_nano(time).into();
            }
            value["IPAM"]["Config"] =
                json!([{ "Subnet": gateway.trunc().to_string(), "Gateway": gateway.addr() }]);
            value["Options"] = json!({
                "com.docker.network.bridge.default_bridge": "true",
                "com.docker.network.bridge.enable_icc": "true",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
                "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
                "com.docker.network.bridge.name": context.config.network.bridge,
            });
        }
        Ok(value)
    }

    /// Whether a container is in it now.
    fn has(self, container: &Listed<'_>) -> bool {
        container.is_running() && Network::of(container.network()) == Some(self)
    }
}

/// What docker says of the time at which nobody did anything.
const NOBODY: &str = "0001-01-01T00:00:00Z";

fn see(context: &Context) -> Result<Seen> {
    network::see(&context.network()).context("cannot look at network bridge")
}

fn time(seen: &Seen) -> Option<u64> {
    let since = seen.made?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Its place on the bridge.
fn endpoint(container: &Listed<'_>) -> Option<Endpoint> {
    let live: LiveSettings = container.entry.live.as_ref()?.settings.read()?;
    Some(live.network?.endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_three_spellings() {
        for network in ALL {
            let id = network.id();
            assert_eq!(id.len(), 64);
            for word in [network.name(), &id, &id[..12], &id[..2]] {
                assert_eq!(Network::find(word).unwrap(), Some(network), "{word}");
            }
        }
        for word in ["", "bridg", "Bridge", "../bridge", "bridge\n", "sha256:"] {
            assert_eq!(Network::find(word).unwrap(), None, "{word:?}");
        }
    }
}
