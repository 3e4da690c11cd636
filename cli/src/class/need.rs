//! What lessons need of a machine, and what was found of it. PURE.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::learn;

/// What was found of one need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Which need: a key of [`NEEDS`].
    pub(crate) key: String,
    /// In a few words.
    pub(crate) found: String,
    pub(crate) verdict: Verdict,
    /// What helps.
    pub(crate) hint: Option<String>,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// Lessons can be done; something else may not work.
    Warning,
    /// Those lessons that need it cannot be done as they are written.
    Missing,
}

impl Verdict {
    /// As the table and JSON have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Missing => "missing",
        }
    }
}

impl Found {
    /// It is there.
    pub(crate) fn ok(key: &str, found: impl Into<String>) -> Found {
        Found { key: key.to_owned(), found: found.into(), verdict: Verdict::Ok, hint: None }
    }

    /// It is there, but.
    pub(crate) fn warning(key: &str, found: impl Into<String>, hint: impl Into<String>) -> Found {
        Found { verdict: Verdict::Warning, hint: Some(hint.into()), ..Found::ok(key, found) }
    }

    /// It is not there.
    pub(crate) fn missing(key: &str, found: impl Into<String>, hint: Option<String>) -> Found {
        Found { verdict: Verdict::Missing, hint, ..Found::ok(key, found) }
    }
}

/// Something that is needed: its key, which stays the same for those who collect results; what it is; and by which lessons. What
/// no lesson needs is for everyday containers.
pub(crate) type Need = (&'static str, &'static str, Lessons);

/// Which lessons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lessons {
    /// What the lab itself is made of.
    All,
    Some(&'static [&'static str]),
}

/// Lessons whose containers `mini run` starts.
const CONTAINERS: Lessons = Lessons::Some(&["root", "netns"]);
const NETWORK: Lessons = Lessons::Some(&["net"]);
const NONE: Lessons = Lessons::Some(&[]);

/// Everything, in the order of the table.
pub(crate) const NEEDS: &[Need] = &[
    ("kernel", "Linux", Lessons::All),
    ("capabilities", "root's capabilities", Lessons::All),
    ("capability.sys_resource", "CAP_SYS_RESOURCE", NONE),
    ("namespace.user", "user namespaces", Lessons::All),
    ("namespace.mnt", "mount namespaces", Lessons::All),
    ("namespace.pid", "pid namespaces", Lessons::All),
    ("namespace.net", "network namespaces", Lessons::All),
    ("namespace.uts", "uts namespaces", Lessons::All),
    ("namespace.ipc", "ipc namespaces", Lessons::All),
    ("namespace.cgroup", "cgroup namespaces", Lessons::All),
    ("namespace.limits", "/proc/sys/user/max_*", Lessons::All),
    ("namespace.unprivileged", "user namespaces without root", NONE),
    ("idmap", "id maps", Lessons::All),
    ("overlay", "overlay in a user namespace", Lessons::Some(&["overlay", "root", "netns"])),
    ("idmapped", "idmapped mounts", CONTAINERS),
    ("seccomp", "seccomp filters", Lessons::Some(&["seccomp", "root", "netns"])),
    ("bridge", "bridges", NETWORK),
    ("veth", "veth pairs", NETWORK),
    ("nf_tables", "nf_tables", NETWORK),
    ("cgroup", "control groups", Lessons::All),
    ("cgroup.cpu", "the cpu controller", Lessons::Some(&["cpu"])),
    ("cgroup.memory", "the memory controller", NONE),
    ("cgroup.pids", "the pids controller", Lessons::All),
    ("cgroup.freezer", "the freezer", Lessons::Some(&["freezer", "cgroup"])),
    ("disk.root", "room for images", CONTAINERS),
    ("disk.run", "room for what runs", CONTAINERS),
    ("lab", "the world of a lesson", Lessons::All),
    ("container", "a container", CONTAINERS),
    ("program.sh", "sh", Lessons::All),
    (
        "program.coreutils",
        "cat, chmod, cp, mkdir, rm, sleep, tee",
        Lessons::Some(&[
            "uts",
            "mnt",
            "pid",
            "ipc",
            "user",
            "freezer",
            "cgroup",
            "cpu",
            "rootfs",
            "net",
            "overlay",
            "capabilities",
            "seccomp",
        ]),
    ),
    (
        "program.unshare",
        "unshare",
        Lessons::Some(&["uts", "mnt", "pid", "ipc", "user", "cgroup", "rootfs", "net", "overlay"]),
    ),
    ("program.nsenter", "nsenter", NETWORK),
    ("program.setpriv", "setpriv", Lessons::Some(&["user", "capabilities"])),
    ("program.mount", "mount, umount", Lessons::Some(&["mnt", "rootfs", "overlay", "seccomp"])),
    ("program.hostname", "hostname", Lessons::Some(&["uts", "capabilities"])),
    ("program.ipcmk", "ipcmk", Lessons::Some(&["ipc"])),
    ("program.chroot", "chroot, pivot_root", Lessons::Some(&["rootfs"])),
    ("program.busybox", "busybox, static", Lessons::Some(&["rootfs"])),
    ("program.ip", "ip", Lessons::Some(&["net", "netns"])),
    ("program.nft", "nft", NETWORK),
    ("program.script", "what mini script calls", NONE),
    ("image", "an image", NONE),
];

/// The needs, each with what was found of it.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<(&'static Need, Found)>,
}

impl Report {
    /// Puts what was found into the order of the table; what nobody could look at is missing.
    pub(crate) fn of(found: Vec<Found>) -> Report {
        let mut by_key: BTreeMap<String, Found> =
            found.into_iter().map(|found| (found.key.clone(), found)).collect();
        let row = |need: &'static Need| {
            let nothing = || Found::missing(need.0, "not tried", None);
            let mut found = by_key.remove(need.0).unwrap_or_else(nothing);
            if found.verdict == Verdict::Missing && lessons(need.2).is_empty() {
                found.verdict = Verdict::Warning;
            }
            (need, found)
        };
        Report { rows: NEEDS.iter().map(row).collect() }
    }

    /// Whether everything that a lesson needs is there.
    pub(crate) fn can_do(&self, lesson: &str) -> bool {
        let lacks = |(need, found): &(&Need, Found)| {
            found.verdict == Verdict::Missing && lessons(need.2).contains(&lesson)
        };
        !self.rows.iter().any(lacks)
    }

    /// Whether every lesson can be done.
    pub(crate) fn is_ok(&self) -> bool {
        learn::names().all(|lesson| self.can_do(lesson))
    }

    /// A row each: what, found, verdict, hint, lessons.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let row = |(need, found): &(&Need, Found)| {
            let lessons = match need.2 {
                Lessons::All => "all".to_owned(),
                Lessons::Some([]) => "-".to_owned(),
                Lessons::Some(some) => some.join(" "),
            };
            let verdict = found.verdict.word().to_owned();
            vec![need.1.to_owned(), found.found.clone(), verdict, lessons]
        };
        self.rows.iter().map(row).collect()
    }

    /// What helps, each with what it is about.
    pub(crate) fn hints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.rows.iter().filter_map(|(need, found)| Some((need.1, found.hint.as_deref()?)))
    }

    /// For who collects results: one object, whose keys stay.
    pub(crate) fn json(&self, host: &str, kernel: &str) -> Value {
        let check = |(need, found): &(&Need, Found)| {
            json!({
                "key": need.0,
                "what": need.1,
                "found": found.found,
                "verdict": found.verdict.word(),
                "hint": found.hint,
                "lessons": lessons(need.2),
            })
        };
        let able: serde_json::Map<String, Value> =
            learn::names().map(|lesson| (lesson.to_owned(), self.can_do(lesson).into())).collect();
        json!({
            "version": 1,
            "host": host,
            "kernel": kernel,
            "mini": env!("CARGO_PKG_VERSION"),
            "ok": self.is_ok(),
            "lessons": able,
            "checks": self.rows.iter().map(check).collect::<Vec<_>>(),
        })
    }
}

/// Their names.
fn lessons(which: Lessons) -> Vec<&'static str> {
    match which {
        Lessons::All => learn::names().collect(),
        Lessons::Some(some) => some.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Vec<Found> {
        NEEDS.iter().map(|(key, ..)| Found::ok(key, "yes")).collect()
    }

    fn with(found: Found) -> Report {
        let mut all = everything();
        all.retain(|one| one.key != found.key);
        all.push(found);
        Report::of(all)
    }

    #[test]
    fn needs_name_lessons_that_there_are_and_keys_stand_once() {
        let mut keys: Vec<&str> = NEEDS.iter().map(|need| need.0).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), NEEDS.len());
        for (key, _, which) in NEEDS {
            for lesson in lessons(*which) {
                assert!(learn::names().any(|name| name == lesson), "{key}: {lesson}");
            }
        }
    }

    #[test]
    fn what_is_missing_stops_those_lessons_that_need_it() {
        assert!(Report::of(everything()).is_ok());
        let report = with(Found::missing("program.nft", "no", None));
        assert!(!report.is_ok() && !report.can_do("net") && report.can_do("uts"));
        assert_eq!(report.json("h", "k")["lessons"]["net"], false);
        // What no lesson needs is a warning at most.
        let report = with(Found::missing("image", "none", Some("pull one".to_owned())));
        assert!(report.is_ok());
        assert_eq!(report.hints().collect::<Vec<_>>(), [("an image", "pull one")]);
        assert!(with(Found::warning("kernel", "5.4", "a newer one")).is_ok());
        // Nobody looked.
        let report = Report::of(Vec::new());
        assert!(learn::names().all(|lesson| !report.can_do(lesson)));
    }
}
