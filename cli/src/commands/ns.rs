//! `mini ns`: the namespaces of containers and of the host, and who owns them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use runtime::record::Status;
use runtime::sys::ns::{KINDS_IN_PROC, owner_of};

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, table};

/// List the namespaces of containers and of the host
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini ns\n  mini ns web\n\nSee also: mini ps, lsns(8)")]
pub(crate) struct NsArgs {
    /// Only the namespaces of these containers, and what they share
    containers: Vec<String>,
}

/// A namespace: its inode number is its name (namespaces(7)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Namespace {
    kind: &'static str,
    inode: u64,
}

#[derive(Debug, Default)]
struct Seen {
    processes: usize,
    /// The user namespace that owns it.
    owner: Option<u64>,
    containers: Vec<String>,
    host: bool,
}

/// Looks through /proc once, and prints a row a namespace.
pub(crate) fn ns(context: &Context, args: &NsArgs) -> Result<ExitCode> {
    let state = context.state();
    let entries = match args.containers.as_slice() {
        [] => state.list()?,
        words => words.iter().map(|word| state.find(word)).collect::<Result<_, _>>()?,
    };
    let mut seen: BTreeMap<Namespace, Seen> = BTreeMap::new();
    for pid in processes() {
        for namespace in namespaces_of(pid) {
            seen.entry(namespace).or_default().processes += 1;
        }
    }
    for namespace in namespaces_of(1).into_iter().chain(namespaces_of_self()) {
        let seen = seen.entry(namespace).or_default();
        seen.host = true;
    }
    for entry in &entries {
        let (Status::Running { .. }, Some(live)) = (&entry.status, &entry.live) else { continue };
        for namespace in namespaces_of(live.init.pid) {
            let owner = owner(live.init.pid, namespace.kind);
            let seen = seen.entry(namespace).or_default();
            seen.owner = owner;
            seen.containers.push(entry.record.name.clone());
        }
    }
    seen.retain(|_, seen| !seen.containers.is_empty() || (seen.host && args.containers.is_empty()));
    let rows: Vec<Vec<String>> = seen.iter().map(|(namespace, seen)| row(namespace, seen)).collect();
    output::print(table::table(&["NAMESPACE", "TYPE", "PROCESSES", "OWNER", "WHO"], &rows).as_bytes())?;
    Ok(ExitCode::Success)
}

fn row(namespace: &Namespace, seen: &Seen) -> Vec<String> {
    let mut who: Vec<&str> = if seen.host { vec!["host"] } else { Vec::new() };
    who.extend(seen.containers.iter().map(String::as_str));
    vec![
        namespace.inode.to_string(),
        namespace.kind.to_owned(),
        seen.processes.to_string(),
        seen.owner.map_or_else(|| "-".to_owned(), |owner| format!("user:{owner}")),
        who.join(", "),
    ]
}

fn processes() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn namespaces_of(pid: i32) -> Vec<Namespace> {
    read(&format!("/proc/{pid}/ns"))
}

fn namespaces_of_self() -> Vec<Namespace> {
    read("/proc/self/ns")
}

fn read(directory: &str) -> Vec<Namespace> {
    let inode = |kind: &str| {
        let link = std::fs::read_link(format!("{directory}/{kind}")).ok()?;
        link.to_str()?.split_once('[')?.1.trim_end_matches(']').parse().ok()
    };
    KINDS_IN_PROC.iter().filter_map(|kind| Some(Namespace { kind, inode: inode(kind)? })).collect()
}

/// The inode of the user namespace that owns one of a process's namespaces; for a user namespace, its parent.
fn owner(pid: i32, kind: &str) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    let namespace: OwnedFd = runtime::sys::control::open_namespace(pid, kind).ok()?;
    let owner = owner_of(namespace.as_fd()).ok()?;
    rustix::fs::fstat(&owner).ok().map(|stat| stat.st_ino)
}
