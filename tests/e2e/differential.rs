//! The same command lines through docker and through mini: exit codes, what is printed, what kind of error.
//!
//! `differential.txt` has the lines. Where mini differs on purpose, the line names a heading of DIFFERENCES.md, and must really
//! differ: a difference that has gone is to go from that page too.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use tests::docker::Docker;
use tests::lines::{Normal, words};
use tests::{Host, Image, Output};

const CORPUS: &str = include_str!("differential.txt");
const DIFFERENCES: &str = include_str!("../../DIFFERENCES.md");

/// How much of what is printed must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Every word, but for ids, times and addresses.
    Words,
    /// Every word, the lines in any order: where docker 20.10 goes through a map.
    Lines,
    /// The number of lines, and the headings.
    Shape,
    /// docker's keys are all there.
    Keys,
    /// Only exit code and kind of error.
    Ending,
}

#[derive(Debug)]
struct Line {
    compared: Compared,
    /// The heading of DIFFERENCES.md that says why it differs.
    difference: Option<&'static str>,
    words: Vec<String>,
    text: &'static str,
}

impl Line {
    fn parse(text: &'static str) -> Line {
        let (difference, rest) = match text.strip_prefix('!') {
            Some(rest) => {
                let (key, rest) = rest.split_once(' ').expect("a key, and a line");
                (Some(key), rest)
            }
            None => (None, text),
        };
        let (compared, rest) = match rest.split_at(1) {
            ("@", rest) => (Compared::Lines, rest),
            ("~", rest) => (Compared::Shape, rest),
            ("%", rest) => (Compared::Keys, rest),
            ("?", rest) => (Compared::Ending, rest),
            _ => (Compared::Words, rest),
        };
        Line { compared, difference, words: words(rest), text }
    }
}

/// What happened, as far as it is compared.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    code: Option<i32>,
    printed: String,
    complaint: &'static str,
}

fn told(normal: &Normal, output: &Output, compared: Compared) -> Told {
    let text = normal.text(&output.text());
    let printed = match compared {
        Compared::Words => text,
        Compared::Lines => {
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        }
        Compared::Shape => {
            let heading = text.lines().next().filter(|line| *line == line.to_uppercase()).unwrap_or_default();
            format!("{heading}\n{} lines", text.lines().count())
        }
        Compared::Keys | Compared::Ending => String::new(),
    };
    Told { code: output.status.code(), printed, complaint: complaint(&output.err()) }
}

/// What kind of error it is. Words differ; what a user must do about it does not.
fn complaint(text: &str) -> &'static str {
    // docker says so below nearly everything.
    let lines = text.lines().filter(|line| !line.starts_with("See 'docker "));
    let text = lines.collect::<Vec<_>>().join("\n").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kinds: [(&str, &[&str]); 5] = [
        (
            "usage",
            &[
                "usage:",
                "for more information, try",
                "unknown flag",
                "unknown shorthand",
                "is not a docker command",
                "unknown command:",
                "requires at least",
                "requires exactly",
                "requires 1 argument",
                "requires 2 arguments",
                "accepts no arguments",
            ],
        ),
        ("refused", &["denied", "read-only"]),
        (
            "missing",
            &[
                "no such",
                "not found",
                "could not find",
                "no matching entries",
                "cannot find",
                "does not exist",
            ],
        ),
        (
            "state",
            &[
                "already in use",
                "already exists",
                "conflict",
                "is running",
                "running container",
                "not running",
                "is paused",
                "not paused",
                "already paused",
                "in use",
                "already allocated",
                "same name",
            ],
        ),
        (
            "value",
            &[
                "invalid",
                "must be",
                "cannot be",
                "minimum",
                "the least is",
                "range of",
                "from 0.01",
                "unknown",
                "must provide",
                "say at least one",
                "not supported",
                "failed to parse",
                "unclosed action",
                "not a valid",
                "must specify",
            ],
        ),
    ];
    if text.trim().is_empty() {
        return "none";
    }
    kinds.iter().find(|(_, words)| has(words)).map_or("other", |(kind, _)| kind)
}

/// The keys of an object and of those in it, as paths; what is data, not a name, is left out.
fn keys(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{path}/{key}");
                if !["Labels", "Networks", "Ports", "Data", "Options"].contains(&key.as_str()) {
                    keys(value, &path, all);
                }
                all.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, path, all)),
        _ => {}
    }
}

fn missing_keys(docker: &Output, mini: &Output) -> Vec<String> {
    let all = |output: &Output| {
        let mut all = BTreeSet::new();
        // What is no JSON has no keys.
        keys(&serde_json::from_str(&output.text()).unwrap_or_default(), "", &mut all);
        all
    };
    all(docker).difference(&all(mini)).cloned().collect()
}

#[test]
fn docker_and_mini_say_and_do_the_same() {
    let host = Host::with_busybox();
    let Some(docker) = Docker::start(&host) else {
        tests::skip("docker.io is not installed");
        return;
    };
    docker.command(["load"]).stdin(Image::busybox().docker_archive(&["busybox:latest"])).run().ok();
    let normal = Normal::new();
    let (mut compared, mut wrong, mut used) = (0, String::new(), BTreeSet::new());
    for text in CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if text.starts_with('=') {
            clear(&host, &docker);
            continue;
        }
        let line = Line::parse(text);
        let (of_docker, of_mini) = (docker.command(&line.words).run(), host.mini(&line.words).run());
        let (expected, found) =
            (told(&normal, &of_docker, line.compared), told(&normal, &of_mini, line.compared));
        let missing = match line.compared {
            Compared::Keys => missing_keys(&of_docker, &of_mini),
            _ => Vec::new(),
        };
        compared += 1;
        used.extend(line.difference);
        match (line.difference, expected == found && missing.is_empty()) {
            (None, false) => {
                let _ = writeln!(
                    wrong,
                    "--- {}\ndocker {expected:?}\n  {}\nmini   {found:?}\n  {}\n{missing:?}",
                    line.text,
                    of_docker.err().trim(),
                    of_mini.err().trim()
                );
            }
            (Some(key), true) => {
                let _ = writeln!(wrong, "--- {}\nis the same by now: DIFFERENCES.md has {key}", line.text);
            }
            _ => {}
        }
    }
    clear(&host, &docker);
    assert!(wrong.is_empty(), "of {compared} lines these differ:\n{wrong}");
    assert!(compared >= 150, "{compared} lines are few");
    let documented: BTreeSet<_> = DIFFERENCES.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let unknown: Vec<_> = used.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in DIFFERENCES.md: {unknown:?}");
}

/// Nothing is left of the last scene.
fn clear(host: &Host, docker: &Docker) {
    for list in [&["ps", "-aq"][..], &["volume", "ls", "-q"]] {
        let remove = if list[0] == "ps" { ["rm", "-f", "-v"] } else { ["volume", "rm", "-f"] };
        let ids = docker.command(list).run().ok().lines();
        if !ids.is_empty() {
            docker.command(remove).args(ids).run().ok();
        }
        let ids = host.mini(list).run().ok().lines();
        if !ids.is_empty() {
            host.mini(remove).args(ids).run().ok();
        }
    }
}
