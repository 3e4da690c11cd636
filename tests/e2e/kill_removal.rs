//! SIGKILL at every operation of `stop` and `rm`, of the client and of the monitor that carries it out.

use tests::Host;
use tests::step::{Stepper, Verdict};

use crate::killing::{Scene, at_every_operation, run_works};

fn start(host: &Host) {
    host.mini(["run", "-d", "--name", "killed", "-p", "8080:80", "busybox", "sleep", "100000"]).run().ok();
}

#[test]
fn the_client_of_stop() {
    let host = Host::with_busybox();
    let scene = Scene {
        before: &start,
        command: &|host| host.mini(["stop", "-t", "0", "killed"]),
        after: &run_works,
    };
    at_every_operation(&host, "client", &scene);
}

#[test]
fn the_client_of_rm_f() {
    let host = Host::with_busybox();
    let scene =
        Scene { before: &start, command: &|host| host.mini(["rm", "-f", "killed"]), after: &run_works };
    at_every_operation(&host, "client", &scene);
}

#[test]
fn the_client_of_rm() {
    let host = Host::with_busybox();
    let ended = |host: &Host| drop(host.mini(["run", "--name", "killed", "busybox", "true"]).run().ok());
    let scene = Scene { before: &ended, command: &|host| host.mini(["rm", "killed"]), after: &run_works };
    at_every_operation(&host, "client", &scene);
}

/// The monitor's own steps while somebody stops its container: it is stepped from its start on, killed only after the end
/// of its container's init.
#[test]
fn the_monitor_while_it_tidies_up() {
    let host = Host::with_busybox();
    let scene = Scene {
        before: &|_| (),
        command: &|host| {
            host.mini(["run", "--name", "killed", "-p", "8080:80", "-m", "64m", "busybox", "true"])
        },
        after: &run_works,
    };
    let whole = Stepper::run((scene.command)(&host), |_| Verdict::GoOn, |_| false);
    whole.output.ok();
    let tidying = whole.steps.iter().rposition(|step| step.role == "init").expect("init takes steps");
    let after_init = whole.steps[tidying..].iter().filter(|step| step.role == "monitor").count();
    assert!(after_init > 2, "the monitor tidies up in {after_init} steps: {:#?}", &whole.steps[tidying..]);
    host.mini(["rm", "killed"]).run().ok();
    at_every_operation(&host, "monitor", &scene);
}
