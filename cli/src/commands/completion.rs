//! `mini completion`: what a shell reads to complete mini's lines, and what it asks for them.

use std::ffi::OsString;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::complete::{Shell, answer};
use crate::exit_code::ExitCode;
use crate::output;

/// Print a shell's completion script
///
/// With it, TAB completes commands, flags and what they take: containers, images, files and words. It asks mini itself, so it knows what there
/// is now.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  source <(mini completion bash)\n  mini completion bash > /etc/bash_completion.d/mini\n  mini completion zsh > /usr/local/share/zsh/site-functions/_mini\n  mini completion fish > ~/.config/fish/completions/mini.fish\n\nSee also: mini help, mini man"
)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// What can be typed next: for the scripts of `mini completion`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini __complete zsh -- mini st\n\nSee also: mini completion")]
pub(crate) struct CompleteArgs {
    /// The shell that asks
    shell: Shell,
    /// What it has: see the scripts
    #[arg(trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Prints it.
pub(crate) fn completion(args: &CompletionArgs) -> Result<ExitCode> {
    output::print(args.shell.script().as_bytes())?;
    Ok(ExitCode::Success)
}

/// Answers.
pub(crate) fn complete(args: &CompleteArgs) -> Result<ExitCode> {
    output::print(answer(args.shell, &args.words, &super::Cli::command).as_bytes())?;
    Ok(ExitCode::Success)
}
