//! SIGKILL at every operation of `run` and `start` of a container that lives in another one's namespaces.

use tests::Host;

use crate::killing::{Scene, at_every_operation, run_works};

/// What is joined: everything that can be.
const JOINS: [&str; 5] = [
    "--network=container:web",
    "--pid=container:web",
    "--ipc=container:web",
    "--uts=container:web",
    "--cgroupns=container:web",
];

/// Its donor runs, whatever the last round left.
fn before(host: &Host) {
    host.mini(["rm", "-f", "killed", "web"]).run();
    let web = ["run", "-d", "--name", "web", "--ipc", "shareable", "busybox", "sleep", "1000"];
    host.mini(web).run().ok();
}

/// Kills `role` everywhere in a run that joins `web`.
#[track_caller]
fn kill(role: &str, options: &[&str], command: &[&str]) {
    let host = Host::with_busybox();
    let scene = Scene {
        before: &before,
        command: &|host| {
            host.mini(["run", "--name", "killed"]).args(JOINS).args(options).arg("busybox").args(command)
        },
        after: &run_works,
    };
    at_every_operation(&host, role, &scene);
}

#[test]
fn the_client() {
    kill("client", &["--rm"], &["true"]);
}

#[test]
fn the_monitor() {
    kill("monitor", &["--rm"], &["true"]);
}

#[test]
fn the_helpers() {
    kill("helper", &["--rm"], &["true"]);
}

#[test]
fn the_init() {
    kill("init", &["--rm"], &["true"]);
}

#[test]
fn the_monitor_of_one_that_stays() {
    kill("monitor", &["-d"], &["sleep", "1000"]);
}

#[test]
fn the_monitor_of_one_among_the_hosts_processes() {
    let host = Host::with_busybox();
    let scene = Scene {
        before: &|host| drop(host.mini(["rm", "-f", "killed"]).run()),
        command: &|host| host.mini(["run", "--rm", "--name", "killed", "--pid=host", "busybox", "true"]),
        after: &run_works,
    };
    at_every_operation(&host, "monitor", &scene);
}

#[test]
fn the_client_of_start() {
    let host = Host::with_busybox();
    let scene = Scene {
        before: &|host| {
            before(host);
            host.mini(["create", "--name", "killed"]).args(JOINS).args(["busybox", "true"]).run().ok();
        },
        command: &|host| host.mini(["start", "-a", "killed"]),
        after: &run_works,
    };
    at_every_operation(&host, "client", &scene);
}
