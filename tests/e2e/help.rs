//! Help that teaches: every command of the tree says what it is for, with every flag, with examples, and where to look next.

use std::collections::BTreeSet;

use tests::Host;
use tests::reference::{self, Reference, listed};

/// What whoever adds a command or a flag has to do.
const HINT: &str = "\
A command's Args (cli/src/commands) have a doc comment: a summary without a full stop, and what else there is to say below it.
Each of its flags has one too, and value_name = \"…\" where it takes a value: cli/src/complete/kind.rs completes it by that name.
#[command(after_help = \"Examples:\\n  mini …\\n\\nSee also: mini …, …\")]: lines that can be typed as they are (tests/e2e/examples.rs
carries them out), and commands that are there.";

#[test]
fn every_command_and_every_flag_is_explained() {
    let host = Host::new();
    let reference = Reference::of(&host);
    let mut lacks = BTreeSet::new();
    for command in &reference.commands {
        let mut lack = |what: String| lacks.insert(format!("{}: {what}", command.path));
        if command.all["summary"].as_str().is_none_or(|summary| summary.is_empty() || summary.ends_with('.'))
        {
            lack("a summary without a full stop".to_owned());
        }
        let hidden = command.path.contains("__");
        if command.texts("examples").is_empty() && !(hidden && command.all["group"] == true) {
            lack("examples".to_owned());
        }
        if command.texts("see_also").is_empty() && !hidden {
            lack("other commands to see".to_owned());
        }
        let mut shorts = BTreeSet::new();
        for argument in &command.arguments {
            let name = argument.names().first().cloned().unwrap_or_else(|| argument.all["id"].to_string());
            // What no help lists is refused with its reason: see the flags' own test.
            if argument.all["help"].as_str().is_none_or(str::is_empty) && !argument.is("hidden") {
                lack(format!("help for {name}"));
            }
            if argument.is("takes_value")
                && argument.texts("value_names").is_empty()
                && !argument.is("positional")
            {
                lack(format!("a name for the value of {name}"));
            }
            if let Some(short) = argument.all["short"].as_str()
                && !shorts.insert(short.to_owned())
            {
                lack(format!("only one flag -{short}"));
            }
        }
    }
    assert!(lacks.is_empty(), "what lacks:\n  {}\n\n{HINT}", listed(&lacks));
}

#[test]
fn examples_and_other_commands_are_there() {
    let host = Host::new();
    let reference = Reference::of(&host);
    let mut wrong = BTreeSet::new();
    for command in &reference.commands {
        let name = &command.path;
        for other in command.texts("see_also") {
            let words: Vec<String> = other.split(' ').map(str::to_owned).collect();
            let flag = |rest: &[String], found: &reference::Command| {
                rest.iter().all(|flag| found.flag(flag).is_some())
            };
            let manual = other.ends_with(')');
            if !manual && !reference.find(&words).is_some_and(|(found, rest)| flag(rest, found)) {
                wrong.insert(format!("{name}: there is no {other} to see"));
            }
        }
        for line in command.texts("examples") {
            let mut own = false;
            for words in reference::commands(&line).iter().filter(|words| words[0] == "mini") {
                let Some((found, rest)) = reference.find(words) else {
                    wrong.insert(format!("{name}: no command: {line}"));
                    continue;
                };
                own |= found.identity() == command.identity() || command.all["group"] == true;
                if let Err(flag) = reference::flags_of(found, rest) {
                    wrong.insert(format!("{name}: no flag {flag}: {line}"));
                }
            }
            // A line that is about another command helps only beside one that is about this.
            let others = command.texts("examples").len() > 1;
            if !own && !others {
                wrong.insert(format!("{name}: not about itself: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "what is wrong:\n  {}\n\n{HINT}", listed(&wrong));
}

#[test]
fn help_is_data_and_the_same_from_both_sides() {
    let host = Host::new();
    for command in Reference::of(&host).commands {
        let words: Vec<&str> = command.path.split(' ').skip(1).collect();
        let behind = host.mini(&words).arg("--help").run().ok().stderr("").text();
        let before = host.mini(["help"]).args(&words).run().ok().stderr("").text();
        assert_eq!(before, behind, "{}", command.path);
        let summary = command.all["summary"].as_str().expect("a summary");
        assert!(behind.starts_with(summary), "{}:\n{behind}", command.path);
        assert!(!behind.contains('\x1b'), "colours in a pipe: {}", command.path);
        for line in command.texts("examples") {
            assert!(behind.contains(&line), "{}: {line}", command.path);
        }
        for flag in command.flags().filter(|flag| !flag.is("hidden")) {
            for name in flag.names() {
                assert!(behind.contains(&name), "{}: {name}\n{behind}", command.path);
            }
        }
    }
    host.mini(["help", "no-such"]).run().error(1, &["unknown command: mini no-such"]);
    host.mini(["help", "container", "no-such"])
        .run()
        .error(1, &["mini container no-such"])
        .hints("mini container");
}

#[test]
fn a_line_without_a_command_is_answered_with_help_as_docker_does() {
    let host = Host::new();
    for line in [&["container"][..], &[], &["--root", "/x"], &["image"]] {
        let output = host.mini(line).run().code(0).stdout("");
        assert!(output.err().contains("Usage: mini") && output.err().contains("Commands:"), "{output}");
        assert!(!output.err().contains('\x1b'), "{output}");
    }
}

#[test]
fn the_version_is_asked_for_as_dockers() {
    let host = Host::new();
    let version = host.mini(["version", "--format", "{{.Client.Version}}"]).run().ok().line();
    for flag in ["-v", "--version"] {
        host.mini([flag]).run().ok().stdout(&format!("mini {version}\n"));
    }
}

/// What a terminal gets of `mini WORDS…` with these variables.
fn shown(host: &Host, words: &[&str], variables: &[(&str, &str)]) -> String {
    let mini = variables.iter().fold(host.mini(words), |mini, (key, value)| mini.env(key, value));
    let mut terminal = mini.terminal(200, 100);
    terminal.wait();
    String::from_utf8_lossy(terminal.bytes()).into_owned()
}

#[test]
fn colours_are_for_terminals_that_have_them_and_for_people_who_want_them() {
    let host = Host::new();
    let coloured = |text: &str| text.contains("\x1b[");
    assert!(coloured(&shown(&host, &["ps", "--help"], &[])));
    assert!(coloured(&shown(&host, &["help", "ps"], &[])));
    for variables in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        let text = shown(&host, &["ps", "--help"], &[variables]);
        assert!(!coloured(&text) && text.contains("List containers"), "{variables:?}: {text}");
    }
    // An empty NO_COLOR is none (no-color.org).
    assert!(coloured(&shown(&host, &["ps", "--help"], &[("NO_COLOR", "")])));
    let piped = |key: &str, value: &str| host.mini(["ps", "--help"]).env(key, value).run().ok().text();
    assert!(coloured(&piped("CLICOLOR_FORCE", "1")));
    assert!(!coloured(&piped("CLICOLOR_FORCE", "0")) && !coloured(&piped("CLICOLOR", "1")));
    // Errors and data have none, wherever they go.
    for line in [&["ps", "--no-such"][..], &["no-such"], &["ps", "-a"], &["inspect", "no-such"], &["version"]]
    {
        let text = shown(&host, line, &[("CLICOLOR_FORCE", "1")]);
        assert!(!coloured(&text) && !text.is_empty(), "{line:?}: {text}");
    }
}
