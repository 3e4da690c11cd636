//! seccomp: system calls that are not there (seccomp(2)).

use std::path::Path;

use anyhow::Result;
use runtime::caps::CapSet;
use runtime::seccomp::{self, Machine, assemble, profile};
use runtime::sys::mount::{self, Attr};
use runtime::sys::ns::Kinds;

use crate::learn::lab::{Lab, Life, View, field, make_dir, mount_at};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

/// Where it tries to mount something.
const PLACE: &str = "/tmp/mounted";

pub(crate) const LESSON: Lesson = Lesson {
    key: "seccomp",
    acts: &[Act { lines: |_| vec![untyped()], perform: |lab| contained(lab, true), done: None }],
    looks: &[
        Look { command: "grep CapEff /proc/$PID/status", read: |view| view.status("CapEff") },
        Look { command: "grep Seccomp: /proc/$PID/status", read: |view| view.status("Seccomp") },
        Look { command: "grep mounted /proc/$PID/mountinfo", read: mounted },
    ],
    broken: Act {
        lines: |_| vec![format!("mkdir -p {PLACE}; sh -c 'mount -t tmpfs tmpfs {PLACE}; sleep 1000' &")],
        perform: |lab| contained(lab, false),
        done: None,
    },
    fixed: Act {
        lines: |_| vec![format!("umount {PLACE}"), untyped()],
        perform: |lab| {
            if is_mounted(&mountinfo(lab.keeper())) {
                lab.outside(&|| Ok(mount::detach(Path::new(PLACE))?))?;
            }
            contained(lab, true)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: Lab::youngest,
    check,
    machine: no_machine,
};

fn untyped() -> String {
    "# a shell cannot load a filter: mini does it".to_owned()
}

/// A process that has all capabilities, and tries to mount something.
fn contained(lab: &Lab, filtered: bool) -> Result<()> {
    let rules = profile::default_profile(CapSet::DOCKER, Machine::NATIVE);
    let filter = assemble::assemble(&rules, Machine::NATIVE)?;
    lab.outside(&|| make_dir(Path::new(PLACE)))?;
    lab.contain(Kinds::empty(), Life::Sleep, &|| {
        if filtered {
            seccomp::load(&filter)?;
        }
        let attempt =
            mount_at("tmpfs", &[], Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV, Path::new(PLACE));
        // That it fails is what the filter is for.
        if filtered { Ok(()) } else { attempt }
    })
}

fn mounted(view: &View) -> String {
    if is_mounted(&view.own("mountinfo")) { PLACE.to_owned() } else { "-".to_owned() }
}

fn mountinfo(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default()
}

/// PURE.
fn is_mounted(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some(PLACE))
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.youngest() else { return Ok(Verdict::nothing()) };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Ok(judge(&field(&status, "Seccomp"), is_mounted(&mountinfo(pid))))
}

/// `mode` is the line Seccomp: 2 is a filter (proc_pid_status(5)). PURE.
fn judge(mode: &str, mounted: bool) -> Verdict {
    let values = vec![("mode", mode.to_owned())];
    if mode == "2" && !mounted { Verdict::holds(values) } else { Verdict::leaks(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn there_has_to_be_a_filter_and_no_mount() {
        for (mode, mounted, state) in [
            ("2", false, State::Holds),
            ("2", true, State::Leaks),
            ("0", false, State::Leaks),
            ("0", true, State::Leaks),
        ] {
            assert_eq!(judge(mode, mounted).state, state);
        }
    }
}
