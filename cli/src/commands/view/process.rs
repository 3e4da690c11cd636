//! The same processes: their numbers, and who is whose child.

use super::Row;
use super::status::Status;
use super::subject::Subject;
use crate::words::Words;

/// A process, and its parent as far as it can be seen.
struct Process {
    status: Status,
    parent: Option<Status>,
}

pub(super) fn look(subject: &Subject<'_>) -> Vec<Row> {
    let mut pids = subject.layout.processes(&subject.group);
    // Its first process first, whatever number it has.
    pids.retain(|pid| *pid != subject.pid);
    pids.insert(0, subject.pid);
    // One that has ended meanwhile is none any more.
    let all = pids.iter().filter_map(|pid| Status::read(&pid.to_string()).ok());
    let with_parent = |status: Status| {
        let parent = Status::read(&status.parent.to_string()).ok();
        Process { parent, status }
    };
    rows(&subject.status, &all.map(with_parent).collect::<Vec<_>>(), subject.words)
}

/// PURE.
fn rows(init: &Status, all: &[Process], words: &Words) -> Vec<Row> {
    let depth = init.numbers.len().saturating_sub(1);
    // A process of a pid namespace that is no descendant of init's has no number there.
    let inside = |status: &Status| status.numbers.get(depth).copied();
    let numbers = |numbers: &[i32]| numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    let child =
        |pid: String, parent: String| words.filled("process.child", &[("pid", pid), ("parent", parent)]);
    let mut rows = vec![Row::new(
        "NSpid",
        numbers(&init.numbers),
        numbers(&init.numbers[depth.min(init.numbers.len())..]),
    )];
    for Process { status, parent } in all {
        let outside = match parent {
            Some(parent) => {
                child(format!("{} {}", status.pid, status.state), format!("{} {}", parent.pid, parent.name))
            }
            None => format!("{} {}", status.pid, status.state),
        };
        let there = match inside(status) {
            // What is outside of the namespace has the number 0 there (pid_namespaces(7)).
            Some(pid) => child(pid.to_string(), parent.as_ref().and_then(inside).unwrap_or(0).to_string()),
            None => words.text("process.absent"),
        };
        rows.push(Row::new(status.name.clone(), outside, there));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;
    use crate::explain::Language;

    fn status(name: &str, numbers: &[i32]) -> Status {
        Status {
            pid: numbers[0],
            numbers: numbers.to_vec(),
            name: name.into(),
            state: 'S',
            ..Status::default()
        }
    }

    #[test]
    fn numbers_and_parents_are_those_of_each_side() {
        let init = status("sh", &[88, 1]);
        let all = [
            Process { status: init.clone(), parent: Some(status("mini", &[7])) },
            Process { status: status("sleep", &[90, 5]), parent: Some(init.clone()) },
            Process { status: status("nested", &[91, 6, 1]), parent: Some(status("sleep", &[90, 5])) },
            Process { status: status("far", &[92]), parent: None },
        ];
        let expected = [
            Row::new("NSpid", "88 1", "1"),
            Row::new("sh", "88 S, child of 7 mini", "1, child of 0"),
            Row::new("sleep", "90 S, child of 88 sh", "5, child of 1"),
            Row::new("nested", "91 S, child of 90 sleep", "6, child of 5"),
            Row::new("far", "92 S", "not there"),
        ];
        assert_eq!(rows(&init, &all, &words(Language::En)), expected);
        // In the host's own pid namespace.
        let init = status("sh", &[88]);
        let all = [Process { status: init.clone(), parent: Some(status("mini", &[7])) }];
        let expected =
            [Row::new("NSpid", "88", "88"), Row::new("sh", "88 S, child of 7 mini", "88, child of 7")];
        assert_eq!(rows(&init, &all, &words(Language::En)), expected);
    }
}
