//! The same control groups: a path outside, `/` inside, and the same limits in the same files (cgroup_namespaces(7)).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use runtime::cgroup::Layout;

use super::Row;
use super::subject::{Subject, read};
use crate::words::Words;

/// Files that limit and count: the controller, the name in version 1 and in version 2.
const FILES: [(&str, &str, &str); 6] = [
    ("memory", "memory.limit_in_bytes", "memory.max"),
    ("memory", "memory.usage_in_bytes", "memory.current"),
    ("cpu", "cpu.cfs_quota_us", "cpu.max"),
    ("cpu", "cpu.cfs_period_us", ""),
    ("pids", "pids.max", "pids.max"),
    ("pids", "pids.current", "pids.current"),
];

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    let outside = read(&format!("/proc/{}/cgroup", subject.pid))?;
    let mut rows = groups(&outside, &subject.told.cgroup, subject.words);
    for (controller, v1, v2) in FILES {
        let (name, place) = match &subject.layout {
            Layout::V1(_) => (v1, PathBuf::from("/sys/fs/cgroup").join(controller)),
            Layout::V2(_) => (v2, PathBuf::from("/sys/fs/cgroup")),
        };
        let Some(directory) =
            subject.layout.directory(controller, &subject.group).filter(|_| !name.is_empty())
        else {
            continue;
        };
        let Ok(value) = fs::read_to_string(directory.join(name)) else { continue };
        let path = path_of(&subject.told.cgroup, controller).unwrap_or_default();
        let there = place.join(path.trim_start_matches('/')).join(name);
        let inside = subject.file_inside(&there);
        let shown = |path: &Path, value: &str| match value.trim() {
            "" => subject.words.filled("group.unreadable", &[("path", path.display().to_string())]),
            value => format!("{value} {}", path.display()),
        };
        rows.push(Row::new(name, shown(&directory.join(name), &value), shown(&there, &inside)));
    }
    Ok(rows)
}

/// A hierarchy a line: its controllers, and the path on both sides. PURE.
fn groups(outside: &str, inside: &str, words: &Words) -> Vec<Row> {
    let row = |line: &str| {
        let (hierarchy, path) = split(line)?;
        let there = inside.lines().filter_map(split).find(|(other, _)| *other == hierarchy);
        let name =
            hierarchy.split_once(':').map(|(_, controllers)| controllers).filter(|name| !name.is_empty());
        let name = name.map_or_else(|| words.text("group.version_2"), str::to_owned);
        Some(Row::new(name, path, there.map_or("-", |(_, path)| path)))
    };
    outside.lines().filter_map(row).collect()
}

/// `8:pids:/mini/x` → `8:pids` and `/mini/x`; only the last may have a colon in it.
fn split(line: &str) -> Option<(&str, &str)> {
    let number = line.find(':')?;
    let end = number + 1 + line[number + 1..].find(':')?;
    Some((&line[..end], &line[end + 1..]))
}

/// The path in the hierarchy of a controller; in version 2's where none has it. PURE.
fn path_of<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    let has = |hierarchy: &str| {
        let controllers = hierarchy.split_once(':').map_or("", |(_, controllers)| controllers);
        controllers.split(',').any(|one| one == controller)
    };
    let mut lines = text.lines().filter_map(split);
    let of_version_2 = text.lines().filter_map(split).find(|(hierarchy, _)| *hierarchy == "0:");
    lines.find(|(hierarchy, _)| has(hierarchy)).or(of_version_2).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Language;

    #[test]
    fn paths_are_those_of_each_side() {
        let outside = "9:name=systemd:/user\n4:cpu,cpuacct:/mini/a:b\n0::/mini/a:b\n";
        let inside = "9:name=systemd:/../user\n4:cpu,cpuacct:/\n0::/\n";
        let expected = [
            Row::new("name=systemd", "/user", "/../user"),
            Row::new("cpu,cpuacct", "/mini/a:b", "/"),
            Row::new("version 2", "/mini/a:b", "/"),
        ];
        assert_eq!(groups(outside, inside, &super::super::words(Language::En)), expected);
        assert_eq!(path_of(outside, "cpuacct"), Some("/mini/a:b"));
        assert_eq!(path_of("9:name=systemd:/user\n0::/x\n", "pids"), Some("/x"));
        assert_eq!(path_of("", "pids"), None);
    }
}
