//! UTS: a host name of one's own (uts_namespaces(7)).

use anyhow::Result;
use runtime::sys::ns::{self, Kinds};

use crate::learn::lab::{Lab, Life, OUTSIDE, View};
use crate::learn::lesson::{Act, Lesson, Look, Verdict};

pub(crate) const LESSON: Lesson = Lesson {
    key: "uts",
    acts: &[Act {
        lines: |_| vec!["unshare --uts sh -c 'hostname inside; sleep 1000' &".to_owned()],
        perform: |lab| contained(lab, Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME),
        done: None,
    }],
    looks: &[
        Look { command: "hostname", read: hostname },
        Look { command: "readlink /proc/$PID/ns/uts", read: |view| view.namespace("uts") },
    ],
    broken: Act {
        lines: |_| vec!["sh -c 'hostname inside; sleep 1000' &".to_owned()],
        perform: |lab| contained(lab, Kinds::empty()),
        done: None,
    },
    fixed: Act {
        lines: |_| {
            vec![
                format!("hostname {OUTSIDE}"),
                "unshare --uts sh -c 'hostname inside; sleep 1000' &".to_owned(),
            ]
        },
        perform: |lab| {
            lab.outside(&|| Ok(ns::set_hostname(OUTSIDE)?))?;
            contained(lab, Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("uts").or_else(|| lab.youngest()),
    check,
    machine: || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
};

fn contained(lab: &Lab, kinds: Kinds) -> Result<()> {
    lab.contain(kinds, Life::Sleep, &|| Ok(ns::set_hostname("inside")?))
}

/// What uname(2) says where one is.
fn hostname(_: &View) -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn check(lab: &Lab) -> Result<Verdict> {
    let outside = lab.see_outside(&hostname)?;
    let inside = lab.isolated("uts").map(|pid| lab.see(pid, &hostname)).transpose()?;
    Ok(judge(&outside, inside.as_deref()))
}

/// PURE.
fn judge(outside: &str, inside: Option<&str>) -> Verdict {
    let values = |inside: &str| vec![("outside", outside.to_owned()), ("inside", inside.to_owned())];
    match inside {
        _ if outside != OUTSIDE => Verdict::leaks(values(inside.unwrap_or(outside))),
        Some(inside) if inside != OUTSIDE => Verdict::holds(values(inside)),
        _ => Verdict::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn the_name_has_to_change_inside_and_nowhere_else() {
        for (outside, inside, state) in [
            (OUTSIDE, None, State::Nothing),
            (OUTSIDE, Some(OUTSIDE), State::Nothing),
            (OUTSIDE, Some("inside"), State::Holds),
            ("inside", None, State::Leaks),
            ("inside", Some("other"), State::Leaks),
        ] {
            assert_eq!(judge(outside, inside).state, state, "{outside} {inside:?}");
        }
    }
}
