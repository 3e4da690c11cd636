//! The same users and groups: their ids, and the maps between them (user_namespaces(7)).

use std::fs;
use std::path::Path;

use anyhow::Result;
use runtime::plan::{IdMap, container_id};

use super::Row;
use super::status::Status;
use super::subject::{Subject, read};
use crate::commands::top::name_of;

/// Users, or groups.
struct Kind {
    what: &'static str,
    map: Vec<IdMap>,
    /// /etc/passwd or /etc/group on both sides.
    host: String,
    container: String,
    /// What those are called that have no id inside.
    overflow: u32,
}

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    let kind = |what, map: &[IdMap], file: &str, overflow: &str| {
        Ok::<_, anyhow::Error>(Kind {
            what,
            map: map.to_vec(),
            host: fs::read_to_string(file).unwrap_or_default(),
            container: subject.file_inside(Path::new(file)),
            overflow: read(&format!("/proc/sys/kernel/{overflow}"))?.trim().parse().unwrap_or(65534),
        })
    };
    let users = kind("user", &subject.uid_map, "/etc/passwd", "overflowuid")?;
    let groups = kind("group", &subject.gid_map, "/etc/group", "overflowgid")?;
    Ok(rows(&subject.status, &users, &groups, subject.shares("user")))
}

/// PURE.
fn rows(init: &Status, users: &Kind, groups: &Kind, shared: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, ids) in [(users, &init.uids), (groups, &init.gids)] {
        let effective = ids.get(1).copied().unwrap_or(0);
        rows.push(kind.row(kind.what, effective));
        if let Some(real) = ids.first().filter(|real| **real != effective) {
            rows.push(kind.row(&format!("real {}", kind.what), *real));
        }
    }
    rows.extend(init.groups.iter().map(|group| groups.row("also in", *group)));
    rows.push(users.row("host's root", 0));
    for (what, kind) in [("uid map", users), ("gid map", groups)] {
        let line = |line: &IdMap| Row::new(what, ids(line.host, line.size), ids(line.container, line.size));
        rows.extend(kind.map.iter().map(line));
    }
    if shared {
        rows.push(Row::new("namespace", "user: the host's own", "the same"));
    }
    rows
}

impl Kind {
    fn row(&self, what: &str, id: u32) -> Row {
        let inside = match container_id(&self.map, id) {
            Some(id) => name(&self.container, id),
            None => format!("{}: it has no id there", name(&self.container, self.overflow)),
        };
        Row::new(what, name(&self.host, id), inside)
    }
}

/// `0 (root)`
fn name(file: &str, id: u32) -> String {
    match name_of(file, id) {
        name if name == id.to_string() => name,
        name => format!("{id} ({name})"),
    }
}

/// `0-65535`
fn ids(first: u32, size: u32) -> String {
    match u64::from(first) + u64::from(size.saturating_sub(1)) {
        last if last == u64::from(first) => first.to_string(),
        last => format!("{first}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_and_those_without_one_are_nobody() {
        let kind = |what| Kind {
            what,
            map: vec![
                IdMap { container: 0, host: 7000, size: 100 },
                IdMap { container: 500, host: 9, size: 1 },
            ],
            host: "root:x:0:0:\nann:x:7000:7000:\n".into(),
            container: "root:x:0:0:\nnobody:x:65534:65534:\n".into(),
            overflow: 65534,
        };
        let init = Status {
            uids: vec![7001, 7000, 0, 0],
            gids: vec![7005, 7005],
            groups: vec![9, 8],
            ..Status::default()
        };
        let expected = [
            Row::new("user", "7000 (ann)", "0 (root)"),
            Row::new("real user", "7001", "1"),
            Row::new("group", "7005", "5"),
            Row::new("also in", "9", "500"),
            Row::new("also in", "8", "65534 (nobody): it has no id there"),
            Row::new("host's root", "0 (root)", "65534 (nobody): it has no id there"),
            Row::new("uid map", "7000-7099", "0-99"),
            Row::new("uid map", "9", "500"),
            Row::new("gid map", "7000-7099", "0-99"),
            Row::new("gid map", "9", "500"),
        ];
        assert_eq!(rows(&init, &kind("user"), &kind("group"), false), expected);
        assert_eq!(rows(&init, &kind("user"), &kind("group"), true).len(), expected.len() + 1);
    }
}
