//! What the sources of mini can tell: their steps and their calls. For tests of the tables that must have them all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a call's text follows in the sources.
const CALLS: [&str; 3] = ["op!((", "call: format_args!(", "let call = format_args!("];
/// What a step's sentence follows.
const STEPS: [&str; 2] = ["step(", "step(&format!("];

/// Every sentence of a step; `{name}` for what it takes from elsewhere.
pub(super) fn steps() -> BTreeSet<String> {
    STEPS.iter().flat_map(|before| texts(before)).filter(|text| text.contains(' ')).collect()
}

/// Every call, as its format string says it; those that are a value alone are left out.
pub(super) fn calls() -> BTreeSet<String> {
    CALLS.iter().flat_map(|before| texts(before)).filter(|text| !text.starts_with('{')).collect()
}

/// Whether some source has this in a literal.
pub(super) fn say(text: &str) -> bool {
    let literal = format!("\"{text}\"");
    files().iter().any(|path| fs::read_to_string(path).is_ok_and(|source| source.contains(&literal)))
}

/// The string literals that follow `before`, white space aside.
fn texts(before: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in files() {
        let source = fs::read_to_string(&path).expect("a source");
        // What follows the tests' attribute is no source of the program.
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let mut rest = source;
        while let Some(at) = rest.find(before) {
            rest = &rest[at + before.len()..];
            let text = rest.trim_start();
            let text = text.strip_prefix('(').map_or(text, str::trim_start);
            if let Some(text) = text.strip_prefix('"') {
                found.push(literal(text));
            }
        }
    }
    found
}

/// A literal to its closing quote, with its escapes resolved.
fn literal(text: &str) -> String {
    let mut result = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next() {
            None | Some('"') => return result,
            Some('\\') => result.extend(letters.next()),
            Some(letter) => result.push(letter),
        }
    }
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> =
        ["runtime", "network", "image", "cli"].iter().map(|name| root.join(name).join("src")).collect();
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("sources.rs")
            {
                found.push(path);
            }
        }
    }
    found
}
