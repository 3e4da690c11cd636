//! PID: the first of a family of processes that sees no other (pid_namespaces(7)).

use std::path::Path;

use anyhow::Result;
use runtime::sys::mount::{self, Attr};
use runtime::sys::ns::Kinds;

use crate::learn::lab::{Lab, Life, View, mount_at};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

const BOTH: Kinds = Kinds::PROCESS_ID.union(Kinds::MOUNT);

pub(crate) const LESSON: Lesson = Lesson {
    key: "pid",
    acts: &[Act {
        lines: |_| vec!["unshare --fork --pid --mount-proc sleep 1000 &".to_owned()],
        perform: isolated,
        done: None,
    }],
    looks: &[
        Look { command: "grep NSpid /proc/$PID/status", read: |view| view.status("NSpid") },
        Look { command: "ps", read: processes },
        Look { command: "readlink /proc/$PID/ns/pid", read: |view| view.namespace("pid") },
    ],
    broken: Act {
        lines: |_| vec!["sleep 1000 &".to_owned()],
        perform: |lab| lab.contain(Kinds::empty(), Life::Sleep, &|| Ok(())),
        done: None,
    },
    fixed: Act {
        lines: |_| vec!["unshare --fork --pid --mount-proc sleep 1000 &".to_owned()],
        perform: isolated,
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("pid").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

fn isolated(lab: &Lab) -> Result<()> {
    lab.contain(BOTH, Life::Sleep, &|| {
        mount::make_private()?;
        let attributes = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
        mount_at("proc", &[], attributes, Path::new("/proc"))
    })
}

/// What the /proc that one sees lists: a line a process.
fn processes(_: &View) -> String {
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    pids()
        .iter()
        .map(|pid| format!("{pid:>5} {}", name(&pid.to_string()).trim()))
        .collect::<Vec<_>>()
        .join("\n")
}

fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

fn count(_: &View) -> String {
    pids().len().to_string()
}

fn check(lab: &Lab) -> Result<Verdict> {
    let number = |text: String| text.parse().unwrap_or(0);
    let outside = number(lab.see_outside(&count)?);
    let Some(pid) = lab.isolated("pid").or_else(|| lab.youngest()) else { return Ok(Verdict::nothing()) };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let seen = number(lab.see(pid, &count)?);
    Ok(judge(&crate::learn::lab::field(&status, "NSpid"), lab.isolated("pid").is_some(), seen, outside))
}

/// `ids` is the line NSpid: the process's number on the machine, in the lab, and further in. PURE.
fn judge(ids: &str, isolated: bool, seen: usize, outside: usize) -> Verdict {
    let ids: Vec<&str> = ids.split(' ').collect();
    let (machine, inner) = (ids.first().copied().unwrap_or("?"), ids.last().copied().unwrap_or("?"));
    let values = vec![
        ("machine", machine.to_owned()),
        ("inside", inner.to_owned()),
        ("seen", seen.to_string()),
        ("all", outside.to_string()),
    ];
    match isolated {
        true if inner == "1" && seen < outside => Verdict::holds(values),
        // It has numbers of its own, and still the old /proc.
        _ => Verdict::leaks(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn it_has_to_be_the_first_and_to_see_no_other() {
        for (ids, isolated, seen, state) in [
            ("100 7 1", true, 1, State::Holds),
            ("100 7 1", true, 2, State::Leaks),
            ("100 7", false, 2, State::Leaks),
        ] {
            assert_eq!(judge(ids, isolated, seen, 2).state, state, "{ids}");
        }
    }
}
