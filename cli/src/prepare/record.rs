//! What is written down of a new container. PURE, but for the time, and for taking it back.

use anyhow::Result;
use image::Image;
use runtime::record::{Record, VERSION};

use super::Planned;
use crate::clock;
use crate::commands::flags::ContainerArgs;
use crate::context::Context;
use crate::plan::facts::HostFacts;
use crate::plan::{Request, labels, spec};
use crate::settings::Settings;

/// No container comes of it. The cause of that is told; what cannot be removed is found by `mini system check`.
pub(super) fn forget(context: &Context, record: &Record) {
    let _left = context.state().remove(&record.id, &record.name);
}

/// The record of a container that nothing has been done with yet.
///
/// # Errors
/// Where neither the image nor the user says what to run.
pub(super) fn record(
    request: &Request,
    args: &ContainerArgs,
    image: &Image,
    facts: &HostFacts,
    planned: &Planned,
) -> Result<Record> {
    let plan = &planned.plan;
    let (entrypoint, cmd) = spec::command(request, &image.config)?;
    let config = image.config.config().as_ref();
    let settings = Settings {
        entrypoint: entrypoint.clone(),
        cmd: cmd.clone(),
        network: Some(request.network),
        ports: planned.ports(),
        exposed: exposed(request, config),
        labels: labels(request, &image.config),
        user_namespace: request.user_namespace,
        privileged: request.privileged,
        cap_add: capability_names(&args.cap_add),
        cap_drop: capability_names(&args.cap_drop),
        // As docker: a volume without a name is no bind.
        binds: args.storage.volume.iter().filter(|text| text.contains(':')).cloned().collect(),
        tmpfs: args.storage.tmpfs.clone(),
        stop_signal: plan.lifecycle.stop_signal,
        health: plan.lifecycle.health.clone(),
        request: Some(request.clone()),
    };
    Ok(Record {
        version: VERSION,
        id: plan.id.clone(),
        name: plan.name.clone(),
        image: request.image.clone(),
        image_id: match request.options.origin.rootfs {
            Some(_) => String::new(), // no image's
            None => image.id.to_string(),
        },
        command: [entrypoint, cmd].concat(),
        created: clock::now(),
        boot: facts.boot.clone(),
        cgroup: planned.init.cgroup.path.clone(),
        auto_remove: request.auto_remove,
        terminal: request.terminal,
        interactive: request.interactive,
        settings: settings.value(),
        last: None,
        restarts: 0,
        stopped_by_user: false,
    })
}

/// Ports of the image and of the user, each once.
fn exposed(request: &Request, image: Option<&oci_spec::image::Config>) -> Vec<String> {
    let mut all = image.and_then(|config| config.exposed_ports().clone()).unwrap_or_default();
    all.extend(request.options.expose.iter().cloned());
    let published = request.ports.iter().map(|port| format!("{}/tcp", port.container_port));
    all.extend(published);
    all.sort();
    all.dedup();
    all
}

/// As docker keeps them: `CAP_` and capitals; `ALL` as it is.
fn capability_names(asked: &[String]) -> Vec<String> {
    let name = |text: &String| {
        runtime::caps::parse(text)
            .map_or_else(|_| text.to_uppercase(), |cap| runtime::caps::name(cap).to_owned())
    };
    asked.iter().map(name).collect()
}
