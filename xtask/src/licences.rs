//! `cargo xtask licences`: every crate that is built into anything here carries a licence from a short list.
//!
//! Advisories are not checked: cargo-deny and cargo-audit need a database from the network that not every machine reaches.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{Package, Workspace, metadata};

const ALLOWED: [&str; 7] =
    ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0"];

pub(crate) fn main() -> Result<ExitCode> {
    let triple = Workspace::find()?.triple;
    let metadata = metadata(&["--locked", "--filter-platform", &triple])?;
    let refused: Vec<&Package> = metadata.packages.iter().filter(|package| !is_allowed(package)).collect();
    for package in &refused {
        let licence = package.license.as_deref().unwrap_or("none");
        println!(
            "{} {}: licence `{licence}` is not among {}",
            package.name,
            package.version,
            ALLOWED.join(", ")
        );
    }
    eprintln!("licences: {} packages, {} refused", metadata.packages.len(), refused.len());
    eprintln!("advisories: skipped, their database is on a network that not every machine reaches");
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_allowed(package: &Package) -> bool {
    package.license.as_deref().is_some_and(|expression| satisfied(expression, &ALLOWED))
}

/// Whether an SPDX expression can be satisfied by `allowed` licences. PURE. An exception (`WITH`) only adds permissions;
/// `/` is how crates wrote OR before there were expressions.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = Words { words: spaced.split_whitespace().collect(), next: 0, allowed };
    words.any().is_some_and(|satisfied| satisfied && words.next == words.words.len())
}

struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
    allowed: &'a [&'a str],
}

/// The grammar, loosest first: any = all { OR all }; all = one { AND one }; one = ( any ) | licence [WITH exception].
/// `None` is an expression that breaks off.
impl<'a> Words<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Some(satisfied)
    }

    fn all(&mut self) -> Option<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Some(satisfied)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            return self.take(")").then_some(satisfied);
        }
        let licence = self.word()?;
        if self.take("WITH") {
            self.word()?;
        }
        Some(self.allowed.contains(&licence))
    }

    fn word(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    fn take(&mut self, word: &str) -> bool {
        let taken = self.words.get(self.next) == Some(&word);
        self.next += usize::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_satisfied_by_what_it_leaves_to_choose() {
        let table = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT/GPL-2.0", true),
            ("MIT AND GPL-3.0-only", false),
            ("Apache-2.0 AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0-only WITH Classpath-exception-2.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-2.0-only", false),
            ("MIT OR Apache-2.0 AND GPL-2.0-only", true),
            ("GPL-2.0-only AND MIT OR GPL-3.0-only", false),
            ("(MIT", false),
            ("MIT)", false),
            ("MIT OR", false),
            ("MIT MIT", false),
            ("", false),
        ];
        for (expression, wanted) in table {
            assert_eq!(satisfied(expression, &ALLOWED), wanted, "{expression}");
        }
    }
}
