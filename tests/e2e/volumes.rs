//! `-v`, `--tmpfs`, `--read-only`: what of the host a container sees, and where it may write.

use std::fs;
use std::os::unix::fs::MetadataExt;

use tests::{Host, Image, Tarball};

#[test]
fn a_directory_is_shared_both_ways_and_ids_on_disk_are_the_containers() {
    let host = Host::with_busybox();
    let shared = host.work().join("shared");
    fs::create_dir(&shared).expect("make a directory");
    fs::write(shared.join("in"), "from the host\n").expect("write");
    let volume = format!("{}:/data", shared.display());
    let script = "cat /data/in; stat -c %u /data/in; echo back > /data/out; chown 1000:100 /data/out";
    let output = host.mini(["run", "--rm", "-v", &volume, "busybox", "sh", "-c", script]).run();
    output.ok().stdout("from the host\n0\n");
    assert_eq!(fs::read_to_string(shared.join("out")).expect("the container wrote it"), "back\n");
    let out = fs::metadata(shared.join("out")).expect("stat");
    assert_eq!((out.uid(), out.gid()), (1000, 100), "volumes are idmapped");
}

#[test]
fn a_read_only_volume_is_not_written() {
    let host = Host::with_busybox();
    let volume = format!("{}:/data:ro", host.work().display());
    let output = host.mini(["run", "--rm", "-v", &volume, "busybox", "touch", "/data/x"]).run();
    output.code(1).stderr_has("Read-only file system");
    assert!(!host.work().join("x").exists());
}

#[test]
fn a_single_file_can_be_a_volume() {
    let host = Host::with_busybox();
    let file = host.work().join("one");
    fs::write(&file, "one file\n").expect("write");
    let volume = format!("{}:/etc/one:ro", file.display());
    host.mini(["run", "--rm", "-v", &volume, "busybox", "cat", "/etc/one"]).run().ok().stdout("one file\n");
}

#[test]
fn options_of_other_engines_are_accepted_and_unknown_ones_are_refused() {
    let host = Host::with_busybox();
    for accepted in ["z", "Z", "cached", "delegated", "ro,z"] {
        let volume = format!("{}:/data:{accepted}", host.work().display());
        host.mini(["run", "--rm", "-v", &volume, "busybox", "true"]).run().ok();
    }
    let volume = format!("{}:/data:nonsense", host.work().display());
    host.mini(["run", "--rm", "-v", &volume, "busybox", "true"]).run().error(125, &["nonsense"]);
}

#[test]
fn a_volume_over_another_lies_in_it() {
    let host = Host::with_busybox();
    for name in ["outer", "inner"] {
        fs::create_dir(host.work().join(name)).expect("make a directory");
    }
    fs::write(host.work().join("inner/file"), "inner\n").expect("write");
    let inner = format!("{}:/data/deep", host.work().join("inner").display());
    let outer = format!("{}:/data", host.work().join("outer").display());
    // In the order that would hide the inner one, were it not sorted.
    let output =
        host.mini(["run", "--rm", "-v", &inner, "-v", &outer, "busybox", "cat", "/data/deep/file"]).run();
    output.ok().stdout("inner\n");
}

#[test]
fn nothing_of_a_volume_stays_in_the_hosts_mount_table() {
    let host = Host::with_busybox();
    let volume = format!("{}:/data", host.work().display());
    let container = host.start(["-v", &volume, "busybox", "sleep", "1000"]);
    assert_eq!(host.new_mounts(), Vec::<String>::new());
    container.remove();
}

#[test]
fn a_tmpfs_has_the_size_and_mode_that_were_asked_for() {
    let host = Host::with_busybox();
    let script = "stat -c %a /scratch; grep ' /scratch ' /proc/mounts; \
                  dd if=/dev/zero of=/scratch/x bs=64k count=32 2>&1 | grep -c 'No space left'";
    let options = ["--tmpfs", "/scratch:size=1m,mode=0710"];
    let output = host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run().ok();
    let lines = output.lines();
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("710", "1"), "{output}");
    for flag in ["tmpfs", "nosuid", "nodev", "noexec"] {
        assert!(lines[1].contains(flag), "no {flag}: {output}");
    }
}

#[test]
fn a_tmpfs_shows_nothing_of_the_image() {
    let host = Host::new();
    host.load(&Image::busybox().with(Tarball::new().file("tmp/from-image", 0o644, "x")), "busybox:latest");
    host.mini(["run", "--rm", "--tmpfs", "/tmp", "busybox", "ls", "/tmp"]).run().ok().stdout("");
}

#[test]
fn a_read_only_root_takes_no_writes_but_volumes_and_tmpfs_do() {
    let host = Host::with_busybox();
    let volume = format!("{}:/data", host.work().display());
    let options = ["--read-only", "--tmpfs", "/scratch", "-v", &volume];
    let run = |path: &str| host.mini(["run", "--rm"]).args(options).args(["busybox", "touch", path]).run();
    run("/etc/x").code(1).stderr_has("Read-only file system");
    run("/x").code(1).stderr_has("Read-only file system");
    for writable in ["/scratch/x", "/data/x", "/dev/shm/x"] {
        run(writable).ok();
    }
    // Its own directory is made all the same.
    host.mini(["run", "--rm", "--read-only", "-v", &volume, "-w", "/data", "busybox", "pwd"])
        .run()
        .ok()
        .stdout("/data\n");
}

#[test]
fn mount_says_the_same_spelled_out_and_makes_no_source() {
    let host = Host::with_busybox();
    let data = host.work().join("data");
    fs::create_dir(&data).expect("mkdir");
    fs::write(data.join("file"), "shown").expect("write");
    let bind = format!("type=bind,source={},target=/data,readonly", data.display());
    let script = "cat /data/file; touch /data/x 2> /dev/null || echo -n ' readonly'; df -k /t | tail -1 | awk '{print \" \" $2}'";
    let run =
        host.mini(["run", "--rm", "--mount", &bind, "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m", "busybox"]);
    run.args(["sh", "-c", script]).run().ok().stdout("shown readonly 1024\n");
    let absent = format!("type=bind,source={}/absent,target=/data", data.display());
    host.mini(["run", "--rm", "--mount", &absent, "busybox", "true"])
        .run()
        .error(125, &["absent", "does not exist"]);
    assert!(!data.join("absent").exists());
    host.mini(["run", "--mount", "type=bind,src=/a,dst=/data,what=1", "busybox"]).run().error(125, &["what"]);
}
