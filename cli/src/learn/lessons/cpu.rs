//! CPU: how much of a processor a group may use (sched-bwc.rst; cgroup-v2.rst, "cpu.max").

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use runtime::cgroup::Layout;
use runtime::sys;
use runtime::sys::ns::Kinds;

use crate::clock::Moment;
use crate::learn::lab::{Lab, Life, View, make_dir};
use crate::learn::lesson::{Act, Lesson, Look, State, Verdict, no_machine};

const GROUP: &str = "burn";
/// Of a period of 100000 µs.
const QUOTA: &str = "30000";
/// How long the group is measured, ms: a period more or less is one and a half per cent of it.
const WINDOW: u64 = 2000;
/// How often it is measured, where others on the machine leave it less than it may have.
const ATTEMPTS: u32 = 4;

pub(crate) const LESSON: Lesson = Lesson {
    key: "cpu",
    acts: &[
        Act { lines: burn_lines, perform: burn, done: Some(|lab| Ok(!members(lab).is_empty())) },
        Act { lines: limit_lines, perform: limit, done: None },
    ],
    looks: &[
        Look { command: "top -b -d 1 -n 2", read: top },
        Look { command: "cat /proc/$PID/cgroup", read: group },
    ],
    broken: Act { lines: burn_lines, perform: burn, done: None },
    fixed: Act {
        lines: |lab| [burn_lines(lab), limit_lines(lab)].concat(),
        perform: |lab| {
            if members(lab).is_empty() {
                burn(lab)?;
            }
            limit(lab)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: Lab::youngest,
    check,
    machine: no_machine,
};

/// Where the lab's root finds the group.
fn directory(lab: &Lab) -> PathBuf {
    lab.groups_of("cpu").join(GROUP)
}

/// With the group that counts, where version 1 counts in another hierarchy than it limits.
fn directories(lab: &Lab) -> Vec<PathBuf> {
    let place = |controller: &str| lab.layout().directory(controller, Path::new(""));
    let apart = place("cpuacct").is_some_and(|counts| Some(counts) != place("cpu"));
    let counting = apart.then(|| lab.groups_of("cpuacct").join(GROUP));
    std::iter::once(directory(lab)).chain(counting).collect()
}

fn burn_lines(lab: &Lab) -> Vec<String> {
    let groups: Vec<String> = directories(lab).iter().map(|group| group.display().to_string()).collect();
    // Whoever writes 0 moves itself: the shell, not a program that it starts.
    let enter: String = groups.iter().map(|group| format!("echo 0 >{group}/cgroup.procs; ")).collect();
    vec![format!("mkdir {}", groups.join(" ")), format!("sh -c '{enter}while :; do :; done' &")]
}

fn limit_lines(lab: &Lab) -> Vec<String> {
    let (file, value) = quota(lab);
    vec![format!("echo {value} >{}", file.display())]
}

/// The file that holds the limit, and what is written there.
fn quota(lab: &Lab) -> (PathBuf, String) {
    match lab.layout() {
        Layout::V1(_) => (directory(lab).join("cpu.cfs_quota_us"), QUOTA.to_owned()),
        Layout::V2(_) => (directory(lab).join("cpu.max"), format!("{QUOTA} 100000")),
    }
}

fn burn(lab: &Lab) -> Result<()> {
    let groups = directories(lab);
    lab.outside(&|| groups.iter().try_for_each(|group| make_dir(group)))?;
    let enter = || -> Result<()> {
        for group in &groups {
            sys::control::write_control(&group.join("cgroup.procs"), "0")?;
        }
        Ok(())
    };
    lab.contain(Kinds::empty(), Life::Burn, &enter)
}

fn limit(lab: &Lab) -> Result<()> {
    let (file, value) = quota(lab);
    lab.outside(&|| Ok(sys::control::write_control(&file, &value)?))
}

fn members(lab: &Lab) -> Vec<i32> {
    let Some(directory) = lab.layout().directory("cpu", &lab.group(GROUP)) else { return Vec::new() };
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn group(view: &View) -> String {
    let text = view.own("cgroup");
    let ours = |line: &&str| {
        line.starts_with("0::") || line.split(':').nth(1).is_some_and(|names| names.contains("cpuacct"))
    };
    text.lines().filter(ours).map(str::to_owned).collect::<Vec<_>>().join("\n")
}

/// What top shows: who used how much of one processor in the last second (proc_pid_stat(5)).
fn top(_: &View) -> String {
    let ticks_a_second = rustix::param::clock_ticks_per_second();
    let before = ticks();
    let pause = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
    let begin = Moment::now();
    let _interrupted = rustix::thread::nanosleep(&pause);
    let elapsed = begin.before(Moment::now()).max(1);
    let mut rows: Vec<(u64, u32, String)> = ticks()
        .into_iter()
        .map(|(pid, used, name)| {
            let earlier = before.iter().find(|(known, ..)| *known == pid).map_or(used, |(_, used, _)| *used);
            let nanoseconds = (used - earlier.min(used)) * 1_000_000_000 / ticks_a_second;
            (nanoseconds * 1000 / elapsed, pid, name)
        })
        .collect();
    rows.sort_by(|one, other| other.cmp(one));
    let row = |(permille, pid, name): &(u64, u32, String)| {
        format!("{pid:>5} {:>3}.{} {name}", permille / 10, permille % 10)
    };
    let rows = rows.iter().take(3).map(row);
    std::iter::once("  PID  %CPU COMMAND".to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
}

/// Pid, processor time in ticks, and name of every process in the /proc that one sees.
fn ticks() -> Vec<(u32, u64, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some((pid, number(11)? + number(12)?, before.split_once('(')?.1.to_owned()))
    };
    entries.filter_map(|entry| of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn check(lab: &Lab) -> Result<Verdict> {
    if members(lab).is_empty() {
        return Ok(Verdict::nothing());
    }
    let file = lab.layout().directory("cpu", &lab.group(GROUP)).unwrap_or_default();
    let read = |name: &str| fs::read_to_string(file.join(name)).unwrap_or_default();
    let quota = match lab.layout() {
        Layout::V1(_) => format!("{} {}", read("cpu.cfs_quota_us").trim(), read("cpu.cfs_period_us").trim()),
        Layout::V2(_) => read("cpu.max").trim().to_owned(),
    };
    let mut verdict = judge(&quota, None);
    for _ in 0..ATTEMPTS {
        verdict = judge(&quota, measure(lab)?);
        if verdict.state != State::Nothing {
            break;
        }
    }
    Ok(verdict)
}

/// How much of one processor a group uses, by its own counter against the clock, in permille.
fn measure(lab: &Lab) -> Result<Option<u64>> {
    let group = lab.group(GROUP);
    let look = || (Moment::now(), lab.layout().usage(&group).cpu);
    let (begin, before) = look();
    lab.pause(WINDOW)?;
    let (end, after) = look();
    let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
    Ok(Some(after.saturating_sub(before) * 1000 / begin.before(end).max(1)))
}

/// `quota` is "QUOTA PERIOD" as the kernel has it, `share` what was measured, in permille. PURE.
fn judge(quota: &str, share: Option<u64>) -> Verdict {
    let shown = share.map_or_else(|| "?".to_owned(), |share| format!("{}.{}", share / 10, share % 10));
    let values = vec![("quota", quota.to_owned()), ("share", shown)];
    match (quota, share) {
        ("30000 100000", Some(270..=330)) => Verdict::holds(values),
        ("30000 100000", Some(331..)) => Verdict::leaks(values),
        // Others leave it less than it may have: nothing can be said.
        ("30000 100000", _) => Verdict { state: State::Nothing, word: "starved", values },
        _ => Verdict::leaks(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_per_cent_is_measured_and_written() {
        for (quota, share, state) in [
            ("30000 100000", Some(300), State::Holds),
            ("30000 100000", Some(270), State::Holds),
            ("30000 100000", Some(330), State::Holds),
            ("30000 100000", Some(331), State::Leaks),
            ("30000 100000", Some(100), State::Nothing),
            ("30000 100000", None, State::Nothing),
            ("-1 100000", Some(300), State::Leaks),
            ("max 100000", Some(999), State::Leaks),
        ] {
            assert_eq!(judge(quota, share).state, state, "{quota} {share:?}");
        }
    }
}
