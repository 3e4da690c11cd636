//! What a container has mounted, under docker's field names.

use oci_spec::runtime::Spec;
use runtime::state::Entry;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::plan::Request;
use crate::plan::storage::{SecretKind, Storage};
use crate::settings::Settings;
use crate::volume::Store;

/// `Mounts`: what the user asked for, not what every container has.
pub(super) fn mounts(context: &Context, settings: &Settings, spec: &Spec, entry: &Entry) -> Vec<Value> {
    match &settings.request {
        Some(request) => of_request(context, request),
        None => of_spec(spec, entry),
    }
}

fn of_request(context: &Context, request: &Request) -> Vec<Value> {
    let binds = request.binds.iter().map(|bind| {
        json!({
            "Type": "bind",
            "Source": bind.source,
            "Destination": bind.target,
            "Mode": bind.mode,
            "RW": !bind.read_only,
            "Propagation": bind.propagation,
        })
    });
    let store = Store::new(&context.dirs.root);
    let volumes = request.options.storage.volumes.iter().map(|volume| {
        // docker shows a volume's own directory, whatever it is bound to.
        let there = store.get(&volume.name).ok().flatten();
        let source = there.map_or_else(|| volume.source.clone(), |there| there.mount_point());
        // What docker has for a volume with a name where nothing was said.
        let plain = if volume.anonymous { "" } else { "z" };
        json!({
            "Type": "volume",
            "Name": volume.name,
            "Source": source,
            "Destination": volume.target,
            "Driver": "local",
            "Mode": if volume.mode.is_empty() { plain } else { &volume.mode },
            "RW": !volume.read_only,
            "Propagation": "",
        })
    });
    let spelled_out = &request.options.storage.mounts;
    let tmpfs = spelled_out.iter().filter(|mount| mount["Type"] == "tmpfs").map(|mount| {
        json!({
            "Type": "tmpfs",
            "Source": "",
            "Destination": mount["Target"],
            "Mode": "",
            "RW": mount["ReadOnly"] != true,
            "Propagation": "",
        })
    });
    binds.chain(volumes).chain(tmpfs).collect()
}

/// Of an older record.
fn of_spec(spec: &Spec, entry: &Entry) -> Vec<Value> {
    let binds = spec.mounts().iter().flatten().filter(|mount| mount.typ().as_deref() == Some("bind"));
    binds
        .filter(|mount| !mount.source().as_ref().is_some_and(|source| source.starts_with(&entry.dirs.run)))
        .map(|mount| {
            let options = mount.options().clone().unwrap_or_default();
            let read_only = options.iter().any(|option| option == "ro");
            let propagation =
                options.iter().find(|option| option.trim_start_matches('r').starts_with(['p', 's']));
            json!({
                "Type": "bind",
                "Source": mount.source(),
                "Destination": mount.destination(),
                "Mode": if read_only { "ro" } else { "" },
                "RW": !read_only,
                "Propagation": propagation,
            })
        })
        .collect()
}

/// `Config.Volumes`: places of volumes without a name.
pub(super) fn volumes(settings: &Settings) -> Value {
    let storage = storage(settings);
    let anonymous = storage.volumes.iter().filter(|volume| volume.anonymous);
    let places: Map<String, Value> =
        anonymous.map(|volume| (volume.target.display().to_string(), json!({}))).collect();
    if places.is_empty() { Value::Null } else { Value::Object(places) }
}

/// `HostConfig.Mounts` and `HostConfig.VolumesFrom`: as they were asked for.
pub(super) fn asked_for(settings: &Settings) -> (Value, Value) {
    let Storage { mounts, volumes_from, .. } = storage(settings);
    let or_null =
        |value: Value| if value.as_array().is_some_and(Vec::is_empty) { Value::Null } else { value };
    (or_null(json!(mounts)), or_null(json!(volumes_from)))
}

/// Secrets by name and place, and never what they say.
pub(super) fn secrets(settings: &Settings) -> Vec<Value> {
    let secrets = storage(settings).secrets;
    secrets
        .iter()
        .map(|secret| match &secret.kind {
            SecretKind::Mount { target, uid, gid, mode } => {
                json!({ "Name": secret.name, "Target": target, "UID": uid, "GID": gid, "Mode": mode })
            }
            SecretKind::Env { variable } => json!({ "Name": secret.name, "Variable": variable }),
        })
        .collect()
}

fn storage(settings: &Settings) -> Storage {
    settings.request.as_ref().map(|request| request.options.storage.clone()).unwrap_or_default()
}
