//! `mini run`: what the command says, how it ends, and what it is given.

use serde_json::json;
use tests::{Host, Image, Tarball};

#[test]
fn prints_what_the_command_prints() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "echo", "hello"]).run().ok().stdout("hello\n").stderr("");
}

#[test]
fn runs_the_images_command_when_none_is_given() {
    let host = Host::new();
    host.load(&Image::busybox().set("Cmd", json!(["echo", "from the image"])), "speaker:latest");
    host.mini(["run", "--rm", "speaker"]).run().ok().stdout("from the image\n");
}

#[test]
fn without_a_terminal_the_streams_stay_apart() {
    let host = Host::with_busybox();
    let output = host.mini(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]).run();
    output.ok().stdout("out\n").stderr("err\n");
}

#[test]
fn the_exit_code_is_the_commands() {
    let host = Host::with_busybox();
    for code in [0, 1, 42, 255] {
        host.mini(["run", "--rm", "busybox", "sh", "-c", &format!("exit {code}")]).run().code(code);
    }
}

#[test]
fn a_command_ended_by_signal_n_exits_with_128_plus_n() {
    let host = Host::with_busybox();
    let mut client =
        host.spawn(["run", "--rm", "--name", "box", "busybox", "sh", "-c", "echo ready; sleep 1000"]);
    assert_eq!(client.line(), "ready");
    host.mini(["kill", "box"]).run().ok();
    client.wait().code(137);
}

#[test]
fn stdin_is_attached_with_i_alone() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "-i", "busybox", "cat"]).stdin("typed").run().ok().stdout("typed");
    host.mini(["run", "--rm", "busybox", "cat"]).stdin("typed").run().ok().stdout("");
}

#[test]
fn a_megabyte_passes_through_both_ways() {
    let host = Host::with_busybox();
    let megabyte: Vec<u8> = (0..1_u32 << 20).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
    let output = host.mini(["run", "--rm", "-i", "busybox", "cat"]).stdin(megabyte.clone()).run().ok();
    assert!(output.stdout == megabyte, "{} bytes came back, some of them others", output.stdout.len());
}

#[test]
fn the_environment_is_path_hostname_the_images_and_the_users() {
    let host = Host::new();
    let image = Image::busybox().set("Env", json!(["FROM_IMAGE=1", "REPLACED=image", "GONE=image"]));
    host.load(&image, "busybox:latest");
    let options = ["-e", "REPLACED=user", "-e", "COPIED", "-e", "GONE", "-e", "EMPTY=", "-h", "box"];
    let output =
        host.mini(["run", "--rm"]).args(options).args(["busybox", "env"]).env("COPIED", "client").run().ok();
    let mut lines = output.lines();
    lines.sort();
    let expected = [
        "COPIED=client",
        "EMPTY=",
        "FROM_IMAGE=1",
        "HOME=/root",
        "HOSTNAME=box",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "REPLACED=user",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_images_path_is_searched_for_the_command() {
    let host = Host::new();
    let layer = Tarball::new().directory("opt", 0o755).file("opt/tool", 0o755, "#!/bin/sh\necho found\n");
    host.load(&Image::busybox().with(layer).set("Env", json!(["PATH=/opt:/bin"])), "busybox:latest");
    host.mini(["run", "--rm", "busybox", "tool"]).run().ok().stdout("found\n");
}

#[test]
fn w_sets_the_directory_and_makes_it_for_root() {
    let host = Host::with_busybox();
    let script = "pwd; stat -c '%a %u:%g' . ..";
    let output =
        host.mini(["run", "--rm", "-u", "1000", "-w", "/new/deep", "busybox", "sh", "-c", script]).run();
    output.ok().stdout("/new/deep\n755 0:0\n755 0:0\n");
}

#[test]
fn the_images_directory_and_user_hold_unless_told_otherwise() {
    let host = Host::new();
    let image = Image::busybox().set("WorkingDir", "/tmp").set("User", "nobody");
    host.load(&image, "busybox:latest");
    let script = "pwd; id -un";
    host.mini(["run", "--rm", "busybox", "sh", "-c", script]).run().ok().stdout("/tmp\nnobody\n");
    let told = host.mini(["run", "--rm", "-u", "root", "-w", "/etc", "busybox", "sh", "-c", script]).run();
    told.ok().stdout("/etc\nroot\n");
}

#[test]
fn u_takes_names_and_numbers_and_a_group() {
    let host = Host::with_busybox();
    for (user, expected) in [
        ("0", "0:0"),
        ("1000", "1000:0"),
        ("nobody", "65534:65534"),
        ("nobody:users", "65534:100"),
        ("root:100", "0:100"),
        ("12:34", "12:34"),
    ] {
        let output =
            host.mini(["run", "--rm", "-u", user, "busybox", "sh", "-c", "echo $(id -u):$(id -g)"]).run();
        output.ok().stdout(&format!("{expected}\n"));
    }
}

#[test]
fn home_is_the_users_in_the_containers_passwd() {
    let host = Host::with_busybox();
    for (user, home) in [("root", "/root"), ("nobody", "/home"), ("1000", "/")] {
        host.mini(["run", "--rm", "-u", user, "busybox", "sh", "-c", "echo $HOME"])
            .run()
            .ok()
            .stdout(&format!("{home}\n"));
    }
}

#[test]
fn h_sets_the_hostname_which_else_is_the_short_id() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "-h", "given", "busybox", "hostname"]).run().ok().stdout("given\n");
    let container = host.start(["busybox", "sleep", "1000"]);
    container.exec(["hostname"]).run().ok().stdout(&format!("{}\n", container.short()));
    container.exec(["cat", "/etc/hostname"]).run().ok().stdout(&format!("{}\n", container.short()));
}

#[test]
fn entrypoint_and_command_combine_as_docker_does() {
    let host = Host::new();
    let image = Image::busybox().set("Entrypoint", json!(["echo", "entry"])).set("Cmd", json!(["default"]));
    host.load(&image, "echo:latest");
    let run = |args: &[&str]| host.mini(["run", "--rm"]).args(args).run().ok().line();
    assert_eq!(run(&["echo"]), "entry default");
    assert_eq!(run(&["echo", "given"]), "entry given");
    assert_eq!(
        run(&["--entrypoint", "/bin/echo", "echo"]),
        "",
        "the image's command goes with its entrypoint"
    );
    assert_eq!(run(&["--entrypoint", "/bin/echo", "echo", "given"]), "given");
    assert_eq!(run(&["--entrypoint", "", "echo", "basename", "/a/b"]), "b");
}

#[test]
fn what_follows_the_image_is_the_programs_flags_too() {
    let host = Host::with_busybox();
    let echo = ["run", "--rm", "--entrypoint", "echo", "busybox"];
    host.mini(echo).args(["--rm", "-it", "--memory=1"]).run().ok().stdout("--rm -it --memory=1\n");
    host.mini(echo).args(["-x"]).run().ok().stdout("-x\n");
    host.mini(echo).args(["--", "-x"]).run().ok().stdout("-- -x\n");
    host.mini(["run", "--memmory", "1g", "busybox", "true"]).run().error(125, &["--memmory", "--memory"]);
    host.mini(["run", "--rm"]).run().error(1, &["IMAGE"]);
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    container.exec(["echo", "-it", "--user"]).run().ok().stdout("-it --user\n");
    host.mini(["exec", "box", "--user"]).run().code(127);
    host.mini(["exec", "box"]).run().error(1, &["COMMAND"]);
}

#[test]
fn d_prints_the_id_and_returns_while_the_container_runs() {
    let host = Host::with_busybox();
    // `run` waits for the end of both streams: a supervisor that kept them open would hang here, as `x=$(mini run -d …)`.
    let container = host.start(["--name", "box", "busybox", "sleep", "1000"]);
    assert_eq!(container.field("/State/Status"), "running");
    assert_eq!(container.field("/Name"), "/box");
    let through_a_shell = format!("x=$({} run -d busybox sleep 1000); echo ${{#x}}", host.binary().display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &through_a_shell]).env_clear().envs(host.environment());
    tests::Mini::new(shell).run().ok().stdout("64\n");
}

#[test]
fn rm_removes_the_container_and_its_name_is_free_at_once() {
    let host = Host::with_busybox();
    for round in 0..5 {
        let output =
            host.mini(["run", "--rm", "--name", "again", "busybox", "echo", &round.to_string()]).run();
        output.ok().stdout(&format!("{round}\n"));
    }
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn without_rm_the_container_stays_with_its_exit_code() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "sh", "-c", "exit 3"]).run().code(3);
    let state = host.mini(["inspect", "box"]).run().ok().json()[0]["State"].take();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(3)));
    host.mini(["ps", "-a"]).run().ok().stdout_has("Exited (3)");
    host.mini(["rm", "box"]).run().ok().stdout("box\n");
}

#[test]
fn capabilities_are_dockers_and_can_be_added_and_dropped() {
    let host = Host::with_busybox();
    let effective = |options: &[&str]| {
        let script = "grep -E 'Cap(Eff|Bnd)' /proc/self/status";
        let output =
            host.mini(["run", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run().ok();
        let masks: Vec<u64> = output
            .lines()
            .iter()
            .map(|line| {
                u64::from_str_radix(line.split_whitespace().nth(1).expect("a mask"), 16).expect("hexadecimal")
            })
            .collect();
        assert_eq!(masks[0], masks[1], "effective and bounding set differ: {output}");
        masks[0]
    };
    let default = 0xa804_25fb;
    assert_eq!(effective(&[]), default);
    assert_eq!(effective(&["--cap-add", "SYS_TIME"]), default | 1 << 25);
    assert_eq!(
        effective(&["--cap-add", "cap_net_admin"]),
        default | 1 << 12,
        "any case, with or without CAP_"
    );
    assert_eq!(effective(&["--cap-drop", "CHOWN"]), default & !1);
    assert_eq!(effective(&["--cap-drop", "ALL"]), 0);
    assert_eq!(effective(&["--cap-drop", "ALL", "--cap-add", "KILL"]), 1 << 5);
}

#[test]
fn privileged_has_every_capability_of_the_host_and_its_users() {
    let host = Host::with_busybox();
    let own = tests::processes::status(std::process::id().cast_signed(), "CapBnd").expect("our own status");
    let script =
        "grep CapEff /proc/self/status | cut -f2; cut -c1-60 /proc/self/uid_map; readlink /proc/self/ns/user";
    let output = host.mini(["run", "--rm", "--privileged", "busybox", "sh", "-c", script]).run().ok();
    let lines = output.lines();
    assert_eq!(lines[0], own);
    let user = std::fs::read_link("/proc/self/ns/user").expect("a link").to_string_lossy().into_owned();
    assert_eq!(lines[2], user, "--privileged implies --userns=host");
}

#[test]
fn pull_never_and_a_missing_image_is_an_error_with_a_hint() {
    let host = Host::new();
    let output = host.mini(["run", "--rm", "--pull", "never", "nowhere/nothing", "true"]).run();
    output.error(125, &["nowhere/nothing"]).hints("mini pull");
}
