//! Whose namespaces a container lives in, in docker's words.

use runtime::plan::IdMap;
use serde_json::{Value, json};

use crate::plan::NetworkMode;
use crate::plan::options::Options;
use crate::plan::spaces::{Ipc, NetworkOf, Space, Spaces, Users};
use crate::settings::Settings;

/// Everything of `HostConfig` that is about namespaces, users and what processes may do.
pub(super) fn fields(settings: &Settings, options: &Options) -> Value {
    let spaces = &options.spaces;
    let groups = &options.security.groups;
    json!({
        "NetworkMode": network(settings, spaces),
        "PidMode": space(Some(&spaces.pid)),
        "IpcMode": ipc(&spaces.ipc),
        "UTSMode": space(spaces.uts.as_ref()),
        "CgroupnsMode": cgroup(&spaces.cgroup),
        "UsernsMode": users(settings, spaces),
        "IDMappings": (!spaces.uid_map.is_empty()).then(|| json!({
            "UidMap": map(&spaces.uid_map), "GidMap": map(&spaces.gid_map),
        })),
        "SecurityOpt": security_options(options),
        "GroupAdd": Some(groups).filter(|groups| !groups.is_empty()),
        "Init": options.security.init.then_some(true),
    })
}

/// `NetworkMode`: `bridge`, `container:ID`.
fn network(settings: &Settings, spaces: &Spaces) -> String {
    match &spaces.network {
        Some(NetworkOf::Container(id)) => format!("container:{id}"),
        Some(NetworkOf::Path(path)) => format!("ns:{}", path.display()),
        None => settings.network.unwrap_or(NetworkMode::Bridge).name().to_owned(),
    }
}

/// `PidMode`, `UTSMode`: empty for its own, as docker has it.
fn space(space: Option<&Space>) -> String {
    match space {
        Some(Space::Host) => "host".to_owned(),
        Some(Space::Container(id)) => format!("container:{id}"),
        Some(Space::Private) | None => String::new(),
    }
}

/// `CgroupnsMode`: never empty, as docker has it.
fn cgroup(of: &Space) -> String {
    if *of == Space::Private { "private".to_owned() } else { space(Some(of)) }
}

/// `IpcMode`.
fn ipc(ipc: &Ipc) -> String {
    match ipc {
        Ipc::Private => "private".to_owned(),
        Ipc::Shareable => "shareable".to_owned(),
        Ipc::None => "none".to_owned(),
        Ipc::Host => "host".to_owned(),
        Ipc::Container(id) => format!("container:{id}"),
    }
}

/// `UsernsMode`: what it came to, where nobody said.
fn users(settings: &Settings, spaces: &Spaces) -> String {
    match &spaces.users {
        Users::KeepId => "keep-id".to_owned(),
        Users::Auto => "auto".to_owned(),
        Users::Container(id) => format!("container:{id}"),
        Users::Unsaid | Users::Private | Users::Host if settings.user_namespace => "private".to_owned(),
        Users::Unsaid | Users::Private | Users::Host => "host".to_owned(),
    }
}

/// As they were typed; none is null, as docker has it.
fn security_options(options: &Options) -> Option<Vec<String>> {
    let mut words = options.security.words.clone();
    if options.no_new_privileges && words.is_empty() {
        words.push("no-new-privileges".to_owned()); // an older record
    }
    (!words.is_empty()).then_some(words)
}

/// As podman writes them: `0:100000:65536`.
fn map(lines: &[IdMap]) -> Vec<String> {
    lines.iter().map(|line| format!("{}:{}:{}", line.container, line.host, line.size)).collect()
}
