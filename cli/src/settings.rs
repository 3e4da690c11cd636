//! What the command line keeps with a container's record, for `ps`, `inspect` and the next start.

use std::collections::BTreeMap;

use network::{AttachPlan, PortMapping};
use runtime::record::{Opaque, Record};
use serde::{Deserialize, Serialize};

use crate::plan::health::HealthPlan;
use crate::plan::storage::{Bind, VolumeMount};
use crate::plan::{NetworkMode, Request};

/// Kept in [`Record::settings`]; every field has a default, so that an older record can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Settings {
    /// The image's own program.
    pub(crate) entrypoint: Vec<String>,
    /// Its arguments.
    pub(crate) cmd: Vec<String>,
    /// `None` for an older record.
    pub(crate) network: Option<NetworkMode>,
    /// Published ports.
    pub(crate) ports: Vec<PortMapping>,
    /// Ports that the image says it listens on: `80/tcp`.
    pub(crate) exposed: Vec<String>,
    /// The image's labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// It has a user namespace of its own.
    pub(crate) user_namespace: bool,
    /// It may do nearly everything.
    pub(crate) privileged: bool,
    /// Capabilities as they were asked for.
    pub(crate) cap_add: Vec<String>,
    /// Capabilities as they were asked for.
    pub(crate) cap_drop: Vec<String>,
    /// Volumes as they were asked for.
    pub(crate) binds: Vec<String>,
    /// Tmpfs mounts as they were asked for.
    pub(crate) tmpfs: Vec<String>,
    /// What stops it, signal(7).
    pub(crate) stop_signal: i32,
    /// How it is found out how it does, whoever said so.
    pub(crate) health: Option<HealthPlan>,
    /// What it is made from each time it starts; `None` for an older record.
    pub(crate) request: Option<Request>,
}

/// Kept in `live.json` as `settings`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LiveSettings {
    /// Its place on the bridge.
    pub(crate) network: Option<AttachPlan>,
}

/// The part that events tell: whoever tells them reads no more.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Brief {
    /// `None` for an older record.
    pub(crate) network: Option<NetworkMode>,
    /// The image's labels, and the user's over them.
    pub(crate) labels: BTreeMap<String, String>,
}

/// The part that tells what it is shown and stores outside of its own files.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stores {
    /// `None` for an older record.
    pub(crate) request: Option<AskedFiles>,
}

/// The same of what it is made from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AskedFiles {
    /// `None` for an older record.
    pub(crate) volumes: Option<Vec<Bind>>,
    pub(crate) options: AskedOptions,
}

/// The same of its options.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AskedOptions {
    pub(crate) storage: AskedStorage,
}

/// The same of what it stores.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AskedStorage {
    pub(crate) volumes: Vec<VolumeMount>,
}

impl AskedStorage {
    /// Those that have a name by now, which all have whose container was made.
    pub(crate) fn referred(&self) -> impl Iterator<Item = &VolumeMount> {
        self.volumes.iter().filter(|volume| !volume.name.is_empty())
    }
}

impl Brief {
    /// What is kept with a record; what cannot be read is as if it were not there.
    pub(crate) fn of(record: &Record) -> Brief {
        record.settings.read().unwrap_or_default()
    }
}

impl Settings {
    /// What is kept with a record; what cannot be read is as if it were not there.
    pub(crate) fn of(record: &Record) -> Settings {
        Settings::read(&record.settings)
    }

    /// What is kept in this form; what cannot be read is as if it were not there.
    pub(crate) fn read(kept: &Opaque) -> Settings {
        kept.read().unwrap_or_default()
    }

    /// The form that is kept.
    pub(crate) fn value(&self) -> Opaque {
        Opaque::of(self)
    }
}
