//! The first process: its namespaces, its ids, its name. PURE.

use anyhow::{Context as _, Result};
use runtime::plan::{IdMap, InitPlan};
use runtime::sys::ns::Kinds;

use super::Parts;
use super::text::{Text, path, word};

/// Kinds of namespaces that unshare(1) makes, and nsenter(1) joins; the cgroup namespace is made later.
const FLAGS: [(Kinds, &str); 6] = [
    (Kinds::USER, "--user"),
    (Kinds::MOUNT, "--mount"),
    (Kinds::PROCESS_ID, "--pid"),
    (Kinds::NETWORK, "--net"),
    (Kinds::INTER_PROCESS_COMMUNICATION, "--ipc"),
    (Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME, "--uts"),
];

/// The first of the two programs that the first process becomes: it waits for its ids.
pub(super) fn wait_for_ids(init: &InitPlan, terminal: bool) -> String {
    let mut text = Text::default();
    text.comment("The container's first process: in its namespaces, with nothing of its own yet. Its number is what the host's /proc says.");
    text.line("set -eu");
    text.line("read -r pid _ </proc/self/stat");
    text.line("echo \"$pid\" >&4");
    text.part("Wait at the gate until the monitor has mapped our ids and made our layers");
    text.line("read -r _ <&3");
    let mut command = Vec::new();
    if init.has_user_namespace() {
        text.part("Become root, inside");
        command.push("setpriv --reuid=0 --regid=0 --clear-groups");
    }
    if init.cgroup_namespace {
        command.push("unshare --cgroup");
    }
    if !terminal {
        command.push("setsid");
    }
    text.line(&format!("exec {} sh \"$1/furnish\" \"$1\"", command.join(" ")).replace("  ", " "));
    text.finish()
}

/// Makes the first process.
pub(super) fn birth(parts: &mut Parts, init: &InitPlan, interactive: bool) -> Result<()> {
    let text = &mut parts.host;
    text.part("Two gates: the first process waits at 3, and tells by 4; we hold their other ends, 5 and 6");
    text.line("mkfifo \"$work/gate\" \"$work/told\"");
    text.line("exec 5<>\"$work/gate\" 3<\"$work/gate\" 4<>\"$work/told\" 6<\"$work/told\" 7<&0");
    text.part("Make the container's first process, in all its namespaces at once");
    let mut command = Vec::new();
    let joined: Vec<_> = init.joined.iter().collect();
    if !joined.is_empty() {
        text.comment("Join what the container shares with others");
        let mut flags = vec!["nsenter".to_owned()];
        for join in &joined {
            let name = FLAGS.iter().find(|(kind, _)| *kind == join.kind).map_or("--cgroup", |(_, flag)| flag);
            flags.push(format!("{name}={}", path(&join.path)?));
        }
        command.push(flags.join(" "));
    }
    let made = FLAGS.iter().filter(|(kind, _)| init.namespaces.contains(*kind)).map(|(_, flag)| *flag);
    let mut unshare = vec!["unshare"];
    unshare.extend(made);
    if init.namespaces.contains(Kinds::USER) {
        text.comment("Until its ids are mapped it is nobody there, and would lose its capabilities with the next execve(2): they are kept.");
        unshare.push("--keep-caps");
    }
    unshare.extend(["--propagation=private", "--fork", "--kill-child"]);
    command.push(unshare.join(" "));
    command.push("sh \"$work/wait\" \"$work\"".to_owned());
    let input = if interactive { "<&7" } else { "</dev/null" };
    text.line(&format!("{} {input} 5>&- 6<&- 7<&- 8>&- 9>&- &", command.join(" \\\n    ")));
    text.line("child=$!");
    text.line("exec 3<&- 4>&- 7<&-");
    text.line("read -r pid <&6 || die 'no process can be made in these namespaces'");
    Ok(())
}

/// Gives it its ids, and what only the host may give.
pub(super) fn ids(parts: &mut Parts, init: &InitPlan) {
    let text = &mut parts.host;
    if init.namespaces.contains(Kinds::USER) {
        text.part("Give the container's ids a range of the host's own: its root is nobody here");
        for (file, map) in [("gid_map", &init.gid_map), ("uid_map", &init.uid_map)] {
            text.line(&format!("printf {} >\"/proc/$pid/{file}\"", word(&map_text(map))));
        }
    }
    if let Some(adjustment) = init.process.oom_score_adj {
        text.part("Say whom the kernel kills first when memory runs out");
        text.line(&format!("echo {adjustment} >\"/proc/$pid/oom_score_adj\""));
    }
    for (file, name) in [("hostname", &init.hostname), ("domainname", &init.domainname)] {
        if let Some(name) = name {
            text.part("Give the container its name");
            text.line(&format!(
                "nsenter --uts=\"/proc/$pid/ns/uts\" sh -c 'echo \"$1\" >/proc/sys/kernel/{file}' sh {}",
                word(name)
            ));
        }
    }
}

/// For printf(1): a line an entry, in one write(2).
fn map_text(map: &[IdMap]) -> String {
    map.iter().map(|line| format!("{} {} {}\\n", line.container, line.host, line.size)).collect()
}

/// Holds the ranges of ids that the container has, as mini does.
pub(super) fn lease(parts: &mut Parts, ranges: &[std::path::PathBuf]) -> Result<()> {
    let Some(first) = ranges.first() else { return Ok(()) };
    let text = &mut parts.host;
    text.part("Lease a range of ids that no user and no other container has");
    text.comment(
        "A file named after the first id, with a lock: mini gives no container a range whose file is locked.",
    );
    let directory = first.parent().context("a lease lies in a directory")?;
    text.line(&format!("mkdir -p {}", path(directory)?));
    for range in ranges {
        let file = path(range)?;
        // One descriptor holds one lock: a second range is held by a process of its own.
        if range == first {
            text.line(&format!("exec 8>>{file}"));
            text.line(&format!("flock --nonblock 8 || die 'another container has the ids of {file} by now'"));
        } else {
            text.line(&format!("flock --nonblock --no-fork {file} sleep infinity 8>&- &"));
            text.line("holder=$!");
            parts.undo.line("[ -z \"${holder-}\" ] || kill \"$holder\"");
        }
        parts.undo.line(&format!("rm -f {file}"));
    }
    Ok(())
}
