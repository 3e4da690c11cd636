//! Staying with a container: attach, several at once, which streams, which keys; nothing lost, whoever reads slowly.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tests::terminal::DETACH;
use tests::{Container, Host, Mini, processes, wait};

/// A container that says back what it is told, a line at a time, and ends with 7 at `end`.
const PARROT: &str = "echo ready; while read x; do echo \"said $x\"; [ \"$x\" = end ] && exit 7; done";

fn parrot<'host>(host: &'host Host, flags: &[&str]) -> Container<'host> {
    let container = host.start([flags, &["busybox", "sh", "-c", PARROT]].concat());
    wait::until("its first line", || container.logs().text().contains("ready").then_some(()));
    container
}

/// Until a client has nothing to do but to wait.
fn waits(pid: i32) {
    wait::until("a client that waits", || {
        processes::proc_file(pid, "wchan").filter(|at| at.contains("poll"))
    });
}

#[test]
fn who_comes_later_sees_what_comes_later_and_ends_with_its_code() {
    let host = Host::with_busybox();
    let container = parrot(&host, &["-i", "--name", "box"]);
    let mut client = host.spawn(["attach", "box"]);
    client.write("one\n");
    assert_eq!(client.line(), "said one");
    client.write("end\n");
    client.wait().code(7);
    assert_eq!(container.logs().text(), "ready\nsaid one\nsaid end\n");
    host.mini(["attach", "box"]).run().error(1, &["stopped container", "box"]);
    host.mini(["attach", "no-such"]).run().error(1, &["no-such"]);
}

#[test]
fn several_see_everything_and_what_each_says_goes_in() {
    let host = Host::with_busybox();
    parrot(&host, &["-i", "--name", "box"]);
    let mut clients: Vec<_> = (0..3).map(|_| host.spawn(["attach", "box"])).collect();
    // Each has arrived when it hears what it said itself.
    for (number, client) in clients.iter_mut().enumerate() {
        client.write(&format!("hello {number}\n"));
        while client.line() != format!("said hello {number}") {}
    }
    clients[0].write("end\n");
    for client in clients {
        client.wait().code(7).stdout_has("said end\n");
    }
}

#[test]
fn input_of_a_container_in_the_background_stays_open_when_a_client_leaves() {
    let host = Host::with_busybox();
    let container = parrot(&host, &["-i", "--name", "box"]);
    for word in ["one", "two"] {
        let mut client = host.spawn(["attach", "box"]);
        client.write(&format!("{word}\n"));
        assert_eq!(client.line(), format!("said {word}"));
        client.signal(Signal::KILL);
        client.wait();
    }
    assert_eq!(container.field("/State/Running"), true);
    assert_eq!(container.field("/Config/StdinOnce"), false);
    host.mini(["attach", "--no-stdin", "box"]).stdin("end\n").start().signal(Signal::KILL);
    assert_eq!(container.field("/State/Running"), true);
    // One that was made to be stayed with reads no more when its client has left.
    let mut client =
        host.spawn(["run", "-i", "--name", "once", "busybox", "sh", "-c", "cat; echo done; sleep 1000"]);
    client.write("x\n");
    assert_eq!(client.line(), "x");
    client.signal(Signal::KILL);
    client.wait();
    wait::until("its last line", || host.mini(["logs", "once"]).run().text().contains("done").then_some(()));
}

#[test]
fn a_terminal_is_left_and_come_back_to_with_the_screens_size() {
    let host = Host::with_busybox();
    let mut first = host.mini(["run", "-it", "--name", "box", "busybox"]).terminal(24, 80);
    first.expect_screen("# ");
    first.send(DETACH);
    first.ends_with(0);
    let mut second = host.mini(["attach", "box"]).terminal(33, 101);
    second.is_raw();
    second.send("stty size; echo at$((1+1))\r");
    second.expect_screen("33 101");
    second.expect_screen("at2");
    // Both at once: each sees what the other types.
    let mut third = host.mini(["attach", "box"]).terminal(33, 101);
    third.is_raw();
    third.send("echo from-the-$((2+1))rd\r");
    second.expect_screen("from-the-3rd");
    third.expect_screen("from-the-3rd");
    second.send("exit 5\r");
    second.ends_with(5);
    third.ends_with(5);
}

#[test]
fn who_attaches_makes_a_full_screen_program_draw_anew() {
    let host = Host::with_busybox();
    let script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";
    let mut first =
        host.mini(["run", "-it", "--name", "box", "busybox", "sh", "-c", script]).terminal(24, 80);
    first.expect_screen("24 80");
    first.send(DETACH);
    first.ends_with(0);
    let mut second = host.mini(["attach", "box"]).terminal(24, 80);
    // The same size, and told all the same.
    second.expect_screen("24 80");
    second.send(DETACH);
    second.ends_with(0);
}

#[test]
fn other_keys_by_flag_and_by_configuration() {
    let host = Host::with_busybox();
    let mut terminal =
        host.mini(["run", "-it", "--detach-keys", "ctrl-a,d", "--name", "box", "busybox"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.send("\x01d");
    terminal.ends_with(0);
    host.configure("");
    let text = fs::read_to_string("/etc/mini/config.toml").expect("read");
    fs::write("/etc/mini/config.toml", format!("detachKeys = \"ctrl-x,y\"\n{text}")).expect("write");
    let mut terminal = host.mini(["attach", "box"]).terminal(24, 80);
    terminal.is_raw();
    terminal.send("echo $((40+2))\r");
    terminal.expect_screen("42");
    terminal.send("\x18y");
    terminal.ends_with(0);
    let mut terminal = host.mini(["exec", "-it", "--detach-keys=q", "box", "sh"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.send("q");
    terminal.ends_with(0);
    host.mini(["attach", "--detach-keys", "strg-x", "box"]).run().error(1, &["strg-x"]);
    host.mini(["run", "--detach-keys", "strg-x", "busybox"]).run().error(125, &["strg-x"]);
}

#[test]
fn only_the_streams_that_were_asked_for() {
    let host = Host::with_busybox();
    let script = "echo out; echo err >&2; cat";
    let run = |flags: &[&str]| {
        host.mini(["run", "--rm"]).args(flags).args(["busybox", "sh", "-c", script]).stdin("in\n").run().ok()
    };
    run(&["-a", "stdout"]).stdout("out\n").stderr("");
    run(&["-a", "STDERR"]).stdout("").stderr("err\n");
    run(&["-a", "stdin", "-a", "stdout", "-i"]).stdout("out\nin\n").stderr("");
    run(&["-i"]).stdout("out\nin\n").stderr("err\n");
    // What is passed in and nothing else: the id says where it went.
    let output =
        host.mini(["run", "-a", "stdin", "-i", "--name", "ear", "busybox", "cat"]).stdin("in\n").run().ok();
    let ear = Container::new(&host, output.line());
    ear.wait();
    ear.logs().stdout("in\n");
    host.mini(["run", "-a", "stdwhat", "busybox"]).run().error(125, &["stdwhat"]);
    host.mini(["run", "-d", "-a", "stdout", "busybox"]).run().error(125, &["--attach", "--detach"]);
}

#[test]
fn signals_go_in_unless_they_are_not_to() {
    let host = Host::with_busybox();
    let script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done";
    let container = host.start(["--name", "box", "busybox", "sh", "-c", script]);
    wait::until("its first line", || container.logs().text().contains("ready").then_some(()));
    let mut client = host.spawn(["attach", "box"]);
    waits(client.pid());
    client.signal(Signal::INT);
    assert_eq!(client.line(), "caught");
    let alone = host.spawn(["attach", "--sig-proxy=false", "box"]);
    waits(alone.pid());
    alone.signal(Signal::INT);
    let output = alone.wait();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(2), "{output}");
    assert_eq!(container.field("/State/Running"), true);
    let mut alone =
        host.spawn(["run", "--sig-proxy=false", "--name", "other", "busybox", "sh", "-c", script]);
    assert_eq!(alone.line(), "ready");
    alone.signal(Signal::TERM);
    let output = alone.wait();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(15), "{output}");
    assert_eq!(host.mini(["inspect", "other"]).run().ok().json()[0]["State"]["Running"], true);
}

#[test]
fn start_stays_with_what_runs_already() {
    let host = Host::with_busybox();
    parrot(&host, &["-i", "--name", "box"]);
    let mut client = host.spawn(["start", "-ai", "box"]);
    client.write("end\n");
    client.wait().code(7).stdout("said end\n");
}

#[test]
fn a_paused_container_is_not_attached_to() {
    let host = Host::with_busybox();
    parrot(&host, &["-it", "--name", "box"]);
    host.mini(["attach", "box"]).run().error(1, &["terminal"]);
    host.mini(["pause", "box"]).run().ok();
    host.mini(["attach", "box"]).run().error(1, &["paused"]);
}

/// What `openssl`-free busybox makes 100 MB of that are not all alike, and their digest.
const MUCH: &str =
    "dd if=/dev/urandom of=/tmp/block bs=1M count=4 2>/dev/null; sha256sum < /tmp/block > /tmp/sum; ";

#[test]
fn a_hundred_megabytes_of_any_bytes_come_out_of_a_pipe_as_they_went_in() {
    let host = Host::with_busybox();
    let script = format!("{MUCH} for i in $(seq 25); do cat /tmp/block; done; cat /tmp/sum >&2");
    let output = host.mini(["run", "--rm", "busybox", "sh", "-c", &script]).patient(3).run().ok();
    assert_eq!(output.stdout.len(), 100 << 20);
    let sum = output.err().split(' ').next().expect("a sum").to_owned();
    for block in output.stdout.chunks(4 << 20) {
        assert_eq!(hex::encode(Sha256::digest(block)), sum);
    }
    // And in.
    let block = output.stdout;
    let digest = hex::encode(Sha256::digest(&block));
    let output = host.mini(["run", "--rm", "-i", "busybox", "sha256sum"]).stdin(block).patient(3).run().ok();
    assert_eq!(output.text(), format!("{digest}  -\n"));
}

#[test]
fn a_hundred_megabytes_come_out_of_a_terminal_as_they_went_in() {
    let host = Host::with_busybox();
    // -opost: the terminal itself changes nothing.
    let script = format!("stty raw -opost; {MUCH} for i in $(seq 25); do cat /tmp/block; done; cat /tmp/sum");
    let output = host.mini(["run", "--rm", "-t", "busybox", "sh", "-c", &script]).patient(3).run().ok();
    let (blocks, sum) = output.stdout.split_at(100 << 20);
    let sum = String::from_utf8_lossy(sum);
    for block in blocks.chunks(4 << 20) {
        assert_eq!(hex::encode(Sha256::digest(block)), sum.split(' ').next().expect("a sum"));
    }
}

#[test]
fn who_does_not_read_one_stream_holds_up_that_one_alone() {
    let host = Host::with_busybox();
    let work = host.work();
    let go = work.join("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &go,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a fifo");
    // Standard output goes where nobody reads before `go` is opened; standard error into a file.
    let inside = "(yes | head -c 5000000; echo done >&2) & i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; \
                  echo all >&2; wait";
    let script = format!(
        "{0} run --rm --name box busybox sh -c '{inside}' 2>{1}/err | {{ read x < {1}/go; wc -c; }}",
        host.binary().display(),
        work.display()
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).env_clear().envs(host.environment());
    let running = Mini::new(command).start();
    let err = || fs::read_to_string(work.join("err")).unwrap_or_default();
    wait::until("all of standard error", || err().contains("all\n").then_some(()));
    assert!(!err().contains("done"), "standard output was not held up");
    fs::write(&go, "go\n").expect("let it read");
    running.wait().ok().stdout("5000000\n");
    assert!(err().contains("done"));
}

#[test]
fn a_client_that_stands_still_holds_up_nobody_once_it_is_gone() {
    let host = Host::with_busybox();
    let script = "echo ready; read x; yes | head -c 20000000; echo end";
    let container = host.start(["-i", "--name", "box", "busybox", "sh", "-c", script]);
    wait::until("its first line", || container.logs().text().contains("ready").then_some(()));
    let still = host.spawn(["attach", "box"]);
    waits(still.pid());
    still.signal(Signal::STOP);
    let mut other = host.spawn(["attach", "box"]);
    other.write("go\n");
    assert_eq!(other.line(), "y");
    drop(still);
    let output = other.wait().ok();
    assert_eq!(output.stdout.len(), 20_000_004);
}

#[test]
fn a_monitor_at_rest_lets_others_in_and_rests_again() {
    let host = Host::with_busybox();
    let container = parrot(&host, &["-i", "--name", "box"]);
    for round in ["one", "two"] {
        crate::resting::at_rest(&container);
        let mut client = host.spawn(["attach", "box"]);
        client.write(&format!("{round}\n"));
        assert_eq!(client.line(), format!("said {round}"));
        drop(client);
    }
    crate::resting::at_rest(&container);
    assert_eq!(container.logs().text(), "ready\nsaid one\nsaid two\n");
}

#[test]
fn a_program_on_a_terminal_can_be_left_alone() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let runs = || container.commands().contains(&"sleep 2345".to_owned());
    let mut terminal = host.mini(["exec", "-it", "box", "sh"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.send("sleep 2345; touch /ended\r");
    wait::until("the program", || runs().then_some(()));
    terminal.send(DETACH);
    terminal.ends_with(0);
    assert!(runs(), "it went with its client");
    container.sh("kill $(pidof sleep | tr ' ' '\\n' | grep -v '^1$')").ok();
    // It still has a terminal to write to, and ends in its own way.
    wait::until("what follows it", || (container.sh("ls /ended").status.code() == Some(0)).then_some(()));
    container.sh("kill -9 $(pidof sh | cut -d' ' -f1)");
}

#[test]
fn a_program_on_a_terminal_ends_with_a_client_that_is_killed() {
    let host = Host::with_busybox();
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    let mut terminal =
        host.mini(["exec", "-it", "box", "sh", "-c", "trap '' HUP; echo up; sleep 2345"]).terminal(24, 80);
    terminal.expect_screen("up");
    terminal.signal(Signal::KILL);
    terminal.wait();
    wait::until("its end", || (container.commands() == ["sleep 1000"]).then_some(()));
}

#[test]
fn who_starts_a_container_and_stays_leaves_it_by_keys_and_signals_of_ones_own() {
    let host = Host::with_busybox();
    host.mini(["create", "-it", "--name", "shell", "busybox"]).run().ok();
    let mut terminal = host.mini(["start", "-ai", "--detach-keys", "ctrl-x,y", "shell"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.send("\x18y");
    terminal.ends_with(0);
    host.mini(["inspect", "-f", "{{.State.Running}}", "shell"]).run().ok().stdout("true\n");
    let script = "trap 'echo caught' TERM; echo ready; while :; do sleep 0.05; done";
    host.mini(["create", "--name", "deaf", "busybox", "sh", "-c", script]).run().ok();
    let mut client = host.spawn(["start", "-a", "--sig-proxy=false", "deaf"]);
    assert_eq!(client.line(), "ready");
    client.signal(Signal::TERM);
    client.wait();
    host.mini(["logs", "deaf"]).run().ok().stdout("ready\n");
    // By itself it passes them on.
    host.mini(["stop", "-t", "0", "deaf"]).run().ok();
    let mut client = host.spawn(["start", "-a", "deaf"]);
    assert_eq!(client.line(), "ready");
    client.signal(Signal::TERM);
    assert_eq!(client.line(), "caught");
}
