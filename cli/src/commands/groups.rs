//! `mini container …` and `mini image …`: docker's other names for the same commands.

use anyhow::Result;

use super::{
    create, diff, exec, images, inspect, kill, load, logs, pause, port, prune, ps, pull, rename, rm, rmi,
    run, start, stats, stop, top, wait,
};
use crate::context::Context;
use crate::exit_code::ExitCode;

/// Commands on containers, under docker's longer names
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerGroup {
    #[command(subcommand)]
    command: ContainerCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ContainerCommand {
    Run(Box<run::RunArgs>),
    Create(Box<create::CreateArgs>),
    Start(start::StartArgs),
    Restart(start::RestartArgs),
    Exec(exec::ExecArgs),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(ps::PsArgs),
    Logs(logs::LogsArgs),
    Top(top::TopArgs),
    Stats(stats::StatsArgs),
    Port(port::PortArgs),
    Diff(diff::DiffArgs),
    Wait(wait::WaitArgs),
    Stop(stop::StopArgs),
    Kill(kill::KillArgs),
    Pause(pause::PauseArgs),
    Unpause(pause::UnpauseArgs),
    Rename(rename::RenameArgs),
    #[command(visible_alias = "remove")]
    Rm(rm::RmArgs),
    Inspect(inspect::InspectArgs),
    Prune(prune::PruneArgs),
}

/// Commands on images, under docker's longer names
#[derive(Debug, clap::Args)]
pub(crate) struct ImageGroup {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ImageCommand {
    #[command(visible_alias = "list")]
    Ls(images::ImagesArgs),
    Pull(pull::PullArgs),
    #[command(visible_alias = "remove")]
    Rm(rmi::RmiArgs),
    Load(load::LoadArgs),
    Inspect(inspect::InspectArgs),
}

impl ContainerGroup {
    /// As of the command without the group's name.
    pub(crate) fn own_code(&self) -> ExitCode {
        match self.command {
            ContainerCommand::Run(_) | ContainerCommand::Create(_) => ExitCode::Mini,
            _ => ExitCode::Failure,
        }
    }
}

/// Carries it out.
pub(crate) fn container(context: &Context, group: &ContainerGroup) -> Result<ExitCode> {
    match &group.command {
        ContainerCommand::Run(args) => run::run(context, args),
        ContainerCommand::Create(args) => create::create(context, args),
        ContainerCommand::Start(args) => start::start(context, args),
        ContainerCommand::Restart(args) => start::restart(context, args),
        ContainerCommand::Exec(args) => exec::exec(context, args),
        ContainerCommand::Ls(args) => ps::ps(context, args),
        ContainerCommand::Logs(args) => logs::logs(context, args),
        ContainerCommand::Top(args) => top::top(context, args),
        ContainerCommand::Stats(args) => stats::stats(context, args),
        ContainerCommand::Port(args) => port::port(context, args),
        ContainerCommand::Diff(args) => diff::diff(context, args),
        ContainerCommand::Prune(args) => prune::prune(context, args),
        ContainerCommand::Wait(args) => wait::wait(context, args),
        ContainerCommand::Stop(args) => stop::stop(context, args),
        ContainerCommand::Kill(args) => kill::kill(context, args),
        ContainerCommand::Pause(args) => pause::pause(context, args),
        ContainerCommand::Unpause(args) => pause::unpause(context, args),
        ContainerCommand::Rename(args) => rename::rename(context, args),
        ContainerCommand::Rm(args) => rm::rm(context, args),
        ContainerCommand::Inspect(args) => inspect::containers(context, args),
    }
}

/// Carries it out.
pub(crate) fn image(context: &Context, group: &ImageGroup) -> Result<ExitCode> {
    match &group.command {
        ImageCommand::Ls(args) => images::images(context, args),
        ImageCommand::Pull(args) => pull::pull(context, args),
        ImageCommand::Rm(args) => rmi::rmi(context, args),
        ImageCommand::Load(args) => load::load(context, args),
        ImageCommand::Inspect(args) => inspect::images(context, args),
    }
}
