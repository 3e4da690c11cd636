//! Capabilities: root without most of root's power (capabilities(7)).

use anyhow::Result;
use runtime::caps::CapSet;
use runtime::sys::ns::{self, Kinds};
use runtime::sys::process;

use crate::learn::lab::{Lab, Life, OUTSIDE, View, field};
use crate::learn::lesson::{Act, Lesson, Look, Verdict};

/// CAP_SYS_ADMIN (linux/capability.h): what sethostname(2), mount(2) and much else ask for.
const SYS_ADMIN: u64 = 1 << 21;

pub(crate) const LESSON: Lesson = Lesson {
    key: "capabilities",
    acts: &[Act { lines: |_| bounded_lines(), perform: bounded, done: None }],
    looks: &[
        Look {
            command: "id -u",
            read: |view| view.status("Uid").split(' ').next().unwrap_or_default().to_owned(),
        },
        Look { command: "grep CapEff /proc/$PID/status", read: |view| view.status("CapEff") },
        Look {
            command: "hostname",
            read: |_| rustix::system::uname().nodename().to_string_lossy().into_owned(),
        },
    ],
    broken: Act {
        lines: |_| vec!["sh -c 'hostname mine; sleep 1000' &".to_owned()],
        perform: |lab| lab.contain(Kinds::empty(), Life::Sleep, &|| Ok(ns::set_hostname("mine")?)),
        done: None,
    },
    fixed: Act {
        lines: |_| [vec![format!("hostname {OUTSIDE}")], bounded_lines()].concat(),
        perform: |lab| {
            lab.outside(&|| Ok(ns::set_hostname(OUTSIDE)?))?;
            bounded(lab)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: Lab::youngest,
    check,
    machine: || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
};

fn bounded_lines() -> Vec<String> {
    vec!["setpriv --bounding-set -sys_admin sh -c 'hostname mine; sleep 1000' &".to_owned()]
}

/// With the capabilities that every container gets, and no others.
fn bounded(lab: &Lab) -> Result<()> {
    lab.contain(Kinds::empty(), Life::Sleep, &|| {
        let kept = CapSet::DOCKER.bits();
        process::bound_capabilities(kept)?;
        process::set_capabilities(kept, kept, 0, 0)?;
        match ns::set_hostname("mine") {
            Err(error) if error.errno() == libc::EPERM => Ok(()),
            other => Ok(other?),
        }
    })
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.youngest() else { return Ok(Verdict::nothing()) };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let name =
        lab.see_outside(&|_: &View| rustix::system::uname().nodename().to_string_lossy().into_owned())?;
    Ok(judge(&field(&status, "CapEff"), &name))
}

/// `effective` is the line CapEff, in hexadecimal. PURE.
fn judge(effective: &str, name: &str) -> Verdict {
    let values = vec![("effective", effective.to_owned()), ("name", name.to_owned())];
    match u64::from_str_radix(effective, 16) {
        Ok(bits) if bits & SYS_ADMIN == 0 && name == OUTSIDE => Verdict::holds(values),
        _ => Verdict::leaks(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn root_has_to_be_without_the_capability_and_the_name_unchanged() {
        for (effective, name, state) in [
            ("00000000a80425fb", OUTSIDE, State::Holds),
            ("00000000a80425fb", "mine", State::Leaks),
            ("000001ffffffffff", OUTSIDE, State::Leaks),
            ("", OUTSIDE, State::Leaks),
        ] {
            assert_eq!(judge(effective, name).state, state, "{effective}");
        }
    }
}
