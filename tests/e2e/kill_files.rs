//! SIGKILL at every operation of `cp`, `export`, `save`, and of whatever makes, fills and removes volumes and secrets.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{Host, Image, Tarball, wait};

use crate::killing::{Scene, at_every_operation, first_on_the_host};
use crate::volume_content::data;

/// busybox with something to fill a volume with.
fn image() -> Image {
    Image::busybox().with(
        Tarball::new()
            .directory("data", 0o750)
            .file("data/file", 0o640, vec![b'x'; 100_000])
            .directory("data/dir", 0o700)
            .hardlink("data/dir/again", "data/file")
            .symlink("data/link", "file"),
    )
}

/// A host with [`image`] and a directory of its own.
fn host() -> Host {
    let host = Host::new();
    host.load(&image(), "filled:latest");
    fs::create_dir(shared(&host)).expect("mkdir");
    host
}

fn shared(host: &Host) -> PathBuf {
    host.work().join("shared")
}

/// Kills `role` everywhere in a command, with what comes before and what must be true afterwards.
#[track_caller]
fn kill(role: &str, before: &dyn Fn(&Host), command: &dyn Fn(&Host) -> tests::Mini, after: &dyn Fn(&Host)) {
    let host = host();
    at_every_operation(&host, role, &Scene { before, command, after });
    host.mini(["volume", "prune", "-af"]).run().ok();
}

/// Makes a container "box" that sees the host's directory.
fn container(host: &Host, running: bool) {
    for entry in fs::read_dir(shared(host)).expect("read").flatten() {
        fs::remove_file(entry.path()).expect("rm");
    }
    let volume = format!("{}:/shared", shared(host).display());
    let make: &[&str] = if running { &["run", "-d"] } else { &["create"] };
    host.mini(make).args(["--name", "box", "-v", &volume, "filled", "sleep", "1000"]).run().ok();
}

/// A directory holds what was to be put there, or nothing; and never anything else.
#[track_caller]
fn nothing_else(directory: &Path, name: &str) {
    let names: Vec<_> =
        fs::read_dir(directory).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert!(names.iter().all(|there| there == name), "{names:?}");
}

fn copy_in(running: bool) {
    let source = |host: &Host| {
        let source = host.home().join("new");
        fs::write(&source, "new").expect("write");
        source.display().to_string()
    };
    kill(
        "client",
        &|host| container(host, running),
        &|host| host.mini(["cp", &source(host), "box:/shared/"]),
        &|host| {
            nothing_else(&shared(host), "new");
            container(host, running);
            host.mini(["cp", &source(host), "box:/shared/"]).run().ok();
            assert_eq!(fs::read_to_string(shared(host).join("new")).expect("read"), "new");
            host.mini(["rm", "-f", "box"]).run().ok();
        },
    );
}

#[test]
fn the_client_of_cp_into_what_runs() {
    copy_in(true);
}

#[test]
fn the_client_of_cp_into_what_does_not_run() {
    copy_in(false);
}

fn copy_out(running: bool) {
    let end = |host: &Host| format!("{}/file", shared(host).display());
    kill(
        "client",
        &|host| container(host, running),
        &|host| host.mini(["cp", "box:/data/file", &end(host)]),
        &|host| {
            nothing_else(&shared(host), "file");
            container(host, running);
            host.mini(["cp", "box:/data/file", &end(host)]).run().ok();
            assert_eq!(fs::metadata(end(host)).expect("stat").len(), 100_000);
            host.mini(["rm", "-f", "box"]).run().ok();
        },
    );
}

#[test]
fn the_client_of_cp_out_of_what_runs() {
    copy_out(true);
}

#[test]
fn the_client_of_cp_out_of_what_does_not_run() {
    copy_out(false);
}

fn export(running: bool) {
    let out = |host: &Host| format!("{}/box.tar", shared(host).display());
    kill(
        "client",
        &|host| container(host, running),
        &|host| host.mini(["export", "-o", &out(host), "box"]),
        &|host| {
            // Whole or not there at all.
            nothing_else(&shared(host), "box.tar");
            if Path::new(&out(host)).exists() {
                assert!(host.tool("tar", ["-tf", &out(host)]).contains("data/dir/again"));
            }
            container(host, running);
            host.mini(["export", "-o", &out(host), "box"]).run().ok();
            host.mini(["rm", "-f", "box"]).run().ok();
        },
    );
}

#[test]
fn the_client_of_export_of_what_runs() {
    export(true);
}

#[test]
fn the_client_of_export_of_what_does_not_run() {
    export(false);
}

#[test]
fn the_client_of_save() {
    let out = |host: &Host| shared(host).join("filled.tar");
    kill(
        "client",
        &|host| assert!(!out(host).exists() || fs::remove_file(out(host)).is_ok()),
        &|host| host.mini(["save", "-o"]).arg(out(host)).arg("filled"),
        &|host| {
            nothing_else(&shared(host), "filled.tar");
            if out(host).exists() {
                host.mini(["load", "-i"]).arg(out(host)).run().ok();
            }
            host.mini(["save", "-o"]).arg(out(host)).arg("filled").run().ok();
        },
    );
}

/// No volume is there, or those with these names, each whole.
#[track_caller]
fn volumes_are(host: &Host, allowed: &[&str]) {
    for name in host.mini(["volume", "ls", "-q"]).run().ok().lines() {
        assert!(allowed.contains(&name.as_str()), "{name}");
        host.mini(["volume", "inspect", &name]).run().ok();
    }
}

fn remove_volumes(host: &Host) {
    host.mini(["volume", "prune", "-af"]).run().ok();
}

#[test]
fn the_client_of_volume_create() {
    kill(
        "client",
        &remove_volumes,
        &|host| host.mini(["volume", "create", "--label", "a=b", "one"]),
        &|host| {
            volumes_are(host, &["one"]);
            host.mini(["volume", "create", "one"]).run().ok();
        },
    );
}

fn make_volumes(host: &Host) {
    for name in ["one", "two"] {
        let fill = ["run", "--rm", "-v", &format!("{name}:/data"), "filled", "true"];
        host.mini(fill).run().ok();
    }
}

#[track_caller]
fn whole_or_gone(host: &Host) {
    volumes_are(host, &["one", "two"]);
    for name in host.mini(["volume", "ls", "-q"]).run().ok().lines() {
        assert!(data(host, &name).join("dir/again").exists(), "{name} has lost files");
    }
}

#[test]
fn the_client_of_volume_rm() {
    kill("client", &make_volumes, &|host| host.mini(["volume", "rm", "one", "two"]), &whole_or_gone);
}

#[test]
fn the_client_of_volume_prune() {
    kill("client", &make_volumes, &|host| host.mini(["volume", "prune", "-af"]), &whole_or_gone);
}

/// A volume that is there is filled, or will be by the next run: never is half of it taken for the whole.
#[track_caller]
fn filled(host: &Host) {
    volumes_are(host, &["one"]);
    let script = "wc -c < /data/file; stat -c '%a %h' /data /data/file; readlink /data/link";
    let run = ["run", "--rm", "-v", "one:/data", "filled", "sh", "-c", script];
    host.mini(run).run().ok().stdout("100000\n750 3\n640 2\nfile\n");
    assert!(data(host, "one").join("dir/again").exists());
    host.mini(["volume", "rm", "one"]).run().ok();
}

/// One volume with a name and one without.
const BOTH: [&str; 6] = ["-v", "one:/data", "-v", "/data/dir", "filled", "true"];

fn fill(role: &str, rm: bool) {
    let options = if rm { &["run", "--rm"][..] } else { &["run"][..] };
    kill(role, &remove_volumes, &|host| host.mini(options).args(BOTH), &filled);
}

#[test]
fn the_client_of_a_run_that_fills_volumes() {
    fill("client", true);
}

#[test]
fn the_client_of_a_run_that_fills_volumes_and_stays() {
    fill("client", false);
}

#[test]
fn the_monitor_of_a_run_that_fills_volumes() {
    fill("monitor", true);
}

#[test]
fn the_init_of_a_run_that_fills_volumes() {
    fill("init", true);
}

#[test]
fn the_client_of_a_create_that_fills_volumes() {
    kill("client", &remove_volumes, &|host| host.mini(["create"]).args(BOTH), &filled);
}

#[test]
fn a_run_that_is_killed_when_half_a_volume_is_filled() {
    let host = Host::new();
    let many = (0..4000).fold(Tarball::new().directory("data", 0o755), |layer, number| {
        layer.file(&format!("data/{number}"), 0o644, "content")
    });
    host.load(&Image::busybox().with(many), "many:latest");
    let words = ["run", "--rm", "--name", "box", "-v", "one:/data", "many", "sh", "-c", "ls /data | wc -l"];
    wait::until("a moment at which it is half filled", || {
        remove_volumes(&host);
        let filling = host.spawn(words);
        let count = || fs::read_dir(data(&host, "one")).map_or(0, Iterator::count);
        wait::until("the first files", || (count() > 100).then_some(()));
        tests::processes::kill(filling.pid());
        filling.wait();
        crate::killing::settle(&host);
        host.mini(["rm", "-f", "box"]).run();
        (100..4000).contains(&count()).then_some(())
    });
    host.mini(["system", "check"]).run().code(1).stdout_has("its first content was copied half");
    host.mini(words).run().ok().stdout("4000\n");
    let found = host.mini(["system", "check", "--repair"]).run().ok();
    assert!(!found.text().contains("volume"), "{found}");
    remove_volumes(&host);
}

#[test]
fn the_client_of_rm_with_volumes() {
    kill(
        "client",
        &|host| {
            remove_volumes(host);
            host.mini(["run", "--name", "box"]).args(BOTH).run().ok();
        },
        &|host| host.mini(["rm", "-v", "box"]),
        &filled,
    );
}

/// "key" is there and readable, or it is not there.
#[track_caller]
fn key(host: &Host) {
    let listed = host.mini(["secret", "ls", "--format", "{{.Name}}"]).run().ok().lines();
    if !listed.is_empty() {
        assert_eq!(listed, ["key"]);
        let shown = ["secret", "inspect", "--showsecret", "key"];
        assert_eq!(host.mini(shown).run().ok().json()[0]["SecretData"], "value");
        host.mini(["secret", "rm", "key"]).run().ok();
    }
}

fn make_key(host: &Host) {
    if host.mini(["secret", "ls", "-q"]).run().ok().text().is_empty() {
        host.mini(["secret", "create", "key", "-"]).stdin("value").run().ok();
    }
}

#[test]
fn the_client_of_secret_create() {
    let create = |host: &Host| host.mini(["secret", "create", "key", "-"]).stdin("value");
    kill("client", &key, &create, &key);
}

#[test]
fn the_client_of_secret_rm() {
    kill("client", &make_key, &|host| host.mini(["secret", "rm", "key"]), &key);
}

fn tell(role: &str) {
    let run = |host: &Host| {
        let secrets = ["--secret", "key", "--secret", "key,type=env,target=KEY"];
        host.mini(["run", "--rm"]).args(secrets).args(["filled", "true"])
    };
    kill(role, &make_key, &run, &key);
}

#[test]
fn the_client_of_a_run_that_is_told_a_secret() {
    tell("client");
}

#[test]
fn the_monitor_of_a_run_that_is_told_a_secret() {
    tell("monitor");
}

#[test]
fn the_init_of_a_run_that_is_told_a_secret() {
    tell("init");
}

#[test]
fn a_cp_that_is_killed_in_the_middle_of_a_file_leaves_no_more_than_that() {
    let host = host();
    for running in [true, false] {
        container(&host, running);
        let archive = Tarball::new().file("new", 0o644, vec![b'x'; 200_000]).finish();
        let mut copying = host.mini(["cp", "-", "box:/shared"]).start();
        copying.write(std::str::from_utf8(&archive[..100_000]).expect("text"));
        let new = shared(&host).join("new");
        wait::until("half a file", || fs::metadata(&new).is_ok_and(|meta| meta.len() > 30_000).then_some(()));
        tests::processes::kill(copying.pid());
        assert_eq!(copying.wait().status.code(), None);
        nothing_else(&shared(&host), "new");
        host.mini(["system", "check"]).run().ok().stdout("");
        assert_eq!(host.new_mounts(), Vec::<String>::new());
        // Nobody holds the container any more.
        host.mini(["cp", "-", "box:/shared"]).stdin(archive).run().ok();
        assert_eq!(fs::metadata(&new).expect("stat").len(), 200_000);
        host.mini(["rm", "-f", "box"]).run().ok();
    }
    first_on_the_host(&host);
}
