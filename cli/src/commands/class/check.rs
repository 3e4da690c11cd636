//! `mini class check`: what this machine gives lessons.

use anyhow::Result;

use crate::class::look;
use crate::class::need::Report;
use crate::class::trial;
use crate::commands::version;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain;
use crate::output::{self, table};

/// Find out whether this machine is fit for every lesson
///
/// The kernel is not asked for its version but tried: namespaces, id maps, overlay, filters, cards and control groups are made in
/// children that end at once, a lesson's world and a container too. Nothing of it stays. Ends with 0 where every lesson can be
/// done.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini class check\n  mini class check --json\n\nSee also: mini class bundle, mini info, mini learn, mini system check"
)]
pub(super) struct CheckArgs {
    /// Print one JSON object, whose keys stay the same, for who collects results
    #[arg(long)]
    json: bool,
}

/// Looks, tries, and says what it comes to.
pub(super) fn check(context: &Context, args: &CheckArgs) -> Result<ExitCode> {
    // Nobody is told what is tried, but somebody may hold it up.
    let _silent = explain::begin(None)?;
    let tried = trial::all(context)?;
    let report = Report::of([look::look(context), tried].concat());
    let code = if report.is_ok() { ExitCode::Success } else { ExitCode::Failure };
    if args.json {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        output::print_line(&report.json(&host, &version::kernel()).to_string())?;
        return Ok(code);
    }
    let text = table::table(&["NEEDED", "FOUND", "VERDICT", "LESSONS"], &report.rows());
    output::print(text.as_bytes())?;
    for (what, hint) in report.hints() {
        output::print_line(&format!("hint: {what}: {hint}"))?;
    }
    output::print_line(match code {
        ExitCode::Success => "\nEvery lesson can be done here: mini learn",
        _ => "\nNot every lesson can be done here: see what is missing",
    })?;
    Ok(code)
}
