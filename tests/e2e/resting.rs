//! A monitor whose container goes its way: on little memory, and still there for everything.

use rustix::process::Signal;
use tests::image::{Compression, Flavour};
use tests::server::{Contents, ImageServer};
use tests::{Container, Host, Image, net, processes, wait};

/// What it may keep, kB of PSS (proc_pid_smaps(5)).
const MEMORY: u64 = 150;

/// A container's monitor, once it rests.
#[track_caller]
pub(crate) fn at_rest(container: &Container<'_>) -> i32 {
    let monitor = container.monitor();
    wait::until("a monitor on little memory", || {
        // One that is just becoming another program has little memory, too.
        processes::proc_file(monitor, "wchan").filter(|at| at.contains("poll"))?;
        let rollup = processes::proc_file(monitor, "smaps_rollup")?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kilobytes: u64 = pss.trim().trim_end_matches(" kB").parse().ok()?;
        (kilobytes <= MEMORY).then_some(())
    });
    monitor
}

#[test]
fn it_keeps_little_memory_whatever_the_client_did_before() {
    let host = Host::with_busybox();
    at_rest(&host.start(["busybox", "sleep", "1000"]));
    at_rest(&host.start(["-t", "-p", "8080:80", "-e", "A=1", "-v", "/tmp:/mnt", "busybox", "sleep", "1000"]));
    let mut contents = Contents::default();
    contents.add("pulled", "1", &Image::busybox().packed(Compression::Gzip, Flavour::Oci));
    let server = ImageServer::open(contents);
    at_rest(&host.start([&format!("{}/pulled:1", server.name()), "sleep", "1000"]));
}

#[test]
fn it_is_the_same_process_and_holds_what_it_held() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &["-p", "8080:80"], "here");
    let monitor = at_rest(&container);
    assert_eq!(
        processes::command_line(monitor).trim_end(),
        format!("mini: monitor of {}", container.short())
    );
    assert_eq!(processes::status(monitor, "Name").as_deref(), Some("mini"));
    host.mini(["ps"]).run().ok().stdout_has("Up ").stdout_has("0.0.0.0:8080->80/tcp");
    host.mini(["system", "check"]).run().ok().stdout("");
    host.mini(["run", "--rm", "-p", "8080:81", "busybox", "true"]).run().error(125, &["8080"]);
    let others: Vec<_> = (0..3).map(|_| host.start(["busybox", "sleep", "1000"])).collect();
    assert!(others.iter().all(|other| other.address() != container.address()));
    assert_eq!(net::heard(|| net::ask(container.address(), 80)), "here\n");
    container.remove();
    host.mini(["run", "--rm", "-p", "8080:81", "busybox", "true"]).run().ok();
}

#[test]
fn a_line_begun_before_and_ended_after_is_one_line() {
    let host = Host::with_busybox();
    let script = "mkfifo /fifo; printf one-; printf two- >&2; read x < /fifo; echo end; echo end >&2";
    let container = host.start(["busybox", "sh", "-c", script]);
    at_rest(&container);
    container.sh("echo > /fifo");
    assert_eq!(container.wait()["ExitCode"], 0);
    container.logs().ok().stdout("one-end\n").stderr("two-end\n");
}

#[test]
fn a_client_stays_connected() {
    let host = Host::with_busybox();
    let mut client = host.spawn(["run", "-i", "--name", "box", "busybox", "sh", "-c", "cat; exit 3"]);
    client.write("before\n");
    assert_eq!(client.line(), "before");
    at_rest(&Container::only(&host));
    client.write("after\n");
    assert_eq!(client.line(), "after");
    client.close_stdin();
    client.wait().code(3);
    host.mini(["logs", "box"]).run().ok().stdout("before\nafter\n");
}

#[test]
fn a_terminal_stays_a_terminal() {
    let host = Host::with_busybox();
    let mut terminal = host.mini(["run", "-it", "--rm", "busybox"]).terminal(24, 80);
    terminal.expect_screen("# ");
    at_rest(&Container::only(&host));
    terminal.resize(40, 120);
    terminal.send("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo resized\r");
    terminal.expect_screen("\nresized");
    terminal.send("exit 7\r");
    terminal.ends_with(7);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn it_hears_signals_and_writes_down_how_it_ended() {
    let host = Host::with_busybox();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["busybox", "sh", "-c", script]);
    let monitor = processes::open(at_rest(&container)).expect("it runs");
    processes::signal(&monitor, Signal::TERM);
    assert_eq!(container.wait()["ExitCode"], 5);
    let container = host.start(["busybox", "sleep", "1000"]);
    at_rest(&container);
    host.mini(["stop", "-t", "0", &container.id]).run().ok();
    assert_eq!(container.wait()["ExitCode"], 137);
    assert_ne!(container.field("/State/StartedAt"), "0001-01-01T00:00:00Z");
    host.mini(["system", "check"]).run().ok().stdout("");
}
