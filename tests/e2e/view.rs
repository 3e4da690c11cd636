//! `mini view`: what both sides see, compared with what the kernel tells each of them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use tests::{Container, Host, processes, wait};

/// One look: rows of a section as (what, host, container).
struct View(Value);

type Row = (String, String, String);

impl View {
    #[track_caller]
    fn of(host: &Host, args: &[&str]) -> View {
        View(host.mini(["view", "--json"]).args(args).run().ok().json())
    }

    fn rows(&self, section: &str) -> Vec<Row> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let rows =
            self.0["Sections"][section].as_array().unwrap_or_else(|| panic!("no {section}: {:#}", self.0));
        rows.iter().map(|row| (text(&row["What"]), text(&row["Host"]), text(&row["Container"]))).collect()
    }

    #[track_caller]
    fn row(&self, section: &str, what: &str) -> (String, String) {
        let rows = self.rows(section);
        let found = rows.iter().find(|(name, ..)| name == what);
        let (_, host, container) = found.unwrap_or_else(|| panic!("no {what} in {rows:#?}"));
        (host.clone(), container.clone())
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("a number: {text}"))
}

/// A container of that name that sleeps.
pub(crate) fn start<'host>(host: &'host Host, name: &str, args: &[&str]) -> Container<'host> {
    let container = host.start([&["--name", name][..], args, &["busybox", "sleep", "1000"]].concat());
    let pid = container.pid();
    wait::until("its program", || (processes::command_line(pid) == "sleep 1000").then_some(()));
    container
}

#[test]
fn the_same_process_has_the_numbers_that_each_side_gives_it() {
    let host = Host::with_busybox();
    for (name, args, inside) in [("own", &[][..], Some("1")), ("hosts", &["--pid=host"], None)] {
        let container = start(&host, name, args);
        let pid = container.pid();
        let view = View::of(&host, &[name]);
        assert_eq!(view.0["Pid"], pid, "{name}");
        let (outside, there) = view.row("process", "sleep");
        assert_eq!(number::<i32>(&outside), pid, "{name}");
        assert!(outside.contains(&format!("child of {} ", container.monitor())), "{outside}");
        assert_eq!(number::<i32>(&there), inside.map_or(pid, number), "{name}");
        let name = container.sh(&format!("cat /proc/{}/comm", number::<i32>(&there))).ok().line();
        assert_eq!(name, "sleep", "that number, from inside");
        let (numbers, own) = view.row("process", "NSpid");
        assert_eq!(
            numbers.split(' ').collect::<Vec<_>>().join("\t"),
            processes::status(pid, "NSpid").expect("it runs")
        );
        assert!(numbers.ends_with(&own), "{numbers} {own}");
    }
}

#[test]
fn the_same_user_is_mapped_as_the_kernel_maps_it() {
    let host = Host::with_busybox();
    for (name, userns) in [("own", "private"), ("hosts", "host")] {
        let container = start(&host, name, &["--userns", userns, "--user", "7:8"]);
        let view = View::of(&host, &[name]);
        let map = processes::proc_file(container.pid(), "uid_map").expect("it runs");
        let line: Vec<u64> = map.split_whitespace().map(number).collect();
        let range = |first: u64| format!("{first}-{}", first + line[2] - 1);
        assert_eq!(view.row("user", "uid map"), (range(line[1]), range(line[0])), "{name}");
        let (outside, inside) = view.row("user", "user");
        assert_eq!(number::<u32>(&outside), processes::uids(container.pid()).expect("it runs")[1], "{name}");
        assert_eq!((number::<u64>(&outside), number::<u64>(&inside)), (line[1] + 7, 7), "{name}");
        assert_eq!(number::<u32>(&view.row("user", "group").1), 8, "{name}");
        let root = view.row("user", "host's root");
        assert_eq!(root.0, "0 (root)");
        assert_eq!(root.1.starts_with("0 "), userns == "host", "{root:?}");
        assert_eq!(root.1.starts_with("65534"), userns == "private", "{root:?}");
        let shared = view.rows("user").iter().any(|(what, ..)| what == "namespace");
        assert_eq!(shared, userns == "host", "{name}");
    }
}

#[test]
fn the_bytes_of_each_file_are_where_it_says() {
    let host = Host::with_busybox();
    let bound = host.work().join("bo und");
    fs::create_dir(&bound).expect("mkdir");
    fs::write(bound.join("f"), "bound").expect("write");
    let bind = format!("{}:/bound", bound.display());
    let container = start(&host, "box", &["-v", &bind, "-v", "data:/data", "--tmpfs", "/mem"]);
    container.sh("echo kept > /data/f; echo own > /own; echo mem > /mem/f; ln -s /data/f /link").ok();
    let paths = [
        "/bin/sleep",
        "/own",
        "/data/f",
        "/bound/f",
        "/mem/f",
        "/link",
        "/etc/hostname",
        "/proc/1/status",
        "/none",
    ];
    let rows = View::of(&host, &[&["box"][..], &paths].concat()).rows("file");
    let row = |path: &str| {
        let at = rows.iter().position(|(_, _, inside)| {
            inside == path
                || inside.starts_with(&format!("{path} ->"))
                || inside.starts_with(&format!("{path}:"))
        });
        let at = at.unwrap_or_else(|| panic!("no {path}: {rows:#?}"));
        (rows[at].clone(), rows.get(at + 1).cloned().unwrap_or_default())
    };
    for (path, what, text) in [
        ("/own", "its own", "own\n"),
        ("/data/f", "volume data", "kept\n"),
        ("/bound/f", "bound", "bound"),
        ("/link", "volume data", "kept\n"),
    ] {
        let ((kind, outside, inside), _) = row(path);
        assert_eq!(kind, what, "{path}");
        assert_eq!(fs::read_to_string(&outside).unwrap_or_else(|error| panic!("{outside}: {error}")), text);
        assert!(inside.ends_with(if path == "/link" { "/link -> /data/f" } else { path }), "{inside}");
    }
    let ((kind, outside, inside), owners) = row("/bin/sleep");
    assert!(
        kind.starts_with("layer 1/") && inside == "/bin/sleep -> /bin/busybox" || inside == "/bin/sleep",
        "{kind} {inside}"
    );
    let length = container.sh("stat -Lc %s /bin/sleep").ok().line();
    let stat = fs::metadata(&outside).expect("the layer's file");
    assert_eq!(stat.size().to_string(), length);
    // Ids in layers are 0-based: both sides say 0, and neither is the host's root inside.
    assert!(owners.1.starts_with("0:0 ") && owners.2.starts_with("0:0 "), "{owners:?}");
    let ((kind, outside, _), _) = row("/etc/hostname");
    assert_eq!(
        (kind.as_str(), fs::read_to_string(&outside).expect("a file")),
        ("bound", container.sh("cat /etc/hostname").ok().text())
    );
    for path in ["/mem/f", "/proc/1/status"] {
        assert_eq!(row(path).0.0, "no file", "{path}");
    }
    assert_eq!(row("/none").0.0, "none");
    // Without paths: the program and what somebody has mounted.
    let usual = View::of(&host, &["box"]).rows("file");
    for path in ["/etc/passwd", "/bound", "/data"] {
        assert!(usual.iter().any(|(_, _, inside)| inside == path), "{path}: {usual:#?}");
    }
}

#[test]
fn a_link_of_the_containers_leads_to_no_file_of_the_hosts() {
    let host = Host::with_busybox();
    let container = start(&host, "box", &[]);
    fs::write(host.work().join("secret"), "x").expect("write");
    let secret = host.work().join("secret").display().to_string();
    container
        .sh(&format!(
            "ln -s {secret} /way; ln -s ../../../../../..{secret} /up; ln -s /proc/1/root/etc/passwd /magic"
        ))
        .ok();
    let rows = View::of(&host, &["box", "/way", "/up", "/magic", "../../etc/passwd"]).rows("file");
    let whats: Vec<&str> = rows.iter().map(|(what, ..)| what.as_str()).collect();
    assert_eq!(whats[..3], ["none", "none", "none"], "{rows:#?}");
    assert!(
        rows[3].2 == "/etc/passwd" && rows[3].1.ends_with("/etc/passwd") && rows[3].1 != "/etc/passwd",
        "{rows:#?}"
    );
}

#[test]
fn every_mount_inside_is_listed_and_none_is_in_the_hosts_table() {
    let host = Host::with_busybox();
    let container = start(&host, "box", &["-v", "data:/da\u{ad6d} ta"]);
    let view = View::of(&host, &["box"]);
    let its = container.sh("cat /proc/self/mountinfo").ok().lines();
    let rows = view.rows("mount");
    assert_eq!(rows.len(), its.len() + 1, "{rows:#?}");
    let count = fs::read_to_string("/proc/thread-self/mountinfo").expect("ours").lines().count();
    assert_eq!(
        view.row("mount", "table"),
        (format!("{count} lines, 0 of them the container's"), format!("{} lines", its.len()))
    );
    let upper = host.root().join("containers").join(&container.id).join("upper");
    assert_eq!(view.row("mount", "overlay"), (upper.display().to_string(), "/ rw".to_owned()));
    let volume = rows.iter().find(|(_, _, inside)| inside == "/da\u{ad6d} ta rw").expect("the volume");
    assert_eq!(volume.1, host.root().join("volume/data/_data").display().to_string());
    assert!(rows.iter().any(|(what, outside, inside)| what == "proc"
        && inside.starts_with("/proc ")
        && outside.starts_with("the kernel's")));
}

#[test]
fn both_ends_of_the_cable_and_its_addresses_are_shown() {
    let host = Host::with_busybox();
    let container = start(&host, "box", &["-p", "127.0.0.1:18080:80"]);
    let (_other, view) = (start(&host, "other", &[]), View::of(&host, &["box"]));
    let (end, card) = view.row("address", "eth0");
    let veth = format!("mini-{}", &container.id[..10]);
    // `8: mini-aaaa@if2: <…> master mini0 …`
    let line = host.tool("ip", ["-o", "link", "show", &veth]);
    assert!(
        line.starts_with(&format!("{}: {veth}@if2: ", number::<u32>(&end))) && line.contains("master mini0"),
        "{line}"
    );
    assert!(end.contains(&veth) && end.contains(", on mini0 "), "{end}");
    let inside = container.sh("ip -o addr show eth0; ip link show eth0").ok().text();
    let words: Vec<&str> = card.split(' ').collect();
    assert_eq!(words[..2], ["2:", "eth0"], "{card}");
    assert!(words.len() == 4 && words[2..].iter().all(|word| inside.contains(word)), "{card}: {inside}");
    assert!(words[2].starts_with(&container.address().to_string()), "{card}");
    let routes = container.sh("ip route").ok().text();
    let default =
        view.rows("address").into_iter().find(|(what, _, way)| what == "route" && way.starts_with("default"));
    let (_, next, way) = default.expect("a default route");
    assert!(routes.contains(&way) && next.contains("mini0"), "{way} {next}: {routes}");
    assert_eq!(view.row("address", "port"), ("127.0.0.1:18080".to_owned(), "80/tcp".to_owned()));
    start(&host, "none", &["--network=none"]);
    assert_eq!(View::of(&host, &["none"]).rows("address").len(), 1);
    start(&host, "hosts", &["--network=host"]);
    assert!(View::of(&host, &["hosts"]).row("address", "lo").0.starts_with("the same"));
}

#[test]
fn groups_limits_name_and_rights_are_what_each_side_reads() {
    let host = Host::with_busybox();
    let container =
        start(&host, "box", &["-m", "64m", "--hostname", "inner", "--cap-drop=ALL", "--cap-add=CHOWN"]);
    let view = View::of(&host, &["box"]);
    let outside = processes::proc_file(container.pid(), "cgroup").expect("it runs");
    let inside = container.sh("cat /proc/1/cgroup").ok().text();
    let rows = view.rows("group");
    for (outside, inside) in outside.lines().zip(inside.lines()) {
        let path = |line: &str| line.splitn(3, ':').nth(2).expect("a path").to_owned();
        let (outside, inside) = (path(outside), path(inside));
        assert!(
            rows.iter().any(|(_, host, its)| (host, its) == (&outside, &inside)),
            "{outside} {inside}: {rows:#?}"
        );
    }
    let limit =
        rows.iter().find(|(what, ..)| ["memory.limit_in_bytes", "memory.max"].contains(&what.as_str()));
    let (_, here, there) = limit.expect("a limit");
    assert!(
        here.starts_with("67108864 /sys/fs/cgroup/") && there.starts_with("67108864 /sys/fs/cgroup/"),
        "{here} {there}"
    );
    assert!(here.contains(&container.id) && !there.contains(&container.id), "{here} {there}");
    assert_eq!(fs::read_to_string(here.split_once(' ').expect("a path").1).expect("its file"), "67108864\n");
    assert_eq!(
        container.sh(&format!("cat {}", there.split_once(' ').expect("a path").1)).ok().line(),
        "67108864"
    );

    let name = host.tool("hostname", [""; 0]).trim().to_owned();
    assert_eq!(view.row("namespace", "hostname"), (name, "inner".to_owned()));
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"] {
        let (here, there) = view.row("namespace", kind);
        assert_eq!(
            there,
            processes::namespace(container.pid(), kind).expect("it runs").to_string(),
            "{kind}"
        );
        assert_ne!(here, there, "{kind}");
    }
    assert_eq!(view.row("rights", "effective").1, "1: chown");
    assert!(view.row("rights", "its on host").0.starts_with("none"));
    assert!(view.row("rights", "seccomp").1.starts_with("2: filter"));
    start(&host, "hosts", &["--userns=host", "--security-opt", "seccomp=unconfined"]);
    let view = View::of(&host, &["hosts"]);
    assert_eq!(view.row("rights", "its on host").0, "14, over the host too");
    assert_eq!(
        view.row("rights", "seccomp").1.split(':').next(),
        processes::status(processes_of(&host, "hosts"), "Seccomp").as_deref()
    );
    let user = processes::namespace(std::process::id().cast_signed(), "user").expect("ours").to_string();
    assert_eq!(view.row("namespace", "user"), (user.clone(), format!("{user}, the host's")));
}

fn processes_of(host: &Host, name: &str) -> i32 {
    let pid = host.mini(["inspect", name]).run().ok().json()[0]["State"]["Pid"].as_i64().expect("a number");
    i32::try_from(pid).expect("a process number")
}

/// A root of its own user namespace may set any host name, processes any of theirs, and files have any name.
#[test]
fn hostile_names_never_command_the_terminal() {
    let host = Host::with_busybox();
    let bound = host.work().join("a\x1b]0;x\x07b");
    fs::create_dir(&bound).expect("mkdir");
    let bind = format!("type=bind,source={},target=/c\x1b[2Jd", bound.display());
    let script = "printf 'x\\033[2Jy' > /proc/self/comm; read forever < /fifo";
    let container = host.start([
        "--name",
        "box",
        "--mount",
        &bind,
        "busybox",
        "sh",
        "-c",
        &format!("mkfifo /fifo; {script}"),
    ]);
    wait::until("its name", || {
        (processes::proc_file(container.pid(), "comm")? == "x\x1b[2Jy\n").then_some(())
    });
    let output = host.mini(["view", "--once", "box"]).run().ok();
    assert!(
        !output.text().chars().any(|letter| letter.is_control() && letter != '\n'),
        "{:?}",
        output.text()
    );
    assert!(output.text().contains("x\\u{1b}[2Jy") && output.text().contains("/c\\u{1b}[2Jd"), "{output}");
    let mut terminal = host.mini(["view", "box"]).terminal(24, 80);
    terminal.expect_screen("x\\u{1b}[2Jy");
    terminal.send("4");
    terminal.expect_screen("[4 mount]");
    terminal.send("q");
    terminal.ends_with(0);
    let own =
        [&b"\x1b[K"[..], b"\x1b[H", b"\x1b[J", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h"];
    let bytes = terminal.bytes();
    for at in (0..bytes.len()).filter(|at| bytes[*at] == 0x1b) {
        assert!(
            own.iter().any(|sequence| bytes[at..].starts_with(sequence)),
            "{:?}",
            String::from_utf8_lossy(&bytes[at..])
        );
    }
    let tree = host.mini(["ns", "--tree", "box"]).run().ok();
    assert!(tree.text().contains("x\\u{1b}[2Jy") && !tree.text().contains('\x1b'), "{tree}");
}

#[test]
fn once_is_for_scripts_and_paused_is_no_obstacle_and_stopped_is() {
    let host = Host::with_busybox();
    let container = start(&host, "box", &[]);
    host.mini(["pause", "box"]).run().ok();
    let once = host.mini(["view", "--once", &container.short()[..8]]).run().ok();
    assert!(
        once.lines()[0].starts_with(&format!("box  paused  pid {}  {}", container.pid(), container.short())),
        "{once}"
    );
    for section in ["PROCESS", "USER", "FILE", "MOUNT", "ADDRESS", "GROUP", "RIGHTS", "NAMESPACE"] {
        assert!(
            once.lines().iter().any(|line| line.starts_with(section) && line.ends_with("CONTAINER")),
            "{section}: {once}"
        );
    }
    // Without a terminal it is the same, and ends.
    assert_eq!(host.mini(["view", "box"]).run().ok().lines()[1..5], once.lines()[1..5]);
    host.mini(["unpause", "box"]).run().ok();
    assert_eq!(View::of(&host, &["box"]).0["Status"], "running");
    host.mini(["stop", "-t", "0", "box"]).run().ok();
    host.mini(["view", "box"]).run().error(1, &["container box is not running"]).stdout("");
    host.mini(["view", "--json", "box"]).run().error(1, &["is not running"]).stdout("");
    host.mini(["view", "none"]).run().error(1, &["none"]).stdout("");
}
