//! `mini script`: the container that a run would make, as one script for a shell. PURE.
//!
//! The plans are those of `mini run`; what carries them out is unshare(1), mount(8), pivot_root(8), ip(8), nft(8), setpriv(1) and
//! echo(1). The sentences above the lines are the narration's.
//!
//! ```text
//! the script (host's root)                 unshare ─► the container's first process
//!   │ work, leases, control groups                    │ in its namespaces, not mapped yet
//!   │ ◄──────────────── told: its number ──────────── │ `wait`
//!   │ id maps, groups, layers, /dev, binds, network   │
//!   │ ───────────────── gate ───────────────────────► │ becomes root inside; `furnish`: mounts, masks, user
//!   │                                                 │ setpriv, then a shell of the host's that only waits
//!   │ ◄──────────────── told: ready ───────────────── │
//!   │ pivot_root, umount of the old root              │ its root changes under it
//!   │ ───────────────── gate ───────────────────────► │ becomes the program
//!   │ waits; cleans up whatever ended it
//! ```

mod birth;
mod groups;
mod mounts;
mod network;
mod notes;
mod process;
mod root;
mod text;

use std::path::{Path, PathBuf};

use anyhow::Result;
use runtime::cgroup::GroupOutline;
use runtime::plan::InitPlan;

use crate::plan::spec::PATH;
use crate::plan::{Request, RunPlan};
use text::Text;
pub(crate) use text::word;

/// What a script is made of.
pub(crate) struct Subject<'a> {
    /// The command line that asks for the same.
    pub(crate) line: &'a str,
    /// As it was understood.
    pub(crate) request: &'a Request,
    /// What would be done, from outside.
    pub(crate) plan: &'a RunPlan,
    /// What would be done, from inside.
    pub(crate) init: &'a InitPlan,
    /// Its control groups.
    pub(crate) groups: &'a [GroupOutline],
    /// The run directory that the plan's own files would be in.
    pub(crate) run: &'a Path,
    /// The files whose locks are the leases of its ids.
    pub(crate) ranges: &'a [PathBuf],
    /// The file whose lock is the lease of its address.
    pub(crate) address: Option<&'a Path>,
    /// What else is left out.
    pub(crate) said: &'a [String],
}

/// The parts that grow side by side.
#[derive(Debug, Default)]
struct Parts {
    /// What the host's root does.
    host: Text,
    /// What it does at the end, whatever the end is.
    undo: Text,
}

/// Writes the script.
///
/// # Errors
/// Something that no text can name.
pub(crate) fn compile(subject: &Subject<'_>) -> Result<String> {
    let Subject { init, plan, groups, .. } = *subject;
    let process = &init.process;
    let interactive = plan.stdio.interactive;
    let mut parts = Parts::default();
    process::shed(&mut parts.host);
    birth::lease(&mut parts, subject.ranges)?;
    groups::groups(&mut parts, groups)?;
    birth::birth(&mut parts, init, interactive)?;
    pidfile(&mut parts, subject)?;
    birth::ids(&mut parts, init);
    groups::enter(&mut parts, groups)?;
    root::stack(&mut parts, init)?;
    root::dev(&mut parts, init)?;
    root::binds(&mut parts, subject)?;
    network::network(&mut parts, plan, subject.address)?;
    parts.host.part("Open the first gate: hand init its root, its /dev, its streams");
    let (uid, gid) = init.root_ids();
    if (uid, gid) != (0, 0) {
        parts.host.comment("What it is to do says its variables, too: nobody else reads that.");
        parts.host.line(&format!("chown {uid}:{gid} \"$work/furnish\""));
    }
    parts.host.line("echo open >&5");
    end(&mut parts.host);

    let mut whole = Text::default();
    head(&mut whole, subject);
    whole.part("What both sides use");
    whole.file("cat >\"$work/tools\"", include_str!("tools.sh"));
    whole.line(". \"$work/tools\"");
    whole.part("What the container's first process does before it has ids");
    whole.file("cat >\"$work/wait\"", &birth::wait_for_ids(init, process.terminal));
    whole.part("What it does then, up to its program");
    whole.line(": >\"$work/furnish\"");
    whole.line("chmod 600 \"$work/furnish\"");
    whole.file("cat >\"$work/furnish\"", &furnish(subject)?);
    whole.part("What the host does");
    whole.line(include_str!("host.sh").trim_end());
    whole.line(groups::MAKE.trim_end());
    clean(&mut whole, parts.undo);
    whole.line(&parts.host.finish());
    Ok(whole.finish().trim_end().to_owned() + "\n")
}

fn head(text: &mut Text, subject: &Subject<'_>) {
    text.line("#!/bin/sh");
    text.comment(&format!("The container that `{}` would make, by hand.", subject.line));
    text.line("#");
    text.comment(&format!("Its id is {}, its name {}.", &subject.plan.id[..12], subject.plan.name));
    text.comment(
        "It was written for this host as it was: its layers, its control groups, its bridge. It needs root, as mini does; \
         Debian's util-linux, iproute2, nftables and dash; and it takes away what it made, whatever ends it but SIGKILL.",
    );
    text.line("#");
    text.comment("What is not as mini does it:");
    for note in notes::notes(subject) {
        text.comment(&format!("- {note}"));
    }
    text.line("");
    text.line("set -eu");
    text.line("umask 022");
    text.line(&format!("PATH={PATH}"));
    text.line("export PATH");
    text.line("[ \"$(id -u)\" = 0 ] || { echo 'mini script: root makes containers' >&2; exit 125; }");
    text.part("A directory for what is made; others may pass, and read nothing");
    text.line("work=$(mktemp -d \"${TMPDIR:-/var/tmp}/mini-script.XXXXXXXXXX\")");
    text.line("chmod 711 \"$work\"");
}

/// Whatever ends the script: the container is killed, and what was made goes.
fn clean(text: &mut Text, undo: Text) {
    text.part("Whatever ends this script: the container ends with it, and what was made goes.");
    text.line("clean() {");
    text.line("    code=$?");
    text.line("    trap - EXIT");
    text.line("    trap '' HUP INT TERM");
    text.line("    set +e");
    text.line("    exec 5>&-");
    text.line("    if [ -n \"${child-}\" ]; then");
    text.line("        [ -z \"${pid-}\" ] || kill -s KILL \"$pid\" 2>/dev/null");
    text.line("        wait \"$child\"");
    text.line("    fi");
    for line in undo.finish().lines() {
        text.line(&format!("    {line}"));
    }
    text.line("    rm -rf \"$work\"");
    text.line("    exit \"$code\"");
    text.line("}");
    text.line(": >\"$work/made\"");
    text.line("trap clean EXIT");
    text.line("trap 'exit 129' HUP");
    text.line("trap 'exit 130' INT");
    text.line("trap 'exit 143' TERM");
}

fn pidfile(parts: &mut Parts, subject: &Subject<'_>) -> Result<()> {
    let Some(file) = &subject.request.options.origin.pidfile else { return Ok(()) };
    let file = text::path(file)?;
    parts.host.part("Write the number of its first process down, as long as it runs");
    parts.host.line(&format!("echo \"$pid\" >{file}"));
    parts.undo.line(&format!("rm -f {file}"));
    Ok(())
}

/// What the first process does once it has ids.
fn furnish(subject: &Subject<'_>) -> Result<String> {
    let init = subject.init;
    let mut text = Text::default();
    text.comment(
        "The container's first process, root in its own world: it builds that, looks its user up, and waits.",
    );
    text.line("set -eu");
    text.line("umask 022");
    text.line("work=$1 root=$1/root");
    text.line(". \"$work/tools\"");
    mounts::mounts(&mut text, init, subject.groups)?;
    mounts::sysctls(&mut text, init)?;
    mounts::hide(&mut text, init)?;
    text.line("");
    text.line(include_str!("user.sh").trim_end());
    process::process(&mut text, &init.process, subject.plan.stdio.interactive)?;
    Ok(text.finish())
}

/// From the gates to the end.
fn end(text: &mut Text) {
    text.part("Make that stack our root, and let go of the host's");
    text.line("read -r _ <&6 || { wait \"$child\" || exit; exit 125; }");
    text.comment(
        "pivot_root(2) changes the root of every process that has the old one, so the first process's too. The old root then lies \
         on top of the new one, where nsenter finds it, and the host's umount in it.",
    );
    text.line("there sh -c 'cd \"$1\" && exec pivot_root . .' sh \"$work/root\"");
    text.line("there umount -n --lazy /");
    text.part("Open the second gate: the container may become its program");
    text.line("echo start >&5");
    text.line("exec 5>&-");
    text.line("code=0");
    text.line("wait \"$child\" || code=$?");
    text.line("child=");
    text.line("exit \"$code\"");
}
