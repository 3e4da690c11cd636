//! The rules for one file. PURE.

use super::{Complaint, File};

/// Lines of a Rust file before its tests.
const LIMIT: usize = 400;

/// Where the product may write files, make processes and call the kernel, each call narrated or given a reason: its doors.
/// A path that ends in `/` stands for all below it. This program is no part of the product.
const DOORS: &[&str] = &[
    "runtime/src/sys/",
    "network/src/sys.rs",
    "image/src/archive/confined.rs",
    "image/src/store/disk.rs",
    "xtask/src/main.rs",
];

/// The lints that are switched off at the doors alone. Tests drive the kernel as they like.
const DOOR_LINTS: &[&str] = &["clippy::disallowed_methods", "unsafe_code"];

/// Where a test may wait without an event to wait for: where waiting with a deadline is built.
const WAITING: &[&str] = &["tests/src/wait.rs"];

/// Words that say where or by whom a file was written, each with what to do about it. In halves, or this file would have them.
const FOREIGN: &[(&str, &str)] = &[
    (concat!("/work", "/main"), "a path of one machine"),
    (concat!("/work", "/shared"), "a path of one machine"),
    (concat!("shared", "/reference"), "a path outside the project"),
    (concat!("shared", "/design"), "a path outside the project"),
    (concat!("issue", " #"), "a number that means nothing to a reader: say what it was about"),
];

/// Where a file's own tests begin.
const TESTS_BEGIN: &str = "#[cfg(test)]";

/// Everything that is wrong in `file`.
pub(super) fn complaints(file: &File) -> Vec<Complaint> {
    let mut found = Vec::new();
    let mut complain = |line, what: String| found.push(Complaint { path: file.path.clone(), line, what });
    if file.path.ends_with(".rs") {
        rust(file, &mut complain);
    }
    if is_prose_or_code(&file.path) {
        text(file, &mut complain);
    }
    found
}

fn rust(file: &File, complain: &mut impl FnMut(usize, String)) {
    if !file.text.starts_with("//!") {
        complain(1, "does not begin with `//!`: say what the file does and why it exists".to_owned());
    }
    let lines = file.text.lines().take_while(|line| !line.starts_with(TESTS_BEGIN)).count();
    if lines > LIMIT {
        complain(0, format!("{lines} lines before its tests, {LIMIT} is the limit: split it"));
    }
    let anywhere = is_test(&file.path) || is_below(&file.path, DOORS);
    for (index, line) in file.text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        for lint in DOOR_LINTS.iter().filter(|lint| switches_off(code, lint)) {
            if !anywhere && index < lines {
                complain(
                    index + 1,
                    format!("{lint} is switched off outside the doors ({})", DOORS.join(", ")),
                );
            }
        }
        if code.starts_with("#[ignore") {
            complain(index + 1, "an ignored test: it runs, or it says aloud why it cannot".to_owned());
        }
        let sleeps = code.contains("thread::sleep(") || code.contains("nanosleep(");
        if sleeps && file.path.starts_with("tests/") && !is_below(&file.path, WAITING) {
            complain(index + 1, "a sleep in a test: wait for an event with a deadline".to_owned());
        }
    }
}

fn text(file: &File, complain: &mut impl FnMut(usize, String)) {
    for (index, line) in file.text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            complain(index + 1, "white space at the end of the line".to_owned());
        }
        // In Rust files rustfmt sees to it, and a tab it leaves is part of a text.
        if line.contains('\t') && !file.path.ends_with(".rs") {
            complain(index + 1, "a tab".to_owned());
        }
        for (word, why) in FOREIGN.iter().filter(|(word, _)| line.to_ascii_lowercase().contains(word)) {
            complain(index + 1, format!("`{word}`: {why}"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        complain(0, "no line end after its last line".to_owned());
    }
}

/// Whether a line names `lint` within an attribute that allows or expects it. An attribute over several lines has the lint's
/// name on a line of its own.
fn switches_off(code: &str, lint: &str) -> bool {
    let listed = code.strip_prefix(lint).is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ')']));
    let inline =
        ["#![expect(", "#[expect(", "#![allow(", "#[allow("].iter().any(|start| code.starts_with(start));
    listed || inline && code.contains(lint)
}

/// The crate `tests`, and the directories and files of tests in the others.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
}

/// Files that people write. Fixtures and what a tool generates keep their own form.
fn is_prose_or_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [".rs", ".toml", ".md", ".sh", ".yml"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_of(path: &str, text: &str) -> Vec<String> {
        complaints(&File { path: path.to_owned(), text: text.to_owned() })
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_tidy_file_has_no_complaints() {
        assert!(complaints_of("cli/src/x.rs", "//! What it does.\n\nfn x() {}\n").is_empty());
    }

    #[test]
    fn a_file_says_first_what_it_is() {
        let found = complaints_of("cli/src/x.rs", "fn x() {}\n");
        assert_eq!(
            found,
            ["cli/src/x.rs:1: does not begin with `//!`: say what the file does and why it exists"]
        );
    }

    #[test]
    fn only_the_lines_before_the_tests_count() {
        let code = format!("//! Long.\n{}", "fn x() {}\n".repeat(LIMIT - 1));
        let tests = format!("#[cfg(test)]\n{}", "fn x() {}\n".repeat(LIMIT));
        assert!(complaints_of("cli/src/x.rs", &format!("{code}{tests}")).is_empty());
        let found = complaints_of("cli/src/x.rs", &format!("{code}fn x() {{}}\n{tests}"));
        assert!(found[0].starts_with("cli/src/x.rs: 401 lines before its tests"), "{found:?}");
    }

    #[test]
    fn the_lints_of_the_door_are_switched_off_at_the_door_only() {
        let forms = [
            "//! X.\n#![expect(clippy::disallowed_methods, reason = \"x\")]\n",
            "//! X.\n#![expect(\n    clippy::disallowed_methods,\n    reason = \"x\"\n)]\n",
            "//! X.\n#[expect(unsafe_code, reason = \"x\")]\n",
            "//! X.\n#[allow(clippy::print_stdout, unsafe_code)]\n",
        ];
        for form in forms {
            let found = complaints_of("cli/src/x.rs", form);
            assert_eq!(found.len(), 1, "{form}");
            assert!(found[0].contains("switched off outside the doors"), "{found:?}");
            for place in [
                "runtime/src/sys/x.rs",
                "tests/src/x.rs",
                "network/tests/kernel/x.rs",
                "runtime/src/x/tests.rs",
            ] {
                assert!(complaints_of(place, form).is_empty(), "{place}: {form}");
            }
        }
        let in_tests = "//! X.\n#[cfg(test)]\nmod tests {\n    #![expect(unsafe_code, reason = \"x\")]\n}\n";
        assert!(complaints_of("cli/src/x.rs", in_tests).is_empty());
        assert!(
            complaints_of("cli/src/x.rs", "//! unsafe_code\n// #![expect(unsafe_code)]\n").is_empty(),
            "a comment"
        );
        assert!(complaints_of("cli/src/x.rs", "//! X.\n#![deny(unsafe_code)]\n").is_empty(), "switched on");
    }

    #[test]
    fn tests_wait_for_events_and_are_never_ignored() {
        let sleeping = "//! X.\nfn x() {\n    std::thread::sleep(y);\n}\n";
        assert_eq!(complaints_of("tests/e2e/x.rs", sleeping).len(), 1);
        assert!(complaints_of("tests/src/wait.rs", sleeping).is_empty());
        assert_eq!(complaints_of("cli/src/x.rs", "//! X.\n#[ignore = \"slow\"]\nfn x() {}\n").len(), 1);
    }

    #[test]
    fn white_space_is_only_where_it_means_something() {
        let found = complaints_of("README.md", "one \ntwo\tthree\nfour");
        assert_eq!(
            found,
            [
                "README.md:1: white space at the end of the line",
                "README.md:2: a tab",
                "README.md: no line end after its last line"
            ]
        );
        assert!(complaints_of("tests/fixtures/x.json", "one \t").is_empty(), "a fixture keeps its form");
    }

    #[test]
    fn the_project_names_no_place_or_number_of_its_makers() {
        for (word, why) in FOREIGN {
            let found = complaints_of("README.md", &format!("see {}\n", word.to_ascii_uppercase()));
            assert_eq!(found, [format!("README.md:1: `{word}`: {why}")]);
        }
    }
}
