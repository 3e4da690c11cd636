//! `mini class reset`: as if no student had been here.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::commands::prune::filter::Filters;
use crate::commands::prune::{self, agreed};
use crate::commands::rm::{self, How};
use crate::commands::{Failures, system, volume};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::secret;
use crate::{learn, output};

/// Make this machine ready for the next student
///
/// All containers of this root go, running ones too, with all volumes and secrets and the bridge, and what something that was
/// killed has left. Lessons count as not done. Images stay.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini class reset\n  mini class reset -f\n\nSee also: mini class check, mini learn --reset, mini system prune"
)]
pub(super) struct ResetArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Print how much of each kind is gone, as a JSON object; with --force
    #[arg(long)]
    json: bool,
}

const WARNING: &str = "This will remove:\n  - all containers, running ones too\n  - all volumes\n  - all secrets\n  \
    - the bridge, where no other root's containers are on it\n  - which lessons have been done\n";

/// How much of each kind is gone.
#[derive(Debug, Default, Serialize)]
struct Gone {
    containers: usize,
    volumes: usize,
    secrets: usize,
    networks: usize,
    /// Lessons that had been done.
    lessons: usize,
    /// What somebody who was killed had left.
    repaired: usize,
    /// What could not be removed; told on standard error.
    failed: usize,
}

/// Asks, removes kind by kind, and counts. Containers first: what they used may go then.
pub(super) fn reset(context: &Context, args: &ResetArgs) -> Result<ExitCode> {
    context.listen(None)?;
    ensure!(args.force || !args.json, "--json asks nothing: it takes --force with it");
    if !args.force && !agreed(WARNING)? {
        return Ok(ExitCode::Success);
    }
    let mut failures = Failures::default();
    let gone = remove(context, &mut failures);
    if args.json {
        output::print_line(&serde_json::to_string(&gone)?)?;
    } else {
        let Gone { containers, volumes, secrets, networks, lessons, repaired, .. } = gone;
        output::print_line(&format!(
            "containers: {containers}\nvolumes: {volumes}\nsecrets: {secrets}\nnetworks: {networks}\nlessons: {lessons}\nrepaired: {repaired}"
        ))?;
    }
    Ok(failures.code())
}

fn remove(context: &Context, failures: &mut Failures) -> Gone {
    let how = How { force: true, volumes: true };
    let containers = rm::remove_all(context, how, failures);
    let (filters, mode) = (Filters::default(), prune::Mode::default());
    let volumes =
        volume::prune::remove(context, &filters, true, mode, failures).map(|pruned| pruned.lines.len());
    let secrets = secrets(context, failures);
    let repaired = system::repair(context);
    let networks = prune::network::remove(context, &filters, mode).map(|pruned| pruned.lines.len());
    let lessons = learn::forget_all(context);
    let mut number = |removed: Result<usize>| {
        removed.unwrap_or_else(|error| {
            failures.add(&error);
            0
        })
    };
    let gone = Gone {
        containers: number(containers),
        volumes: number(volumes),
        secrets: number(secrets),
        networks: number(networks),
        lessons: number(lessons),
        repaired: number(repaired),
        failed: 0,
    };
    Gone { failed: failures.count(), ..gone }
}

fn secrets(context: &Context, failures: &mut Failures) -> Result<usize> {
    let store = secret::Store::new(&context.dirs.root);
    let mut count = 0;
    for record in store.list()? {
        match store.remove(&record.name) {
            Ok(()) => count += 1,
            Err(error) => failures.add(&error.context(format!("cannot remove secret {}", record.name))),
        }
    }
    Ok(count)
}
