//! Secrets: kept for root alone, given in memory, shown by nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::json;
use tests::{Host, processes};

const SECRET: &str = "hunter2-and-nobody-knows";

fn with_secret() -> Host {
    let host = Host::with_busybox();
    host.mini(["secret", "create", "key", "-"]).stdin(SECRET).run().ok();
    host
}

#[test]
fn a_secret_is_made_listed_inspected_and_removed() {
    let host = Host::new();
    let file = host.work().join("secret");
    fs::write(&file, SECRET).expect("write");
    let id = host
        .mini(["secret", "create", "--label", "use=test", "key", file.to_str().expect("text")])
        .run()
        .ok()
        .line();
    assert!(
        id.len() == 25 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
        "{id}"
    );
    host.mini(["secret", "create", "-l", "bare", "other", "-"]).stdin("\0\u{1}binary").run().ok();
    let list = host.mini(["secret", "ls"]).run().ok().lines();
    assert!(list[0].starts_with("ID") && list[0].ends_with("UPDATED") && list.len() == 3, "{list:?}");
    assert!(list[1].starts_with(&id) && list[1].contains("key") && list[1].contains("file"), "{list:?}");
    host.mini(["secret", "list", "-q", "--filter", "name=ke"]).run().ok().stdout(&format!("{id}\n"));
    host.mini(["secret", "ls", "--format", "{{.Name}} {{.Label \"use\"}}", "-f", "label=use=test"])
        .run()
        .ok()
        .stdout("key test\n");
    host.mini(["secret", "ls", "-q", "-f", &format!("id={}", &id[..6])])
        .run()
        .ok()
        .stdout(&format!("{id}\n"));
    host.mini(["secret", "ls", "-f", "color=red"]).run().error(1, &["color"]);
    let plain = host.mini(["secret", "inspect", "key", &id]).run().ok();
    assert_eq!((&plain.json()[0]["Spec"]["Name"], &plain.json()[1]["ID"]), (&json!("key"), &json!(id)));
    assert!(!plain.text().contains(SECRET));
    host.mini(["secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", "key"])
        .run()
        .ok()
        .stdout(&format!("{SECRET}\n"));
    let mode = |path: &Path| fs::metadata(path).expect("stat").permissions().mode() & 0o777;
    let root = host.root().join("secrets");
    assert_eq!([mode(&root), mode(&root.join("key")), mode(&root.join("key/data"))], [0o700, 0o700, 0o600]);
    for (args, complaint) in [
        (&["secret", "create", "key", "-"][..], "is there already"),
        (&["secret", "create", "../key", "-"], "no name of a secret"),
        (&["secret", "create", "new", "/no/such/file"], "/no/such/file"),
        (&["secret", "inspect", "none"], "no such secret: none"),
        (&["secret", "rm", "none"], "no such secret: none"),
    ] {
        host.mini(args).stdin("x").run().error(1, &[complaint]);
    }
    host.mini(["secret", "create", "empty", "-"]).stdin("").run().error(1, &["1 to 512000 bytes"]);
    host.mini(["secret", "create", "long", "-"])
        .stdin(vec![b'x'; 512_001])
        .run()
        .error(1, &["1 to 512000 bytes"]);
    host.mini(["secret", "rm", "key", "other"]).run().ok().stdout("key\nother\n");
    host.mini(["secret", "ls", "-q"]).run().ok().stdout("");
}

#[test]
fn a_container_gets_it_in_memory_read_only_and_as_asked() {
    let host = with_secret();
    let run = |options: &[&str], script: &str| {
        host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run()
    };
    run(&["--secret", "key"], "cat /run/secrets/key; stat -c ' %u:%g %a' /run/secrets/key")
        .ok()
        .stdout(&format!("{SECRET} 0:0 444\n"));
    let script =
        "grep -c ' /run/secrets tmpfs ro,' /proc/mounts; touch /run/secrets/x; echo > /run/secrets/key";
    run(&["--secret", "key"], script).code(1).stdout("1\n").stderr_has("Read-only");
    let options = [
        "--secret",
        "source=key,target=deep/other,uid=1000,gid=100,mode=0400",
        "--secret",
        "key,target=/etc/app/key,mode=0440",
        "--secret",
        "key,target=/key",
    ];
    run(&options, "cat /run/secrets/deep/other /etc/app/key /key; stat -c ' %u:%g %a' /run/secrets/deep/other /etc/app/key")
        .ok()
        .stdout(&format!("{SECRET}{SECRET}{SECRET} 1000:100 400\n 0:0 440\n"));
    run(&["-u", "1000", "--secret", "key,uid=1000,mode=0400"], "cat /run/secrets/key").ok().stdout(SECRET);
    run(&["-u", "1001", "--secret", "key,uid=1000,mode=0400"], "cat /run/secrets/key")
        .code(1)
        .stderr_has("Permission denied");
    run(&["--read-only", "--userns", "host", "--secret", "key"], "cat /run/secrets/key").ok().stdout(SECRET);
    run(&["--secret", "key,type=env,target=KEY", "-e", "KEY=plain"], "echo $KEY")
        .ok()
        .stdout(&format!("{SECRET}\n"));
    run(&["--secret", "key,type=env"], "echo $key; ls /run/secrets 2>/dev/null; true")
        .ok()
        .stdout(&format!("{SECRET}\n"));
    for (secret, complaint) in [
        ("none", "no such secret: none"),
        ("key,mode=9", "mode"),
        ("key,uid=70000", "70000"),
        ("key,target=../x", "no file"),
        ("key,type=file", "mount or env"),
        ("key,color=red", "color"),
    ] {
        host.mini(["run", "--rm", "--secret", secret, "busybox", "true"]).run().error(125, &[complaint]);
    }
    host.mini(["run", "--secret", "key", "--secret", "key", "busybox"])
        .run()
        .error(125, &["/run/secrets/key"]);
    host.mini(["secret", "create", "binary", "-"]).stdin("a\0b").run().ok();
    host.mini(["run", "--rm", "--secret", "binary,type=env", "busybox"])
        .run()
        .error(125, &["no variable can hold it"]);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    assert_eq!(host.new_mounts(), Vec::<String>::new());
}

#[test]
fn nothing_shows_it() {
    let host = with_secret();
    let options = ["--secret", "key", "--secret", "key,type=env,target=KEY", "--name", "web"];
    let container = host.start([&options[..], &["busybox", "sleep", "1000"]].concat());
    container.sh("cat /run/secrets/key").ok().stdout(SECRET);
    // It is the program's variable, and no other's.
    assert!(processes::proc_file(container.pid(), "environ").expect("it runs").contains(SECRET));
    container.sh("echo \"[$KEY]\"").ok().stdout("[]\n");
    let inspected = host.mini(["inspect", "web"]).run().ok();
    assert!(!inspected.text().contains(SECRET));
    let told = container.field("/Config/Secrets");
    assert_eq!(
        told,
        json!([
            { "Name": "key", "Target": "/run/secrets/key", "UID": 0, "GID": 0, "Mode": 0o444 },
            { "Name": "key", "Variable": "KEY" },
        ])
    );
    for pid in [container.monitor()] {
        for file in ["environ", "cmdline"] {
            assert!(
                !processes::proc_file(pid, file).unwrap_or_default().contains(SECRET),
                "{file} of the monitor"
            );
        }
    }
    let plan =
        host.mini(["run", "--dry-run", "--secret", "key", "--secret", "key,type=env", "busybox"]).run().ok();
    assert!(!plan.text().contains(SECRET));
    let story = host
        .mini(["run", "--rm", "--explain", "--secret", "key", "--secret", "key,type=env", "busybox", "true"])
        .run()
        .ok();
    assert!(!story.text().contains(SECRET) && !story.err().contains(SECRET), "{story}");
    assert!(story.err().contains("secrets"), "{story}");
    // Nor any file but the one that keeps it.
    for root in [host.root(), host.run_root()] {
        crate::attack::search(&root, &mut |path| {
            let keeps = path.ends_with("secrets/key/data");
            let bytes = if path.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
            assert_eq!(String::from_utf8_lossy(&bytes).contains(SECRET), keeps, "{}", path.display());
        });
    }
    let volume = fs::metadata(host.root().join("secrets/key/data")).expect("stat");
    assert_eq!(volume.uid(), 0);
}

#[test]
fn each_start_reads_it_again() {
    let host = with_secret();
    host.mini([
        "create",
        "--name",
        "web",
        "--secret",
        "key",
        "--secret",
        "key,type=env,target=KEY",
        "busybox",
        "sh",
        "-c",
        "cat /run/secrets/key; echo \" $KEY\"",
    ])
    .run()
    .ok();
    host.mini(["start", "-a", "web"]).run().ok().stdout(&format!("{SECRET} {SECRET}\n"));
    host.mini(["secret", "rm", "key"]).run().ok();
    host.mini(["start", "-a", "web"]).run().error(1, &["no such secret: key"]).hints("mini secret ls");
    host.mini(["secret", "create", "key", "-"]).stdin("another").run().ok();
    host.mini(["start", "-a", "web"]).run().ok().stdout("another another\n");
    host.mini(["create", "--secret", "none", "busybox"]).run().error(1, &["no such secret: none"]);
}

#[test]
fn what_a_killed_command_left_is_found() {
    let host = with_secret();
    let left = host.root().join("secrets/.new.half");
    fs::create_dir(&left).expect("mkdir");
    fs::write(left.join("data"), "half").expect("write");
    host.mini(["system", "check"]).run().code(1).stdout_has(".new.half");
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has(".new.half");
    assert!(!left.exists());
    host.mini(["system", "check"]).run().ok().stdout("");
}
