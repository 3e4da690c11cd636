//! `mini run`: from an image's name to a program that runs.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Result, bail};
use runtime::op::step;
use runtime::sys;

use super::Next;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::explain::{Form, Story};
use crate::launch::{self, Outcome};
use crate::output;
use crate::plan::Request;
use crate::plan::facts::HostFacts;
use crate::prepare::{foresee, prepare};
use crate::supervise::{Charge, Start};

/// Make a container of an image and run a program in it
///
/// The image is pulled where it is not here yet. The container gets namespaces of its own, the user namespace among them: its
/// root is nobody on the host.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  mini run -it --rm busybox\n  mini run -d --name web -p 8080:80 nginx\n  mini run --rm --explain busybox true\n\nSee also: mini exec, mini ps, mini logs, mini stop"
)]
pub(crate) struct RunArgs {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Run in the background and print the container's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// The container's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Set an environment variable; without a value, copy it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Run as this user of the container
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Show a file or directory of the host in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub(crate) volume: Vec<String>,
    /// Publish a port of the container on the host
    #[arg(short, long, value_name = "[[IP:]PORT:]PORT[/tcp]")]
    pub(crate) publish: Vec<String>,
    /// The container's host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Limit memory, in bytes or with k, m, g
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory: Option<String>,
    /// Limit processors: 1.5 is one and a half
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) cpus: Option<String>,
    /// Relative weight of processor time; 1024 is normal
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) cpu_shares: Option<u64>,
    /// Limit processes and threads; -1 for no limit [default: 4096]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Run this program instead of the image's; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// The network: bridge, none or host
    #[arg(long, visible_alias = "net", value_name = "NETWORK", default_value = "bridge")]
    pub(crate) network: String,
    /// The user namespace: private or host
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// When to pull the image
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub(crate) pull: PullPolicy,
    /// Lift nearly every restriction; shares the host's user namespace
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Let nothing in the root be written
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Mount a file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Pull without a word
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Tell every kernel operation, in order
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) explain: Option<Form>,
    /// Print plan and OCI spec as JSON, and touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The image
    pub(crate) image: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullPolicy {
    /// Before every run
    Always,
    /// Where it is not here
    Missing,
    /// Never
    Never,
}

/// Plans the container and writes it down; [`finish`] launches it.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<Next> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let request = Request::new(args, &cwd, context.config.userns.strict, sys::process::own_capabilities())?;
    let stdin_attached = args.interactive && !args.detach;
    if args.tty && stdin_attached && !std::io::stdin().is_terminal() {
        bail!("cannot attach standard input to a terminal (-it): it is not a terminal; leave -t out");
    }
    super::seal(request.user_namespace, &context.id_block())?;
    let story = context.listen(args.explain)?;
    announce(&request);
    step("Look the image up, and keep it from being removed meanwhile");
    let store = if args.dry_run { context.existing_store(&request.image)? } else { context.store()? };
    let (image, _pin) = super::pull::ensure(&store, &request.image, args.pull, args.quiet, args.dry_run)?;
    let facts =
        HostFacts::detect(request.nano_cpus.is_some(), request.privileged && !request.user_namespace)?;
    if args.dry_run {
        output::print_json(&foresee(context, &request, &image, &facts)?)?;
        return Ok(Next::End(ExitCode::Success));
    }
    let (charge, start) = prepare(context, args, &request, &image, facts)?;
    Ok(Next::Launch(Box::new(Launch { charge, start, story })))
}

/// A container that is ready to be launched.
pub(crate) struct Launch {
    charge: Charge,
    start: Start,
    story: Option<Story>,
}

/// Launches, and becomes the container's exit code.
///
/// Called from where the process began, so that the monitor's copy of the stack is nearly empty.
pub(crate) fn finish(launch: Launch) -> Result<ExitCode> {
    let Launch { charge, start, story } = launch;
    let (id, detached) = (charge.words.record.id.clone(), start.plan.lifecycle.detached);
    match launch::launch(charge, start, story) {
        Ok(Outcome::Detached) => {
            if detached {
                output::print_line(&id)?;
            }
            Ok(ExitCode::Success)
        }
        Ok(Outcome::Ended { code, reason }) => {
            if let Some(reason) = reason {
                output::notice(&reason);
            }
            Ok(ExitCode::Program(code))
        }
        Err(error) => {
            let code = launch::failure_code(&error);
            output::error(&error);
            Ok(code)
        }
    }
}

/// What a user should know before it happens.
fn announce(request: &Request) {
    if let Some(flag) = request.implied_by {
        step(&format!("{flag} shares the host's user namespace: root in the container is root on the host"));
        output::notice(&format!(
            "{flag} implies --userns=host: root in this container is root on the host (--userns=private keeps them apart)"
        ));
    }
    if request.drops_ports() {
        output::warn("published ports are discarded: the container has no network of its own");
    }
}
