//! The command line as docker's users type it: switches with values, flags twice, near names, what docker has and mini has not.

use tests::Host;
use tests::reference::Reference;

#[test]
fn what_makes_no_sense_ends_as_docker_ends_it() {
    let host = Host::with_busybox();
    for (line, code, said) in [
        // Flags: 125, whatever the command.
        (&["run", "--no-such-option", "busybox"][..], 125, "unknown flag: --no-such-option"),
        (&["ps", "--no-such-option"], 125, "unknown flag: --no-such-option"),
        (&["--no-such-option", "ps"], 125, "unknown flag: --no-such-option"),
        (&["stop", "-z", "x"], 125, "unknown shorthand flag: 'z' in -z"),
        (&["run", "--name"], 125, "flag needs an argument: --name"),
        (&["run", "--pull", "sometimes", "busybox"], 125, "always, missing, never"),
        (&["run", "--rm=maybe", "busybox"], 125, "invalid argument \"maybe\" for \"--rm\" flag"),
        (&["logs", "--tail", "x", "y"], 125, "--tail"),
        (&["exec", "-d", "-i", "x", "y"], 125, "exclude each other"),
        // Commands that are none, arguments that are too many or too few: 1, whatever the command.
        (&["no-such-command"], 1, "unknown command: mini no-such-command"),
        (&["container", "no-such"], 1, "unknown command: mini container no-such"),
        (&["stop"], 1, "'mini stop' requires at least 1 argument"),
        (&["rename", "x"], 1, "'mini rename' requires 2 arguments"),
        (&["rename", "x", "y", "z"], 1, "'mini rename' requires 2 arguments"),
        (&["ps", "x"], 1, "'mini ps' accepts no arguments"),
        (&["exec", "x"], 1, "'mini exec' requires at least 2 arguments"),
        (&["run"], 1, "'mini run' requires at least 1 argument"),
        (&["container", "create"], 1, "'mini container create' requires at least 1 argument"),
    ] {
        let output = host.mini(line).run().error(code, &[said]).stdout("");
        let lines: Vec<String> = output.err().lines().map(str::to_owned).collect();
        assert!(lines.len() == 2 && lines[1].starts_with("hint: "), "{output}");
    }
    host.mini(["ps", "-aq"]).run().ok().stdout("");
}

#[test]
fn near_names_are_suggested_also_from_elsewhere_in_the_tree() {
    let host = Host::new();
    for (line, hint) in [
        (&["contianer", "ls"][..], "did you mean mini container?"),
        (&["stat"], "did you mean mini start or mini stats?"),
        (&["imagse"], "did you mean mini image or mini images?"),
        (&["container", "strat"], "did you mean mini container start?"),
        (&["image", "ps"], "there is mini ps"),
        (&["check"], "there is mini class check, mini system check"),
        (&["prnue"], "there is mini container prune"),
        (&["xyzzy"], "mini --help lists what there is"),
    ] {
        host.mini(line).run().error(1, &[]).hints(hint);
    }
    for (line, hint) in [
        (&["run", "--nmae", "x", "y"][..], "did you mean --name?"),
        (&["run", "-name", "x", "y"], "a long flag has two dashes: --name"),
        (&["-it", "run", "busybox"], "-i stands behind the command: mini run -i"),
        (&["ps", "foo", "--rm"], "--rm is a flag of mini run, mini create"),
        (&["ps", "--privileged"], "--privileged is a flag of mini run"),
        (&["ps", "--xyzzy"], "mini ps --help lists what there is"),
    ] {
        host.mini(line).run().error(125, &[]).hints(hint);
    }
}

#[test]
fn what_docker_has_and_mini_has_not_is_said_by_name_with_what_does_it() {
    let host = Host::new();
    for (command, says) in [
        ("build", "mini builds no images"),
        ("buildx", "mini builds no images"),
        ("compose", "mini run -d --restart always"),
        ("swarm", "no cluster"),
        ("service", "no cluster"),
        ("context", "no daemon"),
        ("plugin", "none"),
        ("search", "skopeo list-tags"),
        ("checkpoint", "mini pause"),
    ] {
        host.mini([command, "x"]).run().error(1, &[&format!("unknown command: mini {command}")]).hints(says);
    }
    host.mini(["image", "build", "."]).run().error(1, &["mini image build"]).hints("mini builds no images");
    for flag in ["-H", "--host", "--context", "-D", "--log-level", "--config", "--tlsverify"] {
        host.mini([flag, "x", "ps"]).run().error(125, &[flag]).hints("mini");
    }
}

/// A hint that names a command of mini's names one that is there.
#[test]
fn what_is_said_instead_is_there() {
    let host = Host::new();
    let reference = Reference::of(&host);
    let absent = ["build", "compose", "search"];
    for command in absent {
        let output = host.mini([command]).run();
        if output.status.code() != Some(1) || !output.err().contains("unknown command") {
            continue; // mini has it by now
        }
        for part in output.err().split("mini ").skip(1) {
            let word: String = part.chars().take_while(char::is_ascii_lowercase).collect();
            let verbs =
                ["builds", "makes", "reads", "runs", "has", "asks", "pushes", "saves", "gives", "keeps"];
            let path = format!("mini {word}");
            let known = reference.commands.iter().any(|known| known.path == path);
            assert!(
                word.is_empty() || known || verbs.contains(&&*word) || word == command,
                "{path}: {output}"
            );
        }
    }
}

#[test]
fn switches_take_a_truth_as_dockers_do() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm=false", "--name", "kept", "busybox", "true"]).run().ok();
    host.mini(["run", "--rm=1", "--name", "gone", "busybox", "true"]).run().ok();
    host.mini(["run", "--rm", "--rm=f", "--name", "kept2", "busybox", "true"]).run().ok();
    host.mini(["ps", "--all=T", "--format", "{{.Names}}"]).run().ok().stdout("kept2\nkept\n");
    host.mini(["ps", "-a=false", "-q"]).run().ok().stdout("");
    let id = host.mini(["run", "-d=true", "-it=0", "--init=0", "busybox", "sleep", "1000"]).run().ok().line();
    let fields = "{{.Config.Tty}} {{.Config.OpenStdin}} {{.State.Running}}";
    host.mini(["inspect", "-f", fields, &id]).run().ok().stdout("false true true\n");
    // What follows the image is the program's, whatever it looks like.
    host.mini(["run", "--rm=true", "busybox", "echo", "--rm=false", "-d"])
        .run()
        .ok()
        .stdout("--rm=false -d\n");
    host.mini(["run", "-itd=maybe", "busybox"]).run().error(125, &["\"maybe\"", "--detach", "true or false"]);
    host.mini(["logs", "--follow=no", &id]).run().error(125, &["\"no\"", "--follow"]);
}

#[test]
fn flags_stand_together_and_the_last_of_several_counts() {
    let host = Host::with_busybox();
    let id = host
        .mini(["run", "-itd", "--name", "one", "--name=two", "-h", "a", "-hb", "busybox"])
        .run()
        .ok()
        .line();
    let fields = "{{.Name}} {{.Config.Hostname}} {{.Config.Tty}}";
    host.mini(["inspect", "--format", "x", "--format", fields, &id]).run().ok().stdout("/two b true\n");
    let run = host.mini([
        "run",
        "--rm",
        "--rm",
        "-eA=1",
        "-e=B=2",
        "--env=C=3",
        "-e",
        "D=4",
        "busybox",
        "sh",
        "-c",
    ]);
    run.args(["echo $A$B$C$D"]).run().ok().stdout("1234\n");
    host.mini(["stop", "-t", "9", "-t0", "two"]).run().ok();
}

#[test]
fn a_flag_behind_the_image_is_hinted_at() {
    let host = Host::with_busybox();
    host.mini(["run", "--rm", "busybox", "-it", "sh"]).run().error(127, &["-it"]).hints("before the image");
    let container = host.start(["busybox", "sleep", "1000"]);
    container.exec(["-it", "sh"]).run().error(127, &["-it"]).hints("before the container");
}
