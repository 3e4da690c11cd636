//! `mini script`: the container that `mini run` would make, as a shell script.

use anyhow::{Context as _, Result, ensure};

use super::flags::{ContainerArgs, StayArgs};
use super::run;
use crate::context::Context;
use crate::donors;
use crate::exit_code::ExitCode;
use crate::output;
use crate::plan::NetworkMode;
use crate::prepare::{Outlined, outline, storage};
use crate::script::{self, Subject};

/// Print the container that mini run would make as a shell script
///
/// It is one plain script of unshare, mount, pivot_root, ip, nft, setpriv and writes into control groups: to read, and to run as
/// root. It is written for this host as it is now, and nothing is made or taken for it but the image, where that is not here yet.
/// What a shell cannot do, and what belongs to mini's monitor, is said in its first lines.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    override_usage = "mini script [OPTIONS] IMAGE [COMMAND [ARG]…]",
    after_help = "Examples:\n  mini script busybox echo hello\n  mini script -m 64m busybox echo hello >container.sh && sh container.sh\n\nSee also: mini run, mini ns, unshare(1), mount(8), setpriv(1)"
)]
pub(crate) struct ScriptArgs {
    /// Run in the background: the script says how
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    stay: StayArgs,
    #[command(flatten)]
    container: ContainerArgs,
}

/// Plans as a run does, and writes the plan as a script.
pub(crate) fn script(context: &Context, args: &ScriptArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let flags = &args.container;
    let mut request = run::request(context, flags, args.detach)?;
    let stay = args.stay.stay(context, request.attached(), flags.tty)?;
    let found = donors::find(context, &mut request)?;
    run::announce(&request, &found);
    let (image, _pin) = run::image(context, flags, &request, false)?;
    let facts = run::facts(context, &request)?;
    ensure!(
        !facts.copied,
        "the image's layers lie on an overlay, and no script could stack them: give another --root, on ext4, xfs, btrfs or tmpfs"
    );
    storage::complete(context, &mut request, &image.config)?;
    let Outlined { plan, init, run, ranges } = outline(context, &request, &image, &facts, found)?;
    let groups = runtime::cgroup::outline(&facts.cgroups, &init.cgroup)?;
    let lease = plan.network.attach.as_ref().filter(|_| request.network == NetworkMode::Bridge);
    let address = lease.map(|attach| network::lease_file(&context.network(), attach.endpoint.address));
    let address = address.transpose().context("cannot tell where addresses are leased")?;
    let text = script::compile(&Subject {
        line: &line(),
        request: &request,
        plan: &plan,
        init: &init,
        groups: &groups,
        run: &run,
        ranges: &ranges,
        address: address.as_deref(),
        said: &said(flags, !stay.passes_signals),
    })?;
    output::print(text.as_bytes())?;
    Ok(ExitCode::Success)
}

/// What was typed, as a run.
fn line() -> String {
    let typed = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words = typed.skip_while(|word| word != "script").skip(1);
    words.fold("mini run".to_owned(), |line, word| format!("{line} {}", script::word(&word)))
}

/// Flags that mean something to `mini run` alone.
fn said(flags: &ContainerArgs, keeps_signals: bool) -> Vec<String> {
    let all = [
        (flags.cidfile.is_some(), "--cidfile: the id is a name of this script's alone; no file is written."),
        (
            flags.origin.replace,
            "--replace: mini's container of that name stays; this one has none of mini's.",
        ),
        (keeps_signals, "--sig-proxy: no signal is passed on; one that ends the script kills the container."),
    ];
    all.into_iter().filter(|(asked, _)| *asked).map(|(_, text)| text.to_owned()).collect()
}
