//! One look through /proc: which namespaces there are, who lives in them, and what they hang on (namespaces(7), ioctl_ns(2)).

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use runtime::plan::IdMap;
use runtime::sys::ns::{KINDS_IN_PROC, owner_of, parent_of};
use rustix::process::Pid;

/// Where a container lives.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) container: String,
    /// Its first process.
    pub(super) init: i32,
    /// All of its processes; none where nobody asks for them.
    pub(super) pids: Vec<i32>,
}

/// A namespace: its inode number is its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) kind: &'static str,
    pub(super) inode: u64,
    /// How many processes live in it.
    pub(super) processes: usize,
    /// The user namespace that owns it; of a user namespace, its parent.
    pub(super) owner: Option<u64>,
    pub(super) host: bool,
    pub(super) containers: Vec<String>,
    /// Of a user namespace with a process in it: which users inside are which outside, as this process sees them.
    pub(super) uid_map: Option<Vec<IdMap>>,
    /// The same of its groups.
    pub(super) gid_map: Option<Vec<IdMap>>,
    /// Of a pid namespace: the processes of containers in it.
    pub(super) members: Vec<Member>,
}

/// A process of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) container: String,
    /// As this process sees it.
    pub(super) pid: i32,
    /// As it sees itself.
    pub(super) inside: i32,
    /// What it calls itself.
    pub(super) name: String,
}

impl Space {
    /// One that `pid` lives in.
    fn new(kind: &'static str, inode: u64, pid: i32) -> Space {
        let map = |file: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok().filter(|_| kind == "user");
            text.map(|text| runtime::idmap::parse(&text))
        };
        Space { kind, inode, uid_map: map("uid_map"), gid_map: map("gid_map"), ..Space::default() }
    }

    /// Whether the host or a container lives in it, not only a descendant of it.
    pub(super) fn is_somebodys(&self) -> bool {
        self.host || !self.containers.is_empty()
    }

    /// Who lives in it, by name.
    pub(super) fn who(&self) -> Vec<&str> {
        let host = self.host.then_some("host");
        host.into_iter().chain(self.containers.iter().map(String::as_str)).collect()
    }
}

type Known = BTreeMap<(&'static str, u64), Space>;

/// The namespaces of containers, the host's where they are asked for or shared, and the user namespaces that these hang on.
pub(super) fn look(homes: &[Home], with_the_hosts: bool) -> Vec<Space> {
    let mut known = Known::new();
    for pid in processes() {
        for (kind, inode) in namespaces_of(&pid.to_string()) {
            known.entry((kind, inode)).or_insert_with(|| Space::new(kind, inode, pid)).processes += 1;
        }
    }
    let mut ancestors = Vec::new();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for pid in [1, own] {
        visit(&mut known, pid, &mut ancestors, &|space| space.host = true);
    }
    for home in homes {
        let lives_there = |space: &mut Space| {
            if space.containers.last() != Some(&home.container) {
                space.containers.push(home.container.clone());
            }
        };
        visit(&mut known, home.init, &mut ancestors, &lives_there);
        // Its processes may have made namespaces of their own, or have been executed from elsewhere.
        for member in home.pids.iter().filter_map(|pid| Member::look(&home.container, *pid)) {
            visit(&mut known, member.pid, &mut ancestors, &lives_there);
            let pids = namespaces_of(&member.pid.to_string()).into_iter().find(|(kind, _)| *kind == "pid");
            if let Some(space) = pids.and_then(|space| known.get_mut(&space)) {
                space.members.push(member);
            }
        }
    }
    let mut spaces: Vec<Space> = known.into_values().collect();
    spaces.retain(|space| {
        !space.containers.is_empty()
            || with_the_hosts && space.host
            || space.kind == "user" && ancestors.contains(&space.inode)
    });
    spaces
}

/// Marks the namespaces of a process, and finds out what they hang on.
fn visit(known: &mut Known, pid: i32, ancestors: &mut Vec<u64>, mark: &dyn Fn(&mut Space)) {
    for (kind, inode) in namespaces_of(&pid.to_string()) {
        let namespace =
            Pid::from_raw(pid).and_then(|pid| runtime::sys::control::open_namespace(pid, kind).ok());
        let owner = namespace.as_ref().and_then(|namespace| owner_of(namespace.as_fd()).ok());
        let space = known.entry((kind, inode)).or_insert_with(|| Space::new(kind, inode, pid));
        space.owner = owner.as_ref().and_then(inode_of);
        mark(space);
        // A user namespace may have no process any more, and still own others.
        let mut above = owner;
        while let Some(namespace) = above.take() {
            let Some(inode) = inode_of(&namespace) else { break };
            let parent = parent_of(namespace.as_fd()).ok();
            let new = || Space { kind: "user", inode, ..Space::default() };
            let space = known.entry(("user", inode)).or_insert_with(new);
            space.owner = parent.as_ref().and_then(inode_of);
            ancestors.push(inode);
            above = parent;
        }
    }
}

fn inode_of(namespace: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(namespace).ok().map(|stat| stat.st_ino)
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The namespaces of a process: kind and inode.
pub(crate) fn namespaces_of(pid: &str) -> Vec<(&'static str, u64)> {
    let inode = |kind: &str| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        link.to_str()?.split_once('[')?.1.trim_end_matches(']').parse().ok()
    };
    KINDS_IN_PROC.iter().filter_map(|kind| Some((*kind, inode(kind)?))).collect()
}

impl Member {
    /// `None` where it has ended meanwhile.
    fn look(container: &str, pid: i32) -> Option<Member> {
        let read = |file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let status = read("status")?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let inside = numbers.split_whitespace().last()?.parse().ok()?;
        let name = read("comm")?.trim_end_matches('\n').to_owned();
        Some(Member { container: container.to_owned(), pid, inside, name })
    }
}
