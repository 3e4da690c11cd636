//! `mini container …` and `mini image …`: docker's other names for the same commands.

use anyhow::Result;

use super::later::Later;
use super::{
    attach, commit, cp, create, diff, exec, explore, export, forest, history, images, import, inspect, kill,
    load, logs, pause, port, prune, ps, pull, push, rename, rm, rmi, run, save, start, stats, stop, tag, top,
    update, wait,
};
use crate::context::Context;
use crate::exit_code::ExitCode;

/// Commands on containers that have the same name with and without their group's.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum OnContainers {
    Run(Box<Later<run::RunArgs>>),
    Create(Box<Later<create::CreateArgs>>),
    Start(Later<start::StartArgs>),
    Restart(Later<start::RestartArgs>),
    Attach(Later<attach::AttachArgs>),
    Exec(Later<exec::ExecArgs>),
    Logs(Later<logs::LogsArgs>),
    Top(Later<top::TopArgs>),
    Stats(Later<stats::StatsArgs>),
    Port(Later<port::PortArgs>),
    Diff(Later<diff::DiffArgs>),
    Cp(Later<cp::CpArgs>),
    Export(Later<export::ExportArgs>),
    Commit(Later<commit::CommitArgs>),
    Wait(Later<wait::WaitArgs>),
    Stop(Later<stop::StopArgs>),
    Kill(Later<kill::KillArgs>),
    Pause(Later<pause::PauseArgs>),
    Unpause(Later<pause::UnpauseArgs>),
    Rename(Later<rename::RenameArgs>),
    Update(Box<Later<update::UpdateArgs>>),
}

/// Commands on containers, under docker's longer names
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini container ls -a\n  mini container prune -f\n\nSee also: mini image, mini ps, mini run"
)]
pub(crate) struct ContainerGroup {
    #[command(subcommand)]
    command: ContainerCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ContainerCommand {
    #[command(flatten)]
    Same(OnContainers),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(Later<ps::PsArgs>),
    #[command(visible_alias = "remove")]
    Rm(Later<rm::RmArgs>),
    Inspect(Later<inspect::ContainerArgs>),
    Prune(Later<prune::container::PruneArgs>),
}

/// Commands on images, under docker's longer names
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini image ls\n  mini image inspect busybox\n\nSee also: mini container, mini images, mini pull"
)]
pub(crate) struct ImageGroup {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ImageCommand {
    #[command(visible_alias = "list")]
    Ls(Later<images::ImagesArgs>),
    Pull(Later<pull::PullArgs>),
    Push(Later<push::PushArgs>),
    #[command(visible_alias = "remove")]
    Rm(Later<rmi::RmiArgs>),
    Load(Later<load::LoadArgs>),
    Save(Later<save::SaveArgs>),
    Import(Later<import::ImportArgs>),
    Tag(Later<tag::TagArgs>),
    History(Later<history::HistoryArgs>),
    Inspect(Later<inspect::ThingArgs>),
    Prune(Later<prune::image::PruneArgs>),
    Tree(Later<forest::TreeArgs>),
    Explore(Later<explore::ExploreArgs>),
}

impl OnContainers {
    /// `run` passes a program's code on, so its own failures have one that no program has by habit; all others end as docker's.
    pub(crate) fn own_code(&self) -> ExitCode {
        match self {
            OnContainers::Run(_) => ExitCode::Mini,
            _ => ExitCode::Failure,
        }
    }

    /// Carries it out.
    pub(crate) fn carry_out(&self, context: &Context) -> Result<ExitCode> {
        match self {
            OnContainers::Run(args) => run::run(context, args),
            OnContainers::Create(args) => create::create(context, args),
            OnContainers::Start(args) => start::start(context, args),
            OnContainers::Restart(args) => start::restart(context, args),
            OnContainers::Attach(args) => attach::attach(context, args),
            OnContainers::Exec(args) => exec::exec(context, args),
            OnContainers::Logs(args) => logs::logs(context, args),
            OnContainers::Top(args) => top::top(context, args),
            OnContainers::Stats(args) => stats::stats(context, args),
            OnContainers::Port(args) => port::port(context, args),
            OnContainers::Diff(args) => diff::diff(context, args),
            OnContainers::Cp(args) => cp::cp(context, args),
            OnContainers::Export(args) => export::export(context, args),
            OnContainers::Commit(args) => commit::commit(context, args),
            OnContainers::Wait(args) => wait::wait(context, args),
            OnContainers::Stop(args) => stop::stop(context, args),
            OnContainers::Kill(args) => kill::kill(context, args),
            OnContainers::Pause(args) => pause::pause(context, args),
            OnContainers::Unpause(args) => pause::unpause(context, args),
            OnContainers::Rename(args) => rename::rename(context, args),
            OnContainers::Update(args) => update::update(context, args),
        }
    }
}

impl ContainerGroup {
    /// As of the command without the group's name.
    pub(crate) fn own_code(&self) -> ExitCode {
        match &self.command {
            ContainerCommand::Same(command) => command.own_code(),
            _ => ExitCode::Failure,
        }
    }
}

/// Carries it out.
pub(crate) fn container(context: &Context, group: &ContainerGroup) -> Result<ExitCode> {
    match &group.command {
        ContainerCommand::Same(command) => command.carry_out(context),
        ContainerCommand::Ls(args) => ps::ps(context, args),
        ContainerCommand::Rm(args) => rm::rm(context, args),
        ContainerCommand::Inspect(args) => inspect::containers(context, args),
        ContainerCommand::Prune(args) => prune::container::prune(context, args),
    }
}

/// Carries it out.
pub(crate) fn image(context: &Context, group: &ImageGroup) -> Result<ExitCode> {
    match &group.command {
        ImageCommand::Ls(args) => images::images(context, args),
        ImageCommand::Pull(args) => pull::pull(context, args),
        ImageCommand::Push(args) => push::push(context, args),
        ImageCommand::Rm(args) => rmi::rmi(context, args),
        ImageCommand::Load(args) => load::load(context, args),
        ImageCommand::Save(args) => save::save(context, args),
        ImageCommand::Import(args) => import::import(context, args),
        ImageCommand::Tag(args) => tag::tag(context, args),
        ImageCommand::History(args) => history::history(context, args),
        ImageCommand::Inspect(args) => inspect::images(context, args),
        ImageCommand::Prune(args) => prune::image::prune(context, args),
        ImageCommand::Tree(args) => forest::tree(context, args),
        ImageCommand::Explore(args) => explore::explore(context, args),
    }
}
