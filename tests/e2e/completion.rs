//! Completion: what mini answers a shell that asks, and that bash, zsh and fish do ask.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::reference::Reference;
use tests::terminal::Terminal;
use tests::{Host, Image, Mini};

/// `mini __complete zsh -- mini WORDS…`, the last of them at the cursor.
fn ask(host: &Host, words: &[&str]) -> Mini {
    host.mini(["__complete", "zsh", "--", "mini"]).args(words)
}

/// The candidates, without what they are; nothing else is said.
#[track_caller]
fn candidates(host: &Host, words: &[&str]) -> Vec<String> {
    let output = ask(host, words).run().ok().stderr("");
    let word = |line: &String| line.split('\t').next().unwrap_or_default().replace("\\:", ":");
    output.lines().iter().map(word).collect()
}

/// A host with containers `web` and `db` that run, and `job` and `made` that do not.
fn host() -> Host {
    let host = Host::with_busybox();
    host.load(&Image::busybox().built("2024-03-03T00:00:00Z"), "localhost:5000/app:1");
    for name in ["web", "db"] {
        host.mini(["run", "-d", "--name", name, "busybox", "sleep", "1000"]).run().ok();
    }
    host.mini(["run", "--name", "job", "busybox", "true"]).run().ok();
    host.mini(["create", "--name", "made", "localhost:5000/app:1"]).run().ok();
    host
}

#[test]
fn commands_and_flags_are_those_of_the_tree() {
    let host = Host::new();
    for command in Reference::of(&host).commands.iter().filter(|command| !command.path.contains("__")) {
        let (group, name) = command.path.rsplit_once(' ').unwrap_or(("", "mini"));
        let before: Vec<&str> = group.split(' ').skip(1).collect();
        if !group.is_empty() {
            let found = candidates(&host, &[&before[..], &[name]].concat());
            assert!(found.contains(&name.to_owned()), "{}: {found:?}", command.path);
        }
        let path: Vec<&str> = command.path.split(' ').skip(1).collect();
        let found = candidates(&host, &[&path[..], &["--"]].concat());
        for flag in command.arguments.iter().filter(|flag| flag.all["long"].is_string()) {
            let long = flag.names().remove(0);
            assert_eq!(found.contains(&long), !flag.is("hidden"), "{} {long}: {found:?}", command.path);
        }
    }
    assert_eq!(candidates(&host, &["container", "l"]), ["logs", "ls"]);
    assert_eq!(candidates(&host, &["help", "container", "prun"]), ["prune"]);
    assert!(
        !candidates(&host, &[""]).iter().any(|word| word.starts_with(['_', '-'])),
        "nothing hidden, no flags"
    );
    // What is no command yet, and what cannot be.
    for line in
        [&["no-such", ""][..], &["run", "--no-such", ""], &["ps", "--all=", "x"], &["run", "\u{1}'\"$(", ""]]
    {
        candidates(&host, line);
    }
}

#[test]
fn containers_are_those_that_the_command_is_for() {
    let host = host();
    let (all, up, resting) = (["db", "job", "made", "web"], ["db", "web"], ["job", "made"]);
    for (command, expected) in [
        ("stop", &up[..]),
        ("kill", &up),
        ("exec", &up),
        ("attach", &up),
        ("pause", &up),
        ("top", &up),
        ("stats", &up),
        ("port", &up),
        ("start", &resting),
        ("rm", &all),
        ("logs", &all),
        ("rename", &all),
        ("diff", &all),
        ("wait", &all),
        ("update", &all),
        ("restart", &all),
    ] {
        assert_eq!(candidates(&host, &[command, ""]), expected, "{command}");
        assert_eq!(candidates(&host, &["container", command, ""]), expected, "container {command}");
    }
    assert_eq!(candidates(&host, &["container", "inspect", ""]), all);
    assert_eq!(candidates(&host, &["stop", "web", "d"]), ["db"], "and more of them");
    assert_eq!(candidates(&host, &["rename", "web", ""]), [""; 0], "a new name is nobody's");
    let id = host.mini(["ps", "-q", "--filter", "name=web"]).run().ok().line();
    assert_eq!(candidates(&host, &["stop", &id[..5]]), std::slice::from_ref(&id));
    let says = ask(&host, &["stop", "w"]).run().ok().text();
    assert_eq!(says, "web\tbusybox, running\n");
    assert_eq!(candidates(&host, &["run", "--network=container:w"]), ["--network=container:web"]);
    // Behind it all is the program's.
    assert_eq!(candidates(&host, &["exec", "web", ""]), [""; 0]);
    assert_eq!(candidates(&host, &["exec", "-it", "web", "-"]), [""; 0]);
}

#[test]
fn images_are_offered_as_they_are_typed() {
    let host = host();
    for command in ["run", "create", "rmi"] {
        assert_eq!(candidates(&host, &[command, ""]), ["busybox", "localhost:5000/app:1"], "{command}");
    }
    assert_eq!(candidates(&host, &["image", "inspect", "busybox:"]), ["busybox:latest"]);
    assert_eq!(candidates(&host, &["run", "-it", "--name", "x", "loc"]), ["localhost:5000/app:1"]);
    assert_eq!(candidates(&host, &["run", "busybox", ""]), [""; 0], "the program's own");
    let id = host.mini(["images", "-q", "busybox"]).run().ok().line();
    assert!(candidates(&host, &["rmi", &id[..6]]).contains(&id));
    let things = candidates(&host, &["inspect", ""]);
    for thing in ["web", "job", "busybox"] {
        assert!(things.contains(&thing.to_owned()), "{things:?}");
    }
}

#[test]
fn values_are_those_that_the_flag_takes() {
    let host = host();
    fs::create_dir_all(host.work().join("some dir")).expect("mkdir");
    fs::write(host.work().join("some.env"), "").expect("write");
    host.mini(["volume", "create", "data"]).run().ok();
    let work = host.work().display().to_string();
    let (file, directory) = (format!("{work}/some.env"), format!("{work}/some dir/"));
    let (half, source) = (format!("{work}/some"), format!("type=bind,source={work}/some."));
    for (words, expected) in [
        (&["run", "--restart", "o"][..], &["on-failure", "on-failure:"][..]),
        (&["run", "--log-driver", ""], &["json-file", "local", "none"]),
        (&["run", "--pull="], &["--pull=always", "--pull=missing", "--pull=never"]),
        (&["run", "--network", "b"], &["bridge"]),
        (&["run", "-a", "std"], &["stdin", "stdout", "stderr"]),
        (&["run", "--cap-add", "NET_B"], &["NET_BIND_SERVICE", "NET_BROADCAST"]),
        (&["run", "--cap-drop", "CAP_MKN"], &["CAP_MKNOD"]),
        (&["run", "--cap-drop", "AL"], &["ALL"]),
        (&["run", "--ulimit", "nof"], &["nofile="]),
        (&["run", "--stop-signal", "US"], &["USR1", "USR2"]),
        (&["kill", "-s", "SIGUS"], &["SIGUSR1", "SIGUSR2"]),
        (&["ps", "--filter", "sta"], &["status="]),
        (&["inspect", "--type", "i"], &["image"]),
        (&["completion", "f"], &["fish"]),
        (&["run", "--env-file", &half], &[&directory, &file]),
        (&["run", "--cidfile", &file], &[&file]),
        (&["run", "-v", &half], &[&directory, &file]),
        (&["run", "-v", "da"], &["data:"]),
        (&["run", "-v", "data:/x"], &[]),
        (&["run", "--mount", "type=b"], &["type=bind,"]),
        (&["--root", &half], &[&directory]),
        (&["run", "--workdir", "/"], &[]),
        (&["run", "--memory", ""], &[]),
        (&["run", "-e", "MINI_RUN_"], &["MINI_RUN_ROOT"]),
    ] {
        assert_eq!(candidates(&host, words), expected, "{words:?}");
    }
    let found = candidates(&host, &["run", "--mount", &source]);
    assert_eq!(found, [format!("type=bind,source={file}")]);
}

/// What completion reads out of a help text, the command takes.
#[test]
fn words_that_are_offered_are_words_that_are_taken() {
    let host = Host::with_busybox();
    let run =
        &Reference::of(&host).commands.into_iter().find(|command| command.path == "mini run").expect("run");
    let mut tried = 0;
    for flag in
        run.flags().filter(|flag| flag.is("takes_value") && !flag.is("hidden") && !flag.is("needs_equals"))
    {
        let long = flag.names().remove(0);
        let whole = |word: &&String| !word.ends_with([':', '=', ',', '/', '.']);
        let words = candidates(&host, &["run", &long, ""]);
        let known = ["--env", "--format", "--env-file", "--label-file", "--volume", "--device"];
        for word in words.iter().filter(whole).filter(|_| !known.contains(&&*long)) {
            let value = format!("{long}={word}");
            let output = host.mini(["run", "--dry-run", "--pull=never", &value, "busybox", "true"]).run();
            // Refused it may be, by what else the line says, but not for the word.
            let said = output.err();
            let unknown =
                ["invalid", "unknown", "no such", "not supported"].iter().any(|no| said.contains(no));
            assert!(output.status.success() || !unknown, "{output}");
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn the_roots_are_those_that_were_typed() {
    let host = host();
    let ask = |words: &[&str]| {
        let asked = host.mini(["__complete", "fish", "--", "mini"]).args(words);
        asked.env("MINI_ROOT", "/no/such").env("MINI_RUN_ROOT", "/no/such")
    };
    ask(&["stop", ""]).run().ok().stdout("").stderr("");
    let (root, run_root) = (host.root().display().to_string(), host.run_root().display().to_string());
    let own = ["--root", &root, "stop", &format!("--run-root={run_root}"), "w"];
    ask(&own).run().ok().stdout("web\tbusybox, running\n");
    // A boot has taken the names away: the records have them.
    fs::remove_dir_all(host.run_root().join("names")).expect("remove");
    assert_eq!(candidates(&host, &["start", "j"]), ["job"]);
}

#[test]
fn nothing_is_written_and_nothing_is_said_where_nothing_can_be_read() {
    let host = Host::new();
    let before = (
        fs::read_dir(host.root()).expect("root").count(),
        fs::read_dir(host.run_root()).expect("run").count(),
    );
    for words in [&["stop", ""][..], &["run", ""], &["inspect", ""], &["run", "-v", "x"]] {
        assert_eq!(candidates(&host, words), [""; 0], "{words:?}");
    }
    let after = (
        fs::read_dir(host.root()).expect("root").count(),
        fs::read_dir(host.run_root()).expect("run").count(),
    );
    assert_eq!(before, after);
    host.load(&Image::busybox(), "busybox:latest");
    host.mini(["create", "--name", "box", "busybox"]).run().ok();
    let copy = host.work().join("mini");
    fs::copy(host.binary(), &copy).expect("copy the binary to where everybody may read");
    let nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        command.args(["__complete", "zsh", "--", "mini"]).args(words).env_clear().envs(host.environment());
        Mini::new(command).run().ok().stderr("").text()
    };
    assert_eq!(nobody(&["rm", ""]), "");
    assert!(nobody(&["ru"]).starts_with("run\t"));
    // A damaged store is somebody else's to tell.
    fs::write(host.root().join("image/index.json"), "{").expect("write");
    assert_eq!(candidates(&host, &["run", ""]), [""; 0]);
    fs::remove_dir_all(host.root().join("image")).expect("remove");
}

/// A shell on a terminal, with mini in its path; `ready` registers completion.
fn shell(host: &Host, program: &str, args: &[&str], register: &str) -> Terminal {
    let bin = host.work().join("bin");
    fs::create_dir_all(&bin).expect("mkdir");
    std::os::unix::fs::symlink(host.binary(), bin.join("mini")).expect("symlink");
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(host.environment()).current_dir(host.work());
    command
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("PS1", "> ")
        .env("TMPDIR", host.work())
        .env("LANG", "C.UTF-8");
    let mut terminal = Terminal::start(&command, 24, 100);
    terminal.send(&format!("{register}; echo reg''istered\r"));
    terminal.expect_screen("registered");
    terminal
}

/// Lines up to a TAB, and what the screen shows then.
#[track_caller]
fn complete_all(terminal: &mut Terminal, lines: &[(&str, &str)]) {
    for (typed, shown) in lines {
        terminal.send(&format!("\x15{typed}\t"));
        terminal.expect_screen(shown);
    }
}

const LINES: [(&str, &str); 6] = [
    ("mini sto", "mini stop"),
    ("mini stop we", "mini stop web"),
    ("mini run --network=ho", "mini run --network=host"),
    ("mini run --network=container:we", "mini run --network=container:web"),
    ("mini run localhost:5000/a", "mini run localhost:5000/app:1"),
    ("mini run --env-file some\\ f", "mini run --env-file some\\ file"),
];

#[test]
fn tab_in_bash() {
    let host = host();
    fs::write(host.work().join("some file"), "").expect("write");
    let mut bash = shell(&host, "bash", &["--norc", "--noprofile", "-i"], "source <(mini completion bash)");
    complete_all(&mut bash, &LINES);
    // A word that is whole is followed by a space, one that goes on is not; several are shown at the second TAB.
    complete_all(
        &mut bash,
        &[("mini stop w\tx", "mini stop web x"), ("mini run --network=con\tx", "container:x")],
    );
    complete_all(&mut bash, &[("mini run --pull \t", "always    missing   never")]);
    complete_all(&mut bash, &[("mini run --env-file 'some f", "'some file")]);
    // What it cannot complete stays, and nothing is printed.
    complete_all(&mut bash, &[("mini stop nob\t\tody", "mini stop nobody")]);
}

#[test]
fn tab_in_zsh() {
    let host = host();
    fs::write(host.work().join("some file"), "").expect("write");
    let register = "autoload -Uz compinit; compinit -u; source <(mini completion zsh)";
    let mut zsh = shell(&host, "zsh", &["-f", "-i"], register);
    complete_all(&mut zsh, &LINES);
    complete_all(&mut zsh, &[("mini run --pull ", "missing  -- Where it is not here")]);
    complete_all(
        &mut zsh,
        &[("mini run --network=con\tx", "container:x"), ("mini stop w\tx", "mini stop web x")],
    );
}

#[test]
fn tab_in_fish() {
    let host = host();
    fs::write(host.work().join("some file"), "").expect("write");
    let mut fish = shell(&host, "fish", &["--no-config", "-i"], "mini completion fish | source");
    complete_all(&mut fish, &LINES);
    complete_all(&mut fish, &[("mini run --pull ", "(Where it is not here)")]);
}

/// What the scripts ask is what mini answers, whoever is asked: a script of an older mini asks a newer one.
#[test]
fn scripts_are_whole_and_an_unknown_shell_is_named() {
    let host = Host::new();
    for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let script = host.mini(["completion", shell]).run().ok().stderr("").text();
        let file: PathBuf = host.work().join(shell);
        fs::write(&file, script).expect("write");
        host.tool(check, ["-n", file.to_str().expect("UTF-8")]);
    }
    host.mini(["completion", "csh"]).run().error(125, &["csh", "bash, zsh, fish"]);
    host.mini(["completion"]).run().error(1, &["requires 1 argument"]);
    let reference: Value = host.mini(["__generate", "reference"]).run().ok().json();
    assert!(reference["commands"].is_array());
}
