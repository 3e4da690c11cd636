//! Where a container's files and surroundings come from: a directory, a platform, a time zone, the caller's variables.

use std::fs;
use std::path::Path;

use serde_json::json;
use tests::image::Blob;
use tests::server::{Contents, ImageServer};
use tests::{Container, Host, Image, wait};

/// A directory with busybox in it, below the host's own.
fn directory(host: &Host) -> String {
    let directory = host.work().join("rootfs");
    fs::create_dir_all(directory.join("bin")).expect("make it");
    fs::create_dir_all(directory.join("etc")).expect("make it");
    fs::copy("/bin/busybox", directory.join("bin/busybox")).expect("copy busybox");
    for applet in ["sh", "sleep", "touch", "cat", "ls", "id", "stat", "rm", "echo"] {
        let _ = std::os::unix::fs::symlink("busybox", directory.join("bin").join(applet));
    }
    fs::write(directory.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("write");
    directory.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_directory_instead_of_an_image_is_never_changed() {
    let host = Host::new();
    let directory = directory(&host);
    let list = || {
        let mut names: Vec<_> =
            fs::read_dir(&directory).expect("read").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = list();
    let id = host.mini(["run", "-d", "--name", "dir", "--rootfs", &directory, "sh", "-c"]);
    let id = id.arg("touch /made; echo x >> /etc/passwd; rm /bin/cat; sleep 1000").run().ok().line();
    let container = Container::new(&host, id);
    wait::until("the file", || container.exec(["ls", "/made"]).run().status.success().then_some(()));
    container.exec(["id", "-u"]).run().ok().stdout("0\n");
    container.exec(["stat", "-c", "%u:%g", "/bin/busybox", "/made"]).run().ok().stdout("0:0\n0:0\n");
    assert_eq!(list(), before, "nothing was made in it");
    assert!(Path::new(&directory).join("bin/cat").exists());
    assert_eq!(fs::read_to_string(format!("{directory}/etc/passwd")).expect("read").lines().count(), 1);
    host.mini(["ps"]).run().ok().stdout_has(&directory);
    assert_eq!(container.field("/Rootfs"), directory.as_str());
    assert_eq!((container.field("/Image"), container.field("/Config/Image")), (json!(""), json!(directory)));
    host.mini(["restart", "-t", "0", "dir"]).run().ok();
    container.exec(["ls", "/made"]).run().ok();
    host.mini(["diff", "dir"]).run().ok().stdout_has("A /made").stdout_has("D /bin/cat");
    container.remove();
    host.mini(["run", "--rm", "--rootfs", "./rootfs", "echo", "relative"])
        .directory(host.work())
        .run()
        .ok()
        .stdout("relative\n");
    host.mini(["run", "--rm", "--rootfs", "/no/such", "true"]).run().error(125, &["--rootfs", "/no/such"]);
    host.mini(["run", "--rm", "--rootfs", "/etc/passwd", "true"]).run().error(125, &["/etc/passwd"]);
    host.mini(["run", "--rm", "--rootfs", &directory]).run().error(125, &["no command specified"]);
    host.mini(["run", "--rm", "--rootfs", "--platform", "linux/arm64", &directory, "true"])
        .run()
        .error(125, &["--platform"]);
}

#[test]
fn the_time_zone_is_the_hosts_or_one_that_it_knows() {
    let host = Host::with_busybox();
    // The host's own, and one below its zones: copies that say 12 hours east, and 5 west.
    let zone = |name: &str, rule: &str| {
        // A file of version 2 with no transitions but a rule (tzfile(5)).
        let header = |version: u8| {
            let mut bytes = b"TZif".to_vec();
            bytes.push(version);
            bytes.extend([0; 15]);
            for count in [0u32, 0, 0, 0, 1, 4] {
                bytes.extend(count.to_be_bytes());
            }
            bytes.extend([0, 0, 0, 0, 0, 0]);
            bytes.extend(*b"XXX\0");
            bytes
        };
        let text = [header(b'2'), header(b'2'), format!("\n{rule}\n").into_bytes()].concat();
        fs::write(name, text).expect("write a zone");
    };
    let _ = fs::remove_file("/etc/localtime");
    zone("/etc/localtime", "XXX-12");
    host.mini([
        "run",
        "--rm",
        "--tz",
        "local",
        "busybox",
        "sh",
        "-c",
        "grep -c ' /etc/localtime ' /proc/mounts; tail -1 /etc/localtime",
    ])
    .run()
    .ok()
    .stdout("1\nXXX-12\n");
    let container = host.start(["--tz", "local", "busybox", "sleep", "1000"]);
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    container.sh("tail -1 /etc/localtime; echo x > /etc/localtime").code(1).stdout("XXX-12\n");
    if Path::new("/usr/share/zoneinfo/Etc/GMT+5").exists() {
        host.mini(["run", "--rm", "--tz", "Etc/GMT+5", "busybox", "tail", "-1", "/etc/localtime"])
            .run()
            .ok()
            .stdout("<-05>5\n");
    }
    for bad in ["Mars/Olympus", "../../../etc/shadow", "/etc/shadow", "Europe"] {
        host.mini(["run", "--rm", "--tz", bad, "busybox", "true"]).run().error(125, &["--tz"]);
    }
}

#[test]
fn variables_of_the_caller_lie_below_the_images() {
    let host = Host::new();
    host.load(&Image::busybox().set("Env", json!(["A=image", "B=image"])), "busybox:latest");
    let run = |options: &[&str]| {
        let run = host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", "echo $A,$B,$C"]);
        run.env("A", "caller").env("C", "caller").run().ok().line()
    };
    assert_eq!(run(&[]), "image,image,");
    assert_eq!(run(&["--env-host"]), "image,image,caller");
    assert_eq!(run(&["--env-host", "--unsetenv", "A", "-e", "B=said"]), ",said,caller");
    assert_eq!(run(&["--unsetenv", "A", "-e", "A=again"]), "again,image,");
    host.mini(["run", "--rm", "--unsetenv", "A=1", "busybox", "true"]).run().error(125, &["--unsetenv"]);
}

#[test]
fn the_images_hosts_file_can_stay() {
    let host = Host::with_busybox();
    let script = "grep -c ' /etc/hosts ' /proc/mounts; grep -c ' /etc/hostname ' /proc/mounts";
    host.mini(["run", "--rm", "--no-hosts", "busybox", "sh", "-c", script]).run().ok().stdout("0\n1\n");
    host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok().stdout("1\n1\n");
    let web = host.start(["--name", "web", "--no-hosts", "busybox", "sleep", "1000"]);
    host.mini(["run", "--rm", "--network=container:web", "busybox", "true"]).run().ok();
    web.remove();
    host.mini(["run", "--rm", "--no-hosts", "--add-host", "a:1.1.1.1", "busybox", "true"])
        .run()
        .error(125, &["--no-hosts", "--add-host"]);
}

#[test]
fn a_file_has_the_number_of_the_first_process_as_long_as_it_runs() {
    let host = Host::with_busybox();
    let file = host.work().join("pid");
    let path = file.to_str().expect("UTF-8");
    let read = || fs::read_to_string(&file).ok();
    let container = host.start(["--pidfile", path, "busybox", "sleep", "1000"]);
    assert_eq!(read(), Some(container.pid().to_string()));
    assert_eq!(container.field("/PidFile"), path);
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    assert_eq!(read(), Some(container.pid().to_string()));
    host.mini(["stop", "-t", "0", &container.id]).run().ok();
    assert_eq!(read(), None);
    // Somebody else's is left alone.
    host.mini(["start", &container.id]).run().ok();
    fs::write(&file, "1").expect("write");
    container.remove();
    assert_eq!(read().as_deref(), Some("1"));
    fs::remove_file(&file).expect("remove");
    let run = host.mini(["run", "--rm", "--pidfile", "relative", "busybox", "true"]).directory(host.work());
    run.run().ok();
    assert!(!host.work().join("relative").exists());
    host.mini(["run", "--rm", "--pidfile", "/no/such/dir/pid", "busybox", "true"])
        .run()
        .error(125, &["/no/such/dir/pid"]);
}

#[test]
fn a_container_can_take_the_place_of_another() {
    let host = Host::with_busybox();
    let first = host.start(["--name", "web", "busybox", "sleep", "1000"]);
    let second = host.start(["--replace", "--name", "web", "busybox", "sleep", "1000"]);
    assert_ne!(first.id, second.id);
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines(), [&second.id[..12]]);
    host.mini(["create", "--replace", "--name", "web", "busybox", "true"]).run().ok();
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 1);
    host.mini(["run", "--rm", "--replace", "--name", "new", "busybox", "true"]).run().ok();
    host.mini(["run", "--rm", "--replace", "busybox", "true"]).run().error(125, &["--replace", "--name"]);
    // What cannot run replaces nothing.
    host.mini(["run", "--rm", "--replace", "--pull=never", "--name", "web", "no-such-image"])
        .run()
        .error(125, &["no-such-image"]);
    assert_eq!(host.mini(["ps", "-aq"]).run().ok().lines().len(), 1);
}

#[test]
fn the_platform_is_the_one_that_was_asked_for() {
    let host = Host::new();
    let mut contents = Contents::default();
    let of = |architecture: &str| {
        let mut image = Image::busybox().set("Env", json!([format!("OF={architecture}")]));
        image.architecture = architecture.into();
        image
    };
    let own = image_architecture();
    let other = if own == "amd64" { "arm64" } else { "amd64" };
    let (ours, foreign) = (of(own), of(other));
    let mut entry = |image: &Image, architecture: &str| {
        let mut descriptor = contents.add("multi", architecture, image).descriptor();
        descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        descriptor
    };
    let manifests = [entry(&foreign, other), entry(&ours, own)];
    let media_type = "application/vnd.oci.image.index.v1+json";
    let list = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    let list = Blob { media_type: media_type.into(), bytes: list.to_string().into_bytes() };
    contents.add_manifest("multi", "latest", list);
    let server = ImageServer::open(contents);
    let name = format!("{}/multi", server.name());
    let wanted = format!("linux/{other}");
    let architecture = || host.mini(["inspect", &name]).run().ok().json()[0]["Architecture"].clone();
    host.mini(["run", "--rm", &name, "sh", "-c", "echo $OF"]).run().ok().stdout(&format!("{own}\n"));
    // What is here is of another platform: docker's words where nothing may be pulled, a pull where it may.
    let never = ["create", "--pull=never", "--platform", &wanted, &name];
    host.mini(never).run().error(1, &["does not match the specified platform", &wanted]);
    host.mini(["create", "--platform", &wanted, &name]).run().ok();
    assert_eq!(architecture(), other);
    // Its programs may not run here, and that is said beforehand.
    let run = host.mini(["create", &name]).run().ok();
    run.stderr_has(&format!(
        "platform (linux/{other}) does not match the detected host platform (linux/{own}"
    ));
    host.mini(["create", "--platform", &wanted, &name]).run().ok().stderr("");
    host.mini(["pull", "-q", "--platform", &format!("linux/{own}"), &name]).run().ok();
    assert_eq!(architecture(), own);
    host.mini(["create", "--platform", "linux/s390x", &name]).run().error(1, &["linux/s390x"]);
    host.mini(["run", "--rm", "--platform", "a/b/c/d", &name, "true"]).run().error(125, &["--platform"]);
    host.mini(["run", "--rm", "--platform", own, &name, "true"]).run().ok();
}

/// The machine's own, as docker calls it.
fn image_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

#[test]
fn flags_that_mean_nothing_here_are_refused_by_name() {
    let host = Host::with_busybox();
    for (flag, why) in [
        ("--ip=10.0.0.9", "default network"),
        ("--ip6=::1", "default network"),
        ("--mac-address=02:00:00:00:00:01", "default network"),
        ("--network-alias=db", "default network"),
        ("--link=web", "--add-host"),
        ("--link-local-ip=169.254.1.1", "default network"),
        ("--storage-opt=size=1g", "project quotas"),
        ("--isolation=hyperv", "Windows"),
        ("--disable-content-trust", "signatures"),
        ("--gpus=all", "vendor"),
        ("--runtime=runc", "its own runtime"),
    ] {
        let name = flag.split('=').next().expect("a name");
        for command in ["run", "create"] {
            host.mini([command, flag, "busybox", "true"]).run().error(125, &[name, why]);
        }
        let help = host.mini(["run", "--help"]).run().ok();
        if name != "--runtime" {
            help.stdout_lacks(&format!("{name} "));
        }
    }
    host.mini(["run", "--rm", "--runtime=mini", "busybox", "true"]).run().ok();
}
