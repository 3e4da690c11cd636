//! `mini system check`: what a crash left is found, named, and removed when asked; what lives is left alone.

use std::fs;

use tests::{Container, Host, Image, cgroups, leftovers, processes};

/// It is found, by something that holds `named`; repaired; and gone.
#[track_caller]
fn found_and_repaired(host: &Host, named: &str) {
    let check = host.mini(["system", "check"]).run().code(1).stdout_has(named);
    assert!(!check.err().contains("panicked"), "{check}");
    let again = host.mini(["system", "check"]).run().code(1);
    assert_eq!(again.text(), check.text(), "looking changes nothing");
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has(named);
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn a_clean_host_is_clean() {
    let host = Host::new();
    host.mini(["system", "check"]).run().ok();
    host.load(&Image::busybox(), "busybox:latest");
    host.start(["-p", "8080:80", "busybox", "sleep", "1000"]);
    host.mini(["run", "--name", "ended", "busybox", "true"]).run().ok();
    host.mini(["system", "check"]).run().ok();
    host.mini(["system", "check", "--repair"]).run().ok();
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 2, "repair took what was whole");
}

/// A container whose monitor was killed.
fn orphan<'host>(host: &'host Host, options: &[&str]) -> Container<'host> {
    let output = host.mini(["run", "-d"]).args(options).args(["busybox", "sleep", "1000"]).run().ok();
    let container = Container::new(host, output.line());
    let init = container.pid();
    processes::kill(processes::status(init, "PPid").and_then(|pid| pid.parse().ok()).expect("a monitor"));
    processes::wait_for_end(init);
    container
}

#[test]
fn cgroups_ports_and_leases_of_a_killed_monitor() {
    let host = Host::with_busybox();
    let container = orphan(&host, &["-p", "8080:80"]);
    host.mini(["system", "check"]).run().code(1);
    host.mini(["system", "check", "--repair"]).run().ok();
    host.mini(["system", "check"]).run().ok();
    let inner: Vec<_> = cgroups::directories_of(&host.cgroup_parent())
        .iter()
        .flat_map(|top| cgroups::below(top))
        // All monitors share that one.
        .filter(|inner| !inner.ends_with("monitor"))
        .collect();
    assert_eq!(inner, Vec::<std::path::PathBuf>::new());
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (137)");
    host.mini(["run", "--rm", "-p", "8080:80", "busybox", "true"]).run().ok();
    container.remove();
    assert_eq!(leftovers::find(&host), Vec::<String>::new());
}

#[test]
fn a_container_with_rm_whose_monitor_was_killed() {
    let host = Host::with_busybox();
    let container = orphan(&host, &["--rm"]);
    found_and_repaired(&host, container.short());
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    assert_eq!(leftovers::find(&host), Vec::<String>::new());
}

#[test]
fn a_container_that_waits_for_its_first_start_is_left_alone() {
    let host = Host::with_busybox();
    host.mini(["create", "--rm", "--name", "waits", "busybox", "echo", "x"]).run().ok();
    for command in [&["system", "check"][..], &["system", "check", "--repair"]] {
        host.mini(command).run().ok().stdout("");
    }
    host.mini(["start", "-a", "waits"]).run().ok().stdout("x\n");
    assert_eq!(leftovers::find(&host), Vec::<String>::new());
}

#[test]
fn a_cgroup_without_a_container() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    let stray = "0123456789ab".repeat(6)[..64].to_owned();
    for top in cgroups::directories_of(&host.cgroup_parent()) {
        fs::create_dir(top.join(&stray)).expect("make a cgroup");
    }
    found_and_repaired(&host, &stray[..12]);
}

#[test]
fn a_directory_without_a_record() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    let stray = "fedcba987654".repeat(6)[..64].to_owned();
    for root in [host.root(), host.run_root()] {
        fs::create_dir_all(root.join("containers").join(&stray).join("upper")).expect("make a directory");
    }
    found_and_repaired(&host, &stray[..12]);
}

/// What a container has written is worth more than its record: a repair does not take it away.
#[test]
fn a_container_whose_record_is_damaged_keeps_its_files() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "sh", "-c", "echo precious >/file"]).run().ok();
    let id = host.mini(["ps", "-aq", "--no-trunc"]).run().ok().line();
    let directory = host.root().join("containers").join(&id);
    let record = fs::read(directory.join("record.json")).expect("read");
    fs::write(directory.join("record.json"), &record[..record.len() / 2]).expect("cut it");
    host.mini(["system", "check"]).run().code(1).stdout_has(&format!("{id}/record.json: damaged\n"));
    host.mini(["system", "check", "--repair"])
        .run()
        .code(1)
        .stdout_has("(not repaired: its own files lie beside it");
    assert_eq!(fs::read_to_string(directory.join("upper/file")).expect("read"), "precious\n");
    fs::write(directory.join("record.json"), record).expect("write");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["rm", &id]).run().ok();
}

#[test]
fn half_a_layer_and_a_broken_index() {
    let host = Host::with_busybox();
    let blob = fs::read_dir(host.root().join("image/blobs/sha256"))
        .expect("blobs")
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(|path| fs::metadata(path).map(|meta| meta.len()).unwrap_or(0));
    let blob = blob.expect("the layer's blob");
    let whole = fs::read(&blob).expect("read");
    fs::write(&blob, &whole[..whole.len() / 2]).expect("damage it");
    let name = blob.file_name().expect("a name").to_string_lossy().into_owned();
    host.mini(["system", "check"]).run().code(1).stdout_has(&name[..12]);
    host.mini(["system", "check", "--repair"]).run().ok();
    host.mini(["system", "check"]).run().ok();
    // The image is whole, or it is gone: never half.
    let run = host.mini(["run", "--rm", "--pull=never", "busybox", "echo", "whole"]).run();
    assert!(run.text() == "whole\n" || run.status.code() == Some(125), "{run}");
}

#[test]
fn what_lives_is_left_alone_while_others_are_repaired() {
    let host = Host::with_busybox();
    let alive = host.start(["-p", "8081:80", "busybox", "sleep", "1000"]);
    orphan(&host, &["--rm", "-p", "8080:80"]);
    host.mini(["system", "check", "--repair"]).run().ok();
    alive.sh("ip route").ok().stdout_has("default");
    assert_eq!(alive.field("/State/Running"), true);
    host.mini(["run", "--rm", "-p", "8081:80", "busybox", "true"]).run().error(125, &["8081"]);
}
