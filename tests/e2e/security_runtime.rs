//! Published attacks on container runtimes: each row of the list, tried.

use std::fs;
use std::path::Path;

use tests::step::{Stepper, Verdict};
use tests::tarball::Entry;
use tests::{Container, Host, Image, Mini, Tarball, processes};

use crate::secret::{TARGET, untouched, with_secret};

#[test]
fn cve_2019_5736_the_binary_is_not_overwritten_through_proc_self_exe() {
    // The image's program is whatever runs it: the shebang leads back to the runtime.
    let script = "#!/proc/self/exe\n";
    let hunter = "#!/bin/sh\n\
        echo hunting\n\
        while :; do for p in /proc/[0-9]*; do \
          case $(readlink $p/exe) in /bin/busybox|'') continue;; esac; \
          exec 3< $p/exe || continue; n=0; \
          while [ $n -lt 200 ]; do n=$((n+1)); (echo overwritten > /proc/self/fd/3) 2> /dev/null && echo GOT IT; done; \
          exec 3<&-; \
        done; done 2> /dev/null\n";
    let image =
        Image::busybox().with(Tarball::new().file("again", 0o755, script).file("hunter", 0o755, hunter));
    for users in ["--userns=host", "--network=bridge", "--privileged"] {
        let host = Host::new();
        host.load(&image, "evil:latest");
        let copy = host.work().join("mini");
        fs::copy(host.binary(), &copy).expect("a copy that may be lost");
        let before = fs::read(&copy).expect("read");
        let mini = |args: &[&str]| {
            let mut command = std::process::Command::new(&copy);
            command.args(args).env_clear().envs(host.environment());
            Mini::new(command).run()
        };
        let container = Container::new(&host, mini(&["run", "-d", users, "evil", "/hunter"]).ok().line());
        tests::wait::until("the hunter", || container.logs().text().contains("hunting").then_some(()));
        for _ in 0..10 {
            mini(&["exec", &container.id, "/again"]);
            mini(&["exec", &container.id, "true"]).ok();
        }
        assert!(!container.logs().text().contains("GOT IT"), "{users}");
        container.remove();
        assert!(fs::read(&copy).expect("read") == before, "{users}: the binary was overwritten");
    }
}

#[test]
fn cve_2019_5736_where_container_root_is_host_root_a_sealed_copy_runs() {
    let host = Host::with_busybox();
    let mut seen = 0;
    let judge = |step: &tests::step::Step| {
        if step.role == "init" {
            let exe = processes::exe(step.pid).expect("init is there: it waits for us");
            assert!(exe.to_string_lossy().starts_with("/memfd:"), "{step:?} runs {}", exe.display());
            seen += 1;
        }
        Verdict::GoOn
    };
    let run = host.mini(["run", "--rm", "--userns=host", "busybox", "true"]);
    Stepper::run(run, judge, |_| false).output.ok();
    assert!(seen > 5, "init took {seen} steps");
}

#[test]
fn no_process_that_enters_a_container_can_be_traced_from_inside() {
    let host = Host::with_busybox();
    let base = host.ids();
    let judge = |step: &tests::step::Step| {
        if ["init", "exec"].contains(&step.role.as_str()) {
            // The files of a process that is not dumpable belong to the machine's root (proc(5)).
            let owner =
                rustix::fs::stat(format!("/proc/{}/environ", step.pid)).expect("it waits for us").st_uid;
            assert!(!base.contains(&owner), "{step:?} can be traced by id {owner}");
        }
        Verdict::GoOn
    };
    Stepper::run(host.mini(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]), judge, |_| true)
        .output
        .ok();
    Stepper::run(host.mini(["exec", "box", "true"]), judge, |_| true).output.ok();
}

#[test]
fn cve_2024_21626_no_descriptor_of_the_host_and_no_directory_outside() {
    let host = with_secret(&Image::busybox());
    for number in 0..20 {
        for directory in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../..")] {
            let script =
                format!("cat ../../../../..{TARGET}/secret .{TARGET}/secret /proc/self/cwd{TARGET}/secret");
            let output = host.mini(["run", "--rm", "-w", &directory, "evil", "sh", "-c", &script]).run();
            assert!(!output.text().contains("secret"), "{directory}: {output}");
            assert!(!output.status.success(), "{directory}: {output}");
        }
    }
    let container = host.start(["evil", "sleep", "1000"]);
    container.sh("ls /proc/self/fd; ls -l /proc/1/fd | wc -l").ok().stdout("0\n1\n2\n3\n4\n");
    for number in 0..20 {
        let directory = format!("/proc/self/fd/{number}");
        let output =
            host.mini(["exec", "-w", &directory, &container.id, "cat", &format!(".{TARGET}/secret")]).run();
        assert!(!output.text().contains("secret"), "{directory}: {output}");
    }
}

#[test]
fn cve_2024_21626_by_a_link_in_the_image() {
    let image = Image::busybox()
        .with(Tarball::new().symlink("door7", "/proc/self/fd/7").symlink("door8", "/proc/self/fd/8"))
        .set("WorkingDir", "/door7");
    let host = with_secret(&image);
    for directory in [None, Some("/door8")] {
        let options: Vec<_> = directory.map(|directory| ["-w", directory]).into_iter().flatten().collect();
        let output = host
            .mini(["run", "--rm"])
            .args(options)
            .args(["evil", "sh", "-c", &format!("cat .{TARGET}/secret; pwd")])
            .run();
        assert!(!output.text().contains("the host"), "{output}");
    }
}

#[test]
fn cve_2019_19921_proc_sys_and_dev_that_are_links_are_refused() {
    for name in ["proc", "sys", "dev"] {
        for target in [TARGET, "tmp/fake", "/etc"] {
            let layer = Tarball::new().whiteout(name);
            let link = Tarball::new().directory("tmp/fake", 0o777).symlink(name, target);
            let host = with_secret(&Image::busybox().with(layer).with(link));
            let output = host.mini(["run", "--rm", "evil", "true"]).run();
            assert_eq!(output.status.code(), Some(125), "{name} -> {target}: {output}");
            assert!(output.err().contains(&format!("/{name}")), "{output}");
            untouched(&host);
        }
    }
}

#[test]
fn cve_2019_16884_a_volume_over_proc_is_refused() {
    let host = with_secret(&Image::busybox());
    for place in ["/proc", "/proc/self", "/proc/sys", "/proc/sys/kernel"] {
        let volume = format!("{TARGET}:{place}");
        host.mini(["run", "--rm", "-v", &volume, "evil", "true"]).run().error(125, &[place]);
        host.mini(["run", "--rm", "--tmpfs", place, "evil", "true"]).run().error(125, &[place]);
    }
    untouched(&host);
}

#[test]
fn cve_2021_30465_mount_points_that_lead_out_are_resolved_inside() {
    let climbing = format!("{}{TARGET}", "../".repeat(30));
    for target in ["/", TARGET, climbing.as_str(), "/proc/1/root", "/proc/self/cwd"] {
        let host = with_secret(&Image::busybox().with(Tarball::new().symlink("door", target)));
        let data = host.home().join("data");
        fs::create_dir(&data).expect("make a directory");
        fs::write(data.join("mine"), "mine").expect("write");
        let volume = format!("{}:/door/inner", data.display());
        let output = host.mini(["run", "--rm", "-v", &volume, "evil", "cat", "/door/inner/mine"]).run();
        if output.status.success() {
            assert_eq!(output.text(), "mine", "{target}");
        } else {
            output.error(125, &["/door/inner"]);
        }
        untouched(&host);
        host.mini(["run", "--rm", "--tmpfs", "/door/tmpfs", "-w", "/door/made", "evil", "true"]).run();
        untouched(&host);
    }
}

#[test]
fn cve_2021_30465_a_mount_point_swapped_by_another_container() {
    let host = with_secret(&Image::busybox());
    let shared = host.home().join("shared");
    fs::create_dir(&shared).expect("make a directory");
    let volume = format!("{}:/shared", shared.display());
    let script = "cd /shared; mkdir -p dir; echo swapping; while :; do mv dir away; ln -s / dir; rm dir; mv away dir; done 2> /dev/null";
    let swapper = host.start(["-v", &volume, "evil", "sh", "-c", script]);
    tests::wait::until("the swapper", || swapper.logs().text().contains("swapping").then_some(()));
    let inner = format!("{TARGET}:/shared/dir/bin:ro");
    for _ in 0..40 {
        // It may fail, since the mount point may be gone; what it may not is land outside the container.
        let output = host
            .mini(["run", "--rm", "-v", &volume, "-v", &inner, "evil", "/bin/busybox", "ls", "/bin/busybox"])
            .run();
        assert!(!output.err().contains("panicked"), "{output}");
    }
    swapper.remove();
    untouched(&host);
}

#[test]
fn cve_2025_31133_masks_are_the_real_null_device() {
    let layer = Tarball::new()
        .directory("dev", 0o755)
        .symlink("dev/null", &format!("{TARGET}/secret"))
        .symlink("dev/zero", "/proc/sysrq-trigger");
    let host = with_secret(&Image::busybox().with(layer));
    let script = "stat -c %t:%T /dev/null /proc/interrupts; cat /proc/interrupts | wc -c";
    host.mini(["run", "--rm", "evil", "sh", "-c", script]).run().ok().stdout("1:3\n1:3\n0\n");
    untouched(&host);
}

#[test]
fn cve_2025_52565_the_console_is_the_real_terminal() {
    let layer = Tarball::new()
        .directory("dev", 0o755)
        .symlink("dev/console", "/proc/sysrq-trigger")
        .symlink("dev/pts", &format!("{TARGET}/pts"))
        .symlink("dev/ptmx", &format!("{TARGET}/ptmx"));
    let host = with_secret(&Image::busybox().with(layer));
    let script = "stat -c %F /dev/console; tty; grep -c ' /dev/console ' /proc/mounts; grep ' /proc/sysrq-trigger ' /proc/mounts | grep -c devpts; true";
    let output = host.mini(["run", "--rm", "-t", "evil", "sh", "-c", script]).run().ok();
    output.stdout("character special file\r\n/dev/pts/0\r\n1\r\n0\r\n");
    untouched(&host);
}

#[test]
fn cve_2026_30892_users_are_parsed_strictly() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    for user in [
        "",
        ":",
        "0:",
        ":0",
        "-1",
        "+0",
        "0x0",
        "4294967295",
        "4294967296",
        "1e3",
        " 0",
        "0 ",
        "0:0:0",
        "0,0",
        "root:",
        "００",
    ] {
        let inside = host.mini(["exec", "-u", user, &container.id, "id", "-u"]).run();
        assert!(
            inside.err().starts_with("mini: ") && !inside.status.success()
                || (user.is_empty() && inside.status.success()),
            "{user:?}: {inside}"
        );
        let run = host.mini(["run", "--rm", "-u", user, "busybox", "id", "-u"]).run();
        assert!(
            run.status.code() == Some(125) || (user.is_empty() && run.status.success()),
            "{user:?}: {run}"
        );
    }
}

#[test]
fn devices_of_an_image_stay_shut_even_when_the_container_may_remount() {
    let node = Entry { device: (1, 11), ..Entry::new(b'3', "kmsg", 0o666) };
    let host = with_secret(&Image::busybox().with(Tarball::new().entry(&node)));
    let script = "mount -o remount,bind,dev / && grep ' / ' /proc/mounts; [ -e /kmsg ] || mknod /kmsg c 1 11; \
                  head -c 1 /kmsg > /dev/null && echo OPENED; mknod /tmp/k c 1 11 && head -c 1 /tmp/k > /dev/null && echo OPENED; true";
    for options in
        [&["--cap-add", "SYS_ADMIN"][..], &["--userns=host"], &["--userns=host", "--cap-add", "SYS_ADMIN"]]
    {
        let output = host.mini(["run", "--rm"]).args(options).args(["evil", "sh", "-c", script]).run();
        assert!(!output.text().contains("OPENED"), "{options:?}: {output}");
    }
}

#[test]
fn cve_2022_29162_and_27650_nothing_is_inheritable() {
    let host = Host::with_busybox();
    let container = host.start(["--cap-add", "SYS_ADMIN", "busybox", "sleep", "1000"]);
    let script = "grep -E 'Cap(Inh|Amb)' /proc/self/status /proc/1/status | grep -vc 0000000000000000";
    container.sh(script).code(1).stdout("0\n");
    host.mini(["exec", "-u", "1000", &container.id, "sh", "-c", script]).run().code(1).stdout("0\n");
}

#[test]
fn cve_2022_0492_no_release_agent_and_no_new_cgroup_mount() {
    let host = Host::with_busybox();
    let script = "for f in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/notify_on_release /sys/fs/cgroup/*/cgroup.procs; do \
                  [ -e $f ] && (: >> $f) 2> /dev/null && echo opened $f; done; \
                  unshare -UrmC mount -t cgroup -o rdma x /tmp 2> /dev/null && echo mounted; \
                  mount -t cgroup -o memory x /tmp 2> /dev/null && echo mounted; \
                  mount -t cgroup2 x /tmp 2> /dev/null && echo mounted; true";
    for users in ["--userns=host", "--network=bridge"] {
        host.mini(["run", "--rm", users, "busybox", "sh", "-c", script]).run().ok().stdout("");
    }
}

#[test]
fn cve_2020_15257_no_abstract_socket_and_no_socket_that_others_reach() {
    let host = Host::with_busybox();
    let before = fs::read_to_string("/proc/thread-self/net/unix").expect("read");
    host.start(["busybox", "sleep", "1000"]);
    let shared = host.start(["--network=host", "busybox", "sleep", "1000"]);
    let after = fs::read_to_string("/proc/thread-self/net/unix").expect("read");
    let abstracts = |text: &str| text.lines().filter(|line| line.contains(" @")).count();
    assert_eq!(abstracts(&after), abstracts(&before), "{after}");
    shared.sh("grep -c ' @' /proc/net/unix").code(1).stdout("0\n");
    for line in after.lines().filter(|line| line.contains("/run/mini")) {
        let path = line.split(' ').next_back().expect("a path");
        let open =
            |directory: &&Path| rustix::fs::stat(*directory).is_ok_and(|stat| stat.st_mode & 0o077 == 0);
        let closed = Path::new(path).ancestors().skip(1).find(open);
        assert!(closed.is_some(), "every directory above {path} lets others through");
    }
}

#[test]
fn cve_2021_41091_the_data_roots_are_closed_to_others() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    for place in ["image", "containers"] {
        for root in [host.root(), host.run_root()] {
            let path = root.join(place);
            if path.exists() {
                let mode = rustix::fs::stat(&path).expect("stat").st_mode & 0o777;
                let parent = rustix::fs::stat(&root).expect("stat").st_mode & 0o777;
                assert!(
                    mode & 0o077 == 0 || parent & 0o077 == 0,
                    "{} has mode {mode:o} below {parent:o}",
                    path.display()
                );
            }
        }
    }
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]);
    command.arg(container.field("/LogPath").as_str().expect("a path"));
    assert!(!Mini::new(command).run().status.success(), "others read the log");
}
