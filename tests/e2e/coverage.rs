//! Every flag of every command is tried by a test, or refused by name: read from the command tree and from the tests' own sources.
//!
//! A flag counts as tried where a test types it behind its command (`host.mini(["ps", "-a"])`, `host.start(["--init", …])`), or
//! gives it, in a list that names no other command, to a function of a file that types that command. That it has an effect is
//! what that test is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tests::Host;
use tests::reference::{Argument, Command, Reference, listed};
use tests::source::{Literal, literals};

/// Files that speak of flags without trying what they do.
const OTHERS: [&str; 4] = ["completion.rs", "coverage.rs", "help.rs", "usage.rs"];

/// Says of each flag of `run` that the line that it prints has it, not what it does.
const ROUND_TRIP: &str = "as_run.rs";

/// These take the arguments of `run`, the very same; [`crate::again`] starts what `create` makes beside what is run,
/// [`crate::script`] carries out what the other prints.
const SAME: (&[&str], &str) = (&["mini create", "mini script", "mini step"], "mini run");

/// Flags that no test here types: the command's path, the flag, and the reason.
const ELSEWHERE: &[(&str, &str, &str)] = &[];

/// What whoever adds a flag has to do.
const HINT: &str = "\
A flag that is parsed has an effect, or is refused by name. For each of these, one of:
- a test in tests/e2e that types it behind its command, as in host.mini([\"ps\", \"--all\"]), and looks at what it does;
- hide = true in its Args, and its reason where it is refused (cli/src/commands/flags/refused.rs, or the command itself);
- a line in ELSEWHERE of tests/e2e/coverage.rs that says what tries it instead.";

/// What one file types.
struct File {
    name: String,
    literals: Vec<(Literal, Option<String>)>,
    /// Paths of the commands that it types.
    commands: BTreeSet<String>,
}

/// The command that a literal is typed behind, where its statement says so.
fn behind(reference: &Reference, literal: &Literal) -> Option<String> {
    let find = |words: &Vec<String>| {
        reference.find(&[vec!["mini".to_owned()], words.clone()].concat()).map(|(found, _)| found)
    };
    // Flags of every command may come first.
    let known = |words: &Vec<String>| {
        find(words).filter(|found| found.path != "mini").map(|found| found.path.clone())
    };
    let first = literal.before.iter().find_map(known);
    first.or_else(|| match &literal.called.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [.., "start"] if literal.called.len() == 1 => Some("mini run".to_owned()),
        ["start", "args"] => Some("mini run".to_owned()),
        _ => None,
    })
}

impl File {
    fn read(reference: &Reference, name: &str, source: &str) -> File {
        let with = |literal: Literal| {
            let command = behind(reference, &literal);
            (literal, command)
        };
        let literals: Vec<_> = literals(source).into_iter().map(with).collect();
        let typed = |(literal, command): &(Literal, Option<String>)| {
            let own = reference
                .find(&["mini".to_owned(), literal.text.clone()])
                .map(|(found, _)| found.path.clone());
            command.clone().or(own.filter(|path| path != "mini"))
        };
        let commands = literals.iter().filter_map(typed).collect();
        File { name: name.to_owned(), literals, commands }
    }

    /// Whether it tries a flag of one of these commands, which are the same by several names.
    fn tries(&self, paths: &[&str], flag: &Argument) -> bool {
        let types = |(literal, command): &(Literal, Option<String>)| {
            is_typed(flag, &literal.text)
                && match command {
                    Some(command) => paths.contains(&command.as_str()),
                    None => paths.iter().any(|path| self.commands.contains(*path)),
                }
        };
        let is_round_trip = self.name == ROUND_TRIP && paths.contains(&SAME.1);
        !is_round_trip && self.literals.iter().any(types)
    }
}

/// Whether a word of a command line is this flag: `--all`, `--all=1`, `-a`, `-aq`, `-n5`.
fn is_typed(flag: &Argument, word: &str) -> bool {
    flag.names().iter().any(|name| match name.strip_prefix("--") {
        Some(_) => word == name || word.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('=')),
        None => {
            let letter = &name[1..];
            let letters = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')).unwrap_or_default();
            // Of several letters those before are switches: what follows one with a value is the value.
            letters.split('=').next().is_some_and(|letters| {
                letters.len() <= 4
                    && letters.contains(letter)
                    && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
                    || letters.starts_with(letter)
            })
        }
    })
}

/// Commands that are the same under several names, with these names.
fn groups(reference: &Reference) -> Vec<(&Command, Vec<&str>)> {
    let mut groups: BTreeMap<String, (&Command, Vec<&str>)> = BTreeMap::new();
    for command in reference.leaves() {
        groups.entry(command.identity()).or_insert((command, Vec::new())).1.push(&command.path);
    }
    groups.into_values().collect()
}

#[test]
fn every_flag_is_tried_by_a_test() {
    let host = Host::new();
    let reference = Reference::of(&host);
    let mut files = Vec::new();
    for entry in
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/e2e")).expect("the tests' sources").flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Beside them lie snapshots and lists of lines.
        if name.ends_with(".rs") && !OTHERS.contains(&name.as_str()) {
            files.push(File::read(&reference, &name, &fs::read_to_string(entry.path()).expect("a source")));
        }
    }
    assert!(files.len() > 50, "{} sources", files.len());
    let mut untried = BTreeSet::new();
    for (command, paths) in groups(&reference) {
        let run = reference.commands.iter().find(|command| command.path == SAME.1).expect("run");
        for flag in command.flags().filter(|flag| !flag.is("hidden")) {
            let name = flag.names().remove(0);
            let is_runs = run.flag(&name).is_some_and(|of_run| of_run.all == flag.all);
            let paths = if is_runs && SAME.0.iter().any(|same| paths.contains(same)) {
                [&paths[..], &[SAME.1]].concat()
            } else {
                paths.clone()
            };
            let elsewhere = ELSEWHERE.iter().any(|(path, flag, _)| paths.contains(path) && *flag == name);
            if !elsewhere && !files.iter().any(|file| file.tries(&paths, flag)) {
                untried.insert(format!("{} {name}", command.path));
            }
        }
    }
    assert!(untried.is_empty(), "no test tries:\n  {}\n\n{HINT}", listed(&untried));
    for (path, name, _) in ELSEWHERE {
        let known = reference.commands.iter().find(|command| command.path == *path);
        assert!(known.is_some_and(|command| command.flag(name).is_some()), "there is no {path} {name}");
    }
}

/// What no help lists is there to be refused, with a reason, before anything happens.
#[test]
fn every_hidden_flag_is_refused_by_name() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "web", "busybox"]).run().ok();
    let reference = Reference::of(&host);
    let mut tried = 0;
    for (command, _) in groups(&reference) {
        for flag in command.flags().filter(|flag| flag.is("hidden")) {
            let name = flag.names().remove(0);
            let value = flag.is("takes_value").then_some("1");
            let typed = value.map_or(name.clone(), |value| format!("{name}={value}"));
            let words: Vec<&str> = command.path.split(' ').skip(1).collect();
            let is_new = command.all["usage"].as_str().is_some_and(|usage| usage.contains("IMAGE"));
            let output = host.mini(&words).arg(&typed).arg(if is_new { "busybox" } else { "web" }).run();
            let refused = !output.status.success() && output.err().contains(&name);
            assert!(
                refused,
                "a hidden flag that is not refused by name: show it in help, or refuse it\n{output}"
            );
            assert!(
                output.err().lines().next().is_some_and(|line| line.len() > name.len() + 20),
                "a hidden flag that is refused without a reason\n{output}"
            );
            tried += 1;
        }
    }
    assert!(tried > 3, "{tried}");
    host.mini(["ps", "-aq"])
        .run()
        .ok()
        .stdout(&format!("{}\n", host.mini(["ps", "-aq", "-f", "name=web"]).run().ok().line()));
}
