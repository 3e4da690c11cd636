//! What is in a volume first: the image's content, once, whole; and volumes without a name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::json;
use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

pub(crate) fn data(host: &Host, name: &str) -> PathBuf {
    host.root().join("volume").join(name).join("_data")
}

/// busybox with something of everything below /data.
fn filled() -> Image {
    let layer = Tarball::new()
        .entry(&Entry::new(b'5', "data", 0o2750).owned_by(7, 8))
        .entry(&Entry::new(b'0', "data/file", 0o4751).owned_by(1000, 100).holding("content\n"))
        .directory("data/dir", 0o700)
        .hardlink("data/dir/again", "data/file")
        .symlink("data/link", "/etc/passwd")
        .entry(&Entry::new(b'6', "data/pipe", 0o600).owned_by(1, 2))
        .pax(&[("SCHILY.xattr.user.note", b"kept")])
        .file("data/noted", 0o644, "");
    Image::busybox().with(layer)
}

#[test]
fn an_empty_volume_begins_with_what_the_image_has_there() {
    let host = Host::new();
    host.load(&filled(), "filled:latest");
    let script = "stat -c '%u:%g %a %n' /data /data/file /data/pipe; stat -c %h /data/file; cat /data/dir/again; readlink /data/link";
    let expected = "7:8 2750 /data\n1000:100 4751 /data/file\n1:2 600 /data/pipe\n2\ncontent\n/etc/passwd\n";
    let run = |volume: &str, script: &str| {
        host.mini(["run", "--rm", "-v", volume, "filled", "sh", "-c", script]).run()
    };
    run("named:/data", script).ok().stdout(expected);
    run("/data", script).ok().stdout(expected);
    // On disk everything is 0-based, and complete.
    let top = fs::metadata(data(&host, "named")).expect("stat");
    assert_eq!((top.uid(), top.gid(), top.mode() & 0o7777), (7, 8, 0o2750));
    let file = fs::metadata(data(&host, "named").join("file")).expect("stat");
    assert_eq!((file.uid(), file.mtime()), (1000, 1_600_000_000));
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(data(&host, "named").join("noted"), "user.note", &mut value[..]);
    assert_eq!(length.map(|length| value[..length].to_vec()).as_deref(), Ok(&b"kept"[..]));
    // Once: what is in it by then stays, and so does what is not.
    run("named:/data", "rm /data/file; echo new > /data/new").ok();
    run("named:/data", "ls /data").ok().stdout("dir\nlink\nnew\nnoted\npipe\n");
    for volume in ["empty:/data:nocopy", "elsewhere:/nowhere/new"] {
        let target = volume.split(':').nth(1).expect("a target");
        run(volume, &format!("ls -A {target}")).ok().stdout("");
    }
    let mount = ["--mount", "type=volume,src=empty,dst=/data,volume-nocopy"];
    host.mini(["run", "--rm"]).args(mount).args(["filled", "ls", "-A", "/data"]).run().ok().stdout("");
    assert_eq!(host.new_mounts(), Vec::<String>::new());
    for name in ["named", "empty", "elsewhere"] {
        host.mini(["volume", "rm", name]).run().ok();
    }
    host.mini(["volume", "ls", "-q"]).run().ok().stdout("");
}

#[test]
fn two_containers_at_once_fill_a_volume_once() {
    let host = Host::new();
    let many = (0..300).fold(Tarball::new().directory("data", 0o755), |layer, number| {
        layer.file(&format!("data/{number}"), 0o644, vec![b'x'; 3000])
    });
    host.load(&Image::busybox().with(many), "many:latest");
    let script = "ls /data | wc -l; cat /data/* | wc -c";
    let all: Vec<_> = (0..4)
        .map(|_| host.spawn(["run", "--rm", "-v", "shared:/data", "many", "sh", "-c", script]))
        .collect();
    for running in all {
        running.wait().ok().stdout("300\n900000\n");
    }
    host.mini(["volume", "rm", "shared"]).run().ok();
}

#[test]
fn what_is_half_copied_is_copied_again_or_found() {
    let host = Host::new();
    host.load(&filled(), "filled:latest");
    // As one that was killed in the middle leaves it.
    let half = || {
        host.mini(["volume", "create", "half"]).run().ok();
        fs::write(data(&host, "half").join("file"), "con").expect("write");
        fs::write(data(&host, "half").with_file_name("copying"), "").expect("write");
    };
    half();
    let created = ["create", "--name", "box", "-v", "half:/data", "filled", "cat", "/data/file"];
    host.mini(created).run().ok();
    host.mini(["start", "-a", "box"]).run().ok().stdout("content\n");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["rm", "box"]).run().ok();
    host.mini(["volume", "rm", "half"]).run().ok();
    half();
    host.mini(["system", "check"]).run().code(1).stdout_has("volume half: its first content was copied half");
    host.mini(["system", "check", "--repair"]).run().ok().stdout_has("half");
    host.mini(["system", "check"]).run().ok().stdout("");
    assert_eq!(fs::read_dir(data(&host, "half")).expect("read").count(), 0, "half of it is nothing");
    // A container that was written down, and whose volume was not filled, fills it when it starts.
    host.mini(created).run().ok();
    fs::write(data(&host, "half").join("file"), "con").expect("write");
    fs::write(data(&host, "half").with_file_name("copying"), "").expect("write");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["start", "-a", "box"]).run().ok().stdout("content\n");
    host.mini(["rm", "box"]).run().ok();
    host.mini(["volume", "rm", "half"]).run().ok();
}

#[test]
fn volumes_without_a_name_go_with_their_container_where_that_is_asked_for() {
    let host = Host::new();
    let image = filled().set("Volumes", json!({ "/data": {}, "/cache": {} }));
    host.load(&image, "wants:latest");
    let volumes = || host.mini(["volume", "ls", "-q"]).run().ok().lines();
    host.mini(["run", "--rm", "wants", "cat", "/data/file"]).run().ok().stdout("content\n");
    assert_eq!(volumes(), Vec::<String>::new(), "--rm takes them along");
    host.mini(["run", "--rm", "wants", "no-such-program"]).run().error(127, &["no-such-program"]);
    assert_eq!(volumes(), Vec::<String>::new(), "and so does one that never ran");
    // A mount of the user's takes the image's place.
    host.mini(["run", "--name", "box", "-v", "named:/data", "--tmpfs", "/cache", "wants", "true"]).run().ok();
    assert_eq!(volumes(), ["named"]);
    host.mini(["rm", "-v", "box"]).run().ok();
    assert_eq!(volumes(), ["named"], "what has a name stays");
    let container = host.start(["--name", "box", "wants", "sh", "-c", "echo more >> /data/file"]);
    container.wait();
    assert_eq!(volumes().len(), 3);
    // They are the container's own, and the same after a restart.
    let mounts = container.field("/Mounts");
    let names: Vec<_> =
        mounts.as_array().expect("a list").iter().map(|mount| mount["Name"].clone()).collect();
    host.mini(["start", "-a", "box"]).run().ok();
    let upper = host.root().join("containers").join(&container.id).join("upper/data");
    assert!(!upper.join("file").exists(), "the volume was written, not the layer");
    assert_eq!(
        container
            .field("/Mounts")
            .as_array()
            .expect("a list")
            .iter()
            .map(|mount| mount["Name"].clone())
            .collect::<Vec<_>>(),
        names
    );
    assert_eq!(container.field("/Config/Volumes"), json!({ "/data": {}, "/cache": {} }));
    host.mini(["rm", "--volumes", "box"]).run().ok();
    assert_eq!(volumes(), ["named"]);
    host.mini(["run", "--name", "box", "wants", "true"]).run().ok();
    host.mini(["rm", "box"]).run().ok();
    assert_eq!(volumes().len(), 3, "rm alone leaves them");
    host.mini(["volume", "prune", "-af"]).run().ok();
}

#[test]
fn an_image_never_names_a_place_of_the_hosts() {
    let host = Host::new();
    for place in ["/../../../../run/mini-test/work", "relative", "/", "/proc", "../x", ""] {
        let image = Image::busybox().set("Volumes", json!({ place: {} }));
        host.load(&image, "evil:latest");
        host.mini(["run", "--rm", "evil", "true"]).run().error(125, &["the image wants a volume at"]);
    }
    // What looks like a bind is a place in the container.
    let work = host.work();
    let image = Image::busybox().set("Volumes", json!({ format!("{}:/d", work.display()): {} }));
    host.load(&image, "evil:latest");
    let mounts = host
        .mini(["run", "--rm", "evil", "sh", "-c", "ls -A /d 2>/dev/null; cut -d' ' -f2 /proc/mounts"])
        .run()
        .ok();
    mounts.stdout_has(&format!("{}:/d\n", work.display()));
    // Links in the image lead inside.
    let link = Tarball::new()
        .symlink("data", "/../../../../run/mini-test/work")
        .directory(&work.display().to_string()[1..], 0o755);
    fs::write(work.join("secret"), "the host's").expect("write");
    host.load(&Image::busybox().with(link).set("Volumes", json!({ "/data": {} })), "evil:latest");
    host.mini(["run", "--rm", "evil", "ls", "-A", "/data/"]).run().ok().stdout("");
    assert_eq!(fs::read_dir(&work).expect("read").count(), 1);
}
