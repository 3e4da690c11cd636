//! A script's life: what the host sees of it, what it leaves behind, how it ends, and that nothing hostile in it is ever carried out.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use rustix::process::Signal;
use tests::tarball::Entry;
use tests::wait::until;
use tests::{Host, Image, Running, Tarball, leftovers, processes};

use crate::script::{carry_out, write};

/// What a script could leave behind.
fn state(host: &Host) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = leftovers::mounts().into_iter().collect();
    for (program, args) in [
        ("ip", &["-o", "-br", "link"][..]),
        ("nft", &["list", "ruleset"]),
        ("cat", &["/proc/sys/net/ipv4/ip_forward"]),
        ("find", &["/run", "/var/tmp", "/etc", "-name", "mini-script*"]),
        ("find", &["/run", "-type", "f", "-path", "*/ids/*"]),
        ("find", &["/run", "-type", "f", "-path", "*/leases/*"]),
    ] {
        all.extend(host.tool(program, args).lines().map(str::to_owned));
    }
    let groups = tests::cgroups::directories_of(&host.cgroup_parent());
    all.extend(groups.iter().map(|group| group.display().to_string()));
    all
}

#[track_caller]
fn nothing_stays(host: &Host, before: &BTreeSet<String>) {
    let after = state(host);
    let changed: Vec<_> = after.symmetric_difference(before).collect();
    assert!(changed.is_empty(), "what the script made goes with it: {changed:#?}");
}

/// A script whose container runs: it has said `ready`.
fn start(host: &Host, flags: &[&str]) -> Running {
    let script = write(host, &[flags, &["busybox", "sh", "-c", "echo ready; exec sleep 1000"]].concat());
    let mut running = carry_out(host, &script).start();
    assert_eq!(running.line(), "ready");
    running
}

#[test]
fn the_host_sees_the_same_and_nothing_stays() {
    let host = Host::with_busybox();
    let flags = ["-p", "127.0.0.1:8081:81", "-p", "8080:80", "-m", "64m"];
    let seen = |host: &Host| {
        let rules = host.tool("nft", ["list", "ruleset"]);
        let links = host.tool("ip", ["-o", "addr", "show", "mini0"]);
        let port = host.tool("bridge", ["-d", "link"]);
        let veth = port.lines().find(|line| line.contains("mini-")).expect("a card on the bridge").to_owned();
        let options = host.tool("bridge", ["-d", "link"]).lines().nth(1).map(str::to_owned);
        assert!(veth.contains("master mini0 state forwarding"), "{veth}");
        let forwarding = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("forwarding");
        let localnet =
            fs::read_to_string("/proc/sys/net/ipv4/conf/mini0/route_localnet").expect("route_localnet");
        (rules, without_lifetimes(&links), options, forwarding, localnet)
    };
    let before = state(&host);
    let running = start(&host, &flags);
    let made = seen(&host);
    running.signal(Signal::TERM);
    running.wait().code(143);
    nothing_stays(&host, &before);

    let container = host.start([&flags[..], &["busybox", "sleep", "1000"]].concat());
    let run = seen(&host);
    assert_eq!(made.0.replace("10.87.0.3", "10.87.0.2"), run.0.replace("10.87.0.3", "10.87.0.2"));
    assert_eq!((made.1, made.2, made.3, made.4), (run.1, run.2, run.3, run.4));
    // Where the bridge is somebody else's, it stays.
    let before = state(&host);
    let running = start(&host, &["--pidfile", "/run/pid"]);
    let pid = fs::read_to_string("/run/pid").expect("the pidfile");
    assert!(processes::status(pid.trim().parse().expect("a number"), "NSpid").is_some(), "{pid}");
    running.signal(Signal::INT);
    running.wait().code(130);
    nothing_stays(&host, &before);
    drop(container);
}

fn link<'a>(name: &'a str, to: &'a str) -> Entry<'a> {
    Entry::new(b'2', name, 0o777).to(to)
}

/// `ip -o` without what changes by itself, and without numbers of links.
fn without_lifetimes(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.contains(" inet "))
        .map(|line| line.split("\\").next().unwrap_or("").split(": ").last().unwrap_or("").to_owned())
        .collect()
}

#[test]
fn a_published_port_leads_to_the_container() {
    let host = Host::with_busybox();
    let program = "mkdir /www; echo hello >/www/x; httpd -h /www; echo ready; exec sleep 1000";
    let script = write(&host, &["-p", "8080:80", "busybox", "sh", "-c", program]);
    let mut running = carry_out(&host, &script).start();
    assert_eq!(running.line(), "ready");
    let fetched = until("the published port", || {
        let output =
            Command::new("busybox").args(["wget", "-qO-", "http://127.0.0.1:8080/x"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert_eq!(fetched, "hello\n");
    running.signal(Signal::TERM);
    running.wait().code(143);
}

#[test]
fn it_ends_as_its_program_does() {
    let host = Host::with_busybox();
    let before = state(&host);
    for (args, code, says) in [
        (&["true"][..], 0, ""),
        (&["sh", "-c", "exit 7"], 7, ""),
        (&["nothing-like-it"], 127, "not found"),
        (&["/etc/passwd"], 126, "Permission denied"),
    ] {
        let script = write(&host, &[&["busybox"], args].concat());
        carry_out(&host, &script).run().code(code).stderr_has(says);
    }
    let script = write(&host, &["-u", "nobody-like-him", "busybox", "true"]);
    carry_out(&host, &script).run().code(125).stderr_has("unable to find user nobody-like-him");
    let script = write(&host, &["-i", "busybox", "cat"]);
    carry_out(&host, &script).stdin("through it").run().ok().stdout("through it");
    let script = write(&host, &["busybox", "cat"]);
    carry_out(&host, &script).stdin("not read").run().ok().stdout("");
    nothing_stays(&host, &before);
}

#[test]
fn volumes_get_the_images_files_first() {
    let host = Host::new();
    let layer = Tarball::new().directory("data", 0o750).file("data/first", 0o640, "from the image");
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let program = "ls -ldn /data | cut -c1-10; cat /data/first; echo; echo kept >/data/second; cat /old/x";
    host.mini(["volume", "create", "old"]).run().ok();
    host.mini(["run", "--rm", "-v", "old:/old", "busybox", "sh", "-c", "echo old >/old/x"]).run().ok();
    let script = write(&host, &["-v", "new:/data", "-v", "old:/old", "busybox", "sh", "-c", program]);
    let expected = "drwxr-x---\nfrom the image\nold\n";
    carry_out(&host, &script).run().ok().stdout(expected);
    assert!(!host.root().join("volume/new").exists(), "a new one goes with the script");
}

#[test]
fn links_of_an_image_lead_nowhere_else() {
    let host = Host::new();
    let outside = host.work().join("outside");
    fs::create_dir(&outside).expect("mkdir");
    let up = format!("../../../../../..{}", outside.display());
    let layer =
        Tarball::new().entry(&link("out", &up)).entry(&link("loop", "loop")).entry(&link("run", "/var"));
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let script =
        write(&host, &["--tmpfs", "/out/deep", "-w", "/run/made", "busybox", "sh", "-c", "pwd; echo /out/*"]);
    carry_out(&host, &script).run().ok().stdout("/var/made\n/out/deep\n");
    assert_eq!(fs::read_dir(&outside).expect("readdir").count(), 0, "nothing was made outside");
    let script = write(&host, &["--tmpfs", "/loop/x", "busybox", "true"]);
    carry_out(&host, &script).run().code(125).stderr_has("too many links");
    let proc = Tarball::new().entry(&link("proc", "/etc"));
    host.load(&Image::of([proc]), "hostile:latest");
    let script = write(&host, &["hostile", "/x"]);
    carry_out(&host, &script).run().code(125).stderr_has("/proc is a link");
}

#[test]
fn what_a_script_cannot_do_is_said() {
    let host = Host::with_busybox();
    host.mini(["secret", "create", "password", "-"]).stdin("hunter2").run().ok();
    let other = host.start(["--name", "other", "busybox", "sleep", "1000"]);
    for (flags, says) in [
        (&[][..], "filter of system calls"),
        (&[], "session keyring"),
        (&["-d"], "-d: "),
        (&["-t"], "-t: "),
        (&["-a", "stdout"], "-a: "),
        (&["--init"], "--init: "),
        (&["--restart", "always"], "--restart: "),
        (&["--timeout", "5"], "--timeout: "),
        (&["--health-cmd", "true"], "Health checks: "),
        (&["--stop-timeout", "5"], "--stop-timeout: "),
        (&["--label", "a=b"], "Labels and annotations: "),
        (&["--log-driver", "none"], "--log-driver"),
        (&["--secret", "password"], "--secret password: the file is missing"),
        (&["--cidfile", "/run/id"], "--cidfile: "),
        (&["--replace", "--name", "other"], "--replace: "),
        (&["--sig-proxy=false"], "--sig-proxy: "),
        (&["-e", "a.b=c"], "The variable \"a.b\" is missing"),
        (&["-v", "data:/data"], "The volume data: "),
        (&["--network", "container:other"], "What is shared with another container"),
        (&["-p", "80"], "bound socket"),
    ] {
        let text = host.mini(["script"]).args(flags).args(["busybox", "true"]).run().ok().text();
        let comments: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        assert!(comments.join(" ").contains(says), "{flags:?}: {says:?}\n{text}");
        assert!(!text.contains("hunter2"), "a secret in a script");
    }
    drop(other);
    let plain =
        host.mini(["script", "--security-opt", "seccomp=unconfined", "busybox", "true"]).run().ok().text();
    assert!(!plain.contains("--security-opt: ") && !plain.contains("filter of system calls"), "{plain}");
}

#[test]
fn nothing_that_is_typed_becomes_a_command() {
    let host = Host::with_busybox();
    let hostile = "x\ntouch /run/broken-out\n'; touch /run/broken-out; $(touch /run/broken-out)\nEND\nEND1\ntouch /run/broken-out";
    let variable = format!("A={hostile}");
    let label = format!("l={hostile}");
    let directory = host.work().join("a'b $(touch broken-out)");
    fs::create_dir(&directory).expect("mkdir");
    let volume = format!("{}:/v $(touch x) '", directory.display());
    let flags = ["-e", &variable, "-l", &label, "-v", &volume, "--dns-search", "a'b", "-w", "/c $(touch x)"];
    let program = "printf '%s|' \"$A\" \"$1\" \"$PWD\"";
    let args = [&flags[..], &["busybox", "sh", "-c", program, "sh", hostile]].concat();
    let script = write(&host, &args);
    let expected = host.mini(["run", "--rm"]).args(&args).run().ok().text();
    assert!(expected.starts_with(hostile), "{expected}");
    carry_out(&host, &script).run().ok().stdout(&expected);
    for place in ["/run/broken-out", "/broken-out"] {
        assert!(!fs::exists(place).expect("stat"), "something typed was carried out");
    }
}
