//! Files in JSON and TOML: of registries and archives, of docker, of mini's own.

use std::path::PathBuf;

use oci_spec::runtime::Spec;
use runtime::plan::RootPlan;
use runtime::record::{Live, Opaque, Record};
use serde_json::Value;
use serde_json::value::RawValue;

/// A manifest or an index of images; the first byte chooses what a registry calls it.
pub fn manifest(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let content_type = match first % 6 {
        0 => Some("application/vnd.oci.image.manifest.v1+json"),
        1 => Some("application/vnd.docker.distribution.manifest.v2+json"),
        2 => Some("application/vnd.oci.image.index.v1+json"),
        3 => Some("application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8"),
        4 => Some("text/plain"),
        _ => None,
    };
    let Ok(manifest) = image::fuzzing::manifest(bytes, content_type) else { return };
    // What a registry calls by no name means the same.
    let again = image::fuzzing::manifest(bytes, None);
    if let Ok(again) = again {
        assert_eq!(format!("{manifest:?}").split('(').next(), format!("{again:?}").split('(').next());
    }
}

/// The configuration of an image.
pub fn image_config(input: &[u8]) {
    for layers in 0..3 {
        if let Ok(ids) = image::fuzzing::config(input, layers) {
            assert_eq!(ids.len(), layers);
        }
    }
}

/// The store's own file about an image, with the image's configuration in it.
pub fn image_record(input: &[u8]) {
    if let Ok(image) = image::fuzzing::image_record(input) {
        let _ = image.platform();
        for layer in &image.layers {
            assert!(!layer.as_os_str().is_empty());
        }
    }
}

/// The store's `index.json`, which other tools may write too: what mini makes of it, it reads again as the same.
pub fn index(input: &[u8]) {
    let Ok(written) = image::fuzzing::index(input) else { return };
    let again = image::fuzzing::index(&written).expect("mini reads what it wrote");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&written));
}

/// docker's `config.json`. Helpers that it names are not found: PATH is empty.
pub fn credentials(input: &[u8]) {
    // SAFETY: no other thread reads the environment meanwhile; libFuzzer has read its own.
    #[expect(unsafe_code, reason = "the environment is the process's")]
    unsafe {
        std::env::set_var("PATH", "/nonexistent")
    };
    for registry in ["docker.io", "localhost:5000"] {
        let _refused = image::fuzzing::has_credential(input, registry);
    }
}

/// mini's own `config.toml`.
pub fn settings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = crate::config::read(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// `record.json` and `live.json` of a container: what is read is written as what is read again.
pub fn record(input: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(input) {
        let written = serde_json::to_vec(&record).expect("a record can be written");
        assert_eq!(serde_json::from_slice::<Record>(&written).expect("and read"), record);
        let _: Option<Value> = record.settings.read();
    }
    if let Ok(live) = serde_json::from_slice::<Live>(input) {
        let written = serde_json::to_vec(&live).expect("what runs can be written");
        assert_eq!(serde_json::from_slice::<Live>(&written).expect("and read"), live);
    }
    if let Ok(raw) = serde_json::from_slice::<Box<RawValue>>(input) {
        let _: Option<Value> = Opaque::of(&raw).read();
    }
}

/// `config.json` of the OCI runtime specification, as far as it becomes a plan. Of what is wrong with it each thing is told.
pub fn spec(input: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(input) else { return };
    let root = RootPlan {
        layers: vec![PathBuf::from("/layer")],
        scratch: PathBuf::from("/scratch"),
        copied: false,
        volatile: false,
        read_only: false,
    };
    match runtime::plan::plan(&spec, root) {
        Ok(plan) => {
            let _ = (plan.root_ids(), plan.host_uid(0), plan.host_gid(u32::MAX), plan.is_born_elsewhere());
        }
        Err(error) => assert!(error.problems.iter().all(|problem| !problem.is_empty()), "{error}"),
    }
    let _ = runtime::plan::world_of(&spec);
    if let Some(process) = spec.process() {
        let _refused = runtime::plan::plan_process(process, None);
    }
}
