//! A directory of the host with a secret in it: what an attack aims at, and the proof that it failed.

use std::fs;
use std::path::Path;

use tests::{Host, Image};

/// A directory of the host, as an image would name it.
pub(crate) const TARGET: &str = "/run/mini-test/work";

/// A host with one secret in `TARGET`.
pub(crate) fn with_secret(image: &Image) -> Host {
    let host = Host::new();
    host.load(image, "evil:latest");
    fs::write(host.work().join("secret"), "the host's secret").expect("write");
    host
}

/// Nothing was made, changed or mounted in `TARGET`.
#[track_caller]
pub(crate) fn untouched(host: &Host) {
    let names: Vec<_> =
        fs::read_dir(TARGET).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(fs::read_to_string(Path::new(TARGET).join("secret")).expect("read"), "the host's secret");
    assert_eq!(host.new_mounts(), Vec::<String>::new());
}
