//! inspect: what scripts read of containers and images, by field and by template.

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
    let output = host.mini(["inspect", "nobody-here", "busybox", "Nor/Here"]).run();
    let output = output.error(1, &["no such object: nobody-here", "no such object: Nor/Here"]);
    assert_eq!(output.json().as_array().map(Vec::len), Some(1));
    host.mini(["inspect", "nobody-here"]).run().error(1, &["no such object: nobody-here"]).stdout("[]\n");
    host.mini(["inspect", "-f", "json", "nobody-here"]).run().code(1).stdout("[]\n");
    // docker ends a line that it has not begun.
    host.mini(["inspect", "-f", "{{.Id}}", "nobody-here"]).run().code(1).stdout("\n");
    host.mini(["container", "inspect", "busybox"])
        .run()
        .error(1, &["no such container: busybox"])
        .stdout("[]\n");
    host.mini(["image", "inspect", "nobody"]).run().error(1, &["no such image: nobody"]).stdout("[]\n");
    let lines = host.mini(["inspect", "-f", "{{.Os}}", "busybox", "nobody-here", "busybox"]).run().code(1);
    lines.stdout("linux\nlinux\n").stderr_has("nobody-here");
}

#[test]
fn only_things_of_one_type() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "busybox", "busybox", "sleep", "1000"]);
    let id = |args: &[&str]| host.mini(["inspect", "-f", "{{.Id}}", "busybox"]).args(args).run().ok().line();
    let image = Image::busybox().configuration().digest();
    assert_eq!(id(&[]), container.id, "a container comes first");
    assert_eq!(id(&["--type", "container"]), container.id);
    assert_eq!(id(&["--type", "image"]), image);
    assert_eq!(host.mini(["image", "inspect", "-f", "{{.Id}}", "busybox"]).run().ok().line(), image);
    host.mini(["inspect", "-f", "{{.Name}}", "/busybox"]).run().ok().stdout("/busybox\n");
    host.mini(["inspect", "--type", "image", container.short()])
        .run()
        .error(1, &["no such image"])
        .stdout("[]\n");
    for (kind, complaint) in [("volume", "no such volume"), ("network", "not found")] {
        host.mini(["inspect", "--type", kind, "busybox"]).run().error(1, &[kind, complaint]).stdout("[]\n");
    }
    for (kind, complaint) in
        [("service", "no swarm"), ("secret", "no swarm"), ("thing", "unknown type"), ("", "unknown type")]
    {
        host.mini(["inspect", "--type", kind, "busybox"]).run().error(1, &[kind, complaint]).stdout("");
    }
    host.mini(["image", "inspect", "--type", "image", "busybox"]).run().code(125);
}

#[test]
fn templates_see_what_dockers_types_have() {
    let host = Host::with_busybox();
    let container =
        host.start(["--name", "web", "-l", "a=1", "-p", "8080:80", "-m", "64m", "busybox", "sleep", "1000"]);
    let format = |template: &str| host.mini(["inspect", "--format", template, "web"]).run().ok().text();
    for (template, expected) in [
        (
            "{{.Name}} {{.State.Status}} {{.State.Running}} {{.HostConfig.Memory}}",
            "/web running true 67108864",
        ),
        (r#"{{index .Config.Labels "a"}}{{.Config.Labels.b}}{{index .Config.Labels "b"}}|"#, "1<no value>|"),
        (r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#, "8080"),
        (
            "{{range $port, $to := .NetworkSettings.Ports}}{{$port}} {{(index $to 0).HostIp}}{{end}}",
            "80/tcp 0.0.0.0",
        ),
        ("{{range .NetworkSettings.Networks}}{{.IPPrefixLen}}{{.Aliases}}{{end}}", "16[]"),
        (
            "{{join .Args \" \"}} {{len .Config.Cmd}} {{.Config.Entrypoint}} {{json .Config.Entrypoint}}",
            "1000 2 [] null",
        ),
        (
            "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.IpcMode}} {{.HostConfig.CpusetCpus}}|{{.HostConfig.Isolation}}|",
            "no private ||",
        ),
        (
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.Config.Healthcheck}} {{.Config.StopTimeout}}",
            "none <nil> <nil>",
        ),
        (
            r#"{{index .HostConfig.LogConfig.Config "max-size"}} {{.HostConfig.Tmpfs}} {{.HostConfig.Binds}}"#,
            "10m map[] []",
        ),
        ("a\\n{{.Driver}}", "a\\noverlay"),
    ] {
        assert_eq!(format(template), format!("{expected}\n"), "{template}");
    }
    let output = host.mini(["inspect", "-f", "json", "web"]).run().ok();
    assert_eq!((output.lines().len(), output.json()[0]["Id"].as_str()), (1, Some(container.id.as_str())));
    for (template, code, complaint) in [
        (
            "{{.Foo}}",
            1,
            "template parsing error: template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"",
        ),
        ("{{.State.Health.Status}}", 1, "nil pointer evaluating Status"),
        ("{{index .Args 5}}", 1, "error calling index: index out of range: 5"),
        ("{{if}}", 64, "template parsing error: template: :1: missing value for if"),
    ] {
        host.mini(["inspect", "-f", template, "web"]).run().error(code, &[complaint]);
    }
    // One that does not fit a thing fits another.
    let both = host.mini(["inspect", "-f", "{{.Name}}", "busybox", "web"]).run();
    both.error(1, &["no entry for key \"Name\""]).stdout("/web\n");
    host.mini(["restart", "-t", "0", "web"]).run().ok();
    assert_eq!(format("{{.State.Status}} {{.Config.Labels.a}}"), "running 1\n");
}

#[test]
fn what_nobody_said_is_dockers_null_and_a_signal_has_its_name() {
    let host = Host::with_busybox();
    let quiet = host.start(["-t", "busybox", "sleep", "1000"]).inspect();
    for (pointer, expected) in [
        ("/Config/Entrypoint", json!(null)),
        ("/Config/StopSignal", json!("SIGTERM")),
        ("/Config/User", json!("")),
        ("/Config/Volumes", json!(null)),
        ("/Config/AttachStdout", json!(false)),
        ("/HostConfig/Binds", json!(null)),
        ("/HostConfig/CapAdd", json!(null)),
        ("/HostConfig/PublishAllPorts", json!(false)),
        ("/State/Dead", json!(false)),
        ("/NetworkSettings/SandboxID", json!("")),
        ("/ExecIDs", json!(null)),
    ] {
        assert_eq!(quiet.pointer(pointer), Some(&expected), "{pointer}");
    }
    for pointer in
        ["/Config/ExposedPorts", "/Config/StopTimeout", "/HostConfig/Tmpfs", "/HostConfig/Sysctls", "/SizeRw"]
    {
        assert_eq!(quiet.pointer(pointer), None, "{pointer}");
    }
    let names = |all: &serde_json::Value| -> Vec<String> {
        let env = all["Config"]["Env"].as_array().expect("an array").iter();
        env.map(|line| line.as_str().expect("a text").split('=').next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(names(&quiet), ["PATH"], "what every container gets is not its configuration");
    let said = host.start([
        "-u",
        "0",
        "-e",
        "HOSTNAME=x",
        "-e",
        "TERM=xterm",
        "--stop-signal",
        "37",
        "--entrypoint",
        "sleep",
        "busybox",
        "1000",
    ]);
    let said = said.inspect();
    assert_eq!(said["Config"]["Entrypoint"], json!(["sleep"]));
    assert_eq!((&said["Config"]["StopSignal"], &said["Config"]["User"]), (&json!("SIGRTMIN+3"), &json!("0")));
    assert_eq!(names(&said), ["PATH", "HOSTNAME", "TERM"]);
    // In the foreground its streams are the client's.
    host.mini(["run", "-i", "--name", "front", "busybox", "true"]).run().ok();
    let front = host.mini(["inspect", "front"]).run().ok().json();
    for name in ["AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce"] {
        assert_eq!(front[0]["Config"][name], true, "{name}");
    }
}

#[test]
fn files_are_counted_where_that_is_asked_for() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /tmp/x"]).run().ok();
    let image = host.mini(["inspect", "-f", "{{.Size}}", "busybox"]).run().ok().line();
    let sizes = "{{.SizeRw}} {{.SizeRootFs}}";
    let all = 5000 + image.parse::<u64>().expect("a number");
    host.mini(["inspect", "-s", "-f", sizes, "box"]).run().ok().stdout(&format!("5000 {all}\n"));
    host.mini(["container", "inspect", "--size", "-f", sizes, "box"])
        .run()
        .ok()
        .stdout(&format!("5000 {all}\n"));
    host.mini(["inspect", "-f", sizes, "box"]).run().ok().stdout("<nil> <nil>\n");
    host.mini(["inspect", "-s", "-f", "{{.Os}}", "busybox"])
        .run()
        .ok()
        .stdout("linux\n")
        .stderr_has("--size is left aside");
}

#[test]
fn an_image_with_everything_that_docker_writes() {
    let host = Host::new();
    let image = Image::busybox()
        .set("Healthcheck", json!({"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64}))
        .set("OnBuild", json!(["RUN x"]))
        .set("Shell", json!(["/bin/sh", "-c"]))
        .set("ExposedPorts", json!({"80/tcp": {}}));
    host.load(&image, "busybox:latest");
    host.load(&image, "team/other:2");
    let all = host.mini(["image", "inspect", "team/other:2"]).run().ok().json()[0].take();
    for (pointer, expected) in [
        ("/RepoTags", json!(["busybox:latest", "team/other:2"])),
        ("/RepoDigests", json!([])),
        ("/Config/Healthcheck/Test", json!(["CMD", "true"])),
        ("/Config/OnBuild", json!(["RUN x"])),
        ("/Config/Shell", json!(["/bin/sh", "-c"])),
        ("/Config/ExposedPorts", json!({"80/tcp": {}})),
        ("/Config/Entrypoint", json!(null)),
        ("/Config/Tty", json!(false)),
        ("/Created", json!("2024-02-03T04:05:06Z")),
        ("/Author", json!("")),
        ("/Parent", json!("")),
        ("/RootFS/Type", json!("layers")),
        ("/GraphDriver/Name", json!("overlay")),
    ] {
        assert_eq!(all.pointer(pointer), Some(&expected), "{pointer} in {all:#}");
    }
    assert_eq!(all["Size"], all["VirtualSize"]);
    let top = all["GraphDriver"]["Data"]["UpperDir"].as_str().expect("a directory");
    assert!(std::path::Path::new(top).join("bin/busybox").exists(), "{top}");
}
