//! What can be typed next: asked by the shell at every press of TAB.
//!
//! ```text
//! shell ─► mini __complete SHELL …   the line up to the cursor, as the scripts beside this file pass it
//!       ◄─ a candidate a line        for bash as it is to be typed; for the others with a TAB and what it is
//! ```
//!
//! clap's own engine finds out what stands at the cursor; what a value can be is added to the tree here, by walking it
//! ([`mod@kind`]). Nothing is printed but candidates: an error would land in the user's prompt.

mod choices;
mod kind;
mod line;
mod look;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{ArgMatches, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

use self::kind::kind;
use self::line::Line;
use crate::dirs::Dirs;

/// Shells that ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// What the shell reads to know whom to ask.
    pub(crate) fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("mini.bash"),
            Shell::Zsh => include_str!("mini.zsh"),
            Shell::Fish => include_str!("mini.fish"),
        }
    }
}

/// Something that can be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    word: String,
    help: String,
}

impl Candidate {
    /// Something follows it without a space.
    fn goes_on(&self) -> bool {
        self.word.ends_with(['/', ':', '=', ','])
    }
}

/// What a shell is told. `words`: of bash the line up to the cursor and its `COMP_WORDBREAKS`; of the others the words of that
/// line, the last of them the one at the cursor, which may be empty. `fresh` makes a tree whose commands are not built yet.
pub(crate) fn answer(shell: Shell, words: &[OsString], fresh: &dyn Fn() -> Command) -> String {
    let mut text = String::new();
    if shell == Shell::Bash {
        let [typed, breaks] = words else { return text };
        let line = Line::new(&typed.to_string_lossy(), &breaks.to_string_lossy());
        let words: Vec<OsString> = line.words.iter().map(OsString::from).collect();
        for candidate in candidates(&words, fresh) {
            if let Some(typed) = line.typed(&candidate.word, candidate.goes_on()) {
                text += &format!("{typed}\n");
            }
        }
        return text;
    }
    let mut words = words.to_vec();
    if let (Shell::Fish, Some(last)) = (shell, words.last_mut()) {
        // fish passes the word at the cursor as it is typed.
        *last = Line::new(&last.to_string_lossy(), "").words.pop().unwrap_or_default().into();
    }
    for Candidate { word, help } in candidates(&words, fresh) {
        let word = if shell == Shell::Zsh { word.replace('\\', "\\\\").replace(':', "\\:") } else { word };
        text += &format!("{word}\t{help}\n");
    }
    text
}

/// What can stand at the end of a line.
fn candidates(words: &[OsString], fresh: &dyn Fn() -> Command) -> Vec<Candidate> {
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    // clap itself reads what stands before the cursor: where that is no whole line yet, as much of it as makes sense.
    let Ok(read) = fresh().ignore_errors(true).try_get_matches_from(before) else { return Vec::new() };
    let tree = crate::tree::whole(fresh());
    let (names, matches) = led_to(&read);
    if names == ["help"] && !current.as_encoded_bytes().starts_with(b"-") {
        return of_help(words, fresh);
    }
    let command = command_of(&tree, &names);
    if is_the_programs(command, matches) {
        return Vec::new();
    }
    let nothing_else = !command.has_subcommands() && command.get_positionals().count() == 0;
    let wants_flags = current.as_encoded_bytes().starts_with(b"-") || nothing_else;
    // The engine answers a dash with short flags alone.
    let current = if current == "-" { "--".into() } else { current.clone() };
    let dirs = dirs(&read);
    let mut tree = with_values(tree, &names, &dirs);
    let mut line = before.to_vec();
    line.retain(|word| !wants_equals(command_of(&tree, &names), word));
    line.push(current.clone());
    let (at, here) = (line.len() - 1, std::env::current_dir().ok());
    let found = complete(&mut tree, line, at, here.as_deref()).unwrap_or_default();
    let shown = |candidate: &&CompletionCandidate| {
        let flag = candidate.get_value().as_encoded_bytes().starts_with(b"-");
        !candidate.is_hide_set() && (wants_flags || !flag)
    };
    let mut all: Vec<_> = found.iter().filter(shown).filter_map(plain).collect();
    // The engine keeps one name of each command, and not always the first.
    for candidate in &mut all {
        let name = command_of(&tree, &names).find_subcommand(&candidate.word).map(Command::get_name);
        if let Some(name) = name.filter(|name| current.to_str().is_some_and(|typed| name.starts_with(typed)))
        {
            name.clone_into(&mut candidate.word);
        }
    }
    all
}

/// A flag whose value, if it has one, follows a `=`: `--explain`. The engine takes the next word for it.
fn wants_equals(command: &Command, word: &OsStr) -> bool {
    let Some(long) = word.to_str().and_then(|word| word.strip_prefix("--")) else { return false };
    command.get_arguments().any(|arg| arg.is_require_equals_set() && arg.get_long() == Some(long))
}

/// The command that these names lead to.
fn command_of<'tree>(tree: &'tree Command, names: &[String]) -> &'tree Command {
    crate::tree::find(tree, names).0
}

/// `mini help container l`: what stands there without `help`, as far as it is a command.
fn of_help(words: &[OsString], fresh: &dyn Fn() -> Command) -> Vec<Candidate> {
    let mut words = words.to_vec();
    let Some(help) = words.iter().position(|word| word == "help").filter(|at| at + 1 < words.len()) else {
        return Vec::new();
    };
    words.remove(help);
    let tree = crate::tree::whole(fresh());
    let before: Vec<_> = words[help..words.len() - 1].iter().map(|word| word.to_string_lossy()).collect();
    let group = crate::tree::find(&tree, &before).0;
    let mut all = candidates(&words, fresh);
    all.retain(|candidate| group.find_subcommand(&candidate.word).is_some());
    all
}

/// One line each; what is no text cannot be typed by a shell's script.
fn plain(candidate: &CompletionCandidate) -> Option<Candidate> {
    let word = candidate.get_value().to_str()?;
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.lines().next().unwrap_or_default().to_owned();
    (!word.contains(['\n', '\t'])).then(|| Candidate { word: word.to_owned(), help })
}

/// The commands that the line names, and what the last of them was given.
fn led_to(read: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut names, mut matches) = (Vec::new(), read);
    while let Some((name, below)) = matches.subcommand() {
        names.push(name.to_owned());
        matches = below;
    }
    (names, matches)
}

/// Behind an image or a container everything is the program's.
fn is_the_programs(command: &Command, matches: &ArgMatches) -> bool {
    let mut lists = command.get_positionals().filter(|arg| arg.is_trailing_var_arg_set());
    lists.any(|arg| matches.get_raw(arg.get_id().as_str()).is_some_and(|words| words.len() > 0))
}

/// `--root` and `--run-root`, typed already or of the environment.
fn dirs(read: &ArgMatches) -> Dirs {
    let place = |id| read.try_get_one::<PathBuf>(id).ok().flatten().cloned().unwrap_or_default();
    Dirs::new(place("root"), place("run_root"))
}

/// The tree, in which values of the command that these names lead to are looked for.
fn with_values(tree: Command, names: &[String], dirs: &Dirs) -> Command {
    if let [name, names @ ..] = names {
        return tree.mut_subcommand(name, |command| with_values(command, names, dirs));
    }
    let path = crate::tree::path(&tree).to_owned();
    tree.mut_args(|arg| match kind(&path, &arg) {
        None => arg,
        Some(kind) => {
            let dirs = dirs.clone();
            arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                let Some(typed) = typed.to_str() else { return Vec::new() };
                let found = look::look(&kind, &dirs, typed).into_iter();
                found
                    .map(|found| CompletionCandidate::new(found.word).help(Some(found.help.into())))
                    .collect()
            }))
        }
    })
}
