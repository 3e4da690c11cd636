//! `export`: a container's own files as one archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

use crate::copy::tar_list;

#[test]
fn everything_of_the_containers_own_and_nothing_that_is_mounted() {
    let host = Host::new();
    let layer = Tarball::new()
        .entry(&Entry::new(b'0', "owned", 0o4755).owned_by(1000, 100).holding("x"))
        .symlink("link", "/etc/passwd")
        .directory("gone", 0o755)
        .file("gone/file", 0o644, "x");
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let shared = host.work().join("shared");
    fs::create_dir(&shared).expect("mkdir");
    fs::write(shared.join("host"), "x").expect("write");
    let bind = format!("{}:/bind", shared.display());
    let options = ["--name", "web", "-v", &bind, "-v", "named:/named", "--tmpfs", "/scratch"];
    let script = "echo v > /named/v; echo s > /scratch/s; echo own > /own; chown 7:8 /own; rm -r /gone; echo ready; sleep 1000";
    let container = host.start([&options[..], &["busybox", "sh", "-c", script]].concat());
    container.sh("until [ ! -e /gone ]; do :; done").ok();
    let judge = |archive: &[u8]| {
        let names = tar_list(archive);
        let has = |line: &str| names.iter().any(|name| name == line);
        assert!(has("-rwsr-xr-x 1000/100 1 owned"), "{names:?}");
        assert!(has("-rw-r--r-- 7/8 4 own"), "{names:?}");
        assert!(has("lrwxrwxrwx 0/0 0 link -> /etc/passwd"), "{names:?}");
        for empty in ["bind/", "named/", "scratch/", "proc/", "sys/", "dev/"] {
            let below = |name: &&String| name.split(' ').nth(3).is_some_and(|path| path.starts_with(empty));
            assert_eq!(names.iter().filter(below).count(), 1, "{empty}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("gone")), "{names:?}");
        assert!(names.iter().any(|name| name.contains(" bin/busybox")));
    };
    judge(&host.mini(["export", "web"]).patient(2).run().ok().stdout);
    host.mini(["kill", "web"]).run().ok();
    container.wait();
    let file = host.work().join("web.tar");
    fs::write(&file, "old").expect("write");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("chmod");
    host.mini(["container", "export", "-o", file.to_str().expect("text"), "web"])
        .patient(2)
        .run()
        .ok()
        .stdout("");
    judge(&fs::read(&file).expect("read"));
    let there: Vec<_> =
        fs::read_dir(host.work()).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(there.len(), 2, "{there:?}");
    assert_eq!(host.new_mounts(), Vec::<String>::new());
    host.mini(["rm", "web"]).run().ok();
    host.mini(["volume", "rm", "named"]).run().ok();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let host = Host::with_busybox();
    host.start(["--name", "web", "busybox", "sleep", "1000"]);
    host.mini(["export", "none"]).run().error(1, &["no such container: none"]);
    host.mini(["export", "-o", "/no/such/dir/file", "web"]).run().error(1, &["/no/such/dir/file"]);
    host.mini(["export", "--output", "/run", "web"]).run().error(1, &["/run"]);
    let mut terminal = host.mini(["export", "web"]).terminal(24, 100);
    terminal.expect_screen("cowardly refusing to save to a terminal");
    terminal.ends_with(1);
    host.mini(["export", "--output", "/dev/null", "web"]).patient(2).run().ok();
}

#[test]
fn an_export_becomes_an_image_again() {
    let host = Host::with_busybox();
    let container = host.start(["--userns", "host", "busybox", "sh", "-c", "echo mark > /mark; sleep 1000"]);
    container.sh("until [ -e /mark ]; do :; done").ok();
    let archive = host.mini(["export", &container.id]).patient(2).run().ok().stdout;
    let image = Image::of([Tarball::new().raw(&archive[..archive.len() - 1024])]);
    host.load(&image, "again:latest");
    host.mini(["run", "--rm", "again", "cat", "/mark"]).run().ok().stdout("mark\n");
}
