//! `cp`: what copied files are and whose they are; mounts, memory, what cannot be written.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use tests::tarball::Entry;
use tests::{Host, Image, Tarball};

use crate::copy::{source, tar_list};

#[test]
fn owners_are_root_inside_and_the_caller_outside_unless_archived() {
    let host = Host::with_busybox();
    let file = host.work().join("file");
    fs::write(&file, "x").expect("write");
    std::os::unix::fs::chown(&file, Some(1000), Some(100)).expect("chown");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).expect("chmod");
    let running = host.start(["busybox", "sleep", "1000"]);
    let stopped = host.start(["busybox", "true"]);
    stopped.wait();
    let path = file.to_str().expect("text");
    for container in [&running, &stopped] {
        let id = &container.id;
        host.mini(["cp", path, &format!("{id}:/plain")]).run().ok();
        host.mini(["cp", "-a", path, &format!("{id}:/kept")]).run().ok();
        host.mini(["cp", "--archive", &format!("{id}:/kept"), &format!("{path}.{}", container.short())])
            .run()
            .ok();
        host.mini(["cp", &format!("{id}:/kept"), &format!("{path}.{}.plain", container.short())]).run().ok();
        let meta = |name: String| {
            let meta = fs::metadata(host.work().join(name)).expect("it was copied");
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        assert_eq!(meta(format!("file.{}", container.short())), (1000, 100, 0o4751));
        // What was setuid to somebody inside is not setuid to the caller.
        assert_eq!(meta(format!("file.{}.plain", container.short())), (0, 0, 0o751));
    }
    host.mini(["start", &stopped.id]).run().ok();
    let script = "stat -c '%u %g %a %n' /plain /kept";
    running.sh(script).ok().stdout("0 0 4751 /plain\n1000 100 4751 /kept\n");
    let copied = host.mini(["cp", "-a", &format!("{}:/plain", stopped.id), "-"]).run().ok();
    assert_eq!(tar_list(&copied.stdout), ["-rwsr-x--x 0/0 1 plain"]);
    // On disk ids are the container's, whoever copied.
    for container in [&running, &stopped] {
        let upper = host.root().join("containers").join(&container.id).join("upper");
        let owner = |name: &str| fs::metadata(upper.join(name)).expect("stat").uid();
        assert_eq!((owner("plain"), owner("kept")), (0, 1000));
    }
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    let host = Host::with_busybox();
    let source = source(&host);
    let (data, kept) = (host.work().join("data"), host.work().join("kept"));
    fs::create_dir(&data).expect("mkdir");
    fs::create_dir(&kept).expect("mkdir");
    let volumes = [format!("{}:/data", data.display()), format!("{}:/kept:ro", kept.display())];
    let container =
        host.start(["--read-only", "-v", &volumes[0], "-v", &volumes[1], "busybox", "sleep", "1000"]);
    let file = source.join("file").to_string_lossy().into_owned();
    let all = || {
        let to = |path: &str| format!("{}:{path}", container.id);
        host.mini(["cp", &file, &to("/etc/x")]).run().error(1, &["container rootfs is marked read-only"]);
        host.mini(["cp", &file, &to("/kept/x")]).run().error(1, &["mounted volume is marked read-only"]);
        host.mini(["cp", &file, &to("/data/x")]).run().ok();
        assert_eq!(fs::read_to_string(data.join("x")).expect("it was copied"), "content\n");
        assert_eq!(fs::metadata(data.join("x")).expect("stat").uid(), 0);
        fs::remove_file(data.join("x")).expect("rm");
        host.mini(["cp", &to("/etc/passwd"), &host.work().join("passwd").to_string_lossy()]).run().ok();
    };
    all();
    host.mini(["kill", &container.id]).run().ok();
    container.wait();
    all();
    assert_eq!(fs::read_dir(&kept).expect("read").count(), 0);
    assert_eq!(host.new_mounts(), Vec::<String>::new());
}

#[test]
fn volumes_and_memory_are_seen_as_the_container_sees_them() {
    let host = Host::with_busybox();
    let options = ["-v", "named:/named", "--tmpfs", "/scratch", "--name", "web"];
    let container = host.start([&options[..], &["busybox", "sleep", "1000"]].concat());
    let source = source(&host);
    let dir = source.join("dir").to_string_lossy().into_owned();
    host.mini(["cp", &dir, "web:/named"]).run().ok();
    host.mini(["cp", &dir, "web:/scratch"]).run().ok();
    container
        .sh("cat /named/dir/below /scratch/dir/below; stat -c %u /named/dir /scratch/dir")
        .ok()
        .stdout("below\nbelow\n0\n0\n");
    // From the root on: what is the kernel's is no content.
    let archive = host.mini(["cp", "web:/", "-"]).patient(3).run().ok().stdout;
    let names = tar_list(&archive);
    let has = |name: &str| names.iter().any(|line| line.ends_with(&format!(" ./{name}")));
    assert!(has("named/dir/below") && has("scratch/dir/below") && has("proc/") && has("dev/") && has("sys/"));
    assert!(
        !names.iter().any(|line| line.contains("./proc/1")
            || line.contains("./dev/null")
            || line.contains("./sys/") && !line.ends_with("./sys/")),
        "the kernel's files were packed"
    );
    // A file of the kernel's has no size, and content all the same.
    let comm = host.mini(["cp", "web:/proc/1/comm", "-"]).run().ok().stdout;
    assert!(String::from_utf8_lossy(&comm).contains("sleep\n"));
    host.mini(["kill", "web"]).run().ok();
    container.wait();
    let below = host.work().join("below").to_string_lossy().into_owned();
    host.mini(["cp", "web:/named/dir/below", &below]).run().ok();
    assert_eq!(fs::read_to_string(below).expect("it was copied"), "below\n");
    host.mini(["cp", "web:/scratch/dir", &host.work().to_string_lossy()]).run().error(1, &["could not find"]);
    host.mini(["rm", "web"]).run().ok();
    host.mini(["volume", "rm", "named"]).run().ok();
}

#[test]
fn what_is_mounted_is_not_replaced() {
    let host = Host::with_busybox();
    let source = source(&host);
    let container = host.start(["busybox", "sleep", "1000"]);
    let before = container.sh("cat /etc/hosts").ok().text();
    let file = source.join("file").to_string_lossy().into_owned();
    host.mini(["cp", &file, &format!("{}:/etc/hosts", container.id)])
        .run()
        .error(1, &["cannot replace \"hosts\"", "mounted"]);
    container.sh("cat /etc/hosts").ok().stdout(&before);
    container.sh("grep -c ' /etc/hosts ' /proc/mounts").ok().stdout("1\n");
}

#[test]
fn programs_with_capabilities_and_devices_keep_what_they_are_inside() {
    let host = Host::new();
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    let layer = Tarball::new()
        .pax(&[("SCHILY.xattr.security.capability", &capability)])
        .file("powerful", 0o755, "x")
        .entry(&Entry { device: (1, 3), ..Entry::new(b'3', "node", 0o666) })
        .entry(&Entry::new(b'6', "pipe", 0o640));
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let container = host.start(["busybox", "sleep", "1000"]);
    let stopped = host.start(["busybox", "true"]);
    stopped.wait();
    let out = host.work().join("out");
    let value = |path: &Path| {
        let mut buffer = [0; 64];
        rustix::fs::getxattr(path, "security.capability", &mut buffer[..])
            .map(|length| buffer[..length].to_vec())
    };
    for id in [&container.id, &stopped.id] {
        for name in ["powerful", "node", "pipe"] {
            let _ = fs::remove_dir_all(&out);
            fs::create_dir(&out).expect("mkdir");
            let archive =
                host.mini(["cp", "-a", &format!("{id}:/{name}"), &out.to_string_lossy()]).run().ok();
            assert_eq!(archive.err(), "");
            host.mini(["cp", "-a", &out.join(name).to_string_lossy(), &format!("{id}:/again-{name}")])
                .run()
                .ok();
            let again = host.work().join(format!("again-{name}"));
            let _ = fs::remove_file(&again);
            host.mini(["cp", "-a", &format!("{id}:/again-{name}"), &host.work().to_string_lossy()])
                .run()
                .ok();
            let kind = fs::symlink_metadata(&again).expect("it came back").file_type();
            match name {
                "powerful" => {
                    assert_eq!(value(&out.join(name)).as_deref(), Ok(&capability[..]));
                    assert_eq!(value(&again).as_deref(), Ok(&capability[..]));
                }
                "node" => assert!(kind.is_char_device()),
                _ => assert!(kind.is_fifo()),
            }
        }
        // Without -a nothing comes out that gives power.
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).expect("mkdir");
        host.mini(["cp", &format!("{id}:/powerful"), &out.to_string_lossy()]).run().ok();
        assert!(value(&out.join("powerful")).is_err());
        host.mini(["cp", &format!("{id}:/node"), &out.to_string_lossy()])
            .run()
            .ok()
            .stderr_has("1 device nodes were left out");
        assert!(!out.join("node").exists());
    }
}

#[test]
fn a_container_that_was_never_started_takes_files_too() {
    let host = Host::with_busybox();
    let source = source(&host);
    host.mini(["create", "--name", "later", "-v", "kept:/kept", "busybox", "cat", "/etc/new", "/kept/new"])
        .run()
        .ok();
    let file = source.join("file").to_string_lossy().into_owned();
    host.mini(["cp", &file, "later:/etc/new"]).run().ok();
    host.mini(["cp", &file, "later:/kept/new"]).run().ok();
    host.mini(["start", "-a", "later"]).run().ok().stdout("content\ncontent\n");
    host.mini(["create", "--rm", "--name", "short", "busybox", "cat", "/x"]).run().ok();
    host.mini(["cp", &file, "short:/x"]).run().ok();
    host.mini(["start", "-a", "short"]).run().ok().stdout("content\n");
    host.mini(["rm", "later"]).run().ok();
    host.mini(["volume", "rm", "kept"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn a_container_that_shares_the_hosts_ids_is_no_exception() {
    let host = Host::with_busybox();
    let source = source(&host);
    let container = host.start(["--userns", "host", "busybox", "sleep", "1000"]);
    let file = source.join("file").to_string_lossy().into_owned();
    host.mini(["cp", &file, &format!("{}:/x", container.id)]).run().ok();
    container.sh("stat -c %u:%g /x; chown 7:8 /x").ok().stdout("0:0\n");
    let archive = host.mini(["cp", &format!("{}:/x", container.id), "-"]).run().ok().stdout;
    assert_eq!(tar_list(&archive), ["-rw-r--r-- 7/8 8 x"]);
}

#[test]
fn ids_are_those_of_the_maps_that_were_given_by_hand() {
    let host = Host::with_busybox();
    let source = source(&host);
    let base = 300_000;
    let maps = [format!("0:{base}:100"), format!("1000:{}:1", base + 500), format!("0:{}:100", base + 1000)];
    let container = host.start([
        "--uidmap", &maps[0], "--uidmap", &maps[1], "--gidmap", &maps[2], "busybox", "sleep", "1000",
    ]);
    let file = source.join("file").to_string_lossy().into_owned();
    host.mini(["cp", &file, &format!("{}:/x", container.id)]).run().ok();
    container.sh("stat -c %u:%g /x; chown 1000:7 /x").ok().stdout("0:0\n");
    let archive = host.mini(["cp", &format!("{}:/x", container.id), "-"]).run().ok().stdout;
    assert_eq!(tar_list(&archive), ["-rw-r--r-- 1000/7 8 x"]);
    let into = format!("{}:/", container.id);
    container.sh("rm /x").ok();
    host.mini(["cp", "-", &into]).stdin(archive).run().ok();
    container.sh("stat -c %u:%g /x").ok().stdout("1000:7\n");
    let nobody = Tarball::new().entry(&Entry::new(b'0', "y", 0o644).owned_by(500, 0));
    host.mini(["cp", "-", &into]).stdin(nobody.finish()).run().error(1, &["uid 500", "\"y\""]);
}

#[test]
fn a_directory_in_the_place_of_an_image_is_copied_from_like_one() {
    let host = Host::new();
    let root = host.work().join("root");
    fs::create_dir_all(root.join("etc")).expect("mkdir");
    fs::write(root.join("etc/motd"), "hello\n").expect("write");
    let create = ["create", "--name", "box", "--rootfs", root.to_str().expect("text"), "/none"];
    host.mini(create).run().ok();
    let archive = host.mini(["cp", "box:/etc/motd", "-"]).run().ok().stdout;
    assert_eq!(tar_list(&archive), ["-rw-r--r-- 0/0 6 motd"]);
    let file = source(&host).join("file").to_string_lossy().into_owned();
    host.mini(["cp", &file, "box:/etc/new"]).run().ok();
    let exported = host.mini(["export", "box"]).run().ok().stdout;
    let listed = tar_list(&exported);
    assert!(listed.iter().any(|line| line.ends_with(" etc/new")), "{listed:?}");
    assert!(!root.join("etc/new").exists(), "the directory itself was written");
}

#[test]
fn large_and_sparse_files_go_through_whole() {
    let host = Host::on_disk();
    host.load(&Image::busybox(), "busybox:latest");
    let container = host.start(["busybox", "sleep", "1000"]);
    container.sh("dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null; truncate -s 4G /sparse; echo end >> /sparse").ok();
    let sum = container.sh("md5sum < /big").ok().text();
    let out = host.work();
    for name in ["big", "sparse"] {
        host.mini(["cp", &format!("{}:/{name}", container.id), &out.to_string_lossy()]).patient(3).run().ok();
    }
    assert_eq!(host.tool("sh", ["-c", "md5sum < /run/mini-test/work/big"]), sum);
    let sparse = fs::metadata(out.join("sparse")).expect("stat");
    assert_eq!(sparse.len(), (4 << 30) + 4);
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());
}
