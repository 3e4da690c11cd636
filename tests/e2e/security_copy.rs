//! Published attacks on `cp`, `export` and volumes: links swapped meanwhile, trees that remember, helpers of the container's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;
use tests::step::{Stepper, Verdict};
use tests::{Container, Host, Image, Output, Tarball, processes};

use crate::secret::{TARGET, untouched, with_secret};

/// How often an attack is tried whose success is a matter of luck.
const TRIES: usize = 60;

/// What swaps `x` in the current directory, for ever: now a directory, now a link to where the host's secret lies. The
/// container has a directory of that name too, so that what follows the link stays inside and finds something.
fn swapping(directory: &str) -> String {
    format!(
        "mkdir -p {TARGET}; echo inner > {TARGET}/secret; cd {directory}; mkdir -p x; echo own > x/secret; ln -s {TARGET} link; \
         echo swapping; while :; do mv x away; mv link x; mv x link; mv away x; done 2> /dev/null"
    )
}

/// The host's secret, in a directory that gives way to anybody: only confinement protects it.
fn with_open_secret(image: &Image) -> Host {
    let host = with_secret(image);
    fs::set_permissions(TARGET, fs::Permissions::from_mode(0o777)).expect("chmod");
    host
}

/// A container that swaps already.
#[track_caller]
fn start_swapping<'host>(host: &'host Host, options: &[&str], directory: &str) -> Container<'host> {
    let script = swapping(directory);
    let container = host.start([options, &["evil", "sh", "-c", &script]].concat());
    tests::wait::until("the swapper", || container.logs().text().contains("swapping").then_some(()));
    container
}

/// Nothing of the host's secret came out, whatever the answer was.
#[track_caller]
fn says_nothing(output: &Output) {
    assert!(!output.text().contains("the host's"), "{output}");
    assert!(!output.err().contains("panicked"), "{output}");
}

#[test]
fn cve_2018_15664_links_swapped_while_something_is_copied_in() {
    let host = with_open_secret(&Image::busybox().with(Tarball::new().directory("d", 0o755)));
    let container = start_swapping(&host, &[], "/d");
    let source = host.home().join("source");
    fs::create_dir_all(source.join("x/deeper")).expect("mkdir");
    fs::write(source.join("x/evil"), "evil").expect("write");
    fs::write(source.join("x/deeper/evil"), "evil").expect("write");
    let stream = Tarball::new().directory("x", 0o755).file("x/evil", 0o644, "evil").finish();
    let to = |path: &str| format!("{}:{path}", container.id);
    let mut arrived = 0;
    for attempt in 0..TRIES {
        let output = match attempt % 4 {
            0 => host.mini(["cp".into(), format!("{}/x/evil", source.display()), to("/d/x/")]).run(),
            1 => host.mini(["cp".into(), format!("{}/x", source.display()), to("/d/x")]).run(),
            2 => host.mini(["cp".into(), format!("{}/.", source.display()), to("/d")]).run(),
            _ => host.mini(["cp".into(), "-".into(), to("/d")]).stdin(stream.clone()).run(),
        };
        says_nothing(&output);
        arrived += usize::from(output.status.success());
    }
    assert!(arrived > TRIES / 10, "only {arrived} arrived: the attack was none");
    container.remove();
    untouched(&host);
}

#[test]
fn cve_2018_15664_links_swapped_while_something_is_copied_out() {
    let host = with_open_secret(&Image::busybox().with(Tarball::new().directory("d", 0o755)));
    let container = start_swapping(&host, &[], "/d");
    let end = host.home().join("end");
    let mut arrived = 0;
    for attempt in 0..TRIES {
        let _ = fs::remove_dir_all(&end);
        fs::create_dir(&end).expect("mkdir");
        let from = |path: &str| [format!("{}:{path}", container.id), end.join("new").display().to_string()];
        let output = match attempt % 5 {
            0 => host.mini(["cp"]).args(from("/d/x/secret")).run(),
            1 => host.mini(["cp", "-L"]).args(from("/d/x")).run(),
            2 => host.mini(["cp", "-a"]).args(from("/d")).run(),
            3 => host.mini(["cp", &format!("{}:/d/x/.", container.id), "-"]).run(),
            _ => host.mini(["export", &container.id]).run(),
        };
        says_nothing(&output);
        arrived += usize::from(output.status.success());
        crate::attack::search(&end, &mut |path| {
            // A link that came along leads wherever it led: only files are read.
            if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) {
                let content = fs::read_to_string(path).expect("read");
                assert!(["own\n", "inner\n"].contains(&content.as_str()), "{}: {content}", path.display());
            }
        });
    }
    assert!(arrived > TRIES / 10, "only {arrived} arrived: the attack was none");
    container.remove();
    untouched(&host);
}

#[test]
fn what_a_first_copy_left_outside_is_not_followed_by_a_second() {
    let layer = Tarball::new()
        .symlink("first/door", TARGET)
        .symlink("first/file", &format!("{TARGET}/secret"))
        .file("second/door/evil", 0o644, "evil")
        .file("second/file", 0o644, "evil");
    let host = with_open_secret(&Image::busybox().with(layer));
    let container = host.start(["evil", "sleep", "1000"]);
    let end = host.home().join("end");
    fs::create_dir(&end).expect("mkdir");
    let copy = |from: &str| {
        host.mini(["cp", &format!("{}:{from}", container.id), end.to_str().expect("text")]).run()
    };
    copy("/first/.").ok();
    assert_eq!(fs::read_link(end.join("door")).expect("a link"), Path::new(TARGET));
    copy("/second/.").error(1, &["cannot", "door"]);
    untouched(&host);
    copy("/second/file").ok();
    untouched(&host);
    // What the user names is the user's own, and followed.
    symlink(host.home().join("elsewhere"), end.join("own")).expect("a link");
    fs::create_dir(host.home().join("elsewhere")).expect("mkdir");
    let own = end.join("own");
    host.mini(["cp", &format!("{}:/second/file", container.id), own.to_str().expect("text")]).run().ok();
    assert!(host.home().join("elsewhere/file").is_file());
}

#[test]
fn cve_2019_14271_nothing_of_the_containers_is_run_or_loaded() {
    let marker = "#!/bin/sh\ntouch /ran\n";
    let layer = ["unpigz", "pigz", "gzip", "xz", "zstd", "tar", "bzip2"].iter().fold(
        Tarball::new()
            .file("etc/ld.so.preload", 0o644, "/evil.so\n")
            .file("etc/nsswitch.conf", 0o644, "passwd: evil\n")
            .file("evil.so", 0o755, "\x7fELF"),
        |layer, program| layer.file(&format!("usr/bin/{program}"), 0o755, marker),
    );
    let host = with_open_secret(&Image::busybox().with(layer));
    let container = host.start(["-e", "PATH=/usr/bin:/bin", "evil", "/bin/sleep", "1000"]);
    let own = processes::namespace(rustix::thread::gettid().as_raw_pid(), "mnt");
    let mut seen = 0;
    let binary = host.binary().display().to_string();
    let mut judge = |step: &tests::step::Step| {
        // Those that are mapped: one file, ours.
        for line in processes::proc_file(step.pid, "maps").expect("it waits for us").lines() {
            let file = line.split_whitespace().nth(5).unwrap_or_default();
            assert!(!file.starts_with('/') || file == binary, "{step:?} has {file} mapped");
        }
        let root = fs::read_link(format!("/proc/{}/root", step.pid)).expect("it waits for us");
        assert_eq!(root, Path::new("/"), "{step:?}");
        if step.role == "client" {
            assert_eq!(processes::namespace(step.pid, "mnt"), own, "{step:?} left the host");
        }
        seen += 1;
        Verdict::GoOn
    };
    let stream = Tarball::new().file("new", 0o644, "new").finish();
    for compression in [tests::image::Compression::Gzip, tests::image::Compression::Zstd] {
        let packed = tests::image::pack(&stream, compression);
        let command = host.mini(["cp", "-", &format!("{}:/", container.id)]).stdin(packed);
        Stepper::run(command, &mut judge, |_| true).output.ok();
    }
    for command in [["cp", "NAME:/evil.so", "-"], ["export", "-o", "NAME"]] {
        let out = host.home().join("out").display().to_string();
        let words: Vec<_> = command
            .iter()
            .map(|word| match command[0] {
                "export" => word.replace("NAME", &out),
                _ => word.replace("NAME", &container.id),
            })
            .collect();
        let more = (command[0] == "export").then_some(&container.id);
        Stepper::run(host.mini(words).args(more), &mut judge, |_| true).output.ok();
    }
    assert!(seen > 10, "{seen} steps were seen");
    container.sh("ls /ran /new").code(1).stdout("/new\n");
}

#[test]
fn cve_2026_42306_mount_points_swapped_below_a_volume_while_another_is_copied_from() {
    let host = with_open_secret(&Image::busybox());
    host.mini(["run", "--rm", "-v", "inner:/i", "evil", "sh", "-c", "echo volume > /i/mine"]).run().ok();
    let victim =
        ["create", "--name", "victim", "-v", "shared:/v", "-v", "inner:/v/x/deep/er", "evil", "true"];
    host.mini(victim).run().ok();
    let swapper = start_swapping(&host, &["-v", "shared:/v"], "/v");
    let file = host.home().join("evil");
    fs::write(&file, "evil").expect("write");
    for attempt in 0..TRIES {
        let output = match attempt % 3 {
            0 => host.mini(["cp", "victim:/v/x/deep/er/mine", "-"]).run(),
            1 => host.mini(["cp", file.to_str().expect("text"), "victim:/v/x/deep/er/"]).run(),
            _ => host.mini(["start", "-a", "victim"]).run(),
        };
        says_nothing(&output);
    }
    untouched(&host);
    swapper.remove();
    host.mini(["rm", "-f", "victim"]).run().ok();
    host.mini(["volume", "rm", "shared", "inner"]).run().ok();
}

#[test]
fn a_part_of_a_volume_swapped_while_it_is_mounted() {
    let host = with_open_secret(&Image::busybox());
    let swapper = start_swapping(&host, &["-v", "shared:/v"], "/v");
    let mount = "type=volume,src=shared,dst=/d,volume-subpath=x";
    let mut seen = 0;
    for _ in 0..TRIES {
        let output = host.mini(["run", "--rm", "--mount", mount, "evil", "cat", "/d/secret"]).run();
        says_nothing(&output);
        seen += usize::from(output.status.success());
    }
    assert!(seen > 0, "it was never seen: the attack was none");
    untouched(&host);
    swapper.remove();
    host.mini(["volume", "rm", "shared"]).run().ok();
}

#[test]
fn links_swapped_in_a_volume_while_an_image_fills_it() {
    let layer = (0..30).fold(Tarball::new().directory("data", 0o755), |layer, number| {
        layer.directory(&format!("data/x{number}"), 0o755).file(
            &format!("data/x{number}/evil"),
            0o644,
            "evil",
        )
    });
    let host = with_open_secret(&Image::busybox().with(layer));
    host.mini(["volume", "create", "shared"]).run().ok();
    let script = format!(
        "cd /v; echo swapping; while :; do for n in 1 11 29; do mv x$n away$n; ln -s {TARGET} x$n; done; rm -rf *; done 2> /dev/null"
    );
    let swapper = host.start(["-v", "shared:/v:nocopy", "evil", "sh", "-c", &script]);
    tests::wait::until("the swapper", || swapper.logs().text().contains("swapping").then_some(()));
    for _ in 0..TRIES {
        says_nothing(&host.mini(["run", "--rm", "-v", "shared:/data", "evil", "true"]).run());
    }
    untouched(&host);
    swapper.remove();
    host.mini(["volume", "rm", "shared"]).run().ok();
}

#[test]
fn magic_links_pipes_and_devices_are_never_gone_through() {
    let layer = Tarball::new()
        .symlink("root1", "/proc/1/root")
        .symlink("self", "/proc/self/root")
        .symlink("descriptor", "/proc/self/fd/1");
    let host = with_open_secret(&Image::busybox().with(layer));
    let container = host.start(["evil", "sh", "-c", "mkfifo /pipe; sleep 1000"]);
    container.sh("until [ -p /pipe ]; do :; done").ok();
    let secret = format!("{TARGET}/secret");
    let ways = [
        format!("/proc/1/root{secret}"),
        format!("/root1{secret}"),
        format!("/self{secret}"),
        format!("/../../..{secret}"),
        format!("/proc/self/root{secret}"),
        "/descriptor".to_owned(),
    ];
    for way in &ways {
        let output = host.mini(["cp", "-L", &format!("{}:{way}", container.id), "-"]).run();
        says_nothing(&output);
        assert!(!output.status.success(), "{way}: {output}");
        let to = format!("{}:{}", container.id, way.replace("secret", "evil"));
        assert!(
            !host.mini(["cp", host.binary().to_str().expect("text"), &to]).run().status.success(),
            "{way}"
        );
        untouched(&host);
    }
    // Whoever opened them would wait for ever.
    let file = host.home().join("file");
    fs::write(&file, "content").expect("write");
    for place in ["/pipe", "/dev/null"] {
        let output =
            host.mini(["cp", file.to_str().expect("text"), &format!("{}:{place}", container.id)]).run();
        output.error(1, &["must be a directory or a regular file"]);
    }
    let out = host.home().join("out");
    host.mini(["cp", &format!("{}:/pipe", container.id), out.to_str().expect("text")]).run().ok();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&fs::symlink_metadata(&out).expect("stat").file_type()));
}

#[test]
fn archives_that_lie_stay_inside_the_directory_they_are_put_into() {
    let host = with_open_secret(&Image::busybox());
    let container = host.start(["evil", "sh", "-c", &format!("mkdir -p /in {TARGET}; sleep 1000")]);
    container.sh(&format!("until [ -d {TARGET} ]; do :; done")).ok();
    let climbing = format!("{}{}", "../".repeat(20), &TARGET[1..]);
    let named = [
        Tarball::new().file(&format!("{climbing}/evil"), 0o644, "evil"),
        Tarball::new().file(&format!("{TARGET}/evil"), 0o644, "evil"),
        Tarball::new().file("../evil", 0o644, "evil"),
    ];
    let linked = [
        Tarball::new().symlink("door", TARGET).file("door/evil", 0o644, "evil"),
        Tarball::new().symlink("door", &climbing).file("door/evil", 0o644, "evil"),
        Tarball::new().hardlink("evil", &format!("{climbing}/secret")).file("evil", 0o644, "evil"),
        Tarball::new().hardlink("evil", &format!("{TARGET}/secret")).file("evil", 0o644, "evil"),
        Tarball::new().symlink("s", &format!("{TARGET}/secret")).hardlink("h", "s").file("h", 0o644, "evil"),
        Tarball::new().symlink("s", &format!("{TARGET}/secret")).file("s", 0o644, "evil"),
        Tarball::new().directory("d", 0o755).symlink("d/up", "..").file("d/up/up/up/evil", 0o644, "evil"),
    ];
    // Names stay in the directory. Links lead where they lead for the container, as they do for docker: inside.
    for (archives, allowed) in [(&named[..], "/in"), (&linked[..], TARGET)] {
        for archive in archives {
            let to = format!("{}:/in", container.id);
            says_nothing(&host.mini(["cp", "-", &to]).stdin(archive.clone().finish()).run());
            let find = format!("find / -xdev -name evil ! -path '/in/*' ! -path '{allowed}/*'");
            container.sh(&format!("{find}; rm -rf /in/* {TARGET}/evil")).ok().stdout("");
            untouched(&host);
        }
    }
    // An image's own volume is filled from what such links lead to inside, which is nothing of the host's.
    let layer = Tarball::new().symlink("data", TARGET);
    let image = Image::busybox().with(layer).set("Volumes", json!({ "/data": {} }));
    host.load(&image, "evil2:latest");
    says_nothing(&host.mini(["run", "--rm", "evil2", "cat", "/data/secret"]).run());
    untouched(&host);
}

#[test]
fn nobody_writes_for_a_container_where_it_could_not_write_itself() {
    let host = with_open_secret(&Image::busybox());
    // It cannot be idmapped: what is in it belongs to the host's root, inside, too.
    let script = "ln -s /bound /door; sleep 1000";
    let container = host.start(["-v", "/proc/tty:/bound", "evil", "sh", "-c", script]);
    container.sh("until [ -L /door ]; do :; done").ok();
    let file = host.binary().to_str().expect("text");
    for place in ["/proc/tty", "/bound", "/bound/new", "/door", "/door/driver"] {
        let output = host.mini(["cp", file, &format!("{}:{place}", container.id)]).run();
        output.error(1, &["belongs to 0:0, whom the container does not know"]);
    }
    let archive = Tarball::new().file("door/file", 0o644, "new").finish();
    let output = host.mini(["cp", "-", &format!("{}:/", container.id)]).stdin(archive).run();
    output.error(1, &["\"door\" belongs to 0:0, whom the container does not know"]);
    host.mini(["cp", file, &format!("{}:/tmp", container.id)]).run().ok();
}
