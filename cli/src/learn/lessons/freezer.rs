//! Freezer: processes that stand still and do not notice (freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze").

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use runtime::cgroup::Layout;
use runtime::sys::ns::Kinds;
use runtime::sys::{self, pidfd};
use rustix::process::Pid;

use crate::learn::lab::{Lab, Life, View, field, make_dir};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

/// How long progress is watched, ms.
const WATCHED: u64 = 300;

pub(crate) const LESSON: Lesson = Lesson {
    key: "freezer",
    acts: &[
        Act { lines: tickers_lines, perform: tickers, done: Some(|lab| Ok(lab.in_group("sub2").is_some())) },
        Act { lines: freeze_lines, perform: freeze, done: None },
    ],
    looks: &[
        Look {
            command: "sh -c 'grep ctxt /proc/$SUB1/status; sleep 0.3; grep ctxt …'",
            read: |view| progress_of(view, "sub1"),
        },
        Look {
            command: "sh -c 'grep ctxt /proc/$SUB2/status; sleep 0.3; grep ctxt …'",
            read: |view| progress_of(view, "sub2"),
        },
    ],
    broken: Act {
        lines: |lab| {
            let procs = place(lab, "sub2").join("cgroup.procs").display().to_string();
            let kill = ["STOP", "CONT"].map(|signal| format!("kill -{signal} $(cat {procs})"));
            [tickers_lines(lab), kill.to_vec()].concat()
        },
        perform: |lab| {
            tickers(lab)?;
            signal(lab, libc::SIGSTOP)?;
            signal(lab, libc::SIGCONT)
        },
        done: None,
    },
    fixed: Act {
        lines: |lab| [tickers_lines(lab), freeze_lines(lab)].concat(),
        perform: |lab| {
            tickers(lab)?;
            freeze(lab)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.in_group("sub2"),
    check,
    machine: no_machine,
};

fn place(lab: &Lab, group: &str) -> PathBuf {
    lab.groups_of("freezer").join(group)
}

fn tickers_lines(lab: &Lab) -> Vec<String> {
    let (one, two) = (place(lab, "sub1"), place(lab, "sub2"));
    let ticker = |group: &PathBuf| {
        format!("sh -c 'echo 0 >{}/cgroup.procs; while :; do sleep 0.01; done' &", group.display())
    };
    vec![format!("mkdir {} {}", one.display(), two.display()), ticker(&one), ticker(&two)]
}

fn freeze_lines(lab: &Lab) -> Vec<String> {
    let (file, word) = switch(lab);
    vec![format!("echo {word} >{}", file.display())]
}

fn switch(lab: &Lab) -> (PathBuf, &'static str) {
    match lab.layout() {
        Layout::V1(_) => (place(lab, "sub2").join("freezer.state"), "FROZEN"),
        Layout::V2(_) => (place(lab, "sub2").join("cgroup.freeze"), "1"),
    }
}

/// A process that wakes up again and again, in each of both groups.
fn tickers(lab: &Lab) -> Result<()> {
    for name in ["sub1", "sub2"] {
        let group = place(lab, name);
        lab.outside(&|| make_dir(&group))?;
        if lab.in_group(name).is_none() {
            lab.contain(Kinds::empty(), Life::Tick, &|| {
                Ok(sys::control::write_control(&group.join("cgroup.procs"), "0")?)
            })?;
        }
    }
    Ok(())
}

fn freeze(lab: &Lab) -> Result<()> {
    let (file, word) = switch(lab);
    lab.outside(&|| Ok(sys::control::write_control(&file, word)?))
}

fn signal(lab: &Lab, signal: i32) -> Result<()> {
    let Some(pid) = lab.in_group("sub2") else { anyhow::bail!("nobody is in sub2") };
    lab.outside(&|| {
        let Some(process) = Pid::from_raw(pid) else { return Ok(()) };
        Ok(pidfd::send_signal(pidfd::open(process)?.as_fd(), pid, signal)?)
    })
}

/// How often a process has got the processor, at two moments.
fn progress_of(view: &View, group: &str) -> String {
    let Some(pid) = view.member(group) else { return "-".to_owned() };
    let before = switches(&view.of(pid, "status"));
    std::thread::sleep(Duration::from_millis(WATCHED));
    format!("{before} → {}", switches(&view.of(pid, "status")))
}

/// Switches to and from a process, of both kinds (proc_pid_status(5)). PURE.
fn switches(status: &str) -> u64 {
    let of = |name: &str| field(status, name).parse::<u64>().unwrap_or(0);
    of("voluntary_ctxt_switches") + of("nonvoluntary_ctxt_switches")
}

fn check(lab: &Lab) -> Result<Verdict> {
    let (Some(one), Some(two)) = (lab.in_group("sub1"), lab.in_group("sub2")) else {
        return Ok(Verdict::nothing());
    };
    let layout = lab.layout();
    let group = lab.group("sub2");
    let count =
        |pid: i32| switches(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default());
    if layout.is_frozen(&group) {
        // On version 1 it reads FREEZING until the last one stands still.
        for _ in 0..100 {
            if layout.stands_still(&group) {
                break;
            }
            lab.pause(10)?;
        }
    }
    let before = (count(one), count(two));
    lab.pause(WATCHED)?;
    let progress = (count(one) - before.0, count(two) - before.1);
    Ok(judge(layout.is_frozen(&group), progress.0, progress.1))
}

/// PURE.
fn judge(frozen: bool, neighbour: u64, own: u64) -> Verdict {
    let values = vec![("neighbour", neighbour.to_string()), ("own", own.to_string())];
    match (frozen, own) {
        (true, 0) if neighbour > 0 => Verdict::holds(values),
        _ => Verdict::leaks(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn the_frozen_one_stands_still_and_its_neighbour_does_not() {
        assert_eq!(switches("voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t2\n"), 9);
        for (frozen, neighbour, own, state) in [
            (true, 30, 0, State::Holds),
            (true, 30, 1, State::Leaks),
            (true, 0, 0, State::Leaks),
            (false, 30, 0, State::Leaks),
        ] {
            assert_eq!(judge(frozen, neighbour, own).state, state);
        }
    }
}
