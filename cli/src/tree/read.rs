//! Reading a line: quickly where it is plain, a second time where it is not.
//!
//! clap is told about flags only of the command that is typed (`Later` in `commands`). Whatever cannot be read so is read again
//! by the whole tree, with docker's liberties ([`super::switches`]); what makes no sense there either is told ([`super::wrong`]),
//! or was a question.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use clap::error::ErrorKind;
use clap::{Arg, Command, Parser};

use super::{find, switches, whole, wrong};
use crate::exit_code::ExitCode;

/// What there is to say instead of carrying a command out.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Help, or the version: data, that was asked for.
    Told(clap::Error),
    /// The line stops before it names a command: help, but not as data.
    Unfinished(clap::Error),
    /// It makes no sense: what is wrong, and docker's code for it.
    Wrong {
        /// The text for a person.
        text: String,
        /// How mini ends.
        code: ExitCode,
    },
}

/// What a line asks for.
///
/// # Errors
/// What to say instead.
pub(crate) fn read<C: Parser>(line: &[OsString]) -> Result<C, Answer> {
    match quickly(line) {
        Ok(read) => return Ok(read),
        // By the tree as it is: the one below shows switches as if they had values.
        Err(error) if is_question(&error) => {
            let asked = whole(C::command()).try_get_matches_from(line);
            return Err(Answer::Told(asked.err().unwrap_or(error)));
        }
        Err(_) => {}
    }
    let mut tree = switches::with_values(whole(C::command()));
    let read =
        tree.try_get_matches_from_mut(line).and_then(|mut matches| C::from_arg_matches_mut(&mut matches));
    read.map_err(|error| match error.kind() {
        _ if is_question(&error) => Answer::Told(error),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Answer::Unfinished(error),
        // Flags alone, as `mini --root /x`.
        ErrorKind::MissingSubcommand => match printed(&mut tree, &led_to(C::command(), line)) {
            Answer::Told(help) => Answer::Unfinished(help),
            other => other,
        },
        _ => {
            let path = led_to(C::command(), line);
            let command = find(&tree, &path).0;
            let wrong::Wrong { text, code } = wrong::wrong(&error, &tree, command, line);
            Answer::Wrong { text, code }
        }
    })
}

/// What a plain line asks for.
fn quickly<C: Parser>(line: &[OsString]) -> Result<C, clap::Error> {
    let tree = C::command();
    // clap copies a global flag into every command, which takes longer than all the rest.
    let tree = if has_global_behind(&tree, line) { tree } else { tree.mut_args(|arg| arg.global(false)) };
    // To give all of it back, just before the process ends, would take as long once more.
    let mut tree = ManuallyDrop::new(tree);
    C::from_arg_matches_mut(&mut tree.try_get_matches_from_mut(line)?)
}

/// Whether what may be a global flag stands behind what may be a command.
fn has_global_behind(tree: &Command, line: &[OsString]) -> bool {
    let mut words = line.iter().skip(1).map(|word| word.to_string_lossy());
    let is_global = |word: &str| {
        let mut globals = tree.get_arguments().filter(|arg| arg.is_global_set()).filter_map(Arg::get_long);
        word.strip_prefix("--").is_some_and(|word| globals.any(|name| word.starts_with(name)))
    };
    words.any(|word| tree.find_subcommand(&*word).is_some()) && words.any(|word| is_global(&word))
}

/// Whether somebody asked for help, or for the version.
fn is_question(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// The help of the command that these words name.
pub(crate) fn help<C: Parser>(words: &[String]) -> Answer {
    let mut tree = whole(C::command());
    let (found, count) = find(&tree, words);
    match words.get(count) {
        Some(_) => {
            let wrong::Wrong { text, code } = wrong::unknown_command(&tree, found, &words[count]);
            Answer::Wrong { text, code }
        }
        None => printed(&mut tree, words),
    }
}

/// What `--help` behind these commands prints.
fn printed(tree: &mut Command, commands: &[String]) -> Answer {
    let words = commands.iter().map(String::as_str);
    match tree.try_get_matches_from_mut(std::iter::once("mini").chain(words).chain(["--help"])) {
        Err(error) => Answer::Told(error),
        Ok(_) => unreachable!("every command has --help, and nothing else is carried out beside it"),
    }
}

/// The names of the commands that a line came to before it made no sense.
fn led_to(fresh: Command, line: &[OsString]) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(matches) = fresh.ignore_errors(true).try_get_matches_from(line) {
        let mut at = &matches;
        while let Some((name, below)) = at.subcommand() {
            names.push(name.to_owned());
            at = below;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in small.
    #[derive(Debug, Parser)]
    #[command(name = "mini", bin_name = "mini", args_override_self = true, disable_help_subcommand = true)]
    struct Small {
        #[arg(long, global = true, default_value = "/")]
        place: String,
        #[command(subcommand)]
        order: Order,
    }

    #[derive(Debug, clap::Subcommand)]
    #[command(defer = true)]
    enum Order {
        Run(Run),
        #[command(visible_alias = "list")]
        Ls,
        Rename {
            old: String,
            new: String,
        },
        #[command(subcommand)]
        Image(Image),
    }

    #[derive(Debug, clap::Subcommand)]
    enum Image {
        /// Lists them
        Rmi { names: Vec<String> },
    }

    #[derive(Debug, clap::Args)]
    struct Run {
        #[arg(short, long)]
        tty: bool,
        #[arg(short, long)]
        interactive: bool,
        #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
        proxy: bool,
        #[arg(long)]
        name: Option<String>,
        #[arg(short, long)]
        env: Vec<String>,
        #[arg(long)]
        most: Option<u8>,
        #[arg(required = true, trailing_var_arg = true)]
        words: Vec<String>,
    }

    fn line(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[track_caller]
    fn run(text: &str) -> Run {
        match read::<Small>(&line(text)) {
            Ok(Small { order: Order::Run(run), .. }) => run,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn switches_take_gos_truths_and_the_last_of_several_counts() {
        for (text, tty, interactive, proxy) in [
            ("mini run x", false, false, true),
            ("mini run -it x", true, true, true),
            ("mini run -t=true -i=0 x", true, false, true),
            ("mini run -it=false x", false, true, true),
            ("mini run --tty=T --tty=f --proxy=0 x", false, false, false),
            ("mini run --tty --tty --proxy=FALSE --proxy x", true, false, true),
            // What follows the image is the program's.
            ("mini run --tty=1 x --tty=0 -i", true, false, true),
        ] {
            let read = run(text);
            assert_eq!((read.tty, read.interactive, read.proxy), (tty, interactive, proxy), "{text}");
        }
    }

    #[test]
    fn values_stand_where_docker_takes_them() {
        let read = run("mini run --name=a -eA=1 -e B=2 -e=C=3 --env=D=4 --name b x y");
        assert_eq!(read.name.as_deref(), Some("b"));
        assert_eq!(read.env, ["A=1", "B=2", "C=3", "D=4"]);
        assert_eq!(read.words, ["x", "y"]);
        assert_eq!(run("mini run --most 7 x").most, Some(7));
    }

    #[test]
    fn a_global_flag_stands_anywhere_before_the_words_of_a_program() {
        for (text, place, words) in [
            ("mini run x", "/", &["x"][..]),
            ("mini --place /a run x", "/a", &["x"]),
            ("mini run --place /a x", "/a", &["x"]),
            ("mini run --place=/a -t x", "/a", &["x"]),
            ("mini --place /a run --place /b x", "/b", &["x"]),
            ("mini --place run run x", "run", &["x"]),
            ("mini run x --place /a", "/", &["x", "--place", "/a"]),
        ] {
            let read = read::<Small>(&line(text));
            let Ok(Small { place: at, order: Order::Run(run) }) = read else { panic!("{text}: {read:?}") };
            assert_eq!(at, place, "{text}");
            assert_eq!(run.words, words, "{text}");
        }
        let read = read::<Small>(&line("mini image rmi --place /a x"));
        let Ok(Small { place, order: Order::Image(Image::Rmi { names }) }) = read else { panic!("{read:?}") };
        assert_eq!((place.as_str(), names), ("/a", vec!["x".to_owned()]));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_dockers_code() {
        for (text, said, code) in [
            ("mini rnu x", "unknown command: mini rnu\nhint: did you mean mini run?", ExitCode::Failure),
            ("mini rmi", "unknown command: mini rmi\nhint: there is mini image rmi", ExitCode::Failure),
            ("mini image run", "unknown command: mini image run\nhint: there is mini run", ExitCode::Failure),
            (
                "mini xyzzy",
                "unknown command: mini xyzzy\nhint: mini --help lists what there is",
                ExitCode::Failure,
            ),
            ("mini run --nmae=a x", "unknown flag: --nmae\nhint: did you mean --name?", ExitCode::Mini),
            (
                "mini run -tz x",
                "unknown shorthand flag: 'z' in -tz\nhint: mini run --help lists what there is",
                ExitCode::Mini,
            ),
            (
                "mini run -name a x",
                "unknown shorthand flag: 'n' in -name\nhint: a long flag has two dashes: --name",
                ExitCode::Mini,
            ),
            (
                "mini -it run x",
                "unknown shorthand flag: 'i' in -it\nhint: -i stands behind the command: mini run -i",
                ExitCode::Mini,
            ),
            ("mini ls --tty", "unknown flag: --tty\nhint: --tty is a flag of mini run", ExitCode::Mini),
            ("mini ls x --tty", "unknown flag: --tty\nhint: --tty is a flag of mini run", ExitCode::Mini),
            (
                "mini ls x",
                "'mini ls' accepts no arguments\nhint: the form is mini ls [OPTIONS]",
                ExitCode::Failure,
            ),
            (
                "mini rename a",
                "'mini rename' requires 2 arguments\nhint: the form is mini rename [OPTIONS] <OLD> <NEW>",
                ExitCode::Failure,
            ),
            (
                "mini rename a b c",
                "'mini rename' requires 2 arguments\nhint: the form is mini rename [OPTIONS] <OLD> <NEW>",
                ExitCode::Failure,
            ),
            (
                "mini run",
                "'mini run' requires at least 1 argument\nhint: the form is mini run [OPTIONS] <WORDS>...",
                ExitCode::Failure,
            ),
            (
                "mini run --tty=x y",
                "invalid argument \"x\" for \"--tty\" flag: true or false\nhint: mini run --help lists what there is",
                ExitCode::Mini,
            ),
            (
                "mini run --name",
                "flag needs an argument: --name\nhint: mini run --help lists what there is",
                ExitCode::Mini,
            ),
        ] {
            match read::<Small>(&line(text)) {
                Err(Answer::Wrong { text: answer, code: with }) => {
                    assert_eq!((answer.as_str(), with), (said, code), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn questions_are_no_mistakes() {
        let is = |text: &str| match read::<Small>(&line(text)) {
            Err(Answer::Told(_)) => "told",
            Err(Answer::Unfinished(_)) => "unfinished",
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(is("mini run --help"), "told");
        assert_eq!(is("mini"), "unfinished");
        assert_eq!(is("mini image"), "unfinished");
        let Answer::Told(told) = help::<Small>(&["image".to_owned(), "rmi".to_owned()]) else {
            panic!("help")
        };
        assert!(told.render().to_string().contains("Lists them"));
        assert!(matches!(help::<Small>(&["image".to_owned(), "x".to_owned()]), Answer::Wrong { .. }));
    }
}
