//! What is wrong with a line, and what may have been meant. PURE.
//!
//! The codes are docker's: 125 for flags, 1 for commands that are none and for arguments that are too many or too few, those of
//! `run` too.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::{absent, below, near, path};
use crate::exit_code::ExitCode;

/// The text for a person, and how mini ends.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) text: String,
    pub(super) code: ExitCode,
}

/// What is wrong with `line`, of which clap says `error` at `command` of the whole `tree`.
pub(super) fn wrong(error: &clap::Error, tree: &Command, command: &Command, line: &[OsString]) -> Wrong {
    let line: Vec<String> = line.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            unknown_command(tree, command, &text(error, ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument => match text(error, ContextKind::InvalidArg) {
            flag if flag.starts_with('-') => unknown_flag(tree, command, &flag, &line),
            _ => match line.iter().find(|word| word.starts_with("--") && !has(command, word)) {
                // clap reads from left to right; docker reads flags first.
                Some(flag) if flag.len() > 2 => unknown_flag(tree, command, flag, &line),
                _ => of_count(command),
            },
        },
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues if !is_of_flag(error) => {
            of_count(command)
        }
        _ => Wrong { text: format!("{}\nhint: {}", of_value(error), help_of(command)), code: ExitCode::Mini },
    }
}

/// A word that is none of a group's commands.
pub(super) fn unknown_command(tree: &Command, group: &Command, word: &str) -> Wrong {
    let hint = other_command(tree, group, word);
    Wrong { text: format!("unknown command: {} {word}\nhint: {hint}", path(group)), code: ExitCode::Failure }
}

fn unknown_flag(tree: &Command, command: &Command, flag: &str, line: &[String]) -> Wrong {
    let flag = flag.split('=').next().unwrap_or_default();
    let what = match flag.strip_prefix("--") {
        Some(_) => format!("unknown flag: {flag}"),
        None => {
            let letter = flag.trim_start_matches('-');
            let among =
                |word: &&String| !word.starts_with("--") && word.starts_with('-') && word.contains(letter);
            let typed = line.iter().find(among).map_or(flag, String::as_str);
            format!("unknown shorthand flag: '{letter}' in {typed}")
        }
    };
    let hint = other_flag(tree, command, flag, line);
    Wrong { text: format!("{what}\nhint: {hint}"), code: ExitCode::Mini }
}

/// Too few arguments, or too many.
fn of_count(command: &Command) -> Wrong {
    let counts = command.get_positionals().map(|arg| {
        let range = arg.get_num_args().unwrap_or_default();
        (if arg.is_required_set() { range.min_values().max(1) } else { 0 }, range.max_values())
    });
    let (least, most) = counts
        .fold((0, 0), |(least, most): (usize, usize), (min, max)| (least + min, most.saturating_add(max)));
    let several = |count| if count == 1 { "1 argument".to_owned() } else { format!("{count} arguments") };
    let what = match (least, most) {
        (0, 0) => "accepts no arguments".to_owned(),
        (least, most) if least == most => format!("requires {}", several(least)),
        (least, usize::MAX) => format!("requires at least {}", several(least)),
        (0, most) => format!("accepts at most {}", several(most)),
        (least, most) => format!("requires {least} to {}", several(most)),
    };
    let usage = command.clone().render_usage().to_string();
    let form = usage.trim_start_matches("Usage: ").trim_end();
    Wrong { text: format!("'{}' {what}\nhint: the form is {form}", path(command)), code: ExitCode::Failure }
}

/// A flag's value that is missing, wrong or too much; flags that exclude each other.
fn of_value(error: &clap::Error) -> String {
    let name = |text: String| text.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let flag = name(text(error, ContextKind::InvalidArg));
    let value = text(error, ContextKind::InvalidValue);
    let source = std::error::Error::source(error).map(ToString::to_string);
    match (error.kind(), source) {
        (ErrorKind::InvalidValue | ErrorKind::NoEquals, _) if value.is_empty() => {
            format!("flag needs an argument: {flag}")
        }
        (ErrorKind::InvalidValue, _) => {
            let valid = text(error, ContextKind::ValidValue);
            format!("invalid argument {value:?} for {flag:?} flag: one of {valid}")
        }
        (ErrorKind::ValueValidation, Some(why)) => {
            format!("invalid argument {value:?} for {flag:?} flag: {why}")
        }
        (ErrorKind::TooManyValues, _) => format!("{flag} takes no value, and has {value:?}"),
        (ErrorKind::ArgumentConflict, _) => {
            format!("{flag} and {} exclude each other", name(text(error, ContextKind::PriorArg)))
        }
        (ErrorKind::InvalidUtf8, _) => "an argument is no UTF-8 text".to_owned(),
        _ => {
            let text = error.render().to_string();
            text.strip_prefix("error: ").unwrap_or(&text).lines().next().unwrap_or_default().to_owned()
        }
    }
}

/// Whether arguments lack because a flag has too few, and not because the line has.
fn is_of_flag(error: &clap::Error) -> bool {
    text(error, ContextKind::InvalidArg).starts_with('-')
}

fn help_of(command: &Command) -> String {
    format!("{} --help lists what there is", path(command))
}

/// What there is instead of a command: why this group has none, the same elsewhere in the tree, why mini has none, one of nearly that name beside it, one of
/// nearly that name elsewhere.
fn other_command(tree: &Command, group: &Command, word: &str) -> String {
    if let Some(why) = absent::of_group(path(group), word) {
        return why.to_owned();
    }
    let everywhere: Vec<_> = below(tree).into_iter().flat_map(named_below).collect();
    let same: Vec<_> = everywhere.iter().filter(|(name, _)| *name == word).map(|(_, path)| *path).collect();
    let there_is = |paths: Vec<&str>| format!("there is {}", paths.join(", "));
    if !same.is_empty() {
        return there_is(same);
    }
    // It was not mistyped.
    if let Some(why) = absent::command(word) {
        return why.to_owned();
    }
    let beside = meant(word, &named_below(group));
    if !beside.is_empty() {
        return format!("did you mean {}?", beside.join(" or "));
    }
    let elsewhere = meant(word, &everywhere);
    if elsewhere.is_empty() { help_of(group) } else { there_is(elsewhere) }
}

/// The names of a group's commands, each with its path.
fn named_below(group: &Command) -> Vec<(&str, &str)> {
    let shown = group.get_subcommands().filter(|command| !command.is_hide_set());
    shown
        .flat_map(|command| {
            command.get_name_and_visible_aliases().into_iter().map(move |name| (name, path(command)))
        })
        .collect()
}

/// The paths of the commands whose names are nearly `word`.
fn meant<'a>(word: &str, names: &[(&'a str, &'a str)]) -> Vec<&'a str> {
    let nearest = near::near(word, names.iter().map(|(name, _)| *name));
    let mut paths: Vec<_> =
        names.iter().filter(|(name, _)| nearest.contains(name)).map(|(_, path)| *path).collect();
    paths.dedup();
    paths.truncate(5);
    paths
}

/// What there is instead of a flag: one of nearly that name, the same of a command that the line names later, or of others.
fn other_flag(tree: &Command, command: &Command, flag: &str, line: &[String]) -> String {
    let bare = flag.trim_start_matches('-');
    // `-name`, which is `-n -a -m -e`, to docker too.
    let long =
        |word: &&String| word.len() > 2 && !word.starts_with("--") && has(command, &format!("-{word}"));
    if let Some(word) = line.iter().filter(|word| word.starts_with('-')).find(long) {
        return format!("a long flag has two dashes: -{word}");
    }
    let later = line.iter().find_map(|word| command.find_subcommand(word));
    if let Some(later) = later.filter(|later| has(later, flag)) {
        return format!("{flag} stands behind the command: {} {flag}", path(later));
    }
    let nearest = near::near(bare, command.get_arguments().flat_map(longs));
    if flag.starts_with("--") && !nearest.is_empty() {
        return format!("did you mean --{}?", nearest.join(" or --"));
    }
    if let Some(why) = absent::flag(command, flag) {
        return why.to_owned();
    }
    let mut others = below(tree);
    others
        .retain(|other| !other.has_subcommands() && has(other, flag) && path(other).split(' ').count() == 2);
    let others: Vec<&str> = others.into_iter().map(path).collect();
    match others.len() {
        0 => help_of(command),
        1..=4 => format!("{flag} is a flag of {}", others.join(", ")),
        _ => format!("{flag} is a flag of {} and others", others[..3].join(", ")),
    }
}

/// Whether a command has a flag of that name, and shows it.
fn has(command: &Command, flag: &str) -> bool {
    let flag = flag.split('=').next().unwrap_or_default();
    let is = |arg: &Arg| match flag.strip_prefix("--") {
        Some(long) => longs(arg).contains(&long),
        None => flag
            .chars()
            .nth(1)
            .is_some_and(|short| arg.get_short_and_visible_aliases().unwrap_or_default().contains(&short)),
    };
    command.get_arguments().any(|arg| !arg.is_hide_set() && is(arg))
}

fn longs(arg: &Arg) -> Vec<&str> {
    if arg.is_hide_set() { Vec::new() } else { arg.get_long_and_visible_aliases().unwrap_or_default() }
}

/// What clap says of an error, as text.
fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}
