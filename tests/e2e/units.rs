//! Containers as services: the units that mini writes, and what it tells a service manager.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tests::{Container, Host, wait};

/// What a service manager hears.
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn new(host: &Host) -> Manager {
        let path = host.work().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        Manager { socket, path }
    }

    /// The next message.
    #[track_caller]
    fn hears(&self) -> String {
        let mut text = [0u8; 4096];
        let length = self.socket.recv(&mut text).expect("a message");
        String::from_utf8(text[..length].to_vec()).expect("text")
    }

    /// Nothing has come.
    #[track_caller]
    fn heard_nothing(&self) {
        self.socket.set_nonblocking(true).expect("a socket that does not wait");
        assert!(self.socket.recv(&mut [0u8; 1]).is_err(), "a message");
        self.socket.set_nonblocking(false).expect("a socket that waits");
    }
}

/// A value of the unit.
#[track_caller]
fn value<'u>(unit: &'u str, key: &str) -> &'u str {
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {key} in\n{unit}"))
}

#[test]
fn a_unit_says_what_the_policy_says() {
    let host = Host::with_busybox();
    for (name, flags, restart, burst, patience) in [
        ("never", &[][..], "no", None, "25"),
        ("always", &["--restart", "always", "--stop-timeout", "60"], "always", None, "75"),
        ("stopped", &["--restart", "unless-stopped", "--stop-timeout", "-1"], "always", None, "infinity"),
        ("failure", &["--restart", "on-failure"], "on-failure", None, "25"),
        ("thrice", &["--restart", "on-failure:3"], "on-failure", Some("4"), "25"),
    ] {
        host.mini(["create", "--name", name]).args(flags).args(["busybox", "sleep", "1000"]).run().ok();
        let unit = host.mini(["system", "generate-units", name]).run().ok().text();
        assert_eq!(value(&unit, "Restart"), restart, "{unit}");
        assert_eq!(value(&unit, "TimeoutStopSec"), patience, "{unit}");
        assert_eq!(unit.contains("StartLimitBurst="), burst.is_some(), "{unit}");
        assert_eq!(
            burst.unwrap_or_default(),
            burst.map_or("", |_| value(&unit, "StartLimitBurst")),
            "{unit}"
        );
    }
    let all = host.mini(["system", "generate-units"]).run().ok().text();
    let names: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("SyslogIdentifier=")).collect();
    assert_eq!(names, ["always", "failure", "stopped", "thrice"]);
}

#[test]
fn units_are_written_as_files_that_systemd_understands() {
    let host = Host::with_busybox();
    let directory = host.work().join("units with 100% \"quotes\"");
    fs::create_dir(&directory).expect("a directory");
    for name in ["web", "data.base_1"] {
        host.mini(["create", "--name", name, "--restart", "always", "busybox", "sleep", "1000"]).run().ok();
    }
    let written = host.mini(["system", "generate-units", "--output"]).arg(&directory).run().ok().lines();
    assert_eq!(written.len(), 2, "{written:?}");
    let Some(analyze) = Some(Path::new("/usr/bin/systemd-analyze")).filter(|path| path.exists()) else {
        tests::skip("systemd-analyze is not here");
        return;
    };
    for path in &written {
        // A unit that waits for the network names one that need not be installed here.
        let output =
            Command::new(analyze).args(["verify", "--man=no", "--recursive-errors=no"]).arg(path).output();
        let output = output.expect("systemd-analyze runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("mini-"), "{path}: {said}");
    }
}

#[test]
fn what_cannot_be_a_unit_is_refused() {
    let host = Host::with_busybox();
    host.mini(["system", "generate-units"]).run().ok().stdout("").stderr_has("restart policy");
    host.mini(["create", "--rm", "--name", "once", "busybox", "true"]).run().ok();
    host.mini(["system", "generate-units", "once"]).run().error(1, &["once", "--rm"]);
    host.mini(["system", "generate-units", "none"]).run().error(1, &["no such container: none"]);
    host.mini(["create", "--name", "box", "busybox", "true"]).run().ok();
    host.mini(["system", "generate-units", "--output", "/no/such", "box"]).run().error(1, &["/no/such"]);
}

#[test]
fn the_units_main_process_says_when_it_runs_and_ends_as_the_container_does() {
    let host = Host::with_busybox();
    let script = "echo run >> /runs; trap 'echo told; exit 5' TERM; echo begun; while :; do sleep 0.05; done";
    host.mini(["create", "--name", "box", "--restart", "always", "busybox", "sh", "-c", script]).run().ok();
    let unit = host.mini(["system", "generate-units", "box"]).run().ok().text();
    let words: Vec<String> = value(&unit, "ExecStart").split(' ').map(str::to_owned).collect();
    assert_eq!(words[0], host.binary().display().to_string());
    let manager = Manager::new(&host);
    for round in 1..3 {
        let mut main = host.mini(&words[1..]).env("NOTIFY_SOCKET", &manager.path).start();
        assert!(manager.hears().starts_with("READY=1\n"));
        assert_eq!(main.line(), "begun");
        let id = host.mini(["ps", "-q", "--no-trunc"]).run().ok().line();
        let container = Container::new(&host, id);
        let runs = container.sh("wc -l < /runs").ok().line();
        assert_eq!(runs.trim(), round.to_string(), "who starts it once starts it once");
        main.signal(Signal::TERM);
        assert_eq!(main.line(), "told");
        main.wait().code(5);
        let state = container.field("/State");
        assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &5.into()), "{state}");
        manager.heard_nothing();
    }
    // What the unit does to stop it, and once more when it has stopped.
    let stop: Vec<String> = value(&unit, "ExecStop").split(' ').map(str::to_owned).collect();
    let main = host.mini(&words[1..]).env("NOTIFY_SOCKET", &manager.path).start();
    manager.hears();
    host.mini(&stop[1..]).run().ok();
    main.wait().code(5);
    host.mini(&stop[1..]).run().ok();
}

#[test]
fn a_detached_run_names_the_process_that_stays() {
    let host = Host::with_busybox();
    let manager = Manager::new(&host);
    let run =
        host.mini(["run", "-d", "busybox", "sleep", "1000"]).env("NOTIFY_SOCKET", &manager.path).run().ok();
    let container = Container::new(&host, run.line());
    let said = manager.hears();
    assert!(
        said.contains("READY=1\n") && said.contains(&format!("MAINPID={}\n", container.monitor())),
        "{said}"
    );
    // It is the client's to tell, and no container's.
    container.sh("test -z \"$NOTIFY_SOCKET\"").ok();
}

#[test]
fn a_start_that_fails_says_nothing_and_a_manager_that_is_gone_hinders_nothing() {
    let host = Host::with_busybox();
    let manager = Manager::new(&host);
    host.mini(["run", "busybox", "/no/such"]).env("NOTIFY_SOCKET", &manager.path).run().code(127);
    manager.heard_nothing();
    host.mini(["run", "--rm", "busybox", "true"])
        .env("NOTIFY_SOCKET", "/no/such/socket")
        .run()
        .ok()
        .stderr_has("service manager");
}

#[test]
fn without_its_own_restarts_a_container_ends_when_it_ends() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "box", "--restart", "always", "busybox", "sh", "-c", "exit 3"]).run().ok();
    host.mini(["start", "-a", "--no-restart", "box"]).run().code(3);
    let id = host.mini(["ps", "-aq", "--no-trunc"]).run().ok().line();
    let container = Container::new(&host, id);
    assert_eq!(
        (container.field("/State/Status"), container.field("/RestartCount")),
        ("exited".into(), 0.into())
    );
    // The next start is of its policy again.
    host.mini(["start", "box"]).run().ok();
    wait::until("another run by its policy", || {
        (container.field("/RestartCount").as_u64() > Some(1)).then_some(())
    });
    host.mini(["stop", "box"]).run().ok();
    assert_eq!(container.field("/State/Status"), "exited");
}
