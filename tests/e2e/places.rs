//! Where things are: `--root`, `--run-root`, their variables, the configuration, and versions on disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Container, Host, Image, Mini, net, processes};

/// `mini` on other roots of the same host.
struct Roots<'host> {
    host: &'host Host,
    root: PathBuf,
    run_root: PathBuf,
}

impl<'host> Roots<'host> {
    fn new(host: &'host Host, name: &str) -> Self {
        let roots = Self {
            host,
            root: host.work().join(name).join("root"),
            run_root: host.work().join(name).join("run"),
        };
        roots.mini(&["load"]).stdin(Image::busybox().docker_archive(&["busybox:latest"])).run().ok();
        roots
    }

    fn mini(&self, args: &[&str]) -> Mini {
        let global = ["--root".into(), self.root.clone(), "--run-root".into(), self.run_root.clone()];
        self.host.mini(global).args(args)
    }

    /// Removes what runs; nothing else may be left in the run root.
    fn clear(&self) {
        let ids = self.mini(&["ps", "-aq"]).run().ok().lines();
        if !ids.is_empty() {
            self.mini(&["rm", "-f"]).args(ids).run().ok();
        }
    }
}

#[test]
fn two_roots_never_disturb_each_other() {
    let host = Host::new();
    let (one, two) = (Roots::new(&host, "one"), Roots::new(&host, "two"));
    let inspect = |roots: &Roots<'_>, pointer: &str| -> Value {
        roots.mini(&["inspect", "same"]).run().ok().json()[0].pointer(pointer).expect("it is there").clone()
    };
    for roots in [&one, &two] {
        roots.mini(&["run", "-d", "--name", "same", "busybox", "sleep", "1000"]).run().ok();
    }
    assert_ne!(inspect(&one, "/Id"), inspect(&two, "/Id"));
    assert_ne!(inspect(&one, "/NetworkSettings/IPAddress"), inspect(&two, "/NetworkSettings/IPAddress"));
    let map = |roots: &Roots<'_>| {
        let pid =
            inspect(roots, "/State/Pid").as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a number");
        processes::proc_file(pid, "uid_map").expect("it runs")
    };
    assert_ne!(map(&one), map(&two), "two containers with one range of ids");
    one.mini(&["run", "-d", "--name", "published", "-p", "8080:80", "busybox", "sleep", "1000"]).run().ok();
    two.mini(&["run", "--rm", "-p", "8080:80", "busybox", "true"]).run().error(125, &["8080"]);
    for (roots, count) in [(&one, 2), (&two, 1)] {
        assert_eq!(roots.mini(&["ps", "-q"]).run().ok().lines().len(), count);
        // One root's check is content with what the other runs, and repairs none of it.
        roots.mini(&["system", "check", "--repair"]).run().ok();
    }
    one.clear();
    two.mini(&["exec", "same", "ip", "route"]).run().ok().stdout_has("default");
    two.mini(&["exec", "same", "true"]).run().ok();
    two.clear();
    for roots in [&one, &two] {
        fs::remove_dir_all(roots.root.parent().expect("its own directory")).expect("remove the roots");
    }
}

#[test]
fn options_go_before_variables_and_variables_before_defaults() {
    let host = Host::new();
    let named = host.work().join("named");
    let archive = Image::busybox().docker_archive(&["busybox:latest"]);
    host.mini([Path::new("--root"), &named]).args(["load"]).stdin(archive.clone()).run().ok();
    assert!(named.join("image/index.json").exists() && !host.root().join("image/index.json").exists());
    host.mini(["load"]).stdin(archive.clone()).run().ok();
    assert!(host.root().join("image/index.json").exists());
    host.mini(["info"])
        .env_remove("MINI_ROOT")
        .env_remove("MINI_RUN_ROOT")
        .run()
        .ok()
        .stdout_has("/var/lib/mini");
    // `info` opened the store there; the harness insists that nothing else does.
    for entry in fs::read_dir("/var/lib/mini").expect("the host's own").flatten() {
        fs::remove_dir_all(entry.path()).expect("remove it");
    }
    fs::remove_dir_all(named).expect("remove it");
}

#[test]
fn a_relative_root_is_taken_from_where_the_command_was_typed() {
    let host = Host::new();
    let archive = Image::busybox().docker_archive(&["busybox:latest"]);
    let here = |args: &[&str]| {
        host.mini(["--root", "rel/root", "--run-root", "rel/run"]).args(args).directory(host.work())
    };
    here(&["load"]).stdin(archive).run().ok();
    here(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    let absolute = host.work().join("rel");
    let ids = host.mini([
        Path::new("--root"),
        &absolute.join("root"),
        Path::new("--run-root"),
        &absolute.join("run"),
    ]);
    assert_eq!(
        ids.args(["ps", "-q"]).run().ok().lines().len(),
        1,
        "the monitor, which left the directory, uses it too"
    );
    here(&["rm", "-f", "box"]).run().ok();
    fs::remove_dir_all(absolute).expect("remove it");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_by_name() {
    let host = Host::with_busybox();
    for (text, named) in [
        ("[cgroup]\nparrent = \"x\"\n", "parrent"),
        ("[ids]\nbase = \"many\"\n", "base"),
        ("[ids]\nbase = 0\ncount = 65536\n", "base"),
        ("[cgroup]\nparent = \"../../x\"\n", "../../x"),
        ("this is no TOML\n", "config.toml"),
        ("[network]\nsubnet = \"10.0.0.0/99\"\n", "subnet"),
    ] {
        fs::write("/etc/mini/config.toml", text).expect("write");
        let output = host.mini(["run", "--rm", "busybox", "true"]).run();
        output.error(125, &[named, "/etc/mini/config.toml"]);
    }
    host.configure("");
}

#[test]
fn the_users_configuration_lies_over_the_hosts() {
    let host = Host::with_busybox();
    let own = host.home().join(".config/mini");
    fs::create_dir_all(&own).expect("make a directory");
    fs::write(own.join("config.toml"), "[userns]\nstrict = true\n").expect("write");
    host.mini(["run", "--rm", "--privileged", "busybox", "true"]).run().error(125, &["--privileged"]);
}

#[test]
fn what_is_written_to_disk_carries_a_version() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let record = record(&host, &container);
    let text: Value = serde_json::from_slice(&fs::read(&record).expect("read")).expect("JSON");
    assert!(text["version"].as_u64().is_some_and(|version| version >= 1), "{text:#}");
    let layout: Value =
        serde_json::from_slice(&fs::read(host.root().join("image/oci-layout")).expect("read")).expect("JSON");
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
}

/// The file in which a container is recorded.
fn record(host: &Host, container: &Container<'_>) -> PathBuf {
    let places = [host.root(), host.run_root()]
        .map(|root| root.join("containers").join(&container.id).join("record.json"));
    places.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("none of {places:?}")).clone()
}

#[test]
fn a_record_of_a_later_version_is_refused_and_left_alone() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "true"]).run().ok();
    let container = Container::new(
        &host,
        host.mini(["inspect", "box"]).run().ok().json()[0]["Id"].as_str().expect("an id").into(),
    );
    let path = record(&host, &container);
    let before = fs::read_to_string(&path).expect("read");
    let mut later: Value = serde_json::from_str(&before).expect("JSON");
    later["version"] = 999.into();
    fs::write(&path, later.to_string()).expect("write");
    host.mini(["inspect", &container.id]).run().error(1, &["999"]);
    host.mini(["ps", "-a"]).run().stderr_has("999");
    assert_eq!(fs::read_to_string(&path).expect("it was left alone"), later.to_string());
    fs::write(&path, before).expect("write");
    host.mini(["rm", "box"]).run().ok();
}

#[test]
fn a_broken_record_disturbs_no_other_container() {
    let host = Host::with_busybox();
    let whole = host.start(["--name", "whole", "busybox", "sleep", "1000"]);
    host.mini(["run", "--name", "broken", "busybox", "true"]).run().ok();
    let id = host.mini(["inspect", "broken"]).run().ok().json()[0]["Id"].as_str().expect("an id").to_owned();
    let broken = Container::new(&host, id);
    fs::write(record(&host, &broken), "{\"version\":").expect("write");
    host.mini(["ps", "-a"]).run().stdout_has("whole");
    whole.sh("true").ok();
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    // It is found and can be taken away.
    host.mini(["system", "check"]).run().code(1).stdout_has(&broken.id[..12]);
    host.mini(["system", "check", "--repair"]).run().ok();
    host.mini(["system", "check"]).run().ok();
}

#[test]
fn a_container_with_rm_lives_in_the_run_root_alone() {
    let host = Host::with_busybox();
    let container = host.start(["--rm", "busybox", "sleep", "1000"]);
    assert!(host.run_root().join("containers").join(&container.id).is_dir());
    let on_disk: Vec<_> = fs::read_dir(host.root().join("containers").join(&container.id))
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let names: Vec<_> = on_disk.iter().map(fs::DirEntry::file_name).collect();
    assert!(
        names.iter().all(|name| name == "upper" || name == "work"),
        "only the upper directory is on disk: {names:?}"
    );
}

#[test]
fn a_disk_that_is_full_is_an_error_and_no_wreck() {
    let host = Host::with_busybox();
    let small = host.work().join("small");
    fs::create_dir(&small).expect("make a directory");
    host.tool("mount", ["-t", "tmpfs", "-o", "size=1m", "small", small.to_str().expect("text")]);
    let on_small = |args: &[&str]| host.mini([Path::new("--root"), &small]).args(args);
    let archive = Image::busybox().docker_archive(&["busybox:latest"]);
    on_small(&["load"]).stdin(archive).run().error(1, &["space"]);
    on_small(&["images", "-q"]).run().ok().stdout("");
    on_small(&["system", "check", "--repair"]).run().ok();
    host.tool("umount", [small]);
}

#[test]
fn a_read_only_root_runs_what_is_there_or_says_why_not() {
    let host = Host::with_busybox();
    let server = net::serve(std::net::Ipv4Addr::LOCALHOST, 0, "");
    let root = host.root();
    host.tool("mount", ["-o", "remount,ro", root.to_str().expect("text")]);
    let output = host.mini(["run", "--name", "box", "busybox", "true"]).run();
    assert!(
        output.status.code() == Some(125) && output.err().to_lowercase().contains("read-only"),
        "{output}"
    );
    host.mini(["images"]).run().ok().stdout_has("busybox");
    host.tool("mount", ["-o", "remount,rw", root.to_str().expect("text")]);
    drop(server);
}
