//! The process: its user, its limits, what it may not do any more, its variables. PURE.

use anyhow::{Context as _, Result};
use runtime::caps::{CapSet, name};
use runtime::plan::ProcessPlan;
use runtime::user::UserRequest;
use rustix::process::Resource;

use super::text::{Text, word};

/// What every process of the host's shell has, and a container's has not; as a daemon's child would.
const SHED: [(&str, &str); 13] = [
    ("cpu", "unlimited"),
    ("fsize", "unlimited"),
    ("data", "unlimited"),
    ("core", "unlimited"),
    ("rss", "unlimited"),
    ("nproc", "unlimited"),
    ("as", "unlimited"),
    ("locks", "unlimited"),
    ("nofile", "1048576"),
    ("memlock", "8388608"),
    ("msgqueue", "819200"),
    ("nice", "0"),
    ("rtprio", "0"),
];

/// Lays down what this script inherited.
pub(super) fn shed(text: &mut Text) {
    text.part("Shed what the caller's shell left on us: limits, nice value, processors, personality");
    for (limit, value) in SHED {
        text.line(&format!("limit {limit} {value} {value}"));
    }
    text.line("limit stack 8388608 unlimited");
    text.line("renice --priority 0 --pid $$ >/dev/null");
    text.line("taskset --all-tasks --pid ffffffff $$ >/dev/null");
}

/// Goes to the working directory, and becomes the program once the last gate opens.
pub(super) fn process(text: &mut Text, plan: &ProcessPlan, interactive: bool) -> Result<()> {
    text.part("Look the user up in the container's own files");
    match &plan.user {
        UserRequest::Named(spec) => text.line(&format!("look_up {}", word(spec))),
        UserRequest::Ids { uid, gid, groups } => {
            let groups: Vec<_> = groups.iter().map(u32::to_string).collect();
            text.line(&format!("look_up {uid}:{gid}"));
            text.line(&format!("groups={}", word(&groups.join(","))));
        }
    }
    for group in &plan.groups {
        text.line(&format!("also {}", word(group)));
    }
    text.part("Take the streams, and go to the working directory");
    if !interactive {
        text.line("exec 0<\"$root/dev/null\"");
    }
    text.line(&format!(
        "place \"$root\" {} directory",
        word(plan.cwd.to_str().context("a working directory that is no text")?)
    ));
    text.line("cd \"$at\"");
    for (resource, soft, hard) in &plan.limits {
        let value =
            |value: &Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
        text.line(&format!("limit {} {} {}", limit_name(*resource)?, value(soft), value(hard)));
    }
    text.part("Give up what the program may not have: system calls, capabilities, ids");
    if plan.seccomp.is_some() {
        text.comment(
            "Its filter of system calls (seccomp(2)) is missing here: no program of Debian 12 loads one for another; setpriv of \
             util-linux 2.41 can, with --seccomp-filter.",
        );
    }
    text.comment(
        "setpriv is a program of the host, and the host's root goes next: so it becomes a shell of the host's that only waits. \
         Everything that it still needs is in memory, and its own root changes under it.",
    );
    text.line(&format!("exec {}", command(plan)?));
    Ok(())
}

fn command(plan: &ProcessPlan) -> Result<String> {
    let caps = plan.capabilities;
    let mut words = vec![
        "setpriv --pdeathsig=KILL --reuid=\"$uid\" --regid=\"$gid\"".to_owned(),
        "\"$([ -n \"$groups\" ] && echo \"--groups=$groups\" || echo --clear-groups)\"".to_owned(),
    ];
    words.push(format!("--bounding-set={}", list(caps.bounding)));
    words.push(format!("--inh-caps={} --ambient-caps={}", list(caps.inheritable), list(caps.ambient)));
    if plan.no_new_privileges {
        words.push("--no-new-privs".to_owned());
    }
    words.push("env --ignore-environment --default-signal".to_owned());
    let has_home = plan.env.iter().any(|variable| variable.starts_with("HOME=") && variable.len() > 5);
    let variables = plan.env.iter().filter(|variable| has_home || !variable.starts_with("HOME="));
    words.extend(variables.filter(|variable| travels(variable)).map(|variable| word(variable)));
    words.extend((!has_home).then(|| "HOME=\"$home\"".to_owned()));
    words.push(format!("/bin/sh -c {}", word(&last_shell(plan))));
    let mut args = vec!["mini".to_owned()];
    for arg in &plan.args {
        args.push(word(arg.to_str().context("an argument that is no text")?));
    }
    words.push(args.join(" "));
    Ok(words.join(" \\\n    "))
}

/// What the shell that waits does: nothing that is not built in.
fn last_shell(plan: &ProcessPlan) -> String {
    let mut text = format!(
        "echo ready >&4; read -r _ <&3 || exit 125; exec 3<&- 4>&-; unset PWD OLDPWD; umask {:04o}; ",
        plan.umask
    );
    for variable in &plan.env {
        if let Some((name @ ("PWD" | "OLDPWD"), value)) = variable.split_once('=') {
            text += &format!("export {name}={}; ", word(value));
        }
    }
    text + "exec \"$@\""
}

/// Whether a shell hands a variable on: one whose name is a name of its own language, and that means nothing to itself.
pub(super) fn travels(variable: &str) -> bool {
    let name = variable.split('=').next().unwrap_or_default();
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    variable.contains('=') && plain && begins && !["IFS", "OPTIND", "PPID", "LINENO", "_"].contains(&name)
}

/// As setpriv(1) takes a set: nothing, and these.
fn list(set: CapSet) -> String {
    let names = set.iter().map(|one| format!(",+{}", name(one).trim_start_matches("CAP_").to_lowercase()));
    format!("-all{}", names.collect::<String>())
}

/// As prlimit(1) calls a limit.
fn limit_name(resource: Resource) -> Result<&'static str> {
    const NAMES: [(Resource, &str); 16] = [
        (Resource::As, "as"),
        (Resource::Core, "core"),
        (Resource::Cpu, "cpu"),
        (Resource::Data, "data"),
        (Resource::Fsize, "fsize"),
        (Resource::Locks, "locks"),
        (Resource::Memlock, "memlock"),
        (Resource::Msgqueue, "msgqueue"),
        (Resource::Nice, "nice"),
        (Resource::Nofile, "nofile"),
        (Resource::Nproc, "nproc"),
        (Resource::Rss, "rss"),
        (Resource::Rtprio, "rtprio"),
        (Resource::Rttime, "rttime"),
        (Resource::Sigpending, "sigpending"),
        (Resource::Stack, "stack"),
    ];
    let found = NAMES.iter().find(|(known, _)| *known == resource).map(|(_, name)| *name);
    found.with_context(|| format!("no tool sets the limit {resource:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_travel_through_a_shell_or_are_told() {
        for (variable, expected) in [
            ("PATH=/bin", true),
            ("_a1=", true),
            ("a.b=1", false),
            ("1a=1", false),
            ("a-b=$(x)", false),
            ("IFS=x", false),
            ("nothing", false),
        ] {
            assert_eq!(travels(variable), expected, "{variable}");
        }
    }

    #[test]
    fn capabilities_are_nothing_and_these() {
        use oci_spec::runtime::Capability;
        assert_eq!(list(CapSet::EMPTY), "-all");
        assert_eq!(list(CapSet::of(&[Capability::Chown, Capability::NetRaw])), "-all,+chown,+net_raw");
    }
}
