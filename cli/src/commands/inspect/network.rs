//! A container's place in its network, under docker's field names.

use runtime::record::Status;
use runtime::state::Entry;
use serde_json::{Map, Value, json};

use crate::networks::Network;
use crate::plan::NetworkMode;
use crate::settings::{LiveSettings, Settings};

/// `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}`
pub(super) fn ports(settings: &Settings) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for port in &settings.ports {
        let binding = json!({ "HostIp": port.host_ip, "HostPort": port.host_port.to_string() });
        let list = all.entry(format!("{}/tcp", port.container_port)).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(binding);
        }
    }
    all
}

/// `NetworkSettings`.
pub(super) fn network_settings(entry: &Entry, settings: &Settings) -> Value {
    let live: LiveSettings = entry.live.as_ref().and_then(|live| live.settings.read()).unwrap_or_default();
    let endpoint =
        live.network.filter(|_| matches!(entry.status, Status::Running { .. })).map(|attach| attach.endpoint);
    let running = endpoint.is_some();
    let address = endpoint.as_ref().map(|endpoint| endpoint.address.to_string()).unwrap_or_default();
    let gateway = endpoint.as_ref().map(|endpoint| endpoint.gateway.to_string()).unwrap_or_default();
    let mac = endpoint.as_ref().map(|endpoint| endpoint.mac.clone()).unwrap_or_default();
    let prefix = endpoint.as_ref().map_or(0, |endpoint| endpoint.prefix_len);
    let mode = settings.network.unwrap_or(NetworkMode::Bridge);
    let network = Network::of(mode);
    let network_id = network.map(Network::id).unwrap_or_default();
    let is_in_it = matches!(entry.status, Status::Running { .. });
    let id = &entry.record.id;
    let endpoint_id = network.filter(|_| is_in_it).map(|network| network.endpoint_id(id)).unwrap_or_default();
    let one = json!({
        "IPAddress": address,
        "IPPrefixLen": prefix,
        "Gateway": gateway,
        "MacAddress": mac,
        "NetworkID": network_id,
        "EndpointID": endpoint_id,
    });
    json!({
        "EndpointID": if running { endpoint_id } else { String::new() },
        "Bridge": endpoint.map(|endpoint| endpoint.bridge).unwrap_or_default(),
        "Ports": if running { ports(settings) } else { Map::new() },
        "Gateway": gateway,
        "IPAddress": address,
        "IPPrefixLen": prefix,
        "MacAddress": mac,
        "Networks": { mode.name(): one },
    })
}
