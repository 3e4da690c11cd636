//! `mini inspect --as-run`: the command line that makes a container again makes the same one.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::command::Mini;
use tests::{Container, Host, Output};

/// The line that `inspect` prints.
#[track_caller]
fn line(host: &Host, name: &str) -> String {
    host.mini(["inspect", "--as-run", name]).run().ok().line()
}

/// A line in a shell of this host, with this binary for `mini`.
#[track_caller]
fn typed(host: &Host, line: &str) -> Output {
    let program = line.strip_prefix("mini ").expect("a command line of mini's");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" {program}")]).arg(host.binary());
    command.env_clear().envs(host.environment()).current_dir("/");
    Mini::new(command).run().ok()
}

/// What does not differ between two containers that were asked for alike.
fn alike(container: &Container<'_>) -> Value {
    let mut all = container.inspect();
    let fields = all.as_object_mut().expect("an object");
    fields.retain(|name, _| {
        ["Path", "Args", "Image", "Driver", "HostConfig", "Mounts", "Config"].contains(&name.as_str())
    });
    // A name that nobody gave is the id's.
    if all["Config"]["Hostname"] == container.short() {
        all["Config"]["Hostname"] = Value::Null;
    }
    all
}

#[test]
fn a_container_with_many_flags_is_made_again() {
    let host = Host::with_busybox();
    let shared = host.work().join("shared here");
    fs::create_dir(&shared).expect("make a directory");
    fs::write(host.work().join("vars"), "# variables\nFROM_FILE=it's \"quoted\" $HOME `x`\n").expect("write");
    let (volume, mount) =
        (format!("{}:/data:ro", shared.display()), format!("type=bind,src={},dst=/also", shared.display()));
    let vars = host.work().join("vars").display().to_string();
    let label = "text=two\nlines; $(false) 'x'";
    let flags = [
        "-t",
        "--name",
        "first",
        "-h",
        "boxed",
        "--domainname",
        "example",
        "-u",
        "0:0",
        "-w",
        "/tmp",
        "--env-file",
        &vars,
        "-e",
        "FROM_CLIENT",
        "-e",
        "SAID=a b",
        "-v",
        &volume,
        "--mount",
        &mount,
        "--tmpfs",
        "/scratch:exec,size=1m",
        "--read-only",
        "-p",
        "127.0.0.1:8080:80",
        "-p",
        "8100-8200:81",
        "--expose",
        "53/udp",
        "-m",
        "64m",
        "--memory-swap",
        "128m",
        "--cpus",
        "0.5",
        "-c",
        "512",
        "--pids-limit",
        "77",
        "--cap-add",
        "SYS_TIME",
        "--cap-drop",
        "CHOWN",
        "--security-opt",
        "no-new-privileges",
        "--sysctl",
        "net.core.somaxconn=99",
        "--ulimit",
        "nofile=100:200",
        "--shm-size",
        "1m",
        "--oom-score-adj",
        "7",
        "-l",
        label,
        "--annotation",
        "a=b",
        "--stop-signal",
        "USR1",
        "--stop-timeout",
        "3",
        "--add-host",
        "db:10.9.8.7",
        "--dns",
        "10.9.8.6",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:3",
        "--entrypoint",
        "sh",
        "busybox",
        "-c",
        "echo \"it's\" up; exec sleep 1000",
        "--",
        "$0",
        "",
    ];
    let made = host.mini(["run", "-d"]).args(flags).env("FROM_CLIENT", "of the client").run().ok();
    let first = Container::new(&host, made.line());
    let printed = line(&host, "first");
    assert!(printed.starts_with("mini run -d -t --name first --hostname boxed "), "{printed}");
    let before = alike(&first);
    // Its ports are free then.
    host.mini(["kill", "first"]).run().ok();
    let again = typed(&host, &printed.replacen("--name first", "--name second", 1));
    let second = Container::new(&host, again.line());
    assert_eq!(alike(&second), before, "{printed}");
    second.sh("test \"$FROM_FILE\" = \"it's \\\"quoted\\\" \\$HOME \\`x\\`\" && test \"$FROM_CLIENT\" = 'of the client'").ok();
    assert_eq!(line(&host, "second").replacen("--name second", "--name first", 1), printed);
    // What it is does not depend on how often it was started, or on what it is called by now.
    host.mini(["restart", "-t", "0", "second"]).run().ok();
    host.mini(["rename", "second", "third"]).run().ok();
    assert_eq!(line(&host, "third").replacen("--name third", "--name first", 1), printed);
}

#[test]
fn modes_that_imply_each_other_are_said_once() {
    let host = Host::with_busybox();
    for (flags, expected) in [
        (&["--privileged"][..], "mini run -d --privileged busybox sleep 1000"),
        (&["--network", "host"], "mini run -d --network host busybox sleep 1000"),
        (
            &["--userns", "host", "--network", "none"],
            "mini run -d --network none --userns host busybox sleep 1000",
        ),
        (&["--rm"], "mini run -d --rm busybox sleep 1000"),
    ] {
        let container = host.start([flags, &["busybox", "sleep", "1000"]].concat());
        assert_eq!(line(&host, &container.id), expected);
        let again = typed(&host, expected).line();
        assert_eq!(alike(&Container::new(&host, again)), alike(&container), "{expected}");
    }
}

#[test]
fn words_arrive_as_they_were() {
    let host = Host::with_busybox();
    let words = ["it's", "a \"b\"", "$HOME", "`id`", "$(id)", "*", "a\\b", "line\nline", "", "-x", "--", "é"];
    let out = host.mini(["run", "--name", "front", "busybox", "printf", "[%s]"]).args(words).run().ok();
    let printed = line(&host, "front");
    assert!(printed.starts_with("mini run --name front busybox printf '[%s]' "), "{printed}");
    let again = typed(&host, &printed.replacen("--name front", "--name again", 1));
    assert_eq!(again.text(), out.text());
}

#[test]
fn what_was_not_made_by_run_has_no_line() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "made", "busybox", "true"]).run().ok();
    let both = host.mini(["inspect", "--as-run", "no-such", "made"]).run();
    both.error(1, &["no such container: no-such"]).stdout("mini run --name made busybox true\n");
    host.mini(["container", "inspect", "--as-run", "made"])
        .run()
        .ok()
        .stdout("mini run --name made busybox true\n");
    host.mini(["inspect", "--as-run", "busybox"]).run().error(1, &["no such container: busybox"]).stdout("");
    host.mini(["inspect", "--as-run", "--type", "image", "busybox"])
        .run()
        .error(1, &["--as-run is of containers"]);
    host.mini(["inspect", "--as-run", "--size", "made"]).run().code(125).stderr_has("--size");
    // An older mini did not keep the request.
    let id = host.mini(["inspect", "-f", "{{.Id}}", "made"]).run().ok().line();
    let path = host.root().join("containers").join(id).join("record.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    record["settings"].as_object_mut().expect("an object").remove("request");
    fs::write(&path, record.to_string()).expect("write");
    host.mini(["inspect", "--as-run", "made"]).run().error(1, &["made was made by an older mini"]);
}
