//! inspect, info, version: what scripts read.

use serde_json::json;
use tests::{Host, Image};

#[test]
fn a_container_in_dockers_shape() {
    let host = Host::new();
    let image = Image::busybox().set("Labels", json!({"made": "by a test"})).set("Env", json!(["IMAGE=1"]));
    host.load(&image, "busybox:latest");
    let work = host.work().display().to_string();
    let volume = format!("{work}:/data:ro");
    let container = host.start([
        "--name",
        "shaped",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "-u",
        "0:0",
        "-h",
        "boxed",
        "-m",
        "64m",
        "--cpus",
        "1.5",
        "--cpu-shares",
        "512",
        "--pids-limit",
        "77",
        "--cap-add",
        "SYS_TIME",
        "--cap-drop",
        "CHOWN",
        "-v",
        &volume,
        "-p",
        "127.0.0.1:8080:80",
        "--read-only",
        "--tmpfs",
        "/scratch",
        "busybox",
        "sleep",
        "1000",
    ]);
    let all = container.inspect();
    for (pointer, expected) in [
        ("/Name", json!("/shaped")),
        ("/Path", json!("sleep")),
        ("/Args", json!(["1000"])),
        ("/Image", json!(image.configuration().digest())),
        ("/RestartCount", json!(0)),
        ("/State/Status", json!("running")),
        ("/State/Running", json!(true)),
        ("/State/Paused", json!(false)),
        ("/State/OOMKilled", json!(false)),
        ("/State/ExitCode", json!(0)),
        ("/State/Error", json!("")),
        ("/Config/Hostname", json!("boxed")),
        ("/Config/User", json!("0:0")),
        ("/Config/Image", json!("busybox")),
        ("/Config/Cmd", json!(["sleep", "1000"])),
        ("/Config/WorkingDir", json!("/tmp")),
        ("/Config/Tty", json!(false)),
        ("/Config/Labels", json!({"made": "by a test"})),
        ("/HostConfig/Memory", json!(64 << 20)),
        ("/HostConfig/NanoCpus", json!(1_500_000_000)),
        ("/HostConfig/CpuShares", json!(512)),
        ("/HostConfig/PidsLimit", json!(77)),
        ("/HostConfig/ReadonlyRootfs", json!(true)),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/CapAdd", json!(["CAP_SYS_TIME"])),
        ("/HostConfig/CapDrop", json!(["CAP_CHOWN"])),
        ("/HostConfig/Binds", json!([volume])),
        ("/HostConfig/Tmpfs", json!({"/scratch": ""})),
        ("/HostConfig/PortBindings/80~1tcp/0", json!({"HostIp": "127.0.0.1", "HostPort": "8080"})),
        ("/HostConfig/LogConfig/Type", json!("json-file")),
        ("/Mounts/0/Source", json!(work)),
        ("/Mounts/0/Destination", json!("/data")),
        ("/Mounts/0/RW", json!(false)),
        ("/NetworkSettings/Ports/80~1tcp/0/HostPort", json!("8080")),
    ] {
        assert_eq!(all.pointer(pointer), Some(&expected), "{pointer} in {all:#}");
    }
    let environment = all["Config"]["Env"].as_array().expect("an array");
    assert!(
        environment.contains(&json!("A=1")) && environment.contains(&json!("IMAGE=1")),
        "{environment:?}"
    );
    for pointer in [
        "/Id",
        "/Created",
        "/State/StartedAt",
        "/LogPath",
        "/NetworkSettings/IPAddress",
        "/NetworkSettings/Networks/bridge/IPAddress",
    ] {
        assert!(
            all.pointer(pointer).and_then(|value| value.as_str()).is_some_and(|text| !text.is_empty()),
            "{pointer}: {all:#}"
        );
    }
    host.mini(["kill", "shaped"]).run().ok();
    let state = container.field("/State");
    assert_eq!(
        (&state["Status"], &state["Running"], &state["Pid"], &state["ExitCode"]),
        (&json!("exited"), &json!(false), &json!(0), &json!(137))
    );
    assert!(state["FinishedAt"].as_str() > state["StartedAt"].as_str(), "{state}");
}

#[test]
fn several_things_of_both_kinds_in_one_array() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let all = host.mini(["inspect", &container.id, "busybox"]).run().ok().json();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    assert_eq!(all[0]["Id"], container.id.as_str());
    let image = Image::busybox();
    assert_eq!(all[1]["Id"], image.configuration().digest());
    assert_eq!(all[1]["RepoTags"], json!(["busybox:latest"]));
    assert_eq!((&all[1]["Architecture"], &all[1]["Os"]), (&json!("amd64"), &json!("linux")));
    assert_eq!(all[1]["RootFS"]["Layers"], json!([tests::image::digest(&image.layers[0])]));
    assert_eq!(all[1]["Config"]["Cmd"], json!(["sh"]));
}

#[test]
fn what_is_found_is_printed_and_what_is_not_is_an_error() {
    let host = Host::with_busybox();
    let output = host.mini(["inspect", "busybox", "nobody-here"]).run().error(1, &["nobody-here"]);
    assert_eq!(output.json().as_array().map(Vec::len), Some(1));
}

#[test]
fn info_and_version_say_where_and_what() {
    let host = Host::with_busybox();
    host.start(["busybox", "sleep", "1000"]);
    let info = host.mini(["info"]).run().ok();
    for part in
        [host.root().display().to_string(), host.run_root().display().to_string(), host.cgroup_parent()]
    {
        assert!(info.text().contains(&part), "no {part}: {info}");
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("read");
    info.stdout_has(kernel.trim());
    let version = host.mini(["version"]).run().ok().text();
    assert!(
        version.to_lowercase().contains("mini") && version.contains(env!("CARGO_PKG_VERSION")),
        "{version}"
    );
    host.mini(["--version"]).run().ok().stdout_has(env!("CARGO_PKG_VERSION"));
}
