//! SIGKILL of client, monitor and init at every operation of `run`.

use tests::Host;

use crate::killing::{Scene, at_every_operation, first_on_the_host, run_works};

/// Kills `role` everywhere in `mini run OPTIONS busybox COMMAND`.
#[track_caller]
fn kill(role: &str, options: &[&str], command: &[&str]) {
    kill_after(&|_| (), role, options, command);
}

/// The same, with something done before each round.
#[track_caller]
fn kill_after(before: &dyn Fn(&Host), role: &str, options: &[&str], command: &[&str]) {
    let host = Host::with_busybox();
    let scene = Scene {
        before,
        command: &|host| {
            let run = host.mini(["run", "--name", "killed", "-p", "8080:80"]).args(options);
            run.arg("busybox").args(command)
        },
        after: &run_works,
    };
    at_every_operation(&host, role, &scene);
}

#[test]
fn the_client_of_a_container_with_rm() {
    kill("client", &["--rm"], &["true"]);
}

#[test]
fn the_client_of_the_first_container_of_all() {
    kill_after(&first_on_the_host, "client", &["--rm"], &["true"]);
}

#[test]
fn the_monitor_of_a_container_with_rm() {
    kill("monitor", &["--rm"], &["true"]);
}

#[test]
fn the_init_of_a_container_with_rm() {
    kill("init", &["--rm"], &["true"]);
}

#[test]
fn the_client_of_a_container_that_stays() {
    kill("client", &[], &["true"]);
}

#[test]
fn the_monitor_of_a_container_that_stays() {
    kill("monitor", &[], &["true"]);
}

#[test]
fn the_init_of_a_container_that_stays() {
    kill("init", &[], &["true"]);
}

#[test]
fn the_client_of_a_detached_container() {
    kill("client", &["-d"], &["sleep", "1000"]);
}

#[test]
fn the_monitor_of_a_detached_container() {
    kill("monitor", &["-d"], &["sleep", "1000"]);
}

#[test]
fn the_monitor_of_a_container_with_host_users() {
    kill("monitor", &["--rm", "--userns=host"], &["true"]);
}

#[test]
fn the_init_of_a_container_with_limits_and_volumes() {
    let options = [
        "--rm",
        "-m",
        "64m",
        "--cpus",
        "1",
        "--pids-limit",
        "9",
        "-v",
        "/run/mini-test/work:/data",
        "--tmpfs",
        "/x",
    ];
    kill("init", &options, &["true"]);
}

#[test]
fn the_init_of_a_container_with_an_init() {
    kill("init", &["--rm", "--init"], &["true"]);
}

#[test]
fn the_program_of_a_container_with_an_init() {
    kill("program", &["--rm", "--init"], &["true"]);
}
