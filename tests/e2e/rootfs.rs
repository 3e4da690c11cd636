//! What a container finds: docker's mounts, devices, masks and rights, to the letter.

use tests::{Host, Image, Tarball};

/// The options and the type of what is mounted at `point`, from the container's `/proc/mounts`.
fn mounted(mounts: &str, point: &str) -> (String, Vec<String>) {
    let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(point));
    let fields: Vec<_> = line.unwrap_or_else(|| panic!("nothing at {point}:\n{mounts}")).split(' ').collect();
    (fields[2].to_owned(), fields[3].split(',').map(str::to_owned).collect())
}

#[test]
fn the_mounts_are_dockers() {
    let host = Host::with_busybox();
    let mounts = host.mini(["run", "--rm", "busybox", "cat", "/proc/mounts"]).run().ok().text();
    for (point, kind, options) in [
        ("/", "overlay", vec!["rw"]),
        ("/proc", "proc", vec!["rw", "nosuid", "nodev", "noexec"]),
        ("/dev", "tmpfs", vec!["rw", "nosuid", "size=65536k", "mode=755"]),
        ("/dev/pts", "devpts", vec!["rw", "nosuid", "noexec", "mode=620", "ptmxmode=666"]),
        ("/dev/mqueue", "mqueue", vec!["rw", "nosuid", "nodev", "noexec"]),
        ("/dev/shm", "tmpfs", vec!["rw", "nosuid", "nodev", "noexec", "size=65536k"]),
        ("/sys", "sysfs", vec!["ro", "nosuid", "nodev", "noexec"]),
    ] {
        let (found, flags) = mounted(&mounts, point);
        assert_eq!(found, kind, "{point}");
        for option in options {
            assert!(flags.iter().any(|flag| flag == option), "{point} lacks {option}: {flags:?}");
        }
    }
    let script = "stat -c '%a %u:%g' /dev/shm /dev /dev/pts/ptmx; stat -f -c %s /dev/shm > /dev/null";
    let modes = host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok().lines();
    assert_eq!(modes, ["1777 0:0", "755 0:0", "666 0:0"]);
}

#[test]
fn the_cgroup_mounts_are_read_only() {
    let host = Host::with_busybox();
    let mounts = host.mini(["run", "--rm", "busybox", "cat", "/proc/mounts"]).run().ok().text();
    let points: Vec<_> = mounts.lines().filter(|line| line.contains(" /sys/fs/cgroup")).collect();
    assert!(!points.is_empty(), "no cgroup mount:\n{mounts}");
    for line in points {
        let options: Vec<_> = line.split(' ').nth(3).expect("options").split(',').collect();
        assert!(options.contains(&"ro") && options.contains(&"nosuid"), "{line}");
    }
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -d $d ] && mkdir $d/x 2>/dev/null && echo made $d/x; done; true";
    host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok().stdout("");
}

#[test]
fn nothing_of_the_hosts_tree_is_seen_and_the_host_sees_nothing_of_ours() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    assert_eq!(host.new_mounts(), Vec::<String>::new(), "the host's mount table shows the container");
    let inside = container.exec(["cat", "/proc/1/mountinfo"]).run().ok().text();
    let mine = tests::leftovers::mounts().len();
    assert!(inside.lines().count() < mine.max(40), "{inside}");
    for line in inside.lines() {
        let root = line.split(' ').nth(3).expect("a root");
        let allowed = ["/", "/null"].contains(&root)
            || ["/bus", "/fs", "/irq", "/sys", "/sysrq-trigger"].contains(&root)
            || line.contains(" - cgroup")
            || ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
                .contains(&line.split(' ').nth(4).expect("a point"));
        assert!(allowed, "a part of some other tree: {line}");
    }
}

#[test]
fn the_devices_are_dockers_and_work() {
    let host = Host::with_busybox();
    let script = "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %F %a %t:%T %u:%g' $d; done; \
                  for l in ptmx fd stdin stdout stderr; do readlink $l; done; ls | grep -v core";
    let output = host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok();
    let expected = "null character special file 666 1:3 0:0\n\
                    zero character special file 666 1:5 0:0\n\
                    full character special file 666 1:7 0:0\n\
                    random character special file 666 1:8 0:0\n\
                    urandom character special file 666 1:9 0:0\n\
                    tty character special file 666 5:0 0:0\n\
                    pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n\
                    fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    output.stdout(expected);
    let script = "echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1 && head -c 4 /dev/urandom | wc -c; \
                  echo x > /dev/full || echo full; head -c 1 /dev/random | wc -c";
    let output = host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok();
    output.stdout(" 00 00 00\n4\nfull\n1\n");
}

#[test]
fn every_user_inside_can_use_the_devices() {
    let host = Host::with_busybox();
    let script =
        "echo x > /dev/null && head -c 2 /dev/zero | wc -c && : > /dev/shm/mine && echo err > /dev/stderr";
    let output = host.mini(["run", "--rm", "-u", "1000", "busybox", "sh", "-c", script]).run().ok();
    output.stdout("2\n").stderr("err\n");
}

#[test]
fn masked_paths_are_empty() {
    let host = Host::with_busybox();
    let script = "for p in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
                  /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware \
                  /sys/devices/system/cpu/cpu0/thermal_throttle; do \
                  if [ -d $p ]; then [ -z \"$(ls -A $p)\" ] || echo $p shows something; touch $p/x 2>/dev/null && echo $p is writable; \
                  elif [ -e $p ]; then [ -z \"$(head -c 1 $p)\" ] || echo $p says something; \
                  [ \"$(stat -c %t:%T $p)\" = 1:3 ] || echo $p is no null; fi; done; true";
    host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok().stdout("");
    // The test has something to hide.
    assert!(std::path::Path::new("/proc/interrupts").exists(), "the kernel has no /proc/interrupts");
}

#[test]
fn read_only_paths_take_no_writes() {
    let host = Host::with_busybox();
    let script = "for p in /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/irq/default_smp_affinity; do \
                  [ -e $p ] && (: >> $p) 2>/dev/null && echo opened $p; done; true";
    for users in ["--userns=host", "--network=bridge"] {
        host.mini(["run", "--rm", users, "busybox", "sh", "-c", script]).run().ok().stdout("");
    }
    let mounts = host.mini(["run", "--rm", "busybox", "cat", "/proc/mounts"]).run().ok().text();
    for point in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] {
        if std::path::Path::new(point).exists() {
            assert!(mounted(&mounts, point).1.contains(&"ro".to_owned()), "{point} is not read-only");
        }
    }
}

#[test]
fn privileged_masks_nothing() {
    let host = Host::with_busybox();
    let script = "head -c 1 /proc/interrupts | wc -c; grep -c ' /proc/' /proc/mounts; grep ' /sys ' /proc/mounts | grep -c rw";
    let output = host.mini(["run", "--rm", "--privileged", "busybox", "sh", "-c", script]).run();
    assert_eq!(output.lines(), ["1", "0", "1"], "{output}");
}

#[test]
fn seccomp_is_on_and_refuses_what_dockers_profile_refuses() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "grep", "Seccomp:", "/proc/self/status"])
        .run()
        .ok()
        .stdout("Seccomp:\t2\n");
    for refused in [
        &["unshare", "-m", "true"][..],
        &["unshare", "-U", "true"],
        &["mount", "-t", "tmpfs", "x", "/tmp"],
        &["umount", "/dev/shm"],
        &["swapoff", "-a"],
        &["chroot", "/", "insmod", "/etc/passwd"],
        &["pivot_root", "/", "/tmp"],
        &["reboot", "-f"],
    ] {
        let output = host.mini(["run", "--rm", "busybox"]).args(refused).run();
        assert!(!output.status.success() || refused[0] == "swapoff", "{refused:?}: {output}");
    }
    let privileged =
        host.mini(["run", "--rm", "--privileged", "busybox", "grep", "Seccomp:", "/proc/self/status"]).run();
    privileged.ok().stdout("Seccomp:\t0\n");
}

#[test]
fn capabilities_are_in_no_inheritable_or_ambient_set() {
    let host = Host::with_busybox();
    for options in [&[][..], &["-u", "1000"], &["--cap-add", "SYS_ADMIN"], &["--privileged"]] {
        let script =
            "grep -E 'Cap(Inh|Amb)' /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2";
        let output =
            host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run().ok();
        output.stdout("0000000000000000\n0000000000000000\n0\n");
    }
    let script = "grep -E 'Cap(Eff|Prm)' /proc/self/status | cut -f2";
    let output = host.mini(["run", "--rm", "-u", "1000", "busybox", "sh", "-c", script]).run().ok();
    output.stdout("0000000000000000\n0000000000000000\n");
}

#[test]
fn sysctls_of_its_own_network_let_everybody_bind_low_ports_and_ping() {
    let host = Host::with_busybox();
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/net/ipv4/ping_group_range | tr '\\t' ' '";
    host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok().stdout("0\n0 65535\n");
}

#[test]
fn the_hosts_hostname_and_time_of_day_are_not_the_containers_to_set() {
    let host = Host::with_busybox();
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("read");
    host.mini(["run", "--rm", "busybox", "hostname", "changed"]).run().code(1);
    host.mini(["run", "--rm", "--cap-add", "SYS_ADMIN", "busybox", "hostname", "changed"]).run().ok();
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").expect("read"), before);
}

#[test]
fn an_image_without_any_directory_is_enough() {
    let host = Host::new();
    let binary = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    host.load(&Image::of([Tarball::new().file("busybox", 0o755, binary)]), "bare:latest");
    let output = host.mini([
        "run",
        "--rm",
        "bare",
        "/busybox",
        "sh",
        "-c",
        "/busybox ls /; /busybox cat /etc/hostname | /busybox wc -c",
    ]);
    output.run().ok().stdout("busybox\ndev\netc\nproc\nsys\n13\n");
}

#[test]
fn what_is_written_is_seen_by_nobody_else_and_gone_with_rm() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "sh", "-c", "rm -rf /bin/vi /etc/group; echo x > /new"]).run().ok();
    let output =
        host.mini(["run", "--rm", "busybox", "sh", "-c", "ls /bin/vi /etc/group; ls /new"]).run().code(1);
    output.stdout("/bin/vi\n/etc/group\n");
}
