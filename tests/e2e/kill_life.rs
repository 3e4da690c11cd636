//! SIGKILL at every operation of what changes a container's life, and of the monitor while it checks, rotates and packs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::step::{Step, Stepper, Verdict};
use tests::{Host, Mini, processes, wait};

use crate::killing::{Scene, at_every_operation, run_works, settle};

/// Kills the client everywhere in `command`, each time with a container "killed" that runs `program`; `first` is done before.
#[track_caller]
fn kill(program: &[&str], first: &[&str], command: &[&str]) {
    let host = Host::with_busybox();
    let before = |host: &Host| {
        // The last round may have left one.
        host.mini(["rm", "-f", "killed"]).run();
        host.mini(["run", "-d", "--name", "killed", "busybox"]).args(program).run().ok();
        if !first.is_empty() {
            host.mini(first).run().ok();
        }
    };
    let command = |host: &Host| -> Mini { host.mini(command) };
    at_every_operation(&host, "client", &Scene { before: &before, command: &command, after: &run_works });
}

const SLEEP: [&str; 2] = ["sleep", "1000"];

#[test]
fn the_client_of_pause() {
    kill(&SLEEP, &[], &["pause", "killed"]);
}

#[test]
fn the_client_of_unpause() {
    kill(&SLEEP, &["pause", "killed"], &["unpause", "killed"]);
}

/// Frozen or not, as the kernel has it: what a killed `pause` and `unpause` leave can be paused, let go on, and stopped.
#[test]
fn what_was_half_paused_is_told_as_it_is_and_can_be_let_go_on() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "killed", "busybox", "sleep", "1000"]);
    for verb in ["pause", "unpause"] {
        let prepare = || {
            let paused = container.field("/State/Paused") == true;
            if paused == (verb == "pause") {
                host.mini([if paused { "unpause" } else { "pause" }, "killed"]).run().ok();
            }
        };
        prepare();
        let whole = Stepper::run(host.mini([verb, "killed"]), |_| Verdict::GoOn, |_| true);
        let count = whole.steps.iter().filter(|step| step.role == "client").count();
        assert!(count > 1, "{:#?}", whole.steps);
        for index in 0..count {
            prepare();
            let here = |step: &Step| step.role == "client" && step.index == index;
            let judge = |step: &Step| if here(step) { Verdict::Kill } else { Verdict::GoOn };
            let killed = Stepper::run(host.mini([verb, "killed"]), judge, |_| true).killed;
            assert_eq!(killed.len(), 1);
            let paused = container.field("/State/Paused") == true;
            let works = host.mini(["exec", "killed", "true"]).run().status.success();
            assert_eq!(paused, !works, "{verb} killed before {killed:?}");
        }
    }
}

#[test]
fn the_client_of_kill() {
    kill(&SLEEP, &[], &["kill", "killed"]);
}

#[test]
fn the_client_of_wait() {
    kill(&["sleep", "0.2"], &[], &["wait", "killed"]);
}

#[test]
fn the_client_of_attach() {
    kill(&["sleep", "0.3"], &[], &["attach", "--no-stdin", "killed"]);
}

/// `--cidfile` and `--pidfile`: whole, or not there.
fn files(role: &str) {
    let host = Host::with_busybox();
    let place = |name: &str| host.work().join(name);
    let (id, pid) = (place("id"), place("pid"));
    let flags = [format!("--cidfile={}", id.display()), format!("--pidfile={}", pid.display())];
    let remove = || {
        // What a round has not come to make is not there.
        let _ = (fs::remove_file(&id), fs::remove_file(&pid));
    };
    let scene = Scene {
        before: &|_| remove(),
        command: &|host| {
            host.mini(["run", "--rm", "--name", "killed"]).args(&flags).args(["busybox", "true"])
        },
        after: &|host| {
            let whole = |path: &Path, longest: usize| {
                fs::read_to_string(path).map_or(true, |text| !text.is_empty() && text.len() <= longest)
            };
            assert!(whole(&id, 64) && fs::read_to_string(&id).map_or(true, |text| text.len() == 64));
            assert!(whole(&pid, 7));
            run_works(host);
        },
    };
    at_every_operation(&host, role, &scene);
    remove();
}

#[test]
fn the_client_of_a_run_that_writes_its_id_down() {
    files("client");
}

#[test]
fn the_monitor_of_a_run_that_writes_its_process_down() {
    files("monitor");
}

#[test]
fn the_client_of_a_create_that_writes_its_id_down() {
    let host = Host::with_busybox();
    let id = host.work().join("id");
    let flag = format!("--cidfile={}", id.display());
    let scene = Scene {
        before: &|host| {
            let _ = fs::remove_file(&id);
            host.mini(["rm", "-f", "killed"]).run();
        },
        command: &|host| host.mini(["create", "--name", "killed", &flag, "busybox", "true"]),
        after: &run_works,
    };
    at_every_operation(&host, "client", &scene);
}

/// A check goes with the container, and its state is told as it was last.
#[test]
fn a_monitor_that_is_killed_while_it_checks() {
    let host = Host::with_busybox();
    let flags =
        ["--health-cmd", "echo begun; exec sleep 2345", "--health-interval", "50ms", "--name", "killed"];
    let container = host.start([&flags[..], &["busybox", "sleep", "1000"]].concat());
    for _ in 0..3 {
        let check = || container.commands().contains(&"sleep 2345".to_owned());
        wait::until("a check that runs", || check().then_some(()));
        let inside = processes::namespace(container.pid(), "pid");
        let (init, monitor) = (container.pid(), container.monitor());
        processes::kill(monitor);
        processes::wait_for_end(init);
        wait::until("the end of all its processes", || {
            processes::all().iter().all(|pid| processes::namespace(*pid, "pid") != inside).then_some(())
        });
        assert_eq!(container.field("/State/Health/Status"), "starting");
        host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (137)");
        host.mini(["system", "check", "--repair"]).run().ok();
        host.mini(["start", "killed"]).run().ok();
    }
}

/// What a log says that a monitor was killed in: `seq`, from somewhere on, without a gap, and nothing twice.
#[track_caller]
fn in_order(host: &Host, place: &str) -> usize {
    let lines = host.mini(["logs", "killed"]).run().ok().lines();
    let numbers: Vec<usize> =
        lines.iter().map(|line| line.parse().unwrap_or_else(|_| panic!("{place}: {line:?}"))).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{place}: {numbers:?}");
    numbers.last().copied().unwrap_or(0)
}

fn log_of(host: &Host) -> PathBuf {
    host.mini(["inspect", "-f", "{{.LogPath}}", "killed"]).run().ok().line().into()
}

/// How many whole entries there are in the files of a log.
fn entries(log: &Path) -> usize {
    let read = |number: usize| {
        let file = if number == 0 { log.to_owned() } else { log.with_extension(format!("log.{number}")) };
        fs::read_to_string(&file).or_else(|_| {
            let packed = fs::File::open(file.with_extension(format!("{number}.gz")))?;
            std::io::read_to_string(flate2::read::GzDecoder::new(packed))
        })
    };
    let texts = (0..9).filter_map(|number| read(number).ok());
    texts.map(|text| text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count()).sum()
}

/// Kills the monitor, or whoever packs for it, before each operation on the log.
#[track_caller]
fn killed_in_its_log(driver: &str) {
    let host = Host::with_busybox();
    let options = ["--log-driver", driver, "--log-opt", "max-size=1k", "--log-opt", "max-file=3"];
    let run = || {
        let run = host.mini(["run", "--name", "killed"]).args(options);
        run.args(["busybox", "sh", "-c", "i=0; while [ $i -lt 90 ]; do i=$((i+1)); echo $i; done"])
    };
    let in_the_log = |step: &Step| step.role == "monitor" && step.call.contains("container.log");
    let whole = Stepper::run(run(), |_| Verdict::GoOn, |_| false);
    whole.output.ok();
    assert_eq!(in_order(&host, "undisturbed"), 90);
    let count = whole.steps.iter().filter(|step| in_the_log(step)).count();
    assert!(count > 12, "{:#?}", whole.steps);
    host.mini(["rm", "-f", "killed"]).run().ok();
    let mut reached = 0;
    for at in 0..count {
        let mut seen = 0;
        let stepped = Stepper::run(
            run(),
            |step| {
                let here = in_the_log(step) && seen == at;
                seen += usize::from(in_the_log(step));
                if here { Verdict::Kill } else { Verdict::GoOn }
            },
            |_| true,
        );
        let place = format!("killed before {:?}", stepped.killed);
        reached += stepped.killed.len();
        settle(&host);
        wait::until("its end", || host.mini(["ps", "-q"]).run().ok().text().is_empty().then_some(()));
        let last = in_order(&host, &place);
        let shown = host.mini(["logs", "killed"]).run().ok().lines().len();
        assert_eq!(shown, entries(&log_of(&host)), "{place}: everything that is in the files");
        // The next monitor goes on where this one was.
        host.mini(["system", "check", "--repair"]).run().ok();
        host.mini(["start", "-a", "killed"]).run().ok().stdout_has("90\n");
        let lines = host.mini(["logs", "killed"]).run().ok().lines();
        assert_eq!(lines.last().map(String::as_str), Some("90"), "{place}");
        let begin = lines.iter().rposition(|line| line == "1").unwrap_or(0);
        let again: Vec<_> = lines[begin..].iter().map(|line| line.parse::<usize>().expect("whole")).collect();
        assert!(again.windows(2).all(|pair| pair[1] == pair[0] + 1), "{place}: {again:?}");
        assert!(last <= 90);
        host.mini(["rm", "-f", "killed"]).run().ok();
    }
    assert!(reached * 5 >= count * 4, "only {reached} of {count} were reached");
}

#[test]
fn the_monitor_that_turns_its_log_over() {
    killed_in_its_log("json-file");
}

#[test]
fn the_monitor_that_packs_its_log() {
    killed_in_its_log("local");
}

/// At any moment, not only before an operation: between two `write`s, and in the middle of one.
#[test]
fn a_monitor_that_is_killed_while_much_is_written() {
    let host = Host::with_busybox();
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=50"];
    for _ in 0..12 {
        let script = "i=0; while :; do i=$((i+1)); echo $i; done";
        let container =
            host.start([&["--name", "killed"], &options[..], &["busybox", "sh", "-c", script]].concat());
        wait::until("a log that was turned over", || {
            log_of(&host).with_extension("log.1").exists().then_some(())
        });
        let init = container.pid();
        processes::kill(container.monitor());
        processes::wait_for_end(init);
        // A line takes less than 100 bytes: what was turned over alone has that many.
        let last = in_order(&host, "killed");
        assert!(last > 200, "{last}");
        // Nothing that follows is lost for half a line that stands before it.
        host.mini(["system", "check", "--repair"]).run().ok();
        let mut client = host.spawn(["start", "-a", "killed"]);
        assert_eq!(client.line(), "1");
        host.mini(["kill", "killed"]).run().ok();
        let lines = host.mini(["logs", "killed"]).run().ok().lines();
        assert!(lines.contains(&"1".to_owned()) || lines.len() > 1000);
        host.mini(["rm", "-f", "killed"]).run().ok();
    }
}

/// What a killed writer left of a line is skipped, and takes none with it: neither of the journal nor of a log.
#[test]
fn half_a_line_takes_no_other_with_it() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "killed", "busybox", "sh", "-c", "echo first"]);
    container.wait();
    let append = |path: PathBuf, text: &str| {
        let mut file = fs::OpenOptions::new().append(true).open(path).expect("open");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("write");
    };
    append(host.root().join("events/journal"), "{\"time\":17,\"kind\":\"conta");
    append(log_of(&host), "{\"log\":\"half");
    host.mini(["rename", "killed", "other"]).run().ok();
    host.mini(["start", "-a", "other"]).run().ok();
    host.mini(["logs", "other"]).run().ok().stdout("first\nfirst\n");
    let events = host.mini(["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
    let actions = events.args(["--filter", "type=container"]).run().ok().lines();
    assert_eq!(actions, ["create", "start", "die", "rename", "attach", "start", "die"]);
}

/// Of the events that a command writes at once, and of those of several commands, none is lost before the one that was killed.
#[test]
fn whoever_is_killed_while_it_writes_events_loses_none_before() {
    let host = Host::with_busybox();
    let events = || {
        let events = host.mini(["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
        events.args(["--filter", "type=container"]).run().ok().lines()
    };
    host.mini(["create", "--name", "killed", "busybox", "true"]).run().ok();
    let rename = |to: &str| {
        let from = host.mini(["ps", "-a", "--format", "{{.Names}}"]).run().ok().line();
        host.mini(["rename", &from, to])
    };
    let whole = Stepper::run(rename("other"), |_| Verdict::GoOn, |_| true);
    let count = whole.steps.iter().filter(|step| step.role == "client").count();
    for index in 0..count {
        let before = events();
        let here = |step: &Step| step.role == "client" && step.index == index;
        let judge = |step: &Step| if here(step) { Verdict::Kill } else { Verdict::GoOn };
        Stepper::run(rename(&format!("name{index}")), judge, |_| true);
        let after = events();
        assert!(after.starts_with(&before) && after.len() <= before.len() + 1, "{before:?} {after:?}");
        // Neither of the two names that it was between is lost: not for it, not for another.
        let now = host.mini(["ps", "-a", "--format", "{{.Names}}"]).run().ok().line();
        let tried = format!("name{index}");
        if now != tried {
            rename(&tried).run().ok();
        }
        rename(&format!("again{index}")).run().ok();
        host.mini(["create", "--name", &tried, "busybox", "true"]).run().ok();
        host.mini(["rm", &tried]).run().ok();
        host.mini(["system", "check", "--repair"]).run().ok();
        host.mini(["system", "check"]).run().ok().stdout("");
    }
}
