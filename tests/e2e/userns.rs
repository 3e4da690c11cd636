//! A user namespace and a range of ids for each container, without a copy and without a chown.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tests::tarball::Entry;
use tests::{Container, Host, Image, Tarball, processes};

use crate::spaces::{donor, own, sleeper, space};

/// The first id on the machine, and how many, of a container's only or first line of map.
fn range(container: &Container<'_>, file: &str) -> (u32, u32) {
    let map = processes::proc_file(container.pid(), file).expect("it runs");
    let numbers: Vec<u32> = map.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    assert_eq!((numbers.len(), numbers[0]), (3, 0), "one line from 0: {map}");
    (numbers[1], numbers[2])
}

/// Every file below `directory` of this name.
fn find(directory: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name() == name {
            found.push(entry.path());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(find(&entry.path(), name));
        }
    }
    found
}

#[test]
fn root_inside_is_nobody_outside() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let (base, count) = range(&container, "uid_map");
    assert_eq!(count, 65536);
    assert_eq!(range(&container, "gid_map"), (base, count));
    assert!(
        host.ids().contains(&base) && host.ids().contains(&(base + count - 1)),
        "{base} is not of the host's block"
    );
    assert_eq!(processes::uids(container.pid()), Some(vec![base; 4]));
    container.sh("id -u; cut -c1-10 /proc/self/uid_map | tr -d ' '").ok().stdout("0\n0\n");
    let own = processes::namespace(std::process::id().cast_signed(), "user");
    assert_ne!(processes::namespace(container.pid(), "user"), own);
}

#[test]
fn no_two_containers_share_an_id() {
    let host = Host::with_busybox();
    let containers: Vec<_> = (0..6).map(|_| host.start(["busybox", "sleep", "1000"])).collect();
    let mut bases: Vec<u32> = containers.iter().map(|container| range(container, "uid_map").0).collect();
    bases.sort_unstable();
    assert!(bases.windows(2).all(|pair| pair[1] - pair[0] >= 65536), "{bases:?}");
}

#[test]
fn a_range_is_given_back_at_the_end() {
    let host = Host::with_busybox();
    let block = format!(
        "[cgroup]\nparent = \"{}\"\n[ids]\nbase = {}\ncount = 131072\n",
        host.cgroup_parent(),
        host.ids().start
    );
    fs::write("/etc/mini/config.toml", block).expect("write the configuration");
    for _ in 0..5 {
        host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    }
    let first = host.start(["busybox", "sleep", "1000"]);
    let second = host.start(["busybox", "sleep", "1000"]);
    let third = host.mini(["run", "--rm", "busybox", "true"]).run();
    third.error(125, &["id"]).hints("/etc/mini/config.toml");
    first.remove();
    host.mini(["run", "--rm", "busybox", "true"]).run().ok();
    second.remove();
}

#[test]
fn ids_of_the_hosts_users_and_of_others_ranges_are_left_alone() {
    let host = Host::with_busybox();
    let base = host.ids().start;
    let line = |file: &str, text: String| {
        let before = fs::read_to_string(file).unwrap_or_default();
        fs::write(file, before + &text).expect("the host's own copy");
    };
    line("/etc/subuid", format!("somebody:{base}:65536\n"));
    line("/etc/subgid", format!("somebody:{}:65536\n", base + 65536));
    line("/etc/passwd", format!("far:x:{}:100::/:/bin/sh\n", base + 2 * 65536 + 7));
    let container = host.start(["busybox", "sleep", "1000"]);
    let (given, _) = range(&container, "uid_map");
    assert!(given >= base + 3 * 65536, "{given} overlaps what begins at {base}");
}

#[test]
fn everything_on_disk_stays_owned_by_0_and_is_not_copied() {
    let host = Host::with_busybox();
    let container =
        host.start(["busybox", "sh", "-c", "touch /made-inside; echo x >> /etc/passwd; sleep 1000"]);
    tests::wait::until("the file inside", || {
        container.exec(["ls", "/made-inside"]).run().status.success().then_some(())
    });
    let mut found = find(&host.root(), "made-inside");
    found.extend(find(&host.run_root(), "made-inside"));
    assert_eq!(found.len(), 1, "one upper directory holds it: {found:?}");
    let meta = fs::metadata(&found[0]).expect("stat");
    assert_eq!((meta.uid(), meta.gid()), (0, 0));
    let programs = find(&host.root(), "busybox");
    assert_eq!(programs.len(), 1, "the image's files exist once: {programs:?}");
    assert_eq!(fs::metadata(&programs[0]).expect("stat").uid(), 0);
}

#[test]
fn files_belong_to_whom_the_image_says() {
    let host = Host::new();
    let layer = Tarball::new()
        .entry(&Entry::new(b'0', "owned", 0o640).owned_by(1000, 100).holding("x"))
        .entry(&Entry::new(b'0', "highest", 0o600).owned_by(65535, 65535));
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let run = |user: &str, script: &str| {
        host.mini(["run", "--rm", "-u", user, "busybox", "sh", "-c", script]).run()
    };
    run("0", "stat -c '%u:%g %a' /owned /highest").ok().stdout("1000:100 640\n65535:65535 600\n");
    run("1000", "cat /owned && echo more >> /owned").ok().stdout("x");
    run("1001:100", "cat /owned").ok().stdout("x");
    run("1001:1001", "cat /owned").code(1).stderr_has("Permission denied");
}

#[test]
fn ids_from_65536_on_in_a_layer_are_mapped_too() {
    let host = Host::new();
    let layer = Tarball::new()
        .entry(&Entry::new(b'0', "far", 0o600).owned_by(100_000, 2_000_000_000).holding("x"))
        .entry(&Entry::new(b'5', "far-dir", 0o700).owned_by(70_000, 70_000));
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let script =
        "stat -c '%u:%g' /far /far-dir; echo y >> /far; chown 0:0 /far; rm /far; rmdir /far-dir; ls /";
    let output = host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok();
    output.stdout_has("100000:2000000000\n70000:70000\n").stdout_lacks("far");
    let own = host.mini(["run", "--rm", "-u", "100000", "busybox", "cat", "/far"]).run();
    own.ok().stdout("x");
}

#[test]
fn more_such_ids_than_the_kernel_maps_are_refused_naming_one() {
    let host = Host::new();
    let names: Vec<String> = (0..400).map(|n| format!("file-{n}")).collect();
    let layer = names.iter().enumerate().fold(Tarball::new(), |layer, (n, name)| {
        layer.entry(&Entry::new(b'0', name, 0o644).owned_by(70_000 + 2 * n as u64, 0))
    });
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let output = host.mini(["run", "--rm", "busybox", "true"]).run();
    output.error(125, &["file-", "339"]);
}

#[test]
fn userns_host_is_the_hosts() {
    let host = Host::with_busybox();
    let container = host.start(["--userns=host", "busybox", "sleep", "1000"]);
    let own = processes::namespace(std::process::id().cast_signed(), "user");
    assert_eq!(processes::namespace(container.pid(), "user"), own);
    assert_eq!(processes::uids(container.pid()), Some(vec![0; 4]));
    assert_eq!(container.field("/HostConfig/UsernsMode"), "host");
    container.exec(["touch", "/x"]).run().ok();
}

#[test]
fn a_container_can_have_users_of_its_own_where_seccomp_lets_it() {
    let host = Host::with_busybox();
    // docker's profile refuses new user namespaces without SYS_ADMIN, in a container's own namespace too.
    host.mini(["run", "--rm", "busybox", "unshare", "-U", "true"])
        .run()
        .code(1)
        .stderr_has("Operation not permitted");
    host.mini(["run", "--rm", "--cap-add", "SYS_ADMIN", "busybox", "unshare", "-U", "true"]).run().ok();
}

#[test]
fn what_shares_with_the_host_implies_its_users_unless_told_otherwise() {
    let host = Host::with_busybox();
    let user = |options: &[&str]| {
        let readlink = ["busybox", "readlink", "/proc/self/ns/user"];
        host.mini(["run", "--rm"]).args(options).args(readlink).run().ok().line()
    };
    let own =
        format!("user:[{}]", processes::namespace(std::process::id().cast_signed(), "user").expect("ours"));
    assert_eq!(user(&["--network=host"]), own);
    assert_eq!(user(&["--privileged"]), own);
    assert_ne!(user(&["--network=none"]), own);
    host.configure("[userns]\nstrict = true\n");
    host.mini(["run", "--rm", "--network=host", "busybox", "true"])
        .run()
        .error(125, &["--network"])
        .hints("--userns=host");
}

#[test]
fn ids_by_hand() {
    let host = Host::with_busybox();
    let run = |options: &[&str], script: &str| {
        host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run()
    };
    let by_hand =
        ["--uidmap", "0:1500000000:1000", "--uidmap", "5000:1500005000:1", "--gidmap", "0:1500100000:100"];
    run(&by_hand, "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; touch /x; stat -c %u:%g /x; ping -c1 127.0.0.1 >/dev/null && echo pings")
        .ok()
        .stdout(" 0 1500000000 1000\n 5000 1500005000 1\n 0 1500100000 100\n0\n0:0\npings\n");
    let container = host.start([&by_hand[..], &["busybox", "sleep", "1000"]].concat());
    assert_eq!(processes::uids(container.pid()), Some(vec![1_500_000_000; 4]));
    container.sh("id -u; tty; echo x > /dev/stdout").code(0);
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    assert_eq!(processes::uids(container.pid()), Some(vec![1_500_000_000; 4]));
    assert_eq!(container.field("/HostConfig/IDMappings/GidMap"), json!(["0:1500100000:100"]));
    let terminal = host.mini(["run", "--rm", "-t", "--uidmap", "0:1500000000:3", "busybox", "tty"]).run();
    terminal.ok().stdout_has("/dev/pts/0");
    for (options, what) in [
        (&["--uidmap", "0:0:1"][..], "id 0 of the host"),
        (&["--uidmap", "0:1500000000:10", "--uidmap", "5:1600000000:10"], "twice"),
        (&["--uidmap", "1:1500000000:10"], "id 0 inside"),
        (&["--uidmap", "0:1500000000:10", "--userns=host"], "--userns=host"),
        (&["--uidmap", &format!("0:{}:10", host.ids().start)], "gives to containers by itself"),
        (&["--uidmap", "x"], "INSIDE:HOST:COUNT"),
    ] {
        run(options, "true").error(125, &[what]);
    }
}

#[test]
fn keep_id_runs_as_who_called_sudo() {
    let host = Host::with_busybox();
    let run = |user: &str, more: &[&str]| {
        let run = host.mini(["run", "--rm", "--userns=keep-id", "-v", "/run/mini-test/work:/w"]).args(more);
        let run = run.args(["busybox", "sh", "-c", "id -u; id -g; touch /w/made; stat -c %u:%g /w/made"]);
        if user.is_empty() { run.run() } else { run.env("SUDO_UID", user).env("SUDO_GID", "1001").run() }
    };
    rustix::fs::chown("/run/mini-test/work", Some(rustix::fs::Uid::from_raw(1000)), None).expect("chown");
    run("1000", &[]).ok().stdout("1000\n1001\n1000:1001\n");
    let made = rustix::fs::stat("/run/mini-test/work/made").expect("it was made");
    assert_eq!((made.st_uid, made.st_gid), (1000, 1001), "on the host it is the user's own");
    run("1000", &["-u", "0"]).ok().stdout_has("0\n0\n");
    run("", &[]).error(125, &["keep-id", "SUDO_UID"]);
    run("0", &[]).error(125, &["keep-id", "SUDO_UID"]);
    run("70000", &[]).error(125, &["keep-id", "70000"]);
}

#[test]
fn users_alone_can_be_shared() {
    let host = Host::with_busybox();
    let web = donor(&host, &[]);
    let container = sleeper(&host, &["--userns=container:web"]);
    assert_eq!(space(&container, "user"), space(&web, "user"));
    assert_ne!(space(&container, "net"), space(&web, "net"));
    assert_ne!(container.address(), web.address());
    assert_eq!(container.field("/HostConfig/UsernsMode"), format!("container:{}", web.id));
    container
        .sh("touch /x; stat -c %u:%g /x; ping -c 1 127.0.0.1 > /dev/null && echo pings")
        .ok()
        .stdout("0:0\npings\n");
    let auto = sleeper(&host, &["--userns=auto"]);
    assert_ne!(space(&auto, "user"), own("user"));
    assert_eq!(auto.field("/HostConfig/UsernsMode"), "auto");
}
