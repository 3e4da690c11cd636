//! `--init`: process 1 is mini's own, passes signals on and buries orphans.

use std::fs;

use rustix::process::Signal;
use tests::{Container, Host, processes, wait};

/// The host's number of the program: the child of the container's init.
#[track_caller]
fn program(container: &Container<'_>) -> i32 {
    let children = processes::children(container.pid());
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

#[test]
fn the_program_is_the_child_of_an_init_that_is_called_as_dockers() {
    let host = Host::with_busybox();
    let container = host.start(["--init", "busybox", "sleep", "1000"]);
    container
        .sh("ps -o pid,args")
        .ok()
        .stdout_has("    1 /sbin/docker-init -- sleep 1000\n")
        .stdout_has("sleep 1000");
    assert_eq!(container.field("/HostConfig/Init"), true);
    assert_eq!(container.field("/Path"), "sleep");
    let (init, program) = (container.pid(), program(&container));
    // What it may do is what the program may do.
    for field in ["CapEff", "CapBnd", "CapInh", "CapAmb", "Seccomp", "NoNewPrivs", "Uid", "Gid", "Groups"] {
        assert_eq!(processes::status(init, field), processes::status(program, field), "{field}");
    }
    for field in ["SigBlk", "SigIgn", "SigCgt"] {
        let none = Some("0000000000000000".to_owned());
        assert_eq!(processes::status(program, field), none, "the program's {field}");
    }
    let group =
        |pid| processes::proc_file(pid, "stat").and_then(|stat| stat.split(' ').nth(4).map(str::to_owned));
    assert_eq!(group(program), Some(program.to_string()), "a process group of its own");
    let without = host.start(["busybox", "sleep", "1000"]);
    assert!(processes::children(without.pid()).is_empty());
    assert!(without.inspect()["HostConfig"]["Init"].is_null());
}

#[test]
fn the_exit_code_is_the_programs() {
    let host = Host::with_busybox();
    let run = |command: &[&str]| host.mini(["run", "--rm", "--init", "busybox"]).args(command).run();
    run(&["sh", "-c", "echo out; echo err >&2; exit 7"]).code(7).stdout("out\n").stderr("err\n");
    run(&["true"]).ok();
    run(&["sh", "-c", "kill -TERM $$"]).code(143);
    run(&["sh", "-c", "kill -KILL $$"]).code(137);
    run(&["/no/such"]).error(127, &["/no/such"]);
    run(&["/etc/passwd"]).error(126, &["/etc/passwd"]);
    run(&["nothing-in-path"]).error(127, &["nothing-in-path"]);
    host.mini(["run", "--rm", "--init", "-i", "busybox", "cat"]).stdin("typed").run().ok().stdout("typed");
}

#[test]
fn signals_are_passed_on_whatever_they_are() {
    let host = Host::with_busybox();
    let script = "for s in HUP INT USR1 USR2 WINCH CONT; do trap \"echo $s\" $s; done; trap 'echo TERM; exit 9' TERM; \
                  echo up; while :; do sleep 0.05; done";
    let container = host.start(["--init", "busybox", "sh", "-c", script]);
    wait::until("its first line", || container.logs().text().contains("up").then_some(()));
    for signal in ["HUP", "INT", "USR1", "USR2", "WINCH", "CONT"] {
        host.mini(["kill", "-s", signal, &container.id]).run().ok();
        wait::until(signal, || container.logs().text().contains(signal).then_some(()));
    }
    host.mini(["stop", &container.id]).run().ok();
    assert_eq!(container.wait()["ExitCode"], 9);
    // A program that handles nothing ends as it would not as process 1.
    let sleeper = host.start(["--init", "busybox", "sleep", "1000"]);
    host.mini(["stop", "-t", "100", &sleeper.id]).run().ok();
    assert_eq!(sleeper.wait()["ExitCode"], 143);
}

#[test]
fn orphans_are_buried() {
    let host = Host::with_busybox();
    let script = "i=0; while [ $i -lt 50 ]; do (sleep 0.01 &); i=$((i+1)); done; echo done; sleep 1000";
    let container = host.start(["--init", "busybox", "sh", "-c", script]);
    wait::until("its line", || container.logs().text().contains("done").then_some(()));
    // Children are those that sleep, and those that nobody has buried.
    let children = || processes::children(container.pid()).len();
    wait::until("the last burial", || (children() == 1).then_some(()));
}

#[test]
fn with_a_terminal_the_program_is_in_the_foreground() {
    let host = Host::with_busybox();
    let mut terminal = host.mini(["run", "--rm", "-it", "--init", "busybox", "sh"]).terminal(24, 80);
    terminal.expect_screen("# ");
    terminal.send("trap 'echo caught' INT; ps -o pid,tty,args | head -3\r");
    terminal.expect_screen("docker-init");
    terminal.send("\x03");
    terminal.expect_screen("caught");
    terminal.send("exit 5\r");
    terminal.ends_with(5);
}

#[test]
fn it_works_where_it_is_not_process_1() {
    let host = Host::with_busybox();
    host.start(["--name", "web", "busybox", "sleep", "1000"]);
    for option in ["--pid=container:web", "--pid=host"] {
        let script = "(sleep 0.01 &); (sleep 3000 &); echo up; sleep 2000";
        let container = host.start([option, "--init", "busybox", "sh", "-c", script]);
        wait::until("its line", || container.logs().text().contains("up").then_some(()));
        let init = container.pid();
        // Orphans are its own: the subreaper's, not the namespace's first process's.
        wait::until("its orphan", || (processes::children(init).len() == 2).then_some(()));
        let children = processes::children(init);
        host.mini(["exec", &container.id, "true"]).run().ok();
        host.mini(["stop", "-t", "100", &container.id]).run().ok();
        assert_eq!(container.wait()["ExitCode"], 143, "{option}");
        children.iter().for_each(|child| processes::wait_for_end(*child));
        // It dies with its monitor, and its program with it.
        let container = host.start([option, "--init", "busybox", "sleep", "2000"]);
        let (init, program) = (container.pid(), program(&container));
        processes::kill(container.monitor());
        processes::wait_for_end(init);
        processes::wait_for_end(program);
        host.mini(["rm", "-f", &container.id]).run().ok();
    }
    host.mini(["system", "check", "--repair"]).run().ok();
}

#[test]
fn nothing_of_the_monitors_memory_is_there() {
    let host = Host::with_busybox();
    let secret = "the-secret-of-the-command-line";
    for options in [&["--init"][..], &["--init", "--cap-add=SYS_PTRACE"], &["--init", "--userns=host"]] {
        let variable = format!("PASSWORD={secret}");
        let container = host.start([options, &["-e", &variable, "busybox", "sleep", "1000"]].concat());
        let init = container.pid();
        for file in ["mem", "environ", "maps", "exe", "cwd"] {
            let script = format!("cat /proc/1/{file} > /dev/null || readlink /proc/1/{file}");
            assert!(!container.sh(&script).status.success(), "{options:?}: /proc/1/{file}");
        }
        container.sh("cat /proc/1/cmdline").ok().stdout_lacks(secret);
        // Nor for those who may: the host's root finds its heap gone.
        let maps = processes::proc_file(init, "maps").expect("it runs");
        let memory = fs::File::open(format!("/proc/{init}/mem")).expect("the host's root may");
        for line in maps.lines().filter(|line| line.contains("rw-p")) {
            let (range, rest) = line.split_once(' ').expect("a range");
            let (start, end) = range.split_once('-').expect("two addresses");
            let number = |digits| u64::from_str_radix(digits, 16).expect("hexadecimal");
            let mut bytes = vec![0; usize::try_from(number(end) - number(start)).expect("it fits")];
            let _partly = std::os::unix::fs::FileExt::read_at(&memory, &mut bytes, number(start));
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{options:?}: the secret is in {rest}");
        }
        container.remove();
    }
}

#[test]
fn no_descriptor_stays_open() {
    let host = Host::with_busybox();
    let container = host.start(["--init", "busybox", "sleep", "1000"]);
    let open = fs::read_dir(format!("/proc/{}/fd", container.pid())).expect("the host's root may");
    let mut numbers: Vec<_> = open.flatten().map(|entry| entry.file_name()).collect();
    numbers.sort();
    assert_eq!(numbers, ["0", "1", "2"]);
}

#[test]
fn it_holds_the_next_time_and_can_be_the_default() {
    let host = Host::with_busybox();
    let container = host.start(["--init", "busybox", "sleep", "1000"]);
    host.mini(["restart", "-t", "0", &container.id]).run().ok();
    program(&container);
    host.configure("");
    let text = fs::read_to_string("/etc/mini/config.toml").expect("read");
    fs::write("/etc/mini/config.toml", format!("init = true\n{text}")).expect("write");
    let by_default = host.start(["busybox", "sleep", "1000"]);
    program(&by_default);
    assert_eq!(by_default.field("/HostConfig/Init"), true);
}

#[test]
fn a_program_that_stops_is_not_gone() {
    let host = Host::with_busybox();
    let container = host.start(["--init", "busybox", "sleep", "1000"]);
    let pidfd = processes::open(program(&container)).expect("it runs");
    processes::signal(&pidfd, Signal::STOP);
    container.sh("true").ok();
    processes::signal(&pidfd, Signal::CONT);
    host.mini(["pause", &container.id]).run().ok();
    host.mini(["unpause", &container.id]).run().ok();
    host.mini(["kill", &container.id]).run().ok();
    assert_eq!(container.wait()["ExitCode"], 137);
}
