//! What a container shares with others, found and held: namespaces by descriptor, so that nothing can take their place.
//!
//! A path below /proc names whoever has that number now. So a container whose namespaces are shared is held by pidfd first,
//! then looked at, and asked last whether it still is the process that was written down: what was opened in between is its
//! own. Its range of ids is held in the same way, and its monitor is told before that question, so that it sees the mark when
//! it cleans up.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::runtime::Spec;
use runtime::birth::Joins;
use runtime::op::step;
use runtime::plan::IdMap;
use runtime::record::{Live, Status};
use runtime::state::{Entry, is_alive};
use runtime::sys::{self, ns};
use rustix::process::Pid;

use crate::context::Context;
use crate::plan::ids::IdLease;
use crate::plan::spaces::{Flag, Ipc, NetworkOf};
use crate::plan::whose::{
    self, ForeignUsers, Joined, Neighbours, NetworkDonor, Owner, Whose, check_foreign, whose,
};
use crate::plan::{NetworkMode, Request};
use crate::settings::Settings;

/// The mark in a container's run directory that its network namespace is used by others.
pub(crate) const NETWORK_IS_SHARED: &str = "network-is-shared";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// For the plan.
    pub(crate) neighbours: Neighbours,
    /// For the one who carries it out.
    pub(crate) joins: Joins,
    /// The ids of the user namespace that is joined, where they are leased.
    pub(crate) ids: Option<IdLease>,
}

impl Drop for Found {
    /// The donor may have ended meanwhile, and left the range to us: its last holder leaves no file.
    fn drop(&mut self) {
        if let Some(ids) = self.ids.take() {
            // Found by `mini system check` otherwise.
            let _stays = ids.release();
        }
    }
}

/// Looks at everything that a container shares with others, and decides whose users it has; `request` says so afterwards.
///
/// # Errors
/// A container that does not run or does not share, users that disagree, what the kernel answered.
pub(crate) fn find(context: &Context, request: &mut Request) -> Result<Found> {
    let spaces = request.options.spaces.clone();
    if !spaces.joins() {
        return Ok(Found::default());
    }
    step("Hold what this container shares with others, and look whose it is");
    let mut found = Found::default();
    let mut donors: Vec<Donor> = Vec::new();
    for (flag, id) in spaces.donors() {
        let at = match donors.iter().position(|donor| donor.entry.record.id == id) {
            Some(at) => at,
            None => {
                donors.push(Donor::hold(context, flag, id)?);
                donors.len() - 1
            }
        };
        donors[at].open(flag, &mut found)?;
    }
    if let Some(NetworkOf::Path(path)) = &spaces.network {
        open_path(path, &mut found)?;
    }
    let of_host = spaces.of_host(request.privileged, request.network);
    let strict = context.config.userns.strict;
    let decided = whose(&spaces, of_host, &found.neighbours.joined, strict)?;
    (request.user_namespace, request.implied_by) = match &decided {
        Whose::Own | Whose::Joined(_) => (true, None),
        Whose::Host(implied_by) => (false, implied_by.clone()),
    };
    if let Whose::Joined(inode) = decided {
        join_users(context, inode, &donors, &mut found)?;
    }
    // The user namespace is joined for what belongs to it; where it was asked for, it is no other.
    found.neighbours.joined.retain(|one| one.flag != Flag::Users);
    for donor in donors {
        donor.still_runs()?;
    }
    Ok(found)
}

/// A container that something is shared with.
struct Donor {
    entry: Entry,
    live: Live,
    /// Keeps the number from being anybody else's.
    _init: OwnedFd,
}

impl Donor {
    fn hold(context: &Context, flag: Flag, id: &str) -> Result<Donor> {
        let entry = context.state().find(id)?;
        let (Status::Running { supervised, .. }, Some(live)) = (&entry.status, &entry.live) else {
            return Err(NotRunning { what: flag.what(), name: entry.record.name.clone() }.into());
        };
        ensure!(
            *supervised,
            "cannot join the {} namespace of container {}: it has lost its monitor, and with it its address and ids",
            flag.what(),
            entry.record.name
        );
        let init = crate::commands::open_init(&entry, live.init)?;
        Ok(Donor { live: live.clone(), _init: init, entry })
    }

    fn name(&self) -> &str {
        &self.entry.record.name
    }

    fn file(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.live.init.pid).into()
    }

    /// Opens the namespace that `flag` shares.
    fn open(&self, flag: Flag, found: &mut Found) -> Result<()> {
        let (name, kind) = kind_of(flag);
        let namespace = ns::open(&self.file(name))?;
        let asked = format!("container:{}", self.name());
        let joined = look(flag, asked, self.file(name), namespace.as_fd())?;
        match flag {
            Flag::Ipc => self.shares_memory(&joined, found)?,
            Flag::Network => self.shares_network(found)?,
            _ => {}
        }
        if !joined.hosts && flag != Flag::Users {
            found.joins.namespaces.push((kind, namespace));
        }
        found.neighbours.joined.push(joined);
        Ok(())
    }

    /// docker's rule: its own IPC is shared by who was asked to be shareable.
    fn shares_memory(&self, joined: &Joined, found: &mut Found) -> Result<()> {
        let ipc = Settings::of(&self.entry.record).request.map(|request| request.options.spaces.ipc);
        match ipc.unwrap_or_default() {
            Ipc::Shareable | Ipc::Host | Ipc::Container(_) => {}
            Ipc::Private | Ipc::None => return Err(NotShareable(self.name().to_owned()).into()),
        }
        if !joined.hosts {
            found.joins.mounts = Some(ns::open(&self.file("mnt"))?);
        }
        Ok(())
    }

    /// Its names are this container's too; and where it has an address, its monitor must know that others use the namespace.
    fn shares_network(&self, found: &mut Found) -> Result<()> {
        let run = &self.entry.dirs.run;
        let spec: Spec = serde_json::from_slice(&self.entry.config()?)?;
        let hostname = fs::read_to_string(run.join("hostname")).unwrap_or_default().trim().to_owned();
        let files = ["resolv.conf", "hostname", "hosts"].into_iter();
        found.neighbours.network = Some(NetworkDonor {
            hostname: if hostname.is_empty() { self.entry.record.id[..12].to_owned() } else { hostname },
            domainname: spec.domainname().clone(),
            files: files
                .map(|name| (name.to_owned(), run.join(name)))
                .filter(|(_, path)| path.exists())
                .collect(),
        });
        if Settings::of(&self.entry.record).network == Some(NetworkMode::Bridge) {
            let mark = run.join(NETWORK_IS_SHARED);
            match sys::fs::create_new(&mark, b"", 0o600) {
                Err(error) if error.errno() == libc::EEXIST => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Asked last.
    fn still_runs(&self) -> Result<()> {
        // The monitor holds its ids and its address until init has ended: while both live, nothing of it is anybody else's.
        ensure!(
            is_alive(self.live.init) && is_alive(self.live.monitor),
            "container {} has ended meanwhile",
            self.name()
        );
        Ok(())
    }
}

/// The network namespace that a path names.
fn open_path(path: &Path, found: &mut Found) -> Result<()> {
    let namespace = ns::open(path).with_context(|| format!("--network ns:{}", path.display()))?;
    ensure!(
        ns::kind_of(namespace.as_fd())? == ns::Kinds::NETWORK,
        "--network ns:{}: it is no network namespace",
        path.display()
    );
    let asked = format!("ns:{}", path.display());
    let joined = look(Flag::Network, asked, path.to_owned(), namespace.as_fd())?;
    if !joined.hosts {
        found.joins.namespaces.push((ns::Kinds::NETWORK, namespace));
    }
    found.neighbours.joined.push(joined);
    Ok(())
}

/// Whose it is.
fn look(flag: Flag, asked: String, path: PathBuf, namespace: BorrowedFd<'_>) -> Result<Joined> {
    let users = inode_of("/proc/self/ns/user")?;
    let own = inode_of(&format!("/proc/self/ns/{}", kind_of(flag).0))?;
    let inode = inode(namespace)?;
    let owner = match flag {
        Flag::Users => inode,
        _ => self::inode(ns::owner_of(namespace).context("its owner cannot be seen from here")?.as_fd())?,
    };
    let owner = if owner == users { Owner::Host } else { Owner::Other(owner) };
    Ok(Joined { flag, asked, path, owner, hosts: inode == own })
}

/// The user namespace that what is shared belongs to: held, its map read, and its range of ids held too.
fn join_users(context: &Context, inode: u64, donors: &[Donor], found: &mut Found) -> Result<()> {
    let words = found.neighbours.joined.iter().find(|one| one.owner == Owner::Other(inode));
    let words = words.map(|one| format!("{} {}", one.flag.name(), one.asked)).unwrap_or_default();
    let lives_there = |pid: &i32| inode_of(&format!("/proc/{pid}/ns/user")).is_ok_and(|its| its == inode);
    let pid = donors.iter().map(|donor| donor.live.init.pid).find(lives_there);
    let Some(pid) = pid.or_else(|| processes().find(lives_there)) else {
        bail!(
            "{words}: no process lives in the user namespace that it belongs to, so its id map cannot be read"
        );
    };
    let held = Pid::from_raw(pid).map(sys::pidfd::open).transpose()?;
    let path = PathBuf::from(format!("/proc/{pid}/ns/user"));
    let namespace = ns::open(&path)?;
    let map = |file: &str| -> Result<Vec<IdMap>> {
        let path = format!("/proc/{pid}/{file}");
        Ok(id_map(&fs::read_to_string(&path).with_context(|| format!("read({path:?})"))?))
    };
    let users = ForeignUsers { uid_map: map("uid_map")?, gid_map: map("gid_map")?, path };
    // Asked after it is held, and after its maps were read.
    ensure!(
        self::inode(namespace.as_fd())? == inode && held.is_some() && lives_there(&pid),
        "{words}: the user namespace that it belongs to has changed"
    );
    check_foreign(&users, &words)?;
    found.ids = IdLease::share(&context.dirs.ids(), &users.uid_map).with_context(|| words)?;
    found.neighbours.users = Some(users);
    found.joins.namespaces.push((ns::Kinds::USER, namespace));
    Ok(())
}

/// What must run does not.
#[derive(Debug, thiserror::Error)]
#[error("cannot join the {what} namespace of container {name}: it is not running")]
pub(crate) struct NotRunning {
    what: &'static str,
    name: String,
}

/// Its IPC is its own.
#[derive(Debug, thiserror::Error)]
#[error("cannot join the IPC namespace of container {0}: it is non-shareable")]
pub(crate) struct NotShareable(String);

fn kind_of(flag: Flag) -> (&'static str, ns::Kinds) {
    match flag {
        Flag::Users => ("user", ns::Kinds::USER),
        Flag::Pid => ("pid", ns::Kinds::PROCESS_ID),
        Flag::Network => ("net", ns::Kinds::NETWORK),
        Flag::Ipc => ("ipc", ns::Kinds::INTER_PROCESS_COMMUNICATION),
        Flag::Uts => ("uts", ns::Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME),
        Flag::Cgroup => ("cgroup", ns::Kinds::CONTROL_GROUP),
    }
}

fn inode(namespace: BorrowedFd<'_>) -> Result<u64> {
    Ok(rustix::fs::fstat(namespace).context("fstat(NS)")?.st_ino)
}

fn inode_of(path: &str) -> Result<u64> {
    Ok(rustix::fs::stat(path).with_context(|| format!("stat({path:?})"))?.st_ino)
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// As the kernel writes it, with the host's ids as this process has them (user_namespaces(7)). PURE.
fn id_map(text: &str) -> Vec<IdMap> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        Some(IdMap { container: numbers.next()??, host: numbers.next()??, size: numbers.next()?? })
    };
    text.lines().filter_map(line).collect()
}

/// What will fail in it for want of power over what it shares.
pub(crate) fn limits(request: &Request, found: &Found) -> Vec<&'static str> {
    whose::limits(&request.options.spaces, request.network, &found.neighbours, request.user_namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_as_the_kernel_writes_them() {
        let text = "         0 2147483648      65536\n     70000 2147549184          1\n";
        let line = |container, host, size| IdMap { container, host, size };
        assert_eq!(id_map(text), [line(0, 2_147_483_648, 65_536), line(70_000, 2_147_549_184, 1)]);
        // All ids of the first user namespace: more than a map line of ours holds.
        assert_eq!(id_map("         0          0 4294967295\n"), [line(0, 0, u32::MAX)]);
    }
}
