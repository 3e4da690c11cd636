//! A driven terminal: keys, sizes, detaching, hanging up; and the terminal as it was, on every way out.

use rustix::process::Signal;
use tests::terminal::{CTRL_C, CTRL_D, DETACH, Terminal};
use tests::{Container, Host, processes};

/// `mini ARGS…` on a terminal of 24 lines and 80 columns.
fn on_a_terminal(host: &Host, args: &[&str]) -> Terminal {
    host.mini(args).terminal(24, 80)
}

#[test]
fn a_shell_prompts_echoes_and_ends_with_its_exit_code() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox"]);
    terminal.expect_screen("/ # ");
    terminal.is_raw();
    terminal.send("echo 4$((1+1))\r");
    terminal.expect_screen("\n42");
    terminal.send("tty; echo $TERM\r");
    terminal.expect_screen("/dev/pts/0");
    terminal.expect_screen("\nxterm");
    terminal.send("exit 5\r");
    terminal.ends_with(5);
}

#[test]
fn the_window_has_its_size_from_the_start_and_follows_it() {
    let host = Host::with_busybox();
    let mut terminal = host.mini(["run", "-it", "--rm", "busybox"]).terminal(31, 99);
    terminal.expect_screen("# ");
    terminal.send("stty size\r");
    terminal.expect_screen("31 99");
    terminal.resize(40, 120);
    terminal.send("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo resized\r");
    terminal.expect_screen("\nresized");
    terminal.send("exit\r");
    terminal.ends_with(0);
}

#[test]
fn the_very_first_process_sees_the_size() {
    let host = Host::with_busybox();
    for _ in 0..10 {
        let mut terminal = host.mini(["run", "-it", "--rm", "busybox", "stty", "size"]).terminal(17, 71);
        terminal.expect_screen("17 71");
        terminal.ends_with(0);
    }
}

#[test]
fn ctrl_c_goes_to_the_command_in_front_and_not_to_the_client() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox"]);
    terminal.expect_screen("# ");
    terminal.send("sleep 1000; echo interrupted=$?\r");
    terminal.expect_screen("sleep 1000");
    let container = Container::only(&host);
    tests::wait::until("sleep inside", || {
        container.commands().contains(&"sleep 1000".to_owned()).then_some(())
    });
    terminal.send(CTRL_C);
    terminal.send("echo alive\r");
    // Before its prompt the shell has not taken the terminal back: an end of file typed then is lost.
    terminal.expect_screen("\nalive\n/ #");
    terminal.send(CTRL_D);
    terminal.wait();
    terminal.is_restored();
}

#[test]
fn ctrl_d_ends_the_shell() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox"]);
    terminal.expect_screen("# ");
    terminal.send(CTRL_D);
    terminal.ends_with(0);
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn without_t_ctrl_c_is_forwarded_as_a_signal() {
    let host = Host::with_busybox();
    let script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    let mut terminal = on_a_terminal(&host, &["run", "--rm", "busybox", "sh", "-c", script]);
    terminal.expect_screen("ready");
    terminal.send(CTRL_C);
    terminal.expect_screen("caught");
    terminal.ends_with(3);
}

#[test]
fn detaching_leaves_the_container_and_exits_with_0() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--name", "box", "busybox"]);
    terminal.expect_screen("# ");
    terminal.send(DETACH);
    terminal.ends_with(0);
    host.mini(["exec", "box", "true"]).run().ok();
}

#[test]
fn a_ctrl_p_alone_reaches_the_command() {
    let host = Host::with_busybox();
    let script = "stty raw -echo; echo ready; head -c 2 | od -An -tx1";
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox", "sh", "-c", script]);
    terminal.expect_screen("ready");
    terminal.send("\x10x");
    terminal.expect_screen("10 78");
    terminal.ends_with(0);
}

#[test]
fn with_t_both_streams_arrive_on_stdout() {
    let host = Host::with_busybox();
    let output =
        host.mini(["run", "--rm", "-t", "busybox", "sh", "-c", "echo out; echo err >&2; tty"]).run().ok();
    output.stdout("out\r\nerr\r\n/dev/pts/0\r\n").stderr("");
}

#[test]
fn i_and_t_without_a_terminal_is_an_error_and_t_alone_is_none() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "-i", "-t", "busybox", "true"]).stdin("").run().error(125, &["terminal"]);
    host.mini(["run", "--rm", "-t", "busybox", "true"]).run().ok();
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn the_terminal_is_restored_when_the_start_fails() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox", "no-such-program"]);
    terminal.expect_screen("no-such-program");
    terminal.ends_with(127);
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "--pull=never", "no-such-image"]);
    terminal.ends_with(125);
}

#[test]
fn the_terminal_is_restored_when_the_container_is_killed() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "--name", "box", "busybox"]);
    terminal.expect_screen("# ");
    host.mini(["kill", "box"]).run().ok();
    terminal.ends_with(137);
}

#[test]
fn the_terminal_is_restored_when_the_monitor_is_killed() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--name", "box", "busybox"]);
    terminal.expect_screen("# ");
    let pid = host.mini(["inspect", "box"]).run().ok().json()[0]["State"]["Pid"].as_i64().expect("a number");
    let init = i32::try_from(pid).expect("a process number");
    processes::kill(processes::status(init, "PPid").expect("it runs").parse().expect("a number"));
    terminal.ends_with(125);
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn the_terminal_is_restored_when_the_client_is_told_to_go() {
    let host = Host::with_busybox();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let script = "trap 'exit 9' TERM HUP INT QUIT; echo ready; while :; do sleep 0.05; done";
        let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox", "sh", "-c", script]);
        terminal.expect_screen("ready");
        terminal.signal(signal);
        terminal.wait();
        terminal.is_restored();
        for id in host.mini(["ps", "-q"]).run().ok().lines() {
            host.mini(["rm", "-f", &id]).run().ok();
        }
    }
}

#[test]
fn a_window_that_closes_ends_the_client_and_nothing_hangs() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--name", "box", "busybox"]);
    terminal.expect_screen("# ");
    terminal.hang_up();
    terminal.wait();
    host.mini(["ps", "-a"]).run().ok().stdout_has("busybox");
    host.mini(["rm", "-f", "box"]).run().ok();
}

#[test]
fn a_killed_client_leaves_a_container_that_can_be_used() {
    let host = Host::with_busybox();
    let mut terminal = on_a_terminal(&host, &["run", "-it", "--name", "box", "busybox"]);
    terminal.expect_screen("# ");
    terminal.signal(Signal::KILL);
    terminal.wait();
    host.mini(["exec", "box", "echo", "here"]).run().ok().stdout("here\n");
}

#[test]
fn a_reader_that_leaves_ends_the_client() {
    let host = Host::with_busybox();
    let mut client = host.spawn(["run", "--name", "box", "busybox", "yes"]);
    assert_eq!(client.line(), "y");
    client.close_stdout();
    client.wait();
    host.mini(["rm", "-f", "box"]).run().ok();
}

#[test]
fn input_that_nobody_reads_hangs_nothing() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "-i", "busybox", "true"]).stdin(vec![b'x'; 8 << 20]).run().ok();
}

#[test]
fn output_up_to_the_last_byte_arrives_before_the_exit() {
    let host = Host::with_busybox();
    for _ in 0..20 {
        let script = "head -c 200000 /dev/zero | tr '\\0' x; echo; echo last";
        let mut terminal = on_a_terminal(&host, &["run", "-it", "--rm", "busybox", "sh", "-c", script]);
        terminal.expect_screen("last");
        terminal.ends_with(0);
        let xs = terminal.bytes().iter().filter(|byte| **byte == b'x').count();
        assert_eq!(xs, 200_000);
    }
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let mut terminal = on_a_terminal(&host, &["exec", "-it", &container.id, "sh"]);
    terminal.expect_screen("# ");
    terminal.is_raw();
    terminal.send("tty; stty size\r");
    terminal.expect_screen("/dev/pts/");
    terminal.expect_screen("24 80");
    terminal.resize(50, 150);
    terminal.send("until [ \"$(stty size)\" = '50 150' ]; do sleep 0.05; done; echo resized\r");
    terminal.expect_screen("\nresized");
    terminal.send("exit 4\r");
    terminal.ends_with(4);
}

#[test]
fn exec_restores_the_terminal_when_the_container_goes() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    let mut terminal = on_a_terminal(&host, &["exec", "-it", &container.id, "sh"]);
    terminal.expect_screen("# ");
    container.remove();
    terminal.wait();
    terminal.is_restored();
}
