//! `mini cp`: files from a container to the host, and from the host to a container.

use std::ffi::OsString;
use std::io::IsTerminal;

use anyhow::{Result, bail, ensure};

use crate::context::Context;
use crate::copy::{self, Arg, Options};
use crate::exit_code::ExitCode;
use crate::explain::{ExplainArgs, Story};
use crate::output::{self, size};

/// Copy files between a container and the host
///
/// What is copied belongs to root inside, and to the caller outside. A source that ends in /. is a directory's content; - is
/// a tar archive on standard input or output, in which files belong to whom the archive says.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "mini cp [OPTIONS] CONTAINER:SOURCE DESTINATION|-\n       mini cp [OPTIONS] SOURCE|- CONTAINER:DESTINATION",
    after_help = "Examples:\n  mini cp web:/etc/nginx/nginx.conf .\n  mini cp ./site/. web:/usr/share/nginx/html\n  mini cp web:/var/log - | tar -t\n\nSee also: mini export, mini diff, mini exec"
)]
pub(crate) struct CpArgs {
    /// Keep owners, setuid programs, file capabilities and devices as they are
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link at the source leads to, not the link
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied; nothing is said either where standard output is no terminal
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    explain: ExplainArgs,
    /// What is copied
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: OsString,
}

/// Copies, and says what.
pub(crate) fn cp(context: &Context, args: &CpArgs) -> Result<ExitCode> {
    ensure!(!args.source.is_empty(), "source can not be empty");
    ensure!(!args.destination.is_empty(), "destination can not be empty");
    let story = context.listen(args.explain.form())?;
    let options = Options { archive: args.archive, follow: args.follow_link };
    let copied = match (Arg::parse(&args.source)?, Arg::parse(&args.destination)?) {
        (Arg::Container(container, source), Arg::Local(destination)) => {
            copy::from_container(context, &container, &source, &destination, options)?
        }
        (Arg::Local(source), Arg::Container(container, destination)) => {
            copy::to_container(context, &source, &container, &destination, options)?
        }
        (Arg::Container(..), Arg::Container(..)) => bail!("copying between containers is not supported"),
        (Arg::Local(_), Arg::Local(_)) => bail!("must specify at least one container source"),
    };
    if !args.quiet && std::io::stdout().is_terminal() {
        output::say(&format!("Successfully copied {} to {}", size::decimal(copied.bytes), copied.to));
    }
    story.into_iter().for_each(Story::tell_what_is_there);
    Ok(ExitCode::Success)
}
