//! What a container's processes may do, beyond capabilities: filters of system calls, hidden paths, groups, masks.

use std::fs;

use serde_json::json;
use tests::tarball::Entry;
use tests::{Host, Image, Tarball, processes};

/// Writes a profile and gives back its path.
fn profile(host: &Host, text: &str) -> String {
    let path = host.work().join("profile.json");
    fs::write(&path, text).expect("write the profile");
    path.to_str().expect("UTF-8").to_owned()
}

/// Everything is allowed but what `syscalls` says.
fn allowing(syscalls: &serde_json::Value) -> String {
    json!({ "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
                        { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] }],
            "syscalls": syscalls })
    .to_string()
}

#[test]
fn a_profile_of_ones_own_filters() {
    let host = Host::with_busybox();
    let calls = json!([
        { "names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
        { "names": ["chmod", "fchmodat", "fchmodat2", "fchmod"], "action": "SCMP_ACT_ERRNO",
          "includes": { "caps": ["CAP_SYS_ADMIN"] } },
        { "name": "symlinkat", "action": "SCMP_ACT_ERRNO", "excludes": { "minKernel": "3.0" } },
    ]);
    let path = profile(&host, &allowing(&calls));
    let option = format!("seccomp={path}");
    let script = "mkdir /x 2>&1; touch /f; chmod 700 /f && echo changed; grep ^Seccomp: /proc/self/status";
    let run = |more: &[&str]| {
        let run = host.mini(["run", "--rm", "--security-opt", &option]).args(more);
        run.args(["busybox", "sh", "-c", script]).run().ok().text()
    };
    let ordinary = run(&[]);
    assert!(ordinary.contains("No space left") && ordinary.contains("changed\nSeccomp:\t2\n"), "{ordinary}");
    let admin = run(&["--cap-add", "SYS_ADMIN"]);
    assert!(!admin.contains("changed"), "{admin}");
    let privileged = run(&["--privileged"]);
    assert!(privileged.contains("No space left"), "{privileged}");
    // The profile stays what it was; a second command lives under it, too.
    let container = host.start(["--security-opt", &option, "busybox", "sleep", "1000"]);
    fs::write(&path, "{}").expect("write");
    container.sh("mkdir /x").code(1).stderr_has("No space left");
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    container.sh("mkdir /x").code(1).stderr_has("No space left");
    let shown = container.field("/HostConfig/SecurityOpt/0").to_string();
    assert!(shown.contains("SCMP_ACT_ERRNO") && shown.contains("seccomp="), "{shown}");
    host.mini(["exec", "--privileged", &container.id, "mkdir", "/x"]).run().ok();
}

#[test]
fn without_a_profile_or_with_the_builtin_one() {
    let host = Host::with_busybox();
    let run = |option: &str| {
        let script = "grep ^Seccomp: /proc/self/status; unshare -U true && echo apart";
        host.mini(["run", "--rm", "--security-opt", option, "busybox", "sh", "-c", script]).run()
    };
    run("seccomp=unconfined").ok().stdout("Seccomp:\t0\napart\n");
    run("seccomp=builtin").code(1).stdout("Seccomp:\t2\n");
}

#[test]
fn profiles_that_are_none_are_refused_with_their_place() {
    let host = Host::with_busybox();
    let good = json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW" });
    for (text, complaint) in [
        ("{\n  \"defaultAction\": \"SCMP_ACT_MAYBE\"\n}".to_owned(), "line 2"),
        ("not json".to_owned(), "line 1"),
        (allowing(&json!([good, { "action": "SCMP_ACT_ALLOW" }])), "syscalls[1]"),
        (allowing(&json!([{ "name": "bpf", "action": "SCMP_ACT_NOTIFY" }])), "syscalls[0] (bpf)"),
        (
            allowing(
                &json!([{ "name": "a", "action": "SCMP_ACT_ALLOW", "args": [{ "index": 9, "value": 0, "op": "SCMP_CMP_EQ" }] }]),
            ),
            "argument 9",
        ),
        (format!("{{\"defaultAction\":\"SCMP_ACT_ALLOW\"}}{}", " ".repeat(2 << 20)), "read at most"),
        ("[".repeat(50_000), "line 1"),
    ] {
        let option = format!("seccomp={}", profile(&host, &text));
        let run = host.mini(["run", "--rm", "--security-opt", &option, "busybox", "true"]).run();
        run.error(125, &["seccomp", complaint]);
    }
    for file in ["/no/such/file", "/dev/zero", "/"] {
        let option = format!("seccomp={file}");
        host.mini(["run", "--rm", "--security-opt", &option, "busybox", "true"]).run().error(125, &[file]);
    }
}

#[test]
fn hidden_paths_can_be_shown_and_others_hidden() {
    let host = Host::with_busybox();
    let script =
        "wc -l < /proc/interrupts; grep -c '^proc /proc/sys ' /proc/mounts; cat /etc/hostname | wc -l";
    let run = |options: &[&str]| {
        let options: Vec<_> = options.iter().flat_map(|option| ["--security-opt", *option]).collect();
        host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run().ok().lines()
    };
    assert_eq!(run(&[]), ["0", "1", "1"]);
    let open = run(&["systempaths=unconfined"]);
    assert!(open[0] != "0" && open[1] == "0", "{open:?}");
    let shown = run(&["unmask=/proc/interrupts:/proc/sys"]);
    assert!(shown[0] != "0" && shown[1] == "0", "{shown:?}");
    assert_eq!(run(&["mask=/etc/hostname"]), ["0", "1", "0"]);
    let container = host.start(["--security-opt", "systempaths=unconfined", "busybox", "sleep", "1000"]);
    assert_eq!(container.field("/HostConfig/SecurityOpt"), json!(["systempaths=unconfined"]));
    assert_eq!(container.field("/HostConfig/MaskedPaths"), json!(null));
}

#[test]
fn what_this_mini_has_not_is_refused_unless_it_is_refused_itself() {
    let host = Host::with_busybox();
    let run = |option: &str| host.mini(["run", "--rm", "--security-opt", option, "busybox", "true"]).run();
    run("label=disable").ok();
    run("apparmor=unconfined").ok();
    run("label=type:container_t").error(125, &["label", "SELinux"]);
    run("apparmor=docker-default").error(125, &["apparmor", "AppArmor"]);
    run("sandbox=yes").error(125, &["sandbox=yes"]);
    run("no-new-privileges=maybe").error(125, &["no-new-privileges"]);
}

#[test]
fn groups_are_added_by_name_and_number() {
    let host = Host::new();
    let group = "root:x:0:\naudio:x:29:\nstaff:x:50:nobody\n";
    let layer = Tarball::new().entry(&Entry::new(b'0', "etc/group", 0o644).holding(group));
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let args = ["-u", "nobody", "--group-add", "audio", "--group-add", "1234", "busybox", "sleep", "1000"];
    let container = host.start(args);
    let groups = |script: &str| container.sh(script).ok().line();
    assert_eq!(groups("id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '").trim(), "29 50 1234 65534");
    let other = host.mini(["exec", "-u", "7:8", &container.id, "id", "-G"]).run().ok().line();
    assert!(other.contains("29") && other.contains("1234"), "{other}");
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    assert!(groups("id -G").contains("1234"));
    assert_eq!(container.field("/HostConfig/GroupAdd"), json!(["audio", "1234"]));
    let run =
        |group: &str| host.mini(["run", "--rm", &format!("--group-add={group}"), "busybox", "true"]).run();
    run("nosuch").error(125, &["unable to find group nosuch"]);
    run("keep-groups").error(125, &["keep-groups"]);
    run("-1").error(125, &["--group-add"]);
}

#[test]
fn the_file_mode_mask_is_what_was_asked_for() {
    let host = Host::with_busybox();
    let container = host.start(["--umask", "0077", "busybox", "sh", "-c", "touch /made; sleep 1000"]);
    tests::wait::until("the file", || container.sh("ls /made").status.success().then_some(()));
    container.sh("stat -c %a /made; umask; mkdir /tmp/d; stat -c %a /tmp/d").ok().stdout("600\n0077\n700\n");
    assert_eq!(container.field("/Config/Umask"), "0077");
    host.mini(["run", "--rm", "busybox", "sh", "-c", "umask"]).run().ok().stdout("0022\n");
    host.mini(["run", "--rm", "--umask", "9", "busybox", "true"]).run().error(125, &["--umask", "octal"]);
}

#[test]
fn a_privileged_exec_may_do_everything_that_its_users_may() {
    let host = Host::with_busybox();
    let container =
        host.start(["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "busybox", "sleep", "1000"]);
    let script = "grep -E '^(CapEff|CapBnd|Seccomp:|NoNewPrivs)' /proc/self/status";
    let plain = container.sh(script).ok().text();
    assert!(plain.contains("CapEff:\t0000000000000000") && plain.contains("Seccomp:\t2"), "{plain}");
    let exec = host.mini(["exec", "--privileged", &container.id, "sh", "-c"]).arg(script).run().ok();
    exec.stdout_lacks("0000000000000000").stdout_has("Seccomp:\t0").stdout_has("NoNewPrivs:\t0");
    let users =
        host.mini(["exec", "--privileged", &container.id, "readlink", "/proc/self/ns/user"]).run().ok();
    let own = processes::namespace(container.pid(), "user").expect("it runs");
    users.stdout(&format!("user:[{own}]\n"));
}

#[test]
fn exec_reads_variables_from_a_file() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let file = host.work().join("env");
    fs::write(&file, "# comment\nA=1\nB=2\nC\n").expect("write");
    let file = file.to_str().expect("UTF-8");
    let exec =
        host.mini(["exec", "--env-file", file, "-e", "B=3", &container.id, "sh", "-c", "echo $A $B $C"]);
    exec.env("C", "here").run().ok().stdout("1 3 here\n");
    host.mini(["exec", "--env-file", "/no/such", &container.id, "true"]).run().error(1, &["/no/such"]);
}
