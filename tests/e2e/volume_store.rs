//! `volume create|ls|inspect|rm|prune`: directories that outlive containers, and who refers to them.

use std::fs;

use serde_json::{Value, json};
use tests::{Host, Image};

use crate::volume_content::data;

#[test]
fn a_volume_is_made_listed_inspected_and_removed() {
    let host = Host::new();
    host.mini(["volume", "create", "--label", "use=test", "--label", "bare", "data"])
        .run()
        .ok()
        .stdout("data\n");
    host.mini(["volume", "create", "data"]).run().ok().stdout("data\n");
    host.mini(["volume", "create", "--label", "use=other", "data"]).run().error(1, &["data", "other labels"]);
    let anonymous = host.mini(["volume", "create", "-d", "local"]).run().ok().line();
    assert!(anonymous.len() == 64 && anonymous.bytes().all(|byte| byte.is_ascii_hexdigit()), "{anonymous}");
    let mut names = vec![anonymous.clone(), "data".to_owned()];
    names.sort();
    assert_eq!(host.mini(["volume", "ls", "-q"]).run().ok().lines(), names);
    let table = host.mini(["volume", "ls", "--filter", "name=dat"]).run().ok();
    table.stdout("DRIVER    VOLUME NAME\nlocal     data\n");
    let rows =
        host.mini(["volume", "list", "--format", "json", "-f", "label=use=test"]).run().ok().json_lines();
    let expected = json!({
        "Availability": "N/A", "Driver": "local", "Group": "N/A", "Labels": "bare=,use=test", "Links": "N/A",
        "Mountpoint": data(&host, "data"), "Name": "data", "Scope": "local", "Size": "N/A", "Status": "N/A",
    });
    assert_eq!(rows, [expected]);
    let lines = |filter: &[&str]| {
        let filters = filter.iter().flat_map(|filter| ["--filter", filter]);
        host.mini(["volume", "ls", "-q"]).args(filters).run().ok().lines()
    };
    assert_eq!(lines(&["label=use", "label=bare"]), ["data"]);
    assert_eq!(lines(&["label=use", "label=none"]), Vec::<String>::new());
    assert_eq!(lines(&["driver=other"]), Vec::<String>::new());
    assert_eq!(lines(&["name=data", "name=xyz"]), ["data"]);
    host.mini(["volume", "ls", "--filter", "color=red"]).run().error(1, &["color"]);
    host.mini([
        "volume",
        "ls",
        "--format",
        "{{.Name}}={{.Label \"use\"}} {{.Links}} {{.Size}}",
        "-f",
        "name=data",
    ])
    .run()
    .ok()
    .stdout("data=test 0 0B\n");
    let inspected = host.mini(["volume", "inspect", "data"]).run().ok().json();
    let volume = &inspected[0];
    assert_eq!(volume["Labels"], json!({ "use": "test", "bare": "" }));
    assert_eq!(
        (&volume["Name"], &volume["Driver"], &volume["Scope"]),
        (&json!("data"), &json!("local"), &json!("local"))
    );
    assert_eq!((&volume["Options"], &volume["Mountpoint"]), (&json!(null), &json!(data(&host, "data"))));
    let made = volume["CreatedAt"].as_str().expect("a time");
    assert!(made.len() == 20 && made.ends_with('Z'), "{made}");
    host.mini(["volume", "inspect", "--format", "{{.Name}} {{.Labels.use}}", "data"])
        .run()
        .ok()
        .stdout("data test\n");
    let one_line = host.mini(["volume", "inspect", "-f", "json", "data", &anonymous]).run().ok().json_lines();
    assert_eq!(one_line[1]["Labels"], json!({ "com.docker.volume.anonymous": "" }));
    host.mini(["volume", "inspect", "none", "data"])
        .run()
        .error(1, &["no such volume: none"])
        .stdout_has("\"data\"");
    host.mini(["volume", "rm", "none"]).run().error(1, &["no such volume: none"]).hints("mini volume ls");
    host.mini(["volume", "rm", "-f", "none"]).run().ok().stdout("none\n");
    host.mini(["volume", "rm", "data", &anonymous]).run().ok().stdout(&format!("data\n{anonymous}\n"));
    host.mini(["volume", "ls", "-q"]).run().ok().stdout("");
}

#[test]
fn names_and_options_that_make_no_sense_are_refused() {
    let host = Host::new();
    for name in ["../x", "a/b", ".hidden", "x", "-x", "é1"] {
        host.mini(["volume", "create", "--", name]).run().error(1, &["invalid volume name"]);
    }
    for (options, complaint) in [
        (&["--driver", "nfs"][..], "nfs"),
        (&["--opt", "type=tmpfs", "--opt", "device=tmpfs"], "device=tmpfs"),
        (&["-o", "type=nfs", "-o", "o=addr=1.2.3.4", "-o", "device=/x"], "o=addr=1.2.3.4"),
        (&["--opt", "size=1g"], "size"),
        (&["--opt", "o=bind"], "needs o=bind and device"),
        (&["--label", "=x"], "no name"),
    ] {
        host.mini(["volume", "create"]).args(options).arg("data").run().error(1, &[complaint]);
    }
    host.mini(["volume", "ls", "-q"]).run().ok().stdout("");
}

#[test]
fn what_a_container_refers_to_is_not_removed() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "web", "-v", "data:/data", "busybox", "true"]).run().ok();
    for force in [&[][..], &["-f"]] {
        host.mini(["volume", "rm"])
            .args(force)
            .arg("data")
            .run()
            .error(1, &["volume data is in use by container web"])
            .hints("mini rm");
    }
    let dangling =
        |wanted: &str| host.mini(["volume", "ls", "-q", "-f", &format!("dangling={wanted}")]).run().ok();
    dangling("false").stdout("data\n");
    dangling("true").stdout("");
    host.mini(["volume", "ls", "--format", "{{.Links}}"]).run().ok().stdout("1\n");
    host.mini(["volume", "prune", "-a", "-f"]).run().ok().stdout("Total reclaimed space: 0B\n");
    host.mini(["start", "-a", "web"]).run().ok();
    host.mini(["volume", "rm", "data"]).run().error(1, &["web"]);
    host.mini(["rm", "web"]).run().ok();
    dangling("true").stdout("data\n");
    host.mini(["volume", "remove", "data"]).run().ok();
}

#[test]
fn prune_takes_volumes_without_a_name_and_with_all_the_others() {
    let host = Host::with_busybox();
    let run = |args: &[&str]| host.mini(["run", "--name", "box"]).args(args).args(["busybox"]);
    run(&["-v", "/anonymous", "-v", "named:/named"])
        .args(["sh", "-c", "dd if=/dev/zero of=/anonymous/x bs=1000 count=5 2>/dev/null; echo > /named/y"])
        .run()
        .ok();
    host.mini(["volume", "create", "--label", "keep", "kept"]).run().ok();
    let prune = |args: &[&str]| host.mini(["volume", "prune"]).args(args);
    prune(&["-f"]).run().ok().stdout("Total reclaimed space: 0B\n");
    host.mini(["rm", "box"]).run().ok();
    let names = host.mini(["volume", "ls", "-q"]).run().ok().lines();
    assert_eq!(names.len(), 3, "rm without -v leaves volumes: {names:?}");
    let anonymous = names.iter().find(|name| name.len() == 64).expect("one without a name");
    prune(&[])
        .stdin("n\n")
        .run()
        .ok()
        .stdout_has("anonymous local volumes not used by at least one container")
        .stdout_has("[y/N]");
    prune(&["--filter", "label=keep"]).arg("-f").run().ok().stdout("Total reclaimed space: 0B\n");
    prune(&["-f"])
        .run()
        .ok()
        .stdout(&format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 5kB\n"));
    prune(&["--all", "--filter", "label!=keep"])
        .stdin("y\n")
        .run()
        .ok()
        .stdout_has("all local volumes")
        .stdout_has("\nnamed\n");
    host.mini(["volume", "ls", "-q"]).run().ok().stdout("kept\n");
    prune(&["-a", "-f", "--filter", "until=1h"]).run().error(1, &["until"]);
    prune(&["-a", "-f", "--filter", "all=true"]).run().error(1, &["conflicting options"]);
    prune(&["-f", "--filter", "all=false"]).run().ok().stdout("Total reclaimed space: 0B\n");
    // As newer clients of docker say --all.
    prune(&["-f", "--filter", "all=1"]).run().ok().stdout_has("kept");
    assert!(!data(&host, "kept").exists());
}

#[test]
fn a_volume_may_bind_a_directory_and_never_removes_it() {
    let host = Host::with_busybox();
    let directory = host.work().join("srv");
    fs::create_dir(&directory).expect("mkdir");
    fs::write(directory.join("file"), "the host's\n").expect("write");
    let device = format!("device={}", directory.display());
    host.mini(["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, "bound"])
        .run()
        .ok();
    let run = |options: &[&str], script: &str| {
        host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run()
    };
    run(&["-v", "bound:/d"], "cat /d/file; echo new > /d/new").ok().stdout("the host's\n");
    assert_eq!(fs::read_to_string(directory.join("new")).expect("written"), "new\n");
    let inspected = host.mini(["volume", "inspect", "bound"]).run().ok().json();
    assert_eq!(inspected[0]["Options"], json!({ "type": "none", "o": "bind", "device": directory }));
    host.mini(["volume", "prune", "-a", "-f"]).run().ok().stdout_has("reclaimed space: 0B");
    assert!(directory.join("file").is_file() && directory.join("new").is_file());
    // Made for one mount, read-only.
    let options = format!(
        "type=volume,src=ro,dst=/d,volume-opt=type=none,volume-opt=o=bind,\"volume-opt=o=bind,ro\",volume-opt={device}"
    );
    run(&["--mount", &options], "touch /d/x; cat /d/new")
        .stdout_has("new\n")
        .stderr_has("Read-only file system");
    host.mini(["volume", "rm", "ro"]).run().ok();
    let missing = format!(
        "type=volume,src=gone,dst=/d,volume-opt=type=none,volume-opt=o=bind,volume-opt={device}/gone"
    );
    run(&["--mount", &missing], "true").error(125, &["gone", "no directory"]);
    host.mini(["volume", "rm", "-f", "gone"]).run().ok();
}

#[test]
fn what_happens_to_volumes_is_told() {
    let host = Host::new();
    host.load(&Image::busybox().set("Volumes", json!({ "/anonymous": {} })), "busybox:latest");
    host.mini(["volume", "create", "data"]).run().ok();
    host.mini(["run", "--rm", "-v", "data:/d:ro", "busybox", "true"]).run().ok();
    host.mini(["create", "--name", "box", "busybox"]).run().ok();
    host.mini(["cp", host.binary().to_str().expect("text"), "box:/"]).run().ok();
    host.mini(["cp", "box:/etc", "-"]).run().ok();
    host.mini(["export", "-o", "/dev/null", "box"]).run().ok();
    host.mini(["rm", "-v", "box"]).run().ok();
    host.mini(["volume", "rm", "data"]).run().ok();
    host.mini(["volume", "prune", "-f"]).run().ok();
    let events = host.mini(["events", "--since", "0", "--until", "0s", "--format", "json"]).run().ok();
    let events: Vec<Value> =
        events.lines().iter().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of = |kind: &str, ids: bool| -> Vec<String> {
        let all = events.iter().filter(|event| event["Type"] == kind);
        let id = |event: &Value| match event["Actor"]["ID"].as_str() {
            Some(id) if ids && id.len() < 64 => format!(" {id}"),
            _ => String::new(),
        };
        all.map(|event| format!("{}{}", event["Action"].as_str().expect("a word"), id(event))).collect()
    };
    let (run, box_) =
        (["create", "mount data", "mount", "unmount data", "unmount", "destroy"], ["create", "destroy"]);
    let expected = [&["create data"][..], &run, &box_, &["destroy data", "prune "]].concat();
    assert_eq!(of("volume", true), expected);
    let mount = events.iter().find(|event| event["Action"] == "mount").expect("a mount");
    let attributes = &mount["Actor"]["Attributes"];
    assert_eq!((&attributes["destination"], &attributes["read/write"]), (&json!("/d"), &json!("false")));
    let of_box = of("container", false);
    for action in ["extract-to-dir", "archive-path", "export"] {
        assert!(of_box.iter().any(|told| told == action), "{action}: {of_box:?}");
    }
}
