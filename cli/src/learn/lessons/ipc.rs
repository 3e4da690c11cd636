//! IPC: shared memory that is shared with some (ipc_namespaces(7), sysvipc(7)).

use anyhow::Result;
use runtime::sys::ipc::make_segment;
use runtime::sys::ns::Kinds;

use crate::learn::lab::{Lab, Life, View};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

const SIZE: usize = 1000;

pub(crate) const LESSON: Lesson = Lesson {
    key: "ipc",
    acts: &[
        Act {
            lines: |_| vec![format!("ipcmk -M {SIZE}")],
            perform: |lab| lab.outside(&|| make_segment(SIZE).map(drop).map_err(Into::into)),
            done: Some(|lab| Ok(has_segment(&lab.see_outside(&segments)?))),
        },
        Act {
            lines: |_| vec!["unshare --ipc sleep 1000 &".to_owned()],
            perform: |lab| lab.contain(Kinds::INTER_PROCESS_COMMUNICATION, Life::Sleep, &|| Ok(())),
            done: None,
        },
    ],
    looks: &[
        Look { command: "ipcs -m", read: segments },
        Look { command: "readlink /proc/$PID/ns/ipc", read: |view| view.namespace("ipc") },
    ],
    broken: Act {
        lines: |_| vec!["sleep 1000 &".to_owned()],
        perform: |lab| lab.contain(Kinds::empty(), Life::Sleep, &|| Ok(())),
        done: None,
    },
    fixed: Act {
        lines: |_| vec!["unshare --ipc sleep 1000 &".to_owned()],
        perform: |lab| lab.contain(Kinds::INTER_PROCESS_COMMUNICATION, Life::Sleep, &|| Ok(())),
        done: None,
    },
    outside: Lab::keeper,
    inside: |lab| lab.isolated("ipc").or_else(|| lab.youngest()),
    check,
    machine: no_machine,
};

/// Id and size of every segment, as the namespace of whoever opens the file has them (proc(5), /proc/sysvipc/shm).
fn segments(view: &View) -> String {
    let text = view.file("sysvipc/shm");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        format!("{:>8} {:>8}", fields.get(1).unwrap_or(&""), fields.get(3).unwrap_or(&""))
    };
    text.lines().map(row).collect::<Vec<_>>().join("\n")
}

/// PURE.
fn has_segment(segments: &str) -> bool {
    segments.lines().any(|line| line.split_whitespace().nth(1) == Some("1000"))
}

fn check(lab: &Lab) -> Result<Verdict> {
    let outside = has_segment(&lab.see_outside(&segments)?);
    let isolated = lab.isolated("ipc");
    let inside = isolated.or_else(|| lab.youngest()).map(|pid| lab.see(pid, &segments)).transpose()?;
    Ok(judge(outside, isolated.is_some(), inside.as_deref().map(has_segment)))
}

/// PURE.
fn judge(outside: bool, isolated: bool, inside: Option<bool>) -> Verdict {
    match (outside, isolated, inside) {
        (true, true, Some(false)) => Verdict::holds(Vec::new()),
        (true, _, Some(true)) => Verdict::leaks(Vec::new()),
        _ => Verdict::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn it_has_to_be_seen_outside_and_not_inside() {
        assert!(
            has_segment("   shmid     size\n       0     1000")
                && !has_segment("   shmid     size\n    1000       10")
        );
        for (outside, isolated, inside, state) in [
            (false, false, None, State::Nothing),
            (true, false, None, State::Nothing),
            (true, true, Some(false), State::Holds),
            (true, false, Some(true), State::Leaks),
            (false, true, Some(false), State::Nothing),
        ] {
            assert_eq!(judge(outside, isolated, inside).state, state);
        }
    }
}
