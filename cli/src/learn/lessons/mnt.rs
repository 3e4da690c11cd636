//! Mounts: a file system that is there for some and not for others (mount_namespaces(7)).

use std::path::Path;

use anyhow::Result;
use runtime::sys::mount::{self, Attr};
use runtime::sys::ns::Kinds;

use crate::learn::lab::{Lab, Life, View, make_dir, mount_at};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

const PLACE: &str = "/tmp/mount_ns";

pub(crate) const LESSON: Lesson = Lesson {
    key: "mnt",
    acts: &[Act { lines: |_| isolated_lines(), perform: |lab| contained(lab, Kinds::MOUNT), done: None }],
    looks: &[
        Look { command: "grep mount_ns /proc/$PID/mountinfo", read: mounted },
        Look { command: "readlink /proc/$PID/ns/mnt", read: |view| view.namespace("mnt") },
    ],
    broken: Act {
        lines: |_| vec![format!("sh -c 'mount -t tmpfs tmpfs {PLACE}; sleep 1000' &")],
        perform: |lab| contained(lab, Kinds::empty()),
        done: None,
    },
    fixed: Act {
        lines: |_| [vec![format!("umount {PLACE}")], isolated_lines()].concat(),
        perform: |lab| {
            if is_mounted(&mountinfo(lab.keeper())) {
                lab.outside(&|| Ok(mount::detach(Path::new(PLACE))?))?;
            }
            contained(lab, Kinds::MOUNT)
        },
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("mnt").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

fn isolated_lines() -> Vec<String> {
    vec![
        format!("mkdir -p {PLACE}"),
        format!("unshare --mount sh -c 'mount -t tmpfs tmpfs {PLACE}; sleep 1000' &"),
    ]
}

fn contained(lab: &Lab, kinds: Kinds) -> Result<()> {
    lab.outside(&|| make_dir(Path::new(PLACE)))?;
    lab.contain(kinds, Life::Sleep, &|| {
        if !kinds.is_empty() {
            mount::make_private()?;
        }
        mount_at("tmpfs", &[], Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV, Path::new(PLACE))
    })
}

fn mounted(view: &View) -> String {
    let text = view.own("mountinfo");
    let line = text.lines().find(|line| line.split(' ').nth(4) == Some(PLACE));
    line.map_or_else(|| "-".to_owned(), str::to_owned)
}

fn mountinfo(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default()
}

/// Whether something is mounted there: field 5 of proc_pid_mountinfo(5). PURE.
fn is_mounted(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some(PLACE))
}

fn check(lab: &Lab) -> Result<Verdict> {
    let inside = lab.isolated("mnt").map(|pid| is_mounted(&mountinfo(pid)));
    Ok(judge(is_mounted(&mountinfo(lab.keeper())), inside))
}

/// PURE.
fn judge(outside: bool, inside: Option<bool>) -> Verdict {
    match (outside, inside) {
        (true, _) => Verdict::leaks(Vec::new()),
        (false, Some(true)) => Verdict::holds(Vec::new()),
        (false, _) => Verdict::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn it_has_to_be_mounted_inside_and_nowhere_else() {
        let line = "36 35 0:32 / /tmp/mount_ns rw,nosuid - tmpfs tmpfs rw\n";
        assert!(is_mounted(line) && !is_mounted(&line.replace("mount_ns", "mount_ns2")));
        for (outside, inside, state) in [
            (false, None, State::Nothing),
            (false, Some(false), State::Nothing),
            (false, Some(true), State::Holds),
            (true, Some(true), State::Leaks),
            (true, None, State::Leaks),
        ] {
            assert_eq!(judge(outside, inside).state, state);
        }
    }
}
