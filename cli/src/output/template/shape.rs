//! What docker's Go types say of a field and JSON does not: which objects are maps, and what `null` stands for. PURE.
//!
//! A template sees the difference: what a map has not is `<no value>`, what a struct has not is an error.

use serde_json::{Map, Value as Json};

/// Fields whose objects have data for keys.
const MAPS: [&str; 18] = [
    "Annotations",
    "Attributes",
    "Containers",
    "Data",
    "Details",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "Status",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields that may be left out, with what they are then.
const LEFT_OUT: [(&str, Nothing); 20] = [
    ("Annotations", Nothing::Map),
    ("Descriptor", Nothing::Pointer),
    ("ExposedPorts", Nothing::Map),
    ("Health", Nothing::Pointer),
    ("Healthcheck", Nothing::Pointer),
    ("Init", Nothing::Pointer),
    ("MacAddress", Nothing::Text),
    ("Mounts", Nothing::List),
    ("OnBuild", Nothing::List),
    ("OsVersion", Nothing::Text),
    ("Shell", Nothing::List),
    ("SizeRootFs", Nothing::Pointer),
    ("SizeRw", Nothing::Pointer),
    ("StopSignal", Nothing::Text),
    ("StopTimeout", Nothing::Pointer),
    ("StorageOpt", Nothing::Map),
    ("Sysctls", Nothing::Map),
    ("Tmpfs", Nothing::Map),
    ("UsageData", Nothing::Pointer),
    ("Variant", Nothing::Text),
];

/// Fields that are never left out, and null where there is nothing to point at.
const POINTERS: [&str; 4] = ["IPAMConfig", "MemorySwappiness", "OomKillDisable", "PidsLimit"];

/// What there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// A key that a map has not.
    Value,
    /// A nil pointer.
    Pointer,
    List,
    Map,
    Text,
}

/// Whether the object that a field of `around` holds is a map.
pub(super) fn is_map(field: &str, around: &Map<String, Json>) -> bool {
    // A log driver's configuration is one, and stands beside its type; a container's own is none.
    MAPS.contains(&field) || (field == "Config" && around.contains_key("Type"))
}

/// What the null of a field stands for.
pub(super) fn of_null(field: &str) -> Nothing {
    match left_out(field) {
        Some(nothing) => nothing,
        None if POINTERS.contains(&field) => Nothing::Pointer,
        None if MAPS.contains(&field) => Nothing::Map,
        None => Nothing::List,
    }
}

/// What a field stands for that JSON leaves out; `None` where no struct has it.
pub(super) fn left_out(field: &str) -> Option<Nothing> {
    LEFT_OUT.iter().find(|(name, _)| *name == field).map(|(_, nothing)| *nothing)
}
