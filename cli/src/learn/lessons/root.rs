//! Root or not: whether a container's root is the machine's (user_namespaces(7)).

use anyhow::Result;

use crate::learn::lab::{Lab, View, field, inode};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

/// As docker does by default.
const SHARED: &[&str] = &["--network", "none", "--userns=host"];
const OWN: &[&str] = &["--network", "none"];

pub(crate) const LESSON: Lesson = Lesson {
    key: "root",
    acts: &[Act {
        lines: |lab| vec![lab.run_line(OWN)],
        perform: |lab| lab.run(OWN, &|| Ok(())),
        done: None,
    }],
    looks: &[
        Look {
            command: "id -u",
            read: |view| view.status("Uid").split(' ').next().unwrap_or_default().to_owned(),
        },
        Look { command: "readlink /proc/$PID/ns/user", read: |view| view.namespace("user") },
        Look { command: "cat /proc/$PID/uid_map", read: map },
    ],
    broken: Act {
        lines: |lab| vec![lab.run_line(SHARED)],
        perform: |lab| lab.run(SHARED, &|| Ok(())),
        done: None,
    },
    fixed: Act { lines: |lab| vec![lab.run_line(OWN)], perform: |lab| lab.run(OWN, &|| Ok(())), done: None },
    outside: |_| learner(),
    inside: Lab::guest,
    check,
    machine: no_machine,
};

/// This process: it is where the machine's root is.
pub(super) fn learner() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn map(view: &View) -> String {
    let text = view.own("uid_map");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.guest() else { return Ok(Verdict::nothing()) };
    let inside = lab.see(pid, &|view| view.status("Uid"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let first = |ids: &str| ids.split(' ').next().unwrap_or_default().to_owned();
    Ok(judge(&first(&inside), &first(&field(&status, "Uid")), inode(pid, "user") == inode(learner(), "user")))
}

/// `inside` is who it is there, `outside` who it is on the machine. PURE.
fn judge(inside: &str, outside: &str, shared: bool) -> Verdict {
    let values = vec![("inside", inside.to_owned()), ("outside", outside.to_owned())];
    if inside == "0" && outside != "0" && !shared { Verdict::holds(values) } else { Verdict::leaks(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn root_inside_has_to_be_nobody_on_the_machine() {
        assert_eq!(judge("0", "2147483648", false).state, State::Holds);
        assert_eq!(judge("0", "0", true).state, State::Leaks);
        assert_eq!(judge("0", "0", false).state, State::Leaks);
    }
}
