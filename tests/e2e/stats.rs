//! `mini stats`: what is shown is what the kernel counts.

use tests::{Host, net, wait};

/// One look at everything.
fn look(host: &Host, args: &[&str]) -> Vec<serde_json::Value> {
    let output = host.mini(["stats", "--no-stream", "--format", "json"]).args(args).run().ok();
    output.lines().iter().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn percent(value: &serde_json::Value) -> f64 {
    value.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn cpu_held_at_a_limit_is_shown_as_that() {
    let host = Host::with_busybox();
    let burner =
        host.start(["--name", "burner", "--cpus", "0.2", "busybox", "sh", "-c", "while :; do :; done"]);
    let idle = host.start(["--name", "idle", "busybox", "sleep", "1000"]);
    let rows = look(&host, &[]);
    assert_eq!(rows.len(), 2);
    let row = |name: &str| rows.iter().find(|row| row["Name"] == name).expect("its row").clone();
    assert_eq!(row("burner")["ID"], burner.short());
    // A share of counters, not a time: the kernel lets it have 20 % of a second and no more, others may leave it less. The short
    // look of --no-stream may see two of the bursts that it is given, one a tenth of a second.
    assert!((1.0..=60.0).contains(&percent(&row("burner")["CPUPerc"])), "{rows:?}");
    let mut watching = host.spawn(["stats", "--format", "json", "burner"]);
    let second: serde_json::Value = serde_json::from_str(&watching.line()).expect("an object a line");
    let share = percent(&second["CPUPerc"]);
    assert!((1.0..=28.0).contains(&share), "{share}");
    watching.signal(rustix::process::Signal::INT);
    watching.wait();
    assert!(percent(&row("idle")["CPUPerc"]) < 5.0);
    assert_eq!(look(&host, &[&idle.id]).len(), 1);
    host.mini(["stats", "--no-stream", "no-such"]).run().error(1, &["no-such"]);
}

#[test]
fn memory_processes_and_traffic_are_counted() {
    let host = Host::with_busybox();
    let script = "head -c 20000000 /dev/zero > /dev/shm/x; while :; do echo here | nc -l -p 80; done";
    let container = host.start(["--name", "box", "-m", "64m", "busybox", "sh", "-c", script]);
    wait::until("a listener", || {
        container.sh("netstat -ln | grep :80").text().contains("LISTEN").then_some(())
    });
    assert_eq!(net::heard(|| net::ask(container.address(), 80)), "here\n");
    let row = look(&host, &["box"]).remove(0);
    assert!(row["MemUsage"].as_str().is_some_and(|text| text.ends_with("MiB / 64MiB")), "{row}");
    let share = percent(&row["MemPerc"]);
    assert!((29.0..70.0).contains(&share), "20 MB of 64 MiB: {row}");
    let pids: usize = row["PIDs"].as_str().and_then(|text| text.parse().ok()).expect("a number");
    assert!((1..=4).contains(&pids), "{row}");
    assert!(
        row["NetIO"].as_str().is_some_and(|text| text.contains("B / ") && !text.starts_with("0B")),
        "{row}"
    );
    host.mini(["kill", "box"]).run().ok();
    assert!(look(&host, &[]).is_empty());
}

#[test]
fn what_does_not_run_uses_nothing_and_the_hosts_traffic_is_nobodys() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "made", "busybox", "true"]).run().ok();
    host.mini(["run", "--name", "ended", "busybox", "true"]).run().ok();
    host.start(["--name", "shares", "--network", "host", "busybox", "sleep", "1000"]);
    let rows = look(&host, &["-a"]);
    let row = |name: &str| rows.iter().find(|row| row["Name"] == name).expect("its row");
    for name in ["made", "ended"] {
        let cells =
            ["CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"].map(|key| row(name)[key].clone());
        assert_eq!(cells, ["0.00%", "0B / 0B", "0.00%", "0B / 0B", "0B / 0B", "0"], "{name}");
    }
    assert_eq!((&row("shares")["NetIO"], &row("shares")["PIDs"]), (&"0B / 0B".into(), &"1".into()));
    assert_eq!(look(&host, &[]).len(), 1);
    // As docker: by the word that was typed, and nothing at all where one of them is unknown.
    assert_eq!(look(&host, &["ended"])[0]["Container"], "ended");
    host.mini(["stats", "--no-stream", "shares", "no-such"]).run().error(1, &["no-such"]).stdout("");
}

#[test]
fn one_that_goes_meanwhile_is_no_error_and_one_that_comes_is_shown() {
    let host = Host::with_busybox();
    let names = |line: &str| {
        let mut words = line.rsplit('"').filter(|word| ["one", "two", "new"].contains(word));
        words.next().map(str::to_owned)
    };
    for named in [&["one", "two"][..], &[]] {
        let one = host.start(["--name", "one", "busybox", "sleep", "1000"]);
        let two = host.start(["--rm", "--name", "two", "busybox", "sleep", "1000"]);
        let mut watching = host.spawn([&["stats", "--format", "json"], named].concat());
        while names(&watching.line()).as_deref() != Some("one") {}
        two.remove();
        let new = host.start(["--name", "new", "busybox", "sleep", "1000"]);
        let mut seen: Vec<_> = (0..6).filter_map(|_| names(&watching.line())).collect();
        seen.drain(..2);
        assert!(!seen.contains(&"two".to_owned()) && seen.contains(&"one".to_owned()), "{seen:?}");
        assert_eq!(seen.contains(&"new".to_owned()), named.is_empty(), "{seen:?}");
        watching.signal(rustix::process::Signal::INT);
        watching.wait();
        one.remove();
        new.remove();
    }
}

#[test]
fn the_table_is_drawn_over_itself() {
    let host = Host::with_busybox();
    host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let mut watching = host.spawn(["stats"]);
    let lines: Vec<String> = (0..4).map(|_| watching.line()).collect();
    assert!(lines[0].starts_with("\x1b[2J\x1b[HCONTAINER ID") && lines[0].ends_with("\x1b[K"), "{lines:?}");
    assert!(lines[1].ends_with("\x1b[K") && lines[1].contains("box"), "{lines:?}");
    assert!(lines[2].starts_with("\x1b[J\x1b[HCONTAINER ID"), "{lines:?}");
}

#[test]
fn it_looks_again_and_again_until_it_is_stopped() {
    let host = Host::with_busybox();
    host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let mut watching = host.spawn(["stats", "--format", "json"]);
    for _ in 0..3 {
        assert!(watching.line().contains("\"Name\":\"box\""));
    }
    watching.signal(rustix::process::Signal::INT);
    let ended = watching.wait();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(2), "{ended}");
    let mut terminal = host.mini(["stats"]).terminal(24, 120);
    terminal.expect_screen("CPU %");
    terminal.expect_screen("box");
    terminal.send("\u{3}");
    terminal.wait();
}
