//! `mini run --dry-run`: the plan and the OCI spec, and nothing touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tests::{Host, leftovers};

/// Every file below a directory, with its length and its time of change.
fn tree(directory: &Path, into: &mut BTreeMap<String, (u64, i64)>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let meta = entry.metadata().expect("stat");
        into.insert(
            entry.path().to_string_lossy().into_owned(),
            (meta.len(), meta.ctime() * 1_000_000_000 + meta.ctime_nsec()),
        );
        if meta.is_dir() {
            tree(&entry.path(), into);
        }
    }
}

/// Everything that a run could change.
#[derive(Debug, PartialEq)]
struct State {
    files: BTreeMap<String, (u64, i64)>,
    links: Vec<String>,
    rules: String,
    mounts: Vec<String>,
}

fn state(host: &Host) -> State {
    let mut files = BTreeMap::new();
    for place in [host.root(), host.run_root(), "/run/mini-host".into()] {
        tree(&place, &mut files);
    }
    let rules = host.tool("nft", ["list", "ruleset"]);
    let links = host
        .tool("ip", ["-o", "link"])
        .lines()
        .map(|line| line.split(" mtu").next().unwrap_or("").into())
        .collect();
    State { files, links, rules, mounts: leftovers::mounts() }
}

#[test]
fn it_prints_the_plan_and_the_spec() {
    let host = Host::with_busybox();
    let options =
        ["-m", "64m", "-p", "8080:80", "-e", "A=1", "-w", "/tmp", "-u", "12:34", "--name", "planned"];
    let plan =
        host.mini(["run", "--dry-run"]).args(options).args(["busybox", "sleep", "5"]).run().ok().json();
    for part in ["id", "name", "spec", "layers", "network", "stdio", "lifecycle"] {
        assert!(!plan[part].is_null(), "no {part}: {plan:#}");
    }
    assert_eq!(plan["name"], "planned");
    let spec = &plan["spec"];
    assert!(spec["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{spec:#}");
    assert_eq!(spec["process"]["args"], serde_json::json!(["sleep", "5"]));
    assert_eq!(spec["process"]["cwd"], "/tmp");
    assert_eq!((&spec["process"]["user"]["uid"], &spec["process"]["user"]["gid"]), (&12.into(), &34.into()));
    assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 64 << 20);
    let namespaces: Vec<_> =
        spec["linux"]["namespaces"].as_array().expect("namespaces").iter().map(|n| &n["type"]).collect();
    for kind in ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"] {
        assert!(namespaces.iter().any(|known| **known == kind), "no {kind} namespace: {namespaces:?}");
    }
    assert_eq!(spec["linux"]["uidMappings"][0]["size"], 65536);
    let environment = spec["process"]["env"].as_array().expect("env");
    assert!(environment.contains(&"A=1".into()), "{environment:?}");
}

#[test]
fn it_touches_nothing() {
    let host = Host::with_busybox();
    let before = state(&host);
    for options in
        [&["-p", "8080:80"][..], &["-d", "--rm"], &["-t"], &["--privileged"], &["--network", "none"]]
    {
        host.mini(["run", "--dry-run"]).args(options).args(["busybox", "true"]).run().ok();
    }
    assert_eq!(state(&host), before);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn where_nothing_was_ever_run_it_makes_no_store() {
    let host = Host::new();
    let before = state(&host);
    host.mini(["run", "--dry-run", "busybox", "true"]).run().error(125, &["busybox"]);
    assert_eq!(state(&host), before);
}

#[test]
fn it_refuses_what_run_would_refuse() {
    let host = Host::with_busybox();
    host.mini(["run", "--dry-run", "--cap-add", "NONSENSE", "busybox"]).run().error(125, &["NONSENSE"]);
    host.mini(["run", "--dry-run", "--pull=never", "no-such-image"]).run().error(125, &["no-such-image"]);
}

#[test]
fn what_it_plans_is_what_run_does() {
    let host = Host::with_busybox();
    let plan = host.mini(["run", "--dry-run", "-m", "64m", "busybox", "sleep", "1000"]).run().ok().json();
    let container = host.start(["-m", "64m", "busybox", "sleep", "1000"]);
    let path = host.root().join("containers").join(&container.id).join("config.json");
    let real: serde_json::Value =
        serde_json::from_slice(&fs::read(path).expect("the OCI spec of a container")).expect("JSON");
    for part in ["/process/args", "/linux/maskedPaths", "/linux/readonlyPaths", "/linux/seccomp"] {
        assert_eq!(plan["spec"].pointer(part), real.pointer(part), "{part}");
    }
    assert_eq!(plan["spec"].pointer("/linux/resources/memory"), real.pointer("/linux/resources/memory"));
    // What is mounted from the container's own directory has its id in its source.
    let mounts = |spec: &serde_json::Value| -> Vec<(String, String)> {
        let all = spec["mounts"].as_array().expect("mounts").iter();
        all.map(|mount| (mount["destination"].to_string(), mount["options"].to_string())).collect()
    };
    assert_eq!(mounts(&plan["spec"]), mounts(&real));
    // Sets have no order.
    for set in ["bounding", "effective", "permitted"] {
        let names = |spec: &serde_json::Value| -> std::collections::BTreeSet<String> {
            let all = spec["process"]["capabilities"][set].as_array().cloned().unwrap_or_default();
            all.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&plan["spec"]), names(&real), "{set}");
    }
}
