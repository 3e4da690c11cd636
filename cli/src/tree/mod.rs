//! The command tree as data: how a line is read by it, and what reading, help, manual pages and completion have in common.
//!
//! All of it walks clap's `Command`, which the commands' own `Args` make: no list of commands or flags is kept by hand.

mod absent;
mod manual;
mod near;
mod notes;
mod read;
mod reference;
mod switches;
mod wrong;

use clap::Command;

pub(crate) use manual::pages;
pub(crate) use read::{Answer, help, read};
pub(crate) use reference::reference;

/// All of it, built: subcommands have their arguments, and names that begin with `mini`.
pub(crate) fn whole(tree: Command) -> Command {
    let mut tree = tree;
    tree.build();
    tree
}

/// `mini container ls`: the words that lead to a command of a [`whole`] tree.
pub(crate) fn path(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// A command and all below it, each before its own.
pub(crate) fn below(command: &Command) -> Vec<&Command> {
    std::iter::once(command).chain(command.get_subcommands().flat_map(below)).collect()
}

/// The command that these words lead to, and how many of them do.
pub(crate) fn find<'tree, S: AsRef<str>>(tree: &'tree Command, words: &[S]) -> (&'tree Command, usize) {
    let mut found = (tree, 0);
    while let Some(next) = words.get(found.1).and_then(|word| found.0.find_subcommand(word.as_ref())) {
        found = (next, found.1 + 1);
    }
    found
}
