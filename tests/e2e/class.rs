//! `mini class`: a room of machines that are tried.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tests::terminal::CTRL_C;
use tests::{Host, Mini, Output, cgroups, leftovers, processes, wait};

use crate::learn::LESSONS;

/// What `mini class check --json` says, however it ends.
#[track_caller]
fn checked(output: &Output) -> Value {
    assert_eq!(output.lines().len(), 1, "{output}");
    serde_json::from_str(&output.line()).expect("JSON")
}

/// One need of it.
#[track_caller]
fn row<'v>(report: &'v Value, key: &str) -> &'v Value {
    let rows = report["checks"].as_array().expect("rows");
    rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key}: {report}"))
}

#[test]
fn this_machine_is_fit_and_nothing_stays() {
    let host = Host::with_busybox();
    let output = host.mini(["class", "check", "--json"]).run().ok().stderr("");
    let report = checked(&output);
    assert_eq!((&report["ok"], &report["version"]), (&true.into(), &1.into()));
    let lessons: Vec<&String> = report["lessons"].as_object().expect("lessons").keys().collect();
    assert_eq!(lessons.len(), LESSONS.len());
    for lesson in LESSONS {
        assert_eq!(report["lessons"][lesson], true, "{lesson}");
        let needed = |row: &&Value| row["lessons"].as_array().is_some_and(|all| all.contains(&lesson.into()));
        assert!(report["checks"].as_array().expect("rows").iter().filter(needed).count() > 5, "{lesson}");
    }
    for row in report["checks"].as_array().expect("rows") {
        assert!(row["verdict"] == "ok" || row["hint"].is_string(), "{row}");
        assert!(row["found"].as_str().is_some_and(|found| !found.is_empty()), "{row}");
    }
    for key in ["overlay", "idmapped", "seccomp", "bridge", "veth", "nf_tables", "lab", "container"] {
        assert_eq!(row(&report, key)["verdict"], "ok", "{key}");
    }
    assert!(row(&report, "image")["found"].as_str().is_some_and(|found| found.starts_with("busybox")));
    let table = host.mini(["class", "check"]).run().ok().text();
    for what in ["NEEDED", "VERDICT", "user namespaces", "Every lesson can be done here"] {
        assert!(table.contains(what), "{table}");
    }
    assert!(!host.tool("ip", ["link"]).contains("mini0"), "no bridge is made of it");
    assert_eq!(host.new_mounts(), Vec::<String>::new());
    host.mini(["system", "check"]).run().ok().stdout("");
}

/// Every program that a lesson has its students type is looked for, and the lesson named with it. `told` is what it says.
#[track_caller]
pub(crate) fn is_looked_for(host: &Host, lesson: &str, told: &[Value]) {
    let report = checked(&host.mini(["class", "check", "--json"]).run());
    let is_in_word = |letter: char| letter.is_ascii_alphanumeric() || "_-/.".contains(letter);
    let commands = told.iter().filter(|said| said["kind"] == "command");
    let typed: Vec<&str> = commands
        .flat_map(|said| said["text"].as_str().expect("a text").split(|letter| !is_in_word(letter)))
        .collect();
    let is_program = |row: &&Value| {
        row["key"].as_str().is_some_and(|key| key.starts_with("program.") && key != "program.script")
    };
    for row in report["checks"].as_array().expect("rows").iter().filter(is_program) {
        let lists = row["lessons"].as_array().is_some_and(|all| all.contains(&lesson.into()));
        for name in row["what"].as_str().expect("a text").split(", ") {
            assert!(
                lists || !typed.contains(&name),
                "{} does not name {lesson}, which has {name}",
                row["key"]
            );
        }
    }
}

#[test]
fn what_is_missing_is_found_with_what_helps() {
    let host = Host::new();
    // As on a machine without iproute2.
    let ip = ["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip", "/bin/ip"];
    let mut hidden: Vec<PathBuf> = ip.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    hidden.sort();
    hidden.dedup();
    for path in &hidden {
        host.tool("mount", ["--bind", "/dev/null", path.to_str().expect("text")]);
    }
    let report = checked(&host.mini(["class", "check", "--json"]).run().code(1));
    for path in &hidden {
        host.tool("umount", [path]);
    }
    let found = row(&report, "program.ip");
    assert_eq!((&found["verdict"], &found["found"]), (&"missing".into(), &"no ip".into()));
    assert!(found["hint"].as_str().is_some_and(|hint| hint.contains("iproute2")), "{found}");
    assert_eq!((&report["ok"], &report["lessons"]["net"]), (&false.into(), &false.into()));
    assert_eq!(report["lessons"]["uts"], true);
    // As where no user namespaces may be made.
    let limit = "/proc/sys/user/max_user_namespaces";
    let inside = format!("echo 0 >{limit}; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", &inside, "sh"]).arg(host.binary());
    command.args(["class", "check", "--json"]);
    command.env_clear().envs(host.environment());
    let output = Mini::new(command).run().code(1);
    let report = checked(&output);
    for key in ["namespace.user", "namespace.limits", "idmap", "overlay", "lab"] {
        assert_eq!(row(&report, key)["verdict"], "missing", "{key}: {output}");
    }
    assert_eq!(row(&report, "namespace.user")["hint"], "sysctl user.max_user_namespaces=15000");
    assert!(LESSONS.iter().all(|lesson| report["lessons"][lesson] == false), "{report}");
    let table = host.mini(["class", "check"]).run().ok();
    table.stdout_has("hint: an image: mini pull busybox");
}

/// Starts checks on a terminal until one is caught where it has to be, and ends it there: by ctrl-C, or by SIGKILL.
fn interrupt(host: &Host, by_key: bool, is_there: &dyn Fn() -> bool) {
    let deadline = Instant::now() + wait::PATIENCE;
    loop {
        let mut check = host.mini(["class", "check"]).terminal(24, 100);
        while processes::status(check.pid(), "State").is_some_and(|state| !state.starts_with('Z')) {
            if is_there() {
                if by_key {
                    check.send(CTRL_C);
                } else {
                    check.signal(Signal::KILL);
                }
                check.wait();
                return;
            }
        }
        check.wait();
        assert!(Instant::now() < deadline, "no check was ever there");
    }
}

/// Killed, or interrupted, at any moment: what it has begun it takes away all the same.
#[test]
fn a_check_that_is_killed_leaves_nothing() {
    let host = Host::new();
    let has_group = || {
        let tops = cgroups::directories_of(&host.cgroup_parent());
        tops.iter().any(|top| cgroups::below(top).iter().any(|group| !group.ends_with("monitor")))
    };
    let has_lab = || {
        let name = |pid: &i32| processes::status(*pid, "Name");
        host.processes().iter().any(|pid| name(pid).is_some_and(|name| name == "lab"))
    };
    let has_container =
        || fs::read_dir(host.run_root().join("containers")).is_ok_and(|mut all| all.next().is_some());
    let places: [(&str, &dyn Fn() -> bool); 4] = [
        ("at the beginning", &|| host.processes().len() > 1),
        ("in a group", &has_group),
        ("in the lab", &has_lab),
        ("in a container", &has_container),
    ];
    for by_key in [false, true] {
        for (place, is_there) in places {
            interrupt(&host, by_key, is_there);
            wait::until("the end of its tester", || host.processes().is_empty().then_some(()));
            host.mini(["ps", "-aq"]).run().ok().stdout("");
            host.mini(["system", "check"]).run().ok().stdout("");
            let left = leftovers::find(&host);
            assert!(left.is_empty(), "{place}: {left:?}");
        }
    }
}
