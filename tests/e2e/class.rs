//! `mini class`: a room of machines that are tried, equipped from one file, and made ready for the next student.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// A bundle of busybox, in the host's working directory.
#[track_caller]
fn bundle(host: &Host) -> PathBuf {
    let file = host.work().join("lessons.sh");
    host.mini(["class", "bundle"]).arg(&file).patient(2).run().ok().stdout_has("lessons.sh");
    file
}

/// `sh FILE DIRECTORY` on another machine: another root, and of the programs only those that are promised.
fn unpack(host: &Host, file: &Path, directory: &Path) -> Mini {
    let programs = host.home().join("programs");
    fs::create_dir_all(&programs).expect("mkdir");
    for name in ["sh", "tar", "sha256sum", "mkdir"] {
        let found =
            ["/usr/bin", "/bin"].iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
        let link = programs.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(found.expect("a program"), link).expect("symlink");
        }
    }
    let mut command = Command::new(programs.join("sh"));
    command
        .arg(file)
        .arg(directory)
        .env_clear()
        .envs(elsewhere(host))
        .env("PATH", &programs)
        .current_dir("/");
    Mini::new(command).patient(2)
}

fn elsewhere(host: &Host) -> Vec<(String, String)> {
    let mut environment = host.environment();
    for (name, value) in &mut environment {
        match name.as_str() {
            "MINI_ROOT" => *value = host.home().join("there").display().to_string(),
            "MINI_RUN_ROOT" => *value = host.home().join("runs").display().to_string(),
            _ => {}
        }
    }
    environment
}

#[test]
fn one_file_is_everything_that_another_machine_needs() {
    let host = Host::with_busybox();
    let file = bundle(&host);
    assert_eq!(fs::metadata(&file).expect("stat").permissions().mode() & 0o7777, 0o755);
    let bytes = fs::read(&file).expect("read");
    bundle(&host);
    assert!(fs::read(&file).expect("read") == bytes, "the same inputs give the same bytes");
    let directory = host.home().join("a class/there");
    let output = unpack(&host, &file, &directory).run().ok();
    output.stdout_has("unpacked into").stdout_has("Every lesson can be done here").stdout_has("mini learn");
    let program = directory.join("mini");
    assert!(fs::read(&program).expect("read") == fs::read(host.binary()).expect("read"));
    let bundled = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).env_clear().envs(elsewhere(&host)).current_dir("/");
        Mini::new(command).patient(2)
    };
    assert_eq!(bundled(&["learn", "--list", "--json"]).run().ok().lines().len(), LESSONS.len());
    bundled(&["images"]).run().ok().stdout_has("busybox");
    bundled(&["run", "--rm", "--pull", "never", "busybox", "echo", "here"]).run().ok().stdout("here\n");
    bundled(&["learn", "uts", "--json"]).run().ok().stdout_has("\"step\":\"done\"");
    for (language, word) in [("en", "namespace"), ("ko", "네임스페이스")] {
        let lessons = fs::read_dir(directory.join("lessons").join(language)).expect("lessons");
        assert_eq!(lessons.count(), LESSONS.len());
        let text =
            fs::read_to_string(directory.join(format!("lessons/{language}/01-uts.txt"))).expect("a lesson");
        assert!(text.contains(word), "{text}");
    }
    assert!(fs::read_to_string(directory.join("README.txt")).expect("read").contains("busybox:latest"));
    // By another image, and what is not here.
    host.mini(["class", "bundle", "--image", "none"])
        .arg(&file)
        .run()
        .error(1, &["no such image: none:latest"]);
    host.mini(["class", "bundle", "/dev/null"]).run().error(1, &["/dev/null is no file"]);
    assert!(fs::read(&file).expect("read") == bytes, "what could not be written anew stays as it was");
    let end = |name: &str| host.home().join(name);
    for root in ["there", "runs", "a class"] {
        fs::remove_dir_all(end(root)).expect("remove");
    }
}

#[test]
fn a_damaged_bundle_unpacks_nothing() {
    let host = Host::with_busybox();
    let file = bundle(&host);
    let whole = fs::read(&file).expect("read");
    let mut bit = whole.clone();
    let middle = bit.len() / 2;
    bit[middle] ^= 1;
    let directory = host.home().join("there");
    for (what, bytes) in
        [("a bit", bit.as_slice()), ("its end", &whole[..whole.len() - 1]), ("half", &whole[..middle])]
    {
        fs::write(&file, bytes).expect("write");
        let output = unpack(&host, &file, &directory).run().code(1);
        assert!(output.err().contains("lessons.sh: this file is damaged"), "{what}: {output}");
        assert!(!directory.exists(), "{what}");
    }
    // A blob of the store that is damaged becomes no bundle, and no disk is full of half of one.
    fs::remove_file(&file).expect("remove");
    let blobs = fs::read_dir(host.root().join("image/blobs/sha256")).expect("blobs").flatten();
    let largest = blobs.max_by_key(|blob| blob.metadata().expect("stat").len()).expect("a blob").path();
    let honest = fs::read(&largest).expect("read");
    let mut bytes = honest.clone();
    bytes[100] ^= 1;
    fs::write(&largest, bytes).expect("write");
    host.mini(["class", "bundle"]).arg(&file).run().error(1, &["damaged"]);
    assert_eq!(fs::read_dir(host.work()).expect("read").count(), 0);
    fs::write(&largest, honest).expect("write");
}

#[test]
fn the_next_student_finds_nothing_of_the_last_one() {
    let host = Host::with_busybox();
    host.start(["--name", "web", "-v", "named:/data", "-v", "/anonymous", "busybox", "sleep", "1000"]);
    host.mini(["create", "--name", "made", "busybox"]).run().ok();
    host.mini(["run", "--name", "done", "busybox", "true"]).run().ok();
    host.mini(["volume", "create", "alone"]).run().ok();
    host.mini(["secret", "create", "password", "-"]).stdin("x").run().ok();
    host.mini(["learn", "uts", "--json"]).patient(2).run().ok();
    let images = host.mini(["images"]).run().ok().text();
    let foreign = host.work().join("own");
    fs::write(&foreign, "x").expect("write");
    // Whoever says no keeps everything.
    let mut terminal = host.mini(["class", "reset"]).terminal(24, 100);
    terminal.expect_screen("[y/N]");
    terminal.send("n\r");
    terminal.ends_with(0);
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 3);
    host.mini(["class", "reset", "--json"]).run().error(1, &["--force"]);
    let gone = host.mini(["class", "reset", "-f", "--json"]).run().ok().stderr("");
    let gone: Value = serde_json::from_str(&gone.line()).expect("JSON");
    let expected = serde_json::json!({
        "containers": 3, "volumes": 2, "secrets": 1, "networks": 1, "lessons": 1, "repaired": 0, "failed": 0,
    });
    assert_eq!(gone, expected);
    for list in [&["ps", "-aq"][..], &["volume", "ls", "-q"], &["secret", "ls", "-q"]] {
        host.mini(list).run().ok().stdout("");
    }
    assert!(!host.tool("ip", ["link"]).contains("mini0"));
    let lessons = host.mini(["learn", "--list", "--json"]).run().ok();
    lessons.stdout_lacks("\"done\":true");
    assert_eq!(host.mini(["images"]).run().ok().text(), images);
    assert!(foreign.exists());
    // Again there is nothing to do; and whoever was killed has left nothing either.
    let container = host.start(["busybox", "sleep", "1000"]);
    let (init, monitor) = (container.pid(), container.monitor());
    processes::kill(monitor);
    processes::wait_for_end(init);
    host.mini(["class", "reset", "--force"]).run().ok().stdout_has("containers: 1").stdout_has("volumes: 0");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["run", "--rm", "--network", "none", "busybox", "echo", "ready"]).run().ok().stdout("ready\n");
}
