//! `mini learn`: what containers are made of, as lessons that run on this kernel.

use anyhow::Result;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::Language;
use crate::learn::{self, Manner};

/// Learn what a container is made of, one isolation at a time
///
/// Each lesson is an experiment on this kernel, in a throwaway world that is gone afterwards: predict, do it, look from outside
/// and from inside, break it, fix it. You type the commands, or let mini do it. Checks look at the kernel's state alone.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini learn\n  mini learn uts\n  mini learn --list\n  mini learn uts --plain --lang ko\n  mini learn cpu --reset\n\nSee also: mini class, mini ns, mini run --explain"
)]
pub(crate) struct LearnArgs {
    /// The lessons; without one, all that have not been done
    #[arg(value_name = "LESSON")]
    lessons: Vec<String>,
    /// List the lessons, and which have been done
    #[arg(long, conflicts_with_all = ["lessons", "reset", "plain"])]
    list: bool,
    /// Forget that the lesson has been done; without one, that any has
    #[arg(long, conflicts_with_all = ["plain", "json"])]
    reset: bool,
    /// Do everything without asking, and print it as lines
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    /// Do everything without asking, and print a JSON object a line
    #[arg(long)]
    json: bool,
    /// The language; without it, the environment's
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

/// Lists, forgets, or goes through lessons.
pub(crate) fn learn(context: &Context, args: &LearnArgs) -> Result<ExitCode> {
    let language = args.lang.unwrap_or_else(Language::of_environment);
    let manner = Manner { plain: args.plain, json: args.json, language };
    match (args.list, args.reset) {
        (true, _) => learn::list(context, manner),
        (false, true) => learn::reset(context, &args.lessons),
        (false, false) => learn::learn(context, &args.lessons, manner),
    }
}
