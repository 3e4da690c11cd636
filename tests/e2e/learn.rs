//! `mini learn`, told to programs: each check fails before anybody acts, passes after, fails when it is broken, passes when it
//! is fixed, in both languages.

use serde_json::Value;
use tests::Host;

/// Every lesson, in order.
pub(crate) const LESSONS: [&str; 15] = [
    "uts",
    "mnt",
    "pid",
    "ipc",
    "user",
    "root",
    "freezer",
    "cgroup",
    "cpu",
    "rootfs",
    "net",
    "netns",
    "overlay",
    "capabilities",
    "seccomp",
];

/// What a lesson says as JSON.
#[track_caller]
fn told(host: &Host, lesson: &str, language: &str) -> Vec<Value> {
    let output = host.mini(["learn", "--json", "--lang", language, lesson]).patient(2).run().ok().stderr("");
    output.lines().iter().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The outcome of every check, with the step that it belongs to.
fn checks(told: &[Value]) -> Vec<(&str, bool)> {
    let check = |said: &Value| said["kind"] == "check";
    let outcome = |said: &'static str, value: &Value| value["check"][said].as_bool().expect("a boolean");
    told.iter()
        .filter(|said| check(said))
        .map(|said| {
            assert_eq!(outcome("passed", said), outcome("expected", said), "{said}");
            (said["step"].as_str().expect("a step"), outcome("passed", said))
        })
        .collect()
}

/// Before, after, broken, fixed.
#[track_caller]
fn goes_as_it_should(host: &Host, lesson: &str) {
    for language in ["en", "ko"] {
        let told = told(host, lesson, language);
        let expected = [("before", false), ("check", true), ("break", false), ("fix", true)];
        assert_eq!(checks(&told), expected, "{lesson} {language}");
        for said in &told {
            assert_eq!(said["lesson"], lesson);
            assert!(said["step"].is_string() && said["text"].is_string(), "{said}");
            if said["kind"] == "look" {
                assert!(said["host"].is_string() && said["inside"].is_string(), "{said}");
            }
        }
        assert!(told.iter().any(|said| said["kind"] == "op"), "what mini does is told: {lesson}");
        assert!(told.iter().any(|said| said["kind"] == "command"), "what a student types is told: {lesson}");
        for said in told.iter().filter(|said| said["kind"] == "text" || said["kind"] == "reason") {
            let text = said["text"].as_str().expect("a text");
            assert_eq!(language == "ko", text.chars().any(is_wide), "{text}");
        }
        if language == "en" {
            crate::class::is_looked_for(host, lesson, &told);
        }
    }
}

fn is_wide(letter: char) -> bool {
    ('가'..='힣').contains(&letter)
}

/// The answers to the first such question after this step, outside and inside.
#[track_caller]
fn seen<'a>(told: &'a [Value], step: &str, question: &str) -> (&'a str, &'a str) {
    let begin =
        told.iter().rposition(|said| said["step"] == step && said["kind"] != "check").expect("the step");
    let asked = |said: &&Value| {
        said["kind"] == "look" && said["text"].as_str().is_some_and(|text| text.contains(question))
    };
    let said = told[begin..].iter().find(asked).unwrap_or_else(|| panic!("no {question} after {step}"));
    (said["host"].as_str().expect("a text"), said["inside"].as_str().expect("a text"))
}

#[test]
fn uts_keeps_the_name_outside() {
    let host = Host::new();
    let before = host.tool("hostname", [""; 0]);
    goes_as_it_should(&host, "uts");
    let told = told(&host, "uts", "en");
    assert_eq!(seen(&told, "do", "hostname"), ("outside", "inside"));
    assert_eq!(seen(&told, "break", "hostname"), ("inside", "inside"));
    assert_eq!(host.tool("hostname", [""; 0]), before, "the machine's own name");
}

#[test]
fn mnt_keeps_a_mount_inside() {
    let host = Host::new();
    goes_as_it_should(&host, "mnt");
    let told = told(&host, "mnt", "en");
    let (outside, inside) = seen(&told, "do", "mountinfo");
    assert!(outside == "-" && inside.contains("/tmp/mount_ns"), "{told:#?}");
    assert!(host.new_mounts().is_empty(), "the machine's own mounts");
}

#[test]
fn pid_numbers_begin_again() {
    let host = Host::new();
    goes_as_it_should(&host, "pid");
    let told = told(&host, "pid", "en");
    assert!(seen(&told, "do", "NSpid").1.ends_with(" 1"), "{told:#?}");
    let (outside, inside) = seen(&told, "do", "ps");
    assert_eq!((outside.lines().count(), inside.lines().count()), (2, 1));
}

#[test]
fn ipc_begins_empty() {
    let host = Host::new();
    goes_as_it_should(&host, "ipc");
    let told = told(&host, "ipc", "en");
    let (outside, inside) = seen(&told, "do", "ipcs");
    assert!(outside.contains("1000") && !inside.contains("1000"), "{outside}\n{inside}");
    assert!(!host.tool("cat", ["/proc/sysvipc/shm"]).lines().any(|line| line.contains(" 1000 ")));
}

#[test]
fn user_is_nobody_and_then_root() {
    let host = Host::new();
    goes_as_it_should(&host, "user");
    let told = told(&host, "user", "en");
    let first = told.iter().find(|said| said["text"] == "id -u").expect("who it is before the map");
    assert_eq!((&first["host"], &first["inside"]), (&"0".into(), &"65534".into()));
    assert_eq!(seen(&told, "do", "id -u"), ("0", "0"));
    assert_eq!(seen(&told, "do", "uid_map").1, "0 1000 1");
    assert!(seen(&told, "do", "secret").1.contains("denied"));
    assert_eq!(seen(&told, "break", "secret").1, "root only");
}

#[test]
fn root_is_the_machines_only_where_that_is_asked_for() {
    let host = Host::new();
    goes_as_it_should(&host, "root");
    let told = told(&host, "root", "en");
    let (outside, inside) = seen(&told, "do", "ns/user");
    assert_ne!(outside, inside);
    let (outside, inside) = seen(&told, "break", "ns/user");
    assert_eq!(outside, inside);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn netns_joins_the_network_with_the_name() {
    let host = Host::new();
    goes_as_it_should(&host, "netns");
    let told = told(&host, "netns", "en");
    assert_eq!(seen(&told, "do", "ip link").1, "lo");
}

#[test]
fn freezer_stands_still() {
    let host = Host::new();
    goes_as_it_should(&host, "freezer");
    let told = told(&host, "freezer", "en");
    let (before, after) = seen(&told, "do", "SUB2").0.split_once(" → ").expect("two numbers");
    assert_eq!(before, after, "the frozen one");
    let (before, after) = seen(&told, "do", "SUB1").0.split_once(" → ").expect("two numbers");
    assert_ne!(before, after, "its neighbour");
}

#[test]
fn cgroup_paths_begin_where_one_is() {
    let host = Host::new();
    goes_as_it_should(&host, "cgroup");
    let told = told(&host, "cgroup", "en");
    assert_eq!(seen(&told, "do", "SLEEPER"), ("/sub2", "/../sub2"));
    assert_eq!(seen(&told, "do", "$PID/cgroup").1, "/");
    assert_eq!(seen(&told, "break", "SLEEPER"), ("/sub2", "/sub2"));
}

#[test]
fn cpu_is_held_at_thirty_per_cent() {
    let host = Host::new();
    goes_as_it_should(&host, "cpu");
}

#[test]
fn rootfs_lets_nobody_out() {
    let host = Host::new();
    goes_as_it_should(&host, "rootfs");
    let told = told(&host, "rootfs", "en");
    assert!(seen(&told, "do", "ls /proc").1.split(' ').any(|name| name == "inside"), "{told:#?}");
    assert!(seen(&told, "break", "ls /proc").1.split(' ').any(|name| name == "etc"), "{told:#?}");
}

#[test]
fn net_appears_piece_by_piece() {
    let host = Host::new();
    goes_as_it_should(&host, "net");
    let told = told(&host, "net", "en");
    let first = told.iter().find(|said| said["text"] == "ip link").expect("links before there is anything");
    assert_eq!(first["inside"], "lo");
    assert_eq!(seen(&told, "do", "ip link").1, "lo eth0");
    assert!(seen(&told, "do", "route").1.contains("default via"), "{told:#?}");
}

#[test]
fn overlay_leaves_the_image_alone() {
    let host = Host::new();
    goes_as_it_should(&host, "overlay");
    let told = told(&host, "overlay", "en");
    assert_eq!(seen(&told, "do", "merged/release").1, "changed");
    assert_eq!(seen(&told, "do", "image/release").1, "original");
    assert!(seen(&told, "do", "upper").1.contains("c 0, 0 other"), "a whiteout");
    assert_eq!(seen(&told, "break", "image/release").1, "changed");
}

#[test]
fn capabilities_are_what_the_kernel_asks_for() {
    let host = Host::new();
    goes_as_it_should(&host, "capabilities");
    let told = told(&host, "capabilities", "en");
    assert_eq!(seen(&told, "do", "id -u"), ("0", "0"));
    assert_eq!(seen(&told, "do", "CapEff").1, "00000000a80425fb");
}

#[test]
fn seccomp_answers_first() {
    let host = Host::new();
    goes_as_it_should(&host, "seccomp");
    let told = told(&host, "seccomp", "en");
    assert_eq!(seen(&told, "do", "Seccomp"), ("0", "2"));
    assert_eq!(seen(&told, "break", "mounted").1, "/tmp/mounted");
}

#[test]
fn lines_for_a_script_say_the_same() {
    let host = Host::new();
    let plain = host.mini(["learn", "uts", "--plain", "--lang", "en"]).run().ok().stderr("").text();
    for part in ["break it", "$ unshare --uts", "sethostname(\"inside\")", "[✗]", "[✓]", "outside:\n"] {
        assert!(plain.contains(part), "{part}: {plain}");
    }
    // Without a terminal nobody is asked; the language is the environment's.
    let korean = host.mini(["learn", "uts"]).env("LANG", "ko_KR.UTF-8").run().ok().text();
    assert!(korean.contains("깨뜨리기") && korean.contains("sethostname"), "{korean}");
    host.mini(["learn", "--plain", "no-such"]).run().error(1, &["no-such"]);
}

#[test]
fn progress_is_kept_and_forgotten() {
    let host = Host::new();
    let done = |lesson: &str| {
        let lines = host.mini(["learn", "--list", "--json"]).run().ok().lines();
        let rows: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        let names: Vec<&str> = rows.iter().filter_map(|row| row["lesson"].as_str()).collect();
        assert_eq!(names, LESSONS);
        rows.iter().any(|row| row["lesson"] == lesson && row["done"] == true)
    };
    assert!(!done("uts"));
    host.mini(["learn", "uts", "ipc", "--json"]).run().ok();
    assert!(done("uts") && done("ipc") && !done("mnt"));
    host.mini(["learn", "uts", "--reset"]).run().ok().stdout("");
    assert!(!done("uts") && done("ipc"));
    host.mini(["learn", "--reset"]).run().ok();
    assert!(!done("ipc"));
    let list = host.mini(["learn", "--list", "--lang", "ko"]).run().ok().text();
    assert!(list.starts_with("학습") && list.contains("나만의 이름") && !list.contains("uts:"), "{list}");
    // What is damaged is nothing done, and written anew.
    std::fs::write(host.root().join("learn/progress.json"), "{").expect("damage it");
    assert!(!done("ipc"));
}
