//! The same users and groups: their ids, and the maps between them (user_namespaces(7)).

use std::fs;
use std::path::Path;

use anyhow::Result;
use runtime::plan::{IdMap, container_id};

use super::Row;
use super::status::Status;
use super::subject::{Subject, read};
use crate::commands::top::name_of;
use crate::words::Words;

/// Users, or groups.
struct Kind {
    /// `user` or `group`: a key.
    what: String,
    map: Vec<IdMap>,
    /// /etc/passwd or /etc/group on both sides.
    host: String,
    container: String,
    /// What those are called that have no id inside.
    overflow: u32,
}

pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Row>> {
    let kind = |what: &str, map: &[IdMap], file: &str, overflow: &str| {
        Ok::<_, anyhow::Error>(Kind {
            what: what.to_owned(),
            map: map.to_vec(),
            host: fs::read_to_string(file).unwrap_or_default(),
            container: subject.file_inside(Path::new(file)),
            overflow: read(&format!("/proc/sys/kernel/{overflow}"))?.trim().parse().unwrap_or(65534),
        })
    };
    let users = kind("user", &subject.uid_map, "/etc/passwd", "overflowuid")?;
    let groups = kind("group", &subject.gid_map, "/etc/group", "overflowgid")?;
    Ok(rows(&subject.status, &users, &groups, subject.shares("user"), subject.words))
}

/// PURE.
fn rows(init: &Status, users: &Kind, groups: &Kind, shared: bool, words: &Words) -> Vec<Row> {
    let word = |key: &str| words.text(&format!("user.{key}"));
    let mut rows = Vec::new();
    for (kind, ids) in [(users, &init.uids), (groups, &init.gids)] {
        let effective = ids.get(1).copied().unwrap_or(0);
        rows.push(kind.row(word(&kind.what), effective, words));
        if let Some(real) = ids.first().filter(|real| **real != effective) {
            rows.push(kind.row(word(&format!("real_{}", kind.what)), *real, words));
        }
    }
    rows.extend(init.groups.iter().map(|group| groups.row(word("also"), *group, words)));
    rows.push(users.row(word("root"), 0, words));
    for (what, kind) in [(word("uid_map"), users), (word("gid_map"), groups)] {
        let line =
            |line: &IdMap| Row::new(what.clone(), ids(line.host, line.size), ids(line.container, line.size));
        rows.extend(kind.map.iter().map(line));
    }
    if shared {
        rows.push(Row::new(word("namespace"), word("shared"), word("same")));
    }
    rows
}

impl Kind {
    fn row(&self, what: String, id: u32, words: &Words) -> Row {
        let inside = match container_id(&self.map, id) {
            Some(id) => name(&self.container, id),
            None => words.filled("user.unmapped", &[("name", name(&self.container, self.overflow))]),
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
    use crate::explain::Language;

    #[test]
    fn ids_are_mapped_and_those_without_one_are_nobody() {
        let kind = |what: &str| Kind {
            what: what.to_owned(),
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
        let words = super::super::words(Language::En);
        assert_eq!(rows(&init, &kind("user"), &kind("group"), false, &words), expected);
        assert_eq!(rows(&init, &kind("user"), &kind("group"), true, &words).len(), expected.len() + 1);
    }
}
