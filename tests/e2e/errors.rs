//! What goes wrong: the exit code, the file that is really to blame, and the remedy.

use tests::{Host, Image, Tarball};

/// The head of an ELF file for another machine: enough for the kernel to refuse it.
fn elf_for(machine: u16) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    head[16] = 2; // ET_EXEC
    head[18..20].copy_from_slice(&machine.to_le_bytes());
    head[20] = 1;
    head[52] = 64;
    head
}

#[test]
fn a_missing_program_is_127_and_named() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "no-such-program"]).run().error(127, &["no-such-program"]);
    host.mini(["run", "--rm", "busybox", "/opt/no/such"]).run().error(127, &["/opt/no/such"]);
    let container = host.start(["busybox", "sleep", "1000"]);
    container.exec(["no-such-program"]).run().error(127, &["no-such-program"]);
}

#[test]
fn a_missing_interpreter_is_named_and_not_the_script() {
    let host = Host::new();
    let layer = Tarball::new().file("script", 0o755, "#!/opt/python9 -u\nprint()\n");
    host.load(&Image::busybox().with(layer), "busybox:latest");
    host.mini(["run", "--rm", "busybox", "/script"]).run().error(127, &["/opt/python9", "/script"]);
}

#[test]
fn an_interpreter_with_a_carriage_return_is_recognised() {
    let host = Host::new();
    let layer = Tarball::new().file("script", 0o755, "#!/bin/sh\r\necho\r\n");
    host.load(&Image::busybox().with(layer), "busybox:latest");
    let output = host.mini(["run", "--rm", "busybox", "/script"]).run().error(127, &["/script"]);
    let said = output.err();
    assert!(said.contains("CRLF") || said.contains("carriage return"), "{output}");
}

#[test]
fn a_missing_loader_is_named_and_not_the_program() {
    let host = Host::new();
    let dynamic = std::fs::read("/usr/bin/env").expect("coreutils are installed");
    host.load(&Image::busybox().with(Tarball::new().file("bin/dynamic", 0o755, dynamic)), "busybox:latest");
    let output = host.mini(["run", "--rm", "busybox", "dynamic"]).run();
    output.error(127, &["/lib64/ld-linux-x86-64.so.2"]);
}

#[test]
fn a_program_for_another_machine_is_named_with_its_architecture() {
    let host = Host::new();
    let layer = Tarball::new().file("bin/foreign", 0o755, elf_for(183));
    host.load(&Image::busybox().with(layer), "busybox:latest");
    host.mini(["run", "--rm", "busybox", "foreign"]).run().error(126, &["/bin/foreign", "arm64"]);
}

#[test]
fn what_cannot_be_executed_is_126() {
    let host = Host::new();
    let layer = Tarball::new().file("opt/data", 0o644, "x").directory("opt/dir", 0o755);
    host.load(&Image::busybox().with(layer), "busybox:latest");
    host.mini(["run", "--rm", "busybox", "/opt/data"]).run().error(126, &["/opt/data", "permission denied"]);
    host.mini(["run", "--rm", "busybox", "/opt/dir"]).run().error(126, &["/opt/dir"]);
    let container = host.start(["busybox", "sleep", "1000"]);
    container.exec(["/opt/data"]).run().error(126, &["/opt/data"]);
}

#[test]
fn a_directory_that_is_a_file_is_an_error_that_names_it() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "-w", "/etc/passwd", "busybox", "true"]).run().error(125, &["/etc/passwd"]);
}

#[test]
fn unknown_users_and_groups_are_named() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "-u", "ghost", "busybox", "true"]).run().error(125, &["ghost", "passwd"]);
    host.mini(["run", "--rm", "-u", "root:ghosts", "busybox", "true"]).run().error(125, &["ghosts", "group"]);
}

#[test]
fn a_failed_start_leaves_a_container_in_created_unless_rm() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "kept", "busybox", "no-such-program"]).run().error(127, &[]);
    host.mini(["ps", "-a"]).run().ok().stdout_has("Created").stdout_has("kept");
    host.mini(["run", "--rm", "--name", "gone", "busybox", "no-such-program"]).run().error(127, &[]);
    host.mini(["ps", "-a"]).run().ok().stdout_lacks("gone");
}

#[test]
fn what_is_unknown_to_run_is_refused_by_name() {
    let host = Host::with_busybox();
    for (option, value) in [
        ("--cap-add", "NO_SUCH_CAPABILITY"),
        ("--network", "no-such-network"),
        ("--userns", "nonsense"),
        ("--pull", "sometimes"),
        ("-m", "lots"),
        ("--cpus", "many"),
        ("--pids-limit", "few"),
        ("-p", "99999:80"),
        ("--name", "-dash"),
        ("--name", "a"),
        ("-h", "under_score/slash"),
        ("--tmpfs", "relative/path"),
        ("-v", "/only-one-part:relative"),
    ] {
        let option =
            if option.starts_with("--") { format!("{option}={value}") } else { format!("{option}{value}") };
        let output = host.mini(["run", "--rm", &option, "busybox", "true"]).run();
        assert_eq!(output.status.code(), Some(125), "{option}: {output}");
        assert!(
            output.err().contains(value.split(':').next_back().unwrap_or(value)),
            "{option} {value}: {output}"
        );
    }
}

#[test]
fn commands_on_a_container_that_does_not_exist_exit_with_1_and_name_it() {
    let host = Host::new();
    for command in ["stop", "kill", "rm", "logs", "inspect"] {
        host.mini([command, "nobody-here"])
            .run()
            .error(1, &["nobody-here"])
            .stdout(if command == "inspect" { "[]\n" } else { "" });
    }
    host.mini(["exec", "nobody-here", "true"]).run().error(1, &["nobody-here"]);
}

#[test]
fn a_reference_that_is_none_is_refused_before_anything_happens() {
    let host = Host::new();
    for reference in ["UPPER", "a//b", "name:", "name@sha256:short", "-x", ""] {
        let output = host.mini(["run", "--rm", "--", reference, "true"]).run();
        assert_eq!(output.status.code(), Some(125), "{reference:?}: {output}");
        let output = host.mini(["pull", "--", reference]).run();
        assert_eq!(output.status.code(), Some(1), "{reference:?}: {output}");
    }
}

#[test]
fn errors_are_lower_case_and_have_no_full_stop() {
    let host = Host::with_busybox();
    let output = host.mini(["run", "--rm", "busybox", "no-such-program"]).run();
    let first = output.err().lines().next().expect("an error").to_owned();
    let message = first.strip_prefix("mini: ").expect("every error begins with the program's name");
    assert!(message.chars().next().is_some_and(|c| !c.is_uppercase()) && !message.ends_with('.'), "{first}");
}

#[test]
fn who_is_not_root_is_told_so() {
    let host = Host::with_busybox();
    let copy = host.work().join("mini");
    std::fs::copy(host.binary(), &copy).expect("copy the binary to where everybody may read");
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    command.args(["run", "--rm", "busybox", "true"]).env_clear().envs(host.environment());
    let output = tests::Mini::new(command).run();
    output.error(125, &["root"]);
}

#[test]
fn arguments_that_are_no_text_are_an_error_and_no_defect() {
    use std::os::unix::ffi::OsStrExt;
    let host = Host::with_busybox();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    host.mini([odd]).run().error(1, &[]);
    let output = host.mini(["run", "--rm", "busybox", "echo"]).arg(odd).run();
    assert!(!output.err().contains("defect") && !output.err().contains("panicked"), "{output}");
}
