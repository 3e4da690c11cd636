//! `mini step`: the making of a container, stopped before each operation.

use rustix::process::Signal;
use tests::terminal::{CTRL_C, Terminal};
use tests::{Host, Output, processes, wait};

/// Steps with these lines of commands.
#[track_caller]
fn step(host: &Host, commands: &str, words: &[&str]) -> Output {
    host.mini(["step"]).args(words).stdin(commands).run()
}

#[track_caller]
fn is_clean(host: &Host) {
    host.mini(["ps", "-aq"]).run().ok().stdout("");
    // The monitor of a container that has ended may still be at its files.
    host.processes().into_iter().for_each(processes::wait_for_end);
}

#[test]
fn it_stops_before_each_operation_and_says_why_and_what() {
    let host = Host::with_busybox();
    let output = step(&host, "\nn\nr pivot_root\nc\n", &["busybox", "echo", "hello"]).ok().stdout("hello\n");
    let told = output.err();
    for part in [
        "client ",
        "Lease a range of ids",
        "init ",
        "(container): Make that stack our root, and let go of the host's",
        "next: pivot_root(\".\", \".\")",
        "$ pivot_root . .",
        "man pivot_root(2)",
        "OCI config.md#root",
        "Enter: go on",
    ] {
        assert!(told.contains(part), "no {part:?}: {told}");
    }
    assert_eq!(told.matches("(step) ").count(), 4, "{told}");
    is_clean(&host);
}

#[test]
fn a_shell_sees_the_container_as_it_is_at_that_moment() {
    let host = Host::with_busybox();
    let script = "i id\n\
                  r pivot_root\n\
                  i ls /run/mini-test && echo before\n\
                  i readlink /proc/self/ns/uts\n\
                  o readlink /proc/self/ns/uts; readlink /proc/$MINI_INIT/ns/uts\n\
                  r execve\n\
                  i ls /run/mini-test || echo after\n\
                  i id -u; hostname; cat /proc/1/comm\n\
                  c\n";
    let output = step(&host, script, &["-h", "boxed", "--network", "none", "busybox", "true"]).ok();
    assert!(output.err().contains("there is no inside yet"), "{output}");
    let lines = output.lines();
    let at = |text: &str| {
        lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("no {text}: {output}"))
    };
    assert!(at("before") < at("after"), "{output}");
    let uts: Vec<_> = lines.iter().filter(|line| line.starts_with("uts:[")).collect();
    let [inside, outside, init] = uts[..] else { panic!("{output}") };
    assert!(inside == init && inside != outside, "{output}");
    let last = &lines[at("after")..];
    assert!(last[1..].starts_with(&["0".to_owned(), "boxed".to_owned()]), "{output}");
    is_clean(&host);
}

#[test]
fn an_operation_that_is_skipped_never_happens() {
    let host = Host::with_busybox();
    let words = ["-h", "boxed", "busybox", "hostname"];
    step(&host, "r sethostname\nn\nc\n", &words).ok().stdout("boxed\n");
    let skipped = step(&host, "r sethostname\ns\nc\n", &words).ok().stdout_lacks("boxed");
    assert!(skipped.err().contains("skipped"), "{skipped}");
    // Without this one the container's root would not be found: what fails then is told as ever.
    let failed = step(&host, "r move_mount\ns\nc\n", &["busybox", "true"]);
    assert!(!failed.status.success(), "{failed}");
    let needed = step(&host, "r clone3\ns\nn\nc\n", &["busybox", "true"]).ok();
    assert!(needed.err().contains("it cannot be skipped"), "{needed}");
    is_clean(&host);
}

/// Operations of every process that has to do with a start, in their order.
const MOMENTS: &[&str] = &[
    "Write the container down",
    "Fork the monitor",
    "Make the container's first process",
    "Wait at the gate",
    "Stack the image's layers",
    "Lease a free address",
    "pivot_root",
    "Open the second gate",
    "Become the program",
];

/// At whatever operation somebody has had enough, nothing is left: by `q`, and by the end of the commands.
#[test]
fn who_quits_leaves_nothing_behind() {
    let host = Host::with_busybox();
    for name in ["Lease a range"].iter().chain(MOMENTS) {
        for end in ["q\n", ""] {
            let output = step(&host, &format!("r {name}\n{end}"), &["busybox", "sleep", "1000"]);
            assert_eq!(output.status.code(), Some(0), "{name}: {output}");
            assert!(output.err().contains("quitting"), "{name}: {output}");
            is_clean(&host);
        }
    }
    for name in ["Write down how it ended", "Remove what nobody waits for"] {
        step(&host, &format!("r {name}\nq\n"), &["busybox", "true"]).code(0);
        is_clean(&host);
    }
}

#[test]
fn a_program_that_runs_is_ended_by_ctrl_c() {
    let host = Host::with_busybox();
    let mut terminal = on_terminal(&host, &["busybox", "sh", "-c", "echo up; sleep 1000"]);
    terminal.expect_screen("(step)");
    terminal.send("c\n");
    terminal.expect_screen("up");
    terminal.send(CTRL_C);
    terminal.expect_screen("quitting");
    terminal.ends_with(130);
    is_clean(&host);
}

fn on_terminal(host: &Host, words: &[&str]) -> Terminal {
    host.mini(["step"]).args(words).terminal(24, 100)
}

#[test]
fn on_a_terminal_shells_have_the_keys() {
    let host = Host::with_busybox();
    let mut terminal = on_terminal(&host, &["-h", "boxed", "busybox", "true"]);
    terminal.expect_screen("Enter: go on");
    terminal.send("r Become the program\n");
    terminal.expect_screen("next: execve");
    terminal.send("i\n");
    terminal.expect_screen("# ");
    terminal.send("echo in-$(hostname); sleep 1000\n");
    terminal.expect_screen("in-boxed");
    // For what the shell runs, and for nobody else.
    let sleeps = || host.processes().into_iter().any(|pid| processes::command_line(pid) == "sleep 1000");
    wait::until("what was typed", || sleeps().then_some(()));
    terminal.send(CTRL_C);
    terminal.send("echo still-$(hostname)\n");
    terminal.expect_screen("still-boxed");
    terminal.send("exit\n");
    terminal.expect_screen("# exit\n(step)");
    terminal.send("o\n");
    terminal.expect_screen("(step) o\n#");
    terminal.send("test -d /proc/$MINI_INIT && echo out''er\n");
    terminal.expect_screen("outer\n#");
    terminal.send("exit\n");
    terminal.expect_screen("outer\n# exit\n(step)");
    terminal.send("c\n");
    terminal.ends_with(0);
    is_clean(&host);
}

#[test]
fn ctrl_c_at_the_prompt_ends_it_all() {
    let host = Host::with_busybox();
    for name in ["Fork the monitor", "Put every mount", "Publish"] {
        let mut terminal = on_terminal(&host, &["-p", "8080:80", "busybox", "true"]);
        terminal.expect_screen("(step)");
        terminal.send(&format!("r {name}\n"));
        terminal.expect_screen(name);
        terminal.send(CTRL_C);
        terminal.expect_screen("quitting");
        terminal.ends_with(130);
        is_clean(&host);
    }
    let mut running = host.mini(["step", "busybox", "true"]).start();
    running.stderr_has("(step)");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().status.code(), Some(143));
    is_clean(&host);
}

/// Whoever kills the debugger ends what it held up, whichever process that was, and a program that runs.
#[test]
fn a_debugger_that_is_killed_takes_its_container_along() {
    let host = Host::with_busybox();
    for name in ["Look the image up"].iter().chain(MOMENTS) {
        let mut terminal = on_terminal(&host, &["busybox", "sleep", "1000"]);
        terminal.expect_screen("(step)");
        terminal.send(&format!("r {name}\n"));
        terminal.expect_screen(name);
        is_ended_by_kill(&host, terminal, name);
    }
    let mut terminal = on_terminal(&host, &["busybox", "sh", "-c", "echo up; sleep 1000"]);
    terminal.expect_screen("(step)");
    terminal.send("c\n");
    terminal.expect_screen("up");
    is_ended_by_kill(&host, terminal, "the program");
}

#[track_caller]
fn is_ended_by_kill(host: &Host, mut terminal: Terminal, moment: &str) {
    terminal.signal(Signal::KILL);
    terminal.wait();
    wait::until(&format!("the end of everybody, killed at {moment}"), || {
        host.processes().is_empty().then_some(())
    });
    is_clean(host);
    host.mini(["system", "check"]).run().ok().stdout("");
}

#[test]
fn what_makes_no_sense_is_said() {
    let host = Host::with_busybox();
    step(&host, "", &["-it", "busybox", "sh"]).error(125, &["-i and -t"]);
    step(&host, "", &["--restart", "always", "busybox", "sh"]).error(125, &["--restart"]);
    let output = step(&host, "r\nwhat\ni\no\nh\nr no_such_call\n", &["busybox", "true"]).ok();
    for part in [
        "r needs a name",
        "no such command",
        "there is no inside yet",
        "needs a command",
        "s            skip",
        "never came: no_such_call",
    ] {
        assert!(output.err().contains(part), "no {part:?}: {output}");
    }
    // The program's own code is the debugger's.
    step(&host, "c\n", &["busybox", "sh", "-c", "exit 7"]).code(7);
    step(&host, "c\n", &["busybox", "no-such-program"]).code(127);
    step(&host, "c\n", &["no-such-image"]).code(125);
    is_clean(&host);
}

#[test]
fn it_speaks_korean_too() {
    let host = Host::with_busybox();
    let mini = host.mini(["step", "busybox", "true"]).env("LANG", "ko_KR.UTF-8");
    let output = mini.stdin("r 프로그램으로 바뀐다\nh\nc\n").run().ok();
    for part in ["다음: execve", "Enter: 계속", "건너뛴다"] {
        assert!(output.err().contains(part), "no {part:?}: {output}");
    }
}
