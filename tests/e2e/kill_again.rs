//! SIGKILL at every operation of create, start, restart and rename.

use tests::{Host, Mini};

use crate::killing::{Scene, at_every_operation, run_works, settle};

/// Kills `role` everywhere in `command`, each time with a container "killed" that `make` has made.
#[track_caller]
fn kill(role: &str, make: &[&str], command: &[&str]) {
    let host = Host::with_busybox();
    let before = |host: &Host| {
        // The last round may have left one.
        host.mini(["rm", "-f", "killed", "other"]).run();
        if let Some((first, rest)) = make.split_first() {
            host.mini([*first, "--name", "killed", "-p", "8080:80"]).args(rest).run().ok();
            // How often it is asked whether the first run has been tidied up would be another number each time.
            settle(host);
        }
    };
    let command = |host: &Host| -> Mini { host.mini(command) };
    at_every_operation(&host, role, &Scene { before: &before, command: &command, after: &run_works });
}

#[test]
fn the_client_of_create() {
    kill("client", &[], &["create", "--name", "killed", "-p", "8080:80", "busybox", "true"]);
}

#[test]
fn the_client_of_start() {
    kill("client", &["create", "busybox", "true"], &["start", "-a", "killed"]);
}

#[test]
fn the_monitor_of_start() {
    kill("monitor", &["create", "busybox", "true"], &["start", "-a", "killed"]);
}

#[test]
fn the_init_of_start() {
    kill("init", &["create", "busybox", "true"], &["start", "-a", "killed"]);
}

#[test]
fn the_client_of_a_second_start() {
    kill("client", &["run", "busybox", "true"], &["start", "-a", "killed"]);
}

#[test]
fn the_client_of_restart() {
    kill("client", &["run", "-d", "busybox", "sleep", "1000"], &["restart", "-t", "0", "killed"]);
}

#[test]
fn the_client_of_rename() {
    kill("client", &["create", "busybox", "true"], &["rename", "killed", "other"]);
}
