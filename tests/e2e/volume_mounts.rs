//! Mounts of containers: inherited, in parts, with what lies below, propagated; and what inspect and ps say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use tests::{Container, Host};

use crate::volume_content::data;

#[test]
fn another_containers_mounts_are_inherited() {
    let host = Host::with_busybox();
    let shared = host.work().join("shared");
    fs::create_dir(&shared).expect("mkdir");
    let bind = format!("{}:/bind:ro", shared.display());
    let first = host.start([
        "--name",
        "first",
        "-v",
        "named:/named",
        "-v",
        "/anon",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        "echo 1 > /named/f; echo 2 > /anon/f",
    ]);
    first.wait();
    let run = |args: &[&str], script: &str| {
        host.mini(["run", "--rm"]).args(args).args(["busybox", "sh", "-c", script]).run()
    };
    run(&["--volumes-from", "first"], "cat /named/f /anon/f; touch /bind/x")
        .code(1)
        .stdout("1\n2\n")
        .stderr_has("Read-only");
    run(&["--volumes-from", "first:ro"], "cat /named/f; touch /named/x")
        .code(1)
        .stdout("1\n")
        .stderr_has("Read-only");
    run(&["--volumes-from", "first:rw"], "touch /bind/x").ok();
    assert!(shared.join("x").exists());
    run(&["--volumes-from", "first", "-v", "other:/named"], "ls -A /named; cat /anon/f").ok().stdout("2\n");
    run(&["--volumes-from", "none"], "true").error(125, &["--volumes-from \"none\"", "no such container"]);
    run(&["--volumes-from", "first:sideways"], "true").error(125, &["sideways"]);
    let second = host.start(["--name", "second", "--volumes-from", "first:ro", "busybox", "sleep", "1000"]);
    assert_eq!(second.field("/HostConfig/VolumesFrom"), json!(["first:ro"]));
    // A volume without a name that another container still has stays, and goes with the last one.
    host.mini(["rm", "-v", "first"]).run().ok();
    second.sh("cat /anon/f").ok().stdout("2\n");
    assert_eq!(host.mini(["volume", "ls", "-q"]).run().ok().lines().len(), 3);
    host.mini(["rm", "-fv", "second"]).run().ok();
    let mut left = host.mini(["volume", "ls", "-q"]).run().ok().lines();
    left.sort();
    assert_eq!(left, ["named", "other"]);
    host.mini(["volume", "rm", "named", "other"]).run().ok();
}

#[test]
fn a_part_of_a_volume_is_shown_and_no_link_in_it_leads_out() {
    let host = Host::with_busybox();
    fs::write(host.work().join("secret"), "the host's").expect("write");
    let script = "mkdir -p /v/a/b; echo in > /v/a/b/f; ln -s /run/mini-test/work /v/out; ln -s ../../../../../../run/mini-test/work /v/up; ln -s a /v/inner; echo file > /v/file";
    host.mini(["run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", script]).run().ok();
    let run = |part: &str, script: &str| {
        let mount = format!("type=volume,src=data,dst=/d,volume-subpath={part}");
        host.mini(["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", script]).run()
    };
    run("a/b", "cat /d/f; stat -c %u /d/f").ok().stdout("in\n0\n");
    run("inner/b", "cat /d/f").ok().stdout("in\n");
    run("file", "cat /d").ok().stdout("file\n");
    run("gone", "true").error(125, &["gone"]);
    for part in ["out", "up", "out/secret"] {
        let output = run(part, "cat /d/secret /d 2>/dev/null");
        assert!(!output.text().contains("the host's"), "{part}: {output}");
        assert_ne!(output.status.code(), Some(0), "{part}: {output}");
    }
    run("../x", "true").error(125, &["leads out"]);
    host.mini(["volume", "rm", "data"]).run().ok();
}

#[test]
fn inspect_and_ps_tell_what_is_mounted() {
    let host = Host::with_busybox();
    let shared = host.work().join("shared");
    fs::create_dir(&shared).expect("mkdir");
    let bind = format!("{}:/bind:ro,rslave", shared.display());
    rustix::mount::mount_bind(&shared, &shared).expect("bind");
    rustix::mount::mount_change(&shared, rustix::mount::MountPropagationFlags::SHARED).expect("share");
    let tmpfs = "type=tmpfs,dst=/scratch,tmpfs-size=1m";
    let mount = "type=volume,src=other,dst=/other,ro";
    let container = host.start([
        "-v",
        "named:/named",
        "-v",
        &bind,
        "--mount",
        tmpfs,
        "--mount",
        mount,
        "-v",
        "/anon",
        "busybox",
        "sleep",
        "1000",
    ]);
    rustix::mount::unmount(&shared, rustix::mount::UnmountFlags::DETACH).expect("unmount");
    told(&host, &container, &shared, &bind);
    host.mini(["restart", "-t", "0", &container.id]).run().error(1, &["not a shared or slave mount"]);
    host.mini(["rm", "-fv", &container.id]).run().ok();
    host.mini(["volume", "rm", "named", "other"]).run().ok();
}

fn told(host: &Host, container: &Container<'_>, shared: &Path, bind: &str) {
    let mounts = container.field("/Mounts");
    let by_target = |target: &str| {
        let all = mounts.as_array().expect("a list");
        all.iter()
            .find(|mount| mount["Destination"] == target)
            .unwrap_or_else(|| panic!("{target}: {mounts:#}"))
            .clone()
    };
    assert_eq!(
        by_target("/named"),
        json!({
            "Type": "volume", "Name": "named", "Source": data(host, "named"), "Destination": "/named", "Driver": "local",
            "Mode": "z", "RW": true, "Propagation": "",
        })
    );
    assert_eq!(
        by_target("/bind"),
        json!({
            "Type": "bind", "Source": shared, "Destination": "/bind", "Mode": "ro,rslave", "RW": false,
            "Propagation": "rslave",
        })
    );
    assert_eq!(
        (by_target("/scratch")["Type"].as_str(), by_target("/other")["RW"].as_bool()),
        (Some("tmpfs"), Some(false))
    );
    let anonymous = by_target("/anon")["Name"].as_str().expect("a name").to_owned();
    assert_eq!(anonymous.len(), 64);
    assert_eq!(container.field("/HostConfig/Binds"), json!(["named:/named", bind]));
    let asked = container.field("/HostConfig/Mounts");
    assert_eq!(asked[0]["TmpfsOptions"]["SizeBytes"], 1 << 20);
    assert_eq!((asked[1]["Source"].as_str(), asked[1]["ReadOnly"].as_bool()), (Some("other"), Some(true)));
    assert_eq!(container.field("/Config/Volumes"), json!({ "/anon": {} }));
    let ps = |form: &str| host.mini(["ps", "--no-trunc", "--format", form]).run().ok().line();
    let all = ps("{{.Mounts}}");
    for name in ["named", "other", anonymous.as_str(), shared.to_str().expect("text")] {
        assert!(all.contains(name), "{name}: {all}");
    }
    assert_eq!(ps("{{.LocalVolumes}}"), "3");
    for filter in ["volume=named", "volume=/anon", &format!("volume={}", shared.display())] {
        assert_eq!(host.mini(["ps", "-q", "--filter", filter]).run().ok().lines().len(), 1, "{filter}");
    }
    host.mini(["ps", "-q", "--filter", "volume=none"]).run().ok().stdout("");
}

#[test]
fn what_lies_below_a_bind_comes_along_or_not() {
    let host = Host::with_busybox();
    let tree = host.work().join("tree");
    fs::create_dir_all(tree.join("sub")).expect("mkdir");
    rustix::mount::mount("tmpfs", tree.join("sub"), "tmpfs", rustix::mount::MountFlags::empty(), None)
        .expect("mount");
    fs::write(tree.join("sub/file"), "below\n").expect("write");
    fs::set_permissions(tree.join("sub"), fs::Permissions::from_mode(0o777)).expect("chmod");
    let run = |options: &str, script: &str| {
        let mount = format!("type=bind,src={},dst=/t,{options}", tree.display());
        host.mini(["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", script]).run()
    };
    let (top, below) = ("touch /t/x 2>/dev/null && echo top", "touch /t/sub/x 2>/dev/null && echo below");
    let both = format!("{top}; {below}; cat /t/sub/file 2>/dev/null; true");
    run("bind-recursive=enabled", &both).ok().stdout("top\nbelow\nbelow\n");
    run("ro", &both).ok().stdout("below\n");
    run("ro,bind-recursive=readonly", &both).ok().stdout("below\n");
    run("ro,bind-recursive=writable", &both).ok().stdout("below\nbelow\n");
    run("bind-recursive=disabled", &both).ok().stdout("top\nbelow\n");
    run("bind-nonrecursive=true", &both).ok().stdout("top\nbelow\n");
    // One that cannot be idmapped is rebuilt mount by mount, and is as read-only as the rest.
    fs::create_dir(tree.join("proc")).expect("mkdir");
    rustix::mount::mount_bind("/proc", tree.join("proc")).expect("bind");
    run("ro", &format!("{both}; echo 1 > /t/proc/self/oom_score_adj"))
        .code(1)
        .stdout("below\n")
        .stderr_has("Read-only");
    rustix::mount::unmount(tree.join("proc"), rustix::mount::UnmountFlags::DETACH).expect("unmount");
    rustix::mount::unmount(tree.join("sub"), rustix::mount::UnmountFlags::DETACH).expect("unmount");
}

#[test]
fn propagation_is_as_it_was_asked_for() {
    let host = Host::with_busybox();
    let tree = host.work().join("tree");
    fs::create_dir_all(tree.join("sub")).expect("mkdir");
    let run = |propagation: &str, more: &[&str]| {
        let volume = format!("{}:/t:{propagation}", tree.display());
        host.mini(["run", "--rm", "-v", &volume]).args(more).args(["busybox", "true"]).run()
    };
    for propagation in ["rslave", "slave"] {
        run(propagation, &[]).error(125, &["is not a shared or slave mount"]);
    }
    run("rshared", &["--userns", "host"]).error(125, &["is not a shared mount"]);
    run("shared", &[]).error(125, &["shared on /t", "user namespace"]);
    rustix::mount::mount_bind(&tree, &tree).expect("bind");
    rustix::mount::mount_change(&tree, rustix::mount::MountPropagationFlags::SHARED).expect("share");
    let start = |propagation: &str, more: &[&str]| {
        let volume = format!("{}:/t:{propagation}", tree.display());
        host.start([&["-v", &volume], more, &["busybox", "sleep", "1000"]].concat())
    };
    let (follows, private) = (start("rslave", &[]), start("rprivate", &[]));
    let shares = start("rshared", &["--userns", "host", "--cap-add", "SYS_ADMIN"]);
    rustix::mount::mount("tmpfs", tree.join("sub"), "tmpfs", rustix::mount::MountFlags::empty(), None)
        .expect("mount");
    let sees = |container: &Container<'_>| container.sh("grep -c ' /t/sub ' /proc/mounts").line();
    assert_eq!([sees(&follows), sees(&private), sees(&shares)], ["1", "0", "1"]);
    rustix::mount::unmount(tree.join("sub"), rustix::mount::UnmountFlags::DETACH).expect("unmount");
    assert_eq!(sees(&follows), "0");
    for container in [follows, private, shares] {
        container.remove();
    }
    rustix::mount::unmount(&tree, rustix::mount::UnmountFlags::DETACH).expect("unmount");
}

#[test]
fn paths_may_have_commas_and_colons() {
    let host = Host::with_busybox();
    let odd = host.work().join("a,b:c \"d\"");
    fs::create_dir(&odd).expect("mkdir");
    fs::write(odd.join("file"), "odd\n").expect("write");
    let source = odd.display().to_string().replace('"', "\"\"");
    let mount = format!("type=bind,\"src={source}\",\"dst=/x:y,z\"");
    host.mini(["run", "--rm", "--mount", &mount, "busybox", "cat", "/x:y,z/file"]).run().ok().stdout("odd\n");
    host.mini(["run", "--rm", "--mount", "type=bind,src=\"/a\",dst=/b", "busybox"])
        .run()
        .error(125, &["quote"]);
    let made = host.work().join("made");
    let mount = format!("type=bind,src={},dst=/m,bind-create-src", made.display());
    host.mini(["run", "--rm", "--mount", &mount, "busybox", "touch", "/m/x"]).run().ok();
    assert!(made.join("x").is_file());
    host.mini(["run", "--rm", "--volume-driver", "nfs", "-v", "data:/d", "busybox"])
        .run()
        .error(125, &["nfs"]);
    host.mini(["run", "--rm", "--volume-driver", "local", "-v", "data:/d", "busybox", "true"]).run().ok();
    host.mini(["volume", "rm", "data"]).run().ok();
}
