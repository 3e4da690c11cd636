//! Control groups: where one is, as it looks from there (cgroup_namespaces(7)).

use std::path::PathBuf;

use anyhow::Result;
use runtime::sys;
use runtime::sys::ns::{self, Kinds};

use crate::learn::lab::{Lab, Life, View, make_dir};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

pub(crate) const LESSON: Lesson = Lesson {
    key: "cgroup",
    acts: &[
        Act { lines: groups_lines, perform: groups, done: Some(|lab| Ok(lab.in_group("sub2").is_some())) },
        Act {
            lines: |lab| enter_lines(lab, "unshare --cgroup "),
            perform: |lab| enter(lab, true),
            done: None,
        },
    ],
    looks: &[
        Look { command: "grep freezer /proc/$PID/cgroup", read: own },
        Look { command: "grep freezer /proc/$SLEEPER/cgroup", read: sibling },
        Look { command: "readlink /proc/$PID/ns/cgroup", read: |view| view.namespace("cgroup") },
    ],
    broken: Act {
        lines: |lab| [groups_lines(lab), enter_lines(lab, "")].concat(),
        perform: |lab| {
            groups(lab)?;
            enter(lab, false)
        },
        done: None,
    },
    fixed: Act {
        lines: |lab| [groups_lines(lab), enter_lines(lab, "unshare --cgroup ")].concat(),
        perform: |lab| {
            groups(lab)?;
            enter(lab, true)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.in_group("sub1"),
    check,
    machine: no_machine,
};

fn place(lab: &Lab, group: &str) -> PathBuf {
    lab.groups_of("freezer").join(group)
}

fn groups_lines(lab: &Lab) -> Vec<String> {
    let (one, two) = (place(lab, "sub1"), place(lab, "sub2"));
    vec![
        format!("mkdir {} {}", one.display(), two.display()),
        format!("sh -c 'echo 0 >{}/cgroup.procs; exec sleep 1000' &", two.display()),
    ]
}

fn enter_lines(lab: &Lab, with: &str) -> Vec<String> {
    let one = place(lab, "sub1");
    vec![format!("sh -c 'echo 0 >{}/cgroup.procs; exec {with}sleep 1000' &", one.display())]
}

/// Both groups, and a sleeper in the second.
fn groups(lab: &Lab) -> Result<()> {
    let (one, two) = (place(lab, "sub1"), place(lab, "sub2"));
    lab.outside(&|| {
        make_dir(&one)?;
        make_dir(&two)
    })?;
    if lab.in_group("sub2").is_some() {
        return Ok(());
    }
    lab.contain(Kinds::empty(), Life::Sleep, &|| {
        Ok(sys::control::write_control(&two.join("cgroup.procs"), "0")?)
    })
}

/// A process in the first group; only then its namespace, whose root is where it is at that moment.
fn enter(lab: &Lab, isolated: bool) -> Result<()> {
    let one = place(lab, "sub1");
    lab.contain(Kinds::empty(), Life::Sleep, &|| {
        sys::control::write_control(&one.join("cgroup.procs"), "0")?;
        if isolated {
            ns::unshare_cgroup()?;
        }
        Ok(())
    })
}

fn own(view: &View) -> String {
    path_of(&view.own("cgroup")).to_owned()
}

fn sibling(view: &View) -> String {
    let sleeper = view.member("sub2").map(|pid| view.of(pid, "cgroup")).unwrap_or_default();
    path_of(&sleeper).to_owned()
}

/// The path in the freezer's hierarchy of version 1, or in version 2's. PURE.
fn path_of(cgroup: &str) -> &str {
    let line = |wanted: &str| cgroup.lines().find(|line| line.split(':').nth(1) == Some(wanted));
    line("freezer").or_else(|| line("")).and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or_default()
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.in_group("sub1") else { return Ok(Verdict::nothing()) };
    Ok(judge(&lab.see(pid, &own)?, &lab.see(pid, &sibling)?, &lab.see_outside(&sibling)?))
}

/// PURE.
fn judge(own: &str, sibling: &str, outside: &str) -> Verdict {
    let values =
        vec![("own", own.to_owned()), ("sibling", sibling.to_owned()), ("outside", outside.to_owned())];
    match (own, sibling, outside) {
        ("/", "/../sub2", "/sub2") => Verdict::holds(values),
        (_, _, "/sub2") => Verdict::leaks(values),
        _ => Verdict::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn the_own_group_is_the_root_and_the_sibling_lies_beside_it() {
        assert_eq!(path_of("7:freezer:/sub1\n0::/x\n"), "/sub1");
        assert_eq!(path_of("0::/x\n"), "/x");
        for (own, sibling, outside, state) in [
            ("/", "/../sub2", "/sub2", State::Holds),
            ("/sub1", "/sub2", "/sub2", State::Leaks),
            ("/", "", "", State::Nothing),
        ] {
            assert_eq!(judge(own, sibling, outside).state, state);
        }
    }
}
