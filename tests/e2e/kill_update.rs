//! SIGKILL of `update` at every operation: of a container that runs, and of one that does not.

use tests::step::{Step, Stepper, Verdict};
use tests::{Container, Host};

use crate::killing::{Scene, at_every_operation, run_works};

const FLAGS: [&str; 8] = ["-m", "96m", "--memory-swap", "100m", "--pids-limit", "9", "--cpu-shares", "77"];

#[test]
fn the_client_of_update_of_what_runs() {
    let host = Host::with_busybox();
    let start = |host: &Host| {
        host.mini(["rm", "-f", "killed"]).run();
        host.mini(["run", "-d", "--name", "killed", "-m", "64m", "busybox", "sleep", "1000"]).run().ok();
    };
    let scene = Scene {
        before: &start,
        command: &|host| host.mini(["update"]).args(FLAGS).arg("killed"),
        after: &run_works,
    };
    at_every_operation(&host, "client", &scene);
}

#[test]
fn the_client_of_update_of_what_was_made() {
    let host = Host::with_busybox();
    let create = |host: &Host| {
        host.mini(["rm", "-f", "killed"]).run();
        host.mini(["create", "--name", "killed", "busybox", "true"]).run().ok();
    };
    let scene = Scene {
        before: &create,
        command: &|host| host.mini(["update"]).args(FLAGS).arg("killed"),
        after: &run_works,
    };
    at_every_operation(&host, "client", &scene);
}

/// Whatever was done when it was killed: the container runs on, can be changed again, and is then as it was asked to be.
#[test]
fn an_update_that_was_killed_can_be_made_again() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "-m", "64m", "busybox", "sleep", "1000"]);
    let command = |flags: &[&str]| host.mini(["update"]).args(flags).arg("box");
    let other = ["-m", "64m", "--memory-swap", "128m", "--pids-limit", "8", "--cpu-shares", "55"];
    let whole = Stepper::run(command(&FLAGS), |_| Verdict::GoOn, |_| true);
    let steps = whole.steps.iter().filter(|step| step.role == "client").count();
    assert!(steps > 5, "{:#?}", whole.steps);
    for step in 0..steps {
        command(&other).run().ok();
        let here = |at: &Step| at.role == "client" && at.index == step;
        let killed = Stepper::run(
            command(&FLAGS),
            |at| if here(at) { Verdict::Kill } else { Verdict::GoOn },
            |_| true,
        );
        assert_eq!(killed.killed.len(), 1, "step {step}");
        agree(&container, &command, &killed.killed);
    }
}

#[track_caller]
fn agree(container: &Container<'_>, command: &dyn Fn(&[&str]) -> tests::Mini, place: &impl std::fmt::Debug) {
    command(&FLAGS).run().ok();
    let kernel = container.cgroup_file("pids", "pids.max", "pids.max");
    let memory = container.cgroup_file("memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!((kernel.as_str(), memory.as_str()), ("9", "100663296"), "{place:?}");
    assert_eq!(container.field("/HostConfig/PidsLimit"), 9, "{place:?}");
    assert_eq!(container.field("/HostConfig/Memory"), 100_663_296, "{place:?}");
}
