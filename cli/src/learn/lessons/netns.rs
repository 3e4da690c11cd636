//! A network namespace with a name, and a container that joins it (ip-netns(8)).

use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Result;
use runtime::sys;
use runtime::sys::mount::{self, Attr};
use runtime::sys::{control, ns};

use super::root::learner;
use crate::learn::lab::{Lab, inode, mount_at};
use crate::learn::lesson::{Act, Lesson, Look, Verdict, no_machine};

const DIRECTORY: &str = "/run/netns";
const NAME: &str = "/run/netns/mynet";
const JOINED: &[&str] = &["--network", "ns:/var/run/netns/mynet"];
const SHARED: &[&str] = &["--network", "host"];

pub(crate) const LESSON: Lesson = Lesson {
    key: "netns",
    acts: &[Act { lines: joined_lines, perform: joined, done: None }],
    looks: &[
        Look { command: "readlink /proc/$PID/ns/net", read: |view| view.namespace("net") },
        Look { command: "ip link", read: |view| super::net::links(&view.own("net/dev")).join(" ") },
    ],
    broken: Act {
        lines: |lab| vec![lab.run_line(SHARED)],
        perform: |lab| lab.run(SHARED, &|| Ok(())),
        done: None,
    },
    fixed: Act { lines: joined_lines, perform: joined, done: None },
    outside: |_| learner(),
    inside: Lab::guest,
    check,
    machine: no_machine,
};

fn joined_lines(lab: &Lab) -> Vec<String> {
    vec!["ip netns add mynet".to_owned(), lab.run_line(JOINED)]
}

fn joined(lab: &Lab) -> Result<()> {
    lab.run(JOINED, &add)
}

/// What `ip netns add` does: a new namespace, held by a mount of its file; here in a mount namespace that ends with the
/// container.
fn add() -> Result<()> {
    sys::fs::make_dirs_public(Path::new(DIRECTORY))?;
    mount_at("tmpfs", &[("mode", "0755")], Attr::MOUNT_ATTR_NODEV, Path::new(DIRECTORY))?;
    sys::fs::create_new(Path::new(NAME), b"", 0o444)?;
    let own = control::open_namespace(rustix::process::getpid(), "net")?;
    ns::unshare_network()?;
    let file = sys::fs::open_path_following(Path::new("/proc/self/ns/net"))?;
    let held = mount::clone_tree(file.as_fd(), Path::new(""), false)?;
    mount::place(held.as_fd(), sys::fs::open_path_following(Path::new(NAME))?.as_fd(), Path::new(NAME))?;
    Ok(ns::join_network(own.as_fd())?)
}

fn check(lab: &Lab) -> Result<Verdict> {
    let Some(pid) = lab.guest() else { return Ok(Verdict::nothing()) };
    let named = lab.guest_client().and_then(|client| {
        std::fs::metadata(format!("/proc/{client}/root{NAME}")).ok().map(|meta| meta.ino())
    });
    Ok(judge(inode(pid, "net"), named, inode(learner(), "net")))
}

/// Inodes: of the container's network, of the one with the name, of the machine's. PURE.
fn judge(inside: Option<u64>, named: Option<u64>, machine: Option<u64>) -> Verdict {
    let shown = |inode: Option<u64>| inode.map_or_else(|| "-".to_owned(), |inode| inode.to_string());
    let values = vec![("inside", shown(inside)), ("named", shown(named)), ("machine", shown(machine))];
    if inside.is_some() && inside == named && inside != machine {
        Verdict::holds(values)
    } else {
        Verdict::leaks(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::lesson::State;

    #[test]
    fn it_has_to_be_the_one_with_the_name() {
        assert_eq!(judge(Some(2), Some(2), Some(1)).state, State::Holds);
        assert_eq!(judge(Some(1), None, Some(1)).state, State::Leaks);
        assert_eq!(judge(Some(3), Some(2), Some(1)).state, State::Leaks);
        assert_eq!(judge(None, None, Some(1)).state, State::Leaks);
    }
}
