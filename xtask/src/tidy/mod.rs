//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! | rules about | where |
//! |---|---|
//! | one file: its head, its size, its words, the lints it switches off | [`source`] |
//! | the crates: who may know whom, what each manifest says | [`crates`] |
//! | the top level, the lint list, the list of expected skips | [`house`] |
//!
//! A rule is a PURE function from text to complaints, so that each has a test; this file reads the text.

mod crates;
mod house;
mod source;

use std::fmt;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command::{command, read};
use crate::workspace::{Metadata, Workspace, metadata};

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
struct Complaint {
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// A file of the checkout and its text.
struct File {
    path: String,
    text: String,
}

/// Reads all files, applies all rules, prints every complaint.
pub(crate) fn main() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let files = files(&workspace)?;
    let Metadata { packages, .. } = metadata(&["--no-deps"])?;

    let mut complaints: Vec<Complaint> = files.iter().flat_map(source::complaints).collect();
    complaints.extend(crates::complaints(&packages, &files));
    complaints.extend(house::complaints(&files));
    for complaint in &complaints {
        println!("{complaint}");
    }
    eprintln!("tidy: {} files, {} complaints", files.len(), complaints.len());
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every text file that git has or would take. A file that is no UTF-8 is none of ours to judge.
fn files(workspace: &Workspace) -> Result<Vec<File>> {
    let mut git = command("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed =
        read(git.current_dir(&workspace.root)).context("asking git which files belong to the project")?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        match fs::read(workspace.root.join(path)) {
            Ok(bytes) => {
                if let Ok(text) = String::from_utf8(bytes) {
                    files.push(File { path: path.to_owned(), text });
                }
            }
            // Deleted, and not yet from the index.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {path}")),
        }
    }
    Ok(files)
}
