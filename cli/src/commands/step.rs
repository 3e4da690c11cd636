//! `mini step`: the making of a container, one operation at a time.

use anyhow::{Result, ensure};

use super::flags::{ContainerArgs, StayArgs};
use super::run::{self, Manner};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::stepping::{self, Side};

/// Make a container step by step, and look around before each operation
///
/// It takes the flags of mini run, and stops before every operation of every process of mini: it says why it happens and what it
/// is, and waits for a command. Enter goes on, s skips, r NAME runs to a call or step, i and o open a shell inside and outside, c
/// continues, q quits, h lists them. Commands are read from standard input, so a script may write them. The container and
/// everything that was made for it is removed at the end, whatever happens.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    override_usage = "mini step [OPTIONS] IMAGE [COMMAND [ARG]…]",
    after_help = "Examples:\n  mini step busybox echo hello\n  printf 'r pivot_root\\ni ls /\\nc\\n' | mini step --network none busybox true\n\nSee also: mini run --explain, mini run --dry-run, mini ns"
)]
pub(crate) struct StepArgs {
    #[command(flatten)]
    container: ContainerArgs,
}

/// Runs the container in a child, which asks this process before every operation.
pub(crate) fn step(context: &Context, args: &StepArgs) -> Result<ExitCode> {
    let flags = &args.container;
    ensure!(
        !flags.interactive && !flags.tty,
        "mini step has the terminal and the input for itself: leave -i and -t out"
    );
    let request = run::request(context, flags, false)?;
    ensure!(
        request.options.life.restart == crate::plan::life::RestartPolicy::No,
        "mini step removes the container when it ends: it is not restarted (--restart)"
    );
    // Here, since the copy begins from the first line again.
    run::seal(context, &request)?;
    match stepping::split()? {
        Side::Asking => {
            let stay = StayArgs::default();
            let manner = Manner { detach: false, stay: &stay, explain: None, dry_run: false, removes: true };
            run::carry_out(context, flags, &manner)
        }
        Side::Answering(debugger) => debugger.run(),
    }
}
