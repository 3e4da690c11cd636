//! `--explain`: every kernel operation, in order, by whoever does it, with real arguments.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::server::{Contents, ImageServer};
use tests::{Host, Image, Mini, Output, Tarball};

/// The story that a command told on standard error.
#[track_caller]
fn story(output: &Output) -> Vec<Value> {
    let parse = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}\n{output}"))
    };
    output.err().lines().filter(|line| line.starts_with('{')).map(parse).collect()
}

fn calls(story: &[Value]) -> Vec<&str> {
    story.iter().filter_map(|line| line["call"].as_str()).collect()
}

/// Where the first call that begins like this stands.
#[track_caller]
fn place(calls: &[&str], beginning: &str) -> usize {
    let found = calls.iter().position(|call| call.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no {beginning} in {calls:#?}"))
}

#[test]
fn run_tells_what_client_monitor_and_init_do() {
    let host = Host::with_busybox();
    let output =
        host.mini(["run", "--explain=json", "--rm", "busybox", "echo", "hello"]).run().ok().stdout("hello\n");
    let story = story(&output);
    for process in ["client", "monitor", "init"] {
        assert!(story.iter().any(|line| line["process"] == process), "nothing from {process}: {output}");
    }
    for line in &story {
        let said = line["step"].is_string() != line["call"].is_string();
        assert!(said, "a line is a step or an operation: {line}");
        assert!(line["pid"].is_number() && line["ns"].is_string() && line["at"].is_number(), "{line}");
        if line["call"].is_string() {
            assert!(
                line["micros"].is_number() && line["errno"].is_number() && line["shell"].is_string(),
                "{line}"
            );
        }
    }
    let calls = calls(&story);
    let order = ["clone3(", "move_mount(", "pivot_root(", "execve("];
    let places: Vec<_> = order.iter().map(|beginning| place(&calls, beginning)).collect();
    assert!(places.is_sorted(), "{places:?} in {calls:#?}");
}

#[test]
fn each_process_speaks_after_a_step_that_says_why() {
    let host = Host::with_busybox();
    let output = host.mini(["run", "--explain=json", "--rm", "busybox", "true"]).run().ok();
    let mut explained = std::collections::BTreeSet::new();
    for line in story(&output) {
        let pid = line["pid"].as_i64().expect("a number");
        match line["step"].as_str() {
            Some(why) => {
                assert!(why.len() > 10 && !why.ends_with('.'), "{why}");
                explained.insert(pid);
            }
            None => assert!(explained.contains(&pid), "an operation without a reason: {line}"),
        }
    }
}

#[test]
fn the_arguments_and_the_processes_are_real() {
    let host = Host::with_busybox();
    let container = {
        let output =
            host.mini(["run", "-d", "--explain=json", "-h", "boxed", "busybox", "sleep", "1000"]).run().ok();
        let story = story(&output);
        let container = tests::Container::new(&host, output.line());
        let all = calls(&story).join("\n");
        for real in ["boxed", container.short(), "mini0", "sleep"] {
            assert!(all.contains(real), "no {real} in {all}");
        }
        let init = story.iter().find(|line| line["process"] == "init").expect("init speaks");
        assert_eq!(init["pid"], container.pid(), "numbered as the host numbers it");
        assert_eq!(init["ns"], "container");
        container
    };
    container.remove();
}

#[test]
fn every_operation_has_a_shell_equivalent() {
    let host = Host::with_busybox();
    let output = host.mini(["run", "--explain=json", "--rm", "busybox", "true"]).run().ok();
    for line in story(&output) {
        let shell = line["shell"].as_str().unwrap_or_default();
        assert!(line["call"].is_null() || !shell.trim().is_empty(), "{line}");
    }
}

/// The real system calls of a run, by strace, and the narrated ones.
#[test]
fn no_operation_that_matters_is_left_out() {
    let host = Host::with_busybox();
    let names = ["pivot_root", "sethostname", "setns", "unshare", "move_mount", "clone3"];
    let trace = host.work().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace).args(["-e", &format!("trace={}", names.join(","))]);
    command.arg(host.binary()).args(["run", "--explain=json", "--rm", "busybox", "true"]);
    command.env_clear().envs(host.environment());
    let output = Mini::new(command).run().ok();
    let traced = fs::read_to_string(trace).expect("strace wrote it");
    let story = story(&output);
    for name in names {
        let real = traced.lines().filter(|line| line.contains(&format!(" {name}("))).count();
        let narrated = calls(&story).iter().filter(|call| call.starts_with(&format!("{name}("))).count();
        assert!(real > 0 || name == "unshare", "{name} is not called at all");
        assert_eq!(narrated, real, "{name}: narrated and called\n{traced}");
    }
}

#[test]
fn for_people_it_is_text_on_stderr() {
    let host = Host::with_busybox();
    let output =
        host.mini(["run", "--explain", "--rm", "busybox", "echo", "hello"]).run().ok().stdout("hello\n");
    for part in ["clone3(", "pivot_root(", "µs", "$ ", "init", "monitor"] {
        assert!(output.err().contains(part), "no {part:?}: {output}");
    }
}

#[test]
fn exec_stop_and_rm_tell_theirs() {
    let host = Host::with_busybox();
    host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let exec = host.mini(["exec", "--explain=json", "box", "true"]).run().ok();
    let exec_story = story(&exec);
    let exec_calls = calls(&exec_story);
    assert!(place(&exec_calls, "setns(") < place(&exec_calls, "execve("), "{exec}");
    let stop = host.mini(["stop", "--explain=json", "-t", "0", "box"]).run().ok();
    assert!(calls(&story(&stop)).iter().any(|call| call.contains("SIGKILL")), "{stop}");
    let rm = host.mini(["rm", "--explain=json", "box"]).run().ok();
    assert!(!calls(&story(&rm)).is_empty(), "{rm}");
}

#[test]
fn cp_and_export_tell_how_they_come_to_a_containers_files() {
    let host = Host::with_busybox();
    host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let to = host.work().join("passwd");
    let cp = host.mini(["cp", "--explain=json", "box:/etc/passwd"]).arg(&to).run().ok();
    let cp_story = story(&cp);
    let cp_calls = calls(&cp_story);
    let steps = ["pidfd_open(", "openat2(ROOT, \"/etc\"", "extract("];
    assert!(steps.map(|step| place(&cp_calls, step)).is_sorted(), "{cp}");
    let archive = host.work().join("box.tar");
    let export = host.mini(["export", "--explain=json", "-o"]).arg(&archive).arg("box").run().ok();
    let export_story = story(&export);
    let export_calls = calls(&export_story);
    for call in ["setns(", "open_tree(", "linkat("] {
        place(&export_calls, call);
    }
    assert!(export_story.iter().any(|line| line["process"] == "helper"), "{export}");
    host.mini(["cp", "--explain=xml", "box:/etc/passwd", "-"]).run().error(125, &["xml", "--explain"]);
}

#[test]
fn pull_tells_one_event_a_layer_with_counts() {
    let host = Host::new();
    let mut image = Image::busybox();
    for n in 0..3 {
        image = image.with(
            (0..10).fold(Tarball::new(), |layer, file| layer.file(&format!("l{n}/{file}"), 0o644, "x")),
        );
    }
    let mut contents = Contents::default();
    contents.add("a", "1", &image);
    let server = ImageServer::open(contents);
    let output = host.mini(["pull", "--explain=json", &format!("{}/a:1", server.name())]).run().ok();
    let story = story(&output);
    for layer in &image.layers {
        let diff_id = tests::image::digest(layer);
        let short = &diff_id[7..19];
        let unpacking =
            calls(&story).iter().filter(|call| call.contains(short) && call.starts_with("unpack")).count();
        assert_eq!(unpacking, 1, "{short}: {output}");
    }
}

#[test]
fn a_failure_is_told_with_its_cause() {
    let host = Host::with_busybox();
    let output = host.mini(["run", "--explain=json", "--rm", "busybox", "no-such-program"]).run().code(127);
    let failed = story(&output).into_iter().any(|line| line["errno"] == 2);
    assert!(failed, "no operation failed with ENOENT: {output}");
}

#[test]
fn an_unknown_word_is_refused() {
    let host = Host::with_busybox();
    for word in ["xml", "4", "1,fr", ""] {
        let flag = format!("--explain={word}");
        host.mini(["run", &flag, "--rm", "busybox", "true"]).run().error(125, &["--explain"]);
    }
    host.mini(["run", "--explain=xml", "--rm", "busybox", "true"]).run().error(125, &["xml", "json", "ko"]);
}

fn is_korean(text: &str) -> bool {
    text.chars().any(|letter| ('가'..='힣').contains(&letter))
}

/// The first level is why, and how long: no call, and what each step did is counted.
#[test]
fn the_story_is_told_without_its_calls() {
    let host = Host::with_busybox();
    let text =
        host.mini(["run", "--explain=1", "--rm", "busybox", "echo", "hello"]).run().ok().stdout("hello\n");
    let told = text.err();
    for part in
        ["Make the container's first process", "Become the program", " µs", "█", " calls)", "(1 call)"]
    {
        assert!(told.contains(part), "no {part:?}: {told}");
    }
    for call in ["clone3(", "execve(", "$ ", "man "] {
        assert!(!told.contains(call), "{call:?} in {told}");
    }
    let output = host.mini(["run", "--explain=json,1", "--rm", "busybox", "true"]).run().ok();
    let steps = story(&output);
    let whole = host.mini(["run", "--explain=json", "--rm", "busybox", "true"]).run().ok();
    let all = story(&whole);
    let sentences = |story: &[Value]| {
        let mut found: Vec<_> =
            story.iter().filter_map(|line| line["step"].as_str().map(str::to_owned)).collect();
        found.sort();
        found
    };
    assert_eq!(sentences(&steps), sentences(&all), "a step was lost, or told twice");
    assert!(steps.iter().all(|line| line["call"].is_null()), "{output}");
    let of = |line: &Value, name: &str| line[name].as_u64().unwrap_or(0);
    let counted: u64 = steps.iter().map(|line| of(line, "calls")).sum();
    // The client does a few things before it first says why.
    let calls = u64::try_from(calls(&all).len()).expect("a number");
    assert!(counted > 100 && counted <= calls, "{counted} of {calls}");
    assert!(steps.iter().any(|line| of(line, "micros") > 0), "{output}");
}

/// Every call of every kind of run can be read about.
#[test]
fn the_third_level_says_where_each_call_is_written_about() {
    let host = Host::with_busybox();
    let text = host.mini(["run", "--explain=3", "--rm", "busybox", "true"]).run().ok();
    for part in [
        "man clone3(2), namespaces(7)",
        "OCI config-linux.md#namespaces",
        "pivot_root(2)",
        "user_namespaces(7)",
    ] {
        assert!(text.err().contains(part), "no {part:?}: {text}");
    }
    let plain = host.mini(["run", "--explain=2", "--rm", "busybox", "true"]).run().ok();
    assert!(!plain.err().contains("namespaces(7)"), "{plain}");
    host.mini(["volume", "create", "data"]).run().ok();
    let archive = host.work().join("box.tar");
    let archive = archive.to_str().expect("UTF-8");
    let lines: &[&[&str]] = &[
        &["run", "--rm", "-p", "8080:80", "-v", "data:/data", "-m", "64m", "--init", "busybox", "true"],
        &["run", "--rm", "--privileged", "busybox", "true"],
        &[
            "run",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/x",
            "-u",
            "1000",
            "--sysctl",
            "net.ipv4.ip_forward=1",
            "busybox",
            "true",
        ],
        &["run", "-d", "--name", "box", "busybox", "sleep", "1000"],
        &["run", "--rm", "--network", "container:box", "--pid", "container:box", "busybox", "true"],
        &["exec", "box", "true"],
        &["cp", "box:/etc/passwd", "-"],
        &["export", "-o", archive, "box"],
        &["stop", "-t", "0", "box"],
        &["rm", "box"],
        &["rmi", "busybox"],
    ];
    for line in lines {
        let output = host.mini([line[0], "--explain=json,3"]).args(&line[1..]).run().ok();
        for told in story(&output) {
            assert!(told["call"].is_null() != told["man"].is_string(), "{told}");
            let spec = told["spec"].as_str().unwrap_or("x.md#y");
            assert!(spec.contains(".md#"), "{told}");
        }
    }
}

#[test]
fn colours_are_for_terminals_and_bars_for_everybody() {
    let host = Host::with_busybox();
    let shown = |variables: &[(&str, &str)]| {
        let mini = host.mini(["run", "--explain", "--rm", "busybox", "true"]);
        let mini = variables.iter().fold(mini, |mini, (key, value)| mini.env(key, value));
        let mut terminal = mini.terminal(24, 100);
        terminal.ends_with(0);
        String::from_utf8_lossy(terminal.bytes()).into_owned()
    };
    let (outside, inside) = ("\x1b[34m", "\x1b[32m");
    let coloured = shown(&[]);
    assert!(coloured.contains(outside) && coloured.contains(inside) && coloured.contains('█'), "{coloured}");
    assert!(coloured.contains("blue: on the host"), "{coloured}");
    for variables in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        let plain = shown(&[variables]);
        assert!(!plain.contains("\x1b[") && plain.contains('█') && !plain.contains("blue:"), "{plain}");
    }
    let piped = host.mini(["run", "--explain", "--rm", "busybox", "true"]).run().ok();
    assert!(!piped.err().contains('\x1b') && piped.err().contains('█'), "{piped}");
}

#[test]
fn the_story_is_told_in_korean_to_who_reads_it() {
    let host = Host::with_busybox();
    let by_word = host.mini(["run", "--explain=1,ko", "--rm", "busybox", "true"]).run().ok();
    let by_locale =
        host.mini(["run", "--explain=1", "--rm", "busybox", "true"]).env("LANG", "ko_KR.UTF-8").run().ok();
    for output in [&by_word, &by_locale] {
        let told = output.err();
        assert!(told.contains("프로그램으로 바뀐다") && told.contains("모니터"), "{told}");
        let steps = told.lines().filter(|line| line.contains('µ'));
        steps.for_each(|line| assert!(is_korean(line) && !line.contains("the "), "{line}"));
    }
    let english =
        host.mini(["run", "--explain=en", "--rm", "busybox", "true"]).env("LC_ALL", "ko_KR.UTF-8").run().ok();
    assert!(!is_korean(&english.err()) && english.err().contains("Become the program"), "{english}");
    let json = host.mini(["run", "--explain=json,ko", "--rm", "--privileged", "busybox", "true"]).run().ok();
    for line in story(&json) {
        line["step"].as_str().inspect(|step| assert!(is_korean(step), "{step}"));
    }
}
