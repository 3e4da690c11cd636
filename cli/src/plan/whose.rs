//! Whose user namespace a container lives in, given what it shares with host and containers. PURE.
//!
//! A namespace belongs to a user namespace, and who is root elsewhere has no power over it: no sysfs of that network, no proc
//! of those processes. So what is shared decides: who shares with another container joins its users, who shares with the host
//! the host's, unless `--userns` says otherwise and the rest can be had without power.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use runtime::plan::IdMap;

use super::NetworkMode;
use super::spaces::{Flag, Ipc, Space, Spaces, Users};

/// Which user namespace a namespace belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The host's own.
    Host,
    /// Another one: the inode that names it.
    Other(u64),
}

/// A namespace of somebody else's, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) flag: Flag,
    /// As it was asked for: `container:web`.
    pub(crate) asked: String,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Whom it belongs to; a user namespace is named itself.
    pub(crate) owner: Owner,
    /// It is the host's own, which is shared by staying in it.
    pub(crate) hosts: bool,
}

impl Joined {
    /// `--network container:web`
    fn words(&self) -> String {
        format!("{} {}", self.flag.name(), self.asked)
    }
}

/// The user namespace that is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignUsers {
    /// Its file.
    pub(crate) path: PathBuf,
    pub(crate) uid_map: Vec<IdMap>,
    pub(crate) gid_map: Vec<IdMap>,
}

/// The container whose network is shared, as far as names are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkDonor {
    pub(crate) hostname: String,
    pub(crate) domainname: Option<String>,
    /// Its `hosts`, `hostname` and `resolv.conf`, as far as it has them.
    pub(crate) files: Vec<(String, PathBuf)>,
}

/// Everything that was found of what a container shares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Neighbours {
    pub(crate) joined: Vec<Joined>,
    pub(crate) users: Option<ForeignUsers>,
    pub(crate) network: Option<NetworkDonor>,
}

impl Neighbours {
    /// What was found for a flag.
    pub(crate) fn of(&self, flag: Flag) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.flag == flag)
    }

    /// The id maps that need no lease, of users and of groups: those of the users that are joined, or given by hand.
    pub(crate) fn maps(&self, spaces: &Spaces) -> Option<(Vec<IdMap>, Vec<IdMap>)> {
        match &self.users {
            Some(users) => Some((users.uid_map.clone(), users.gid_map.clone())),
            None if spaces.uid_map.is_empty() => None,
            None => Some((spaces.uid_map.clone(), spaces.gid_map.clone())),
        }
    }
}

/// Whose users a container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Its own.
    Own,
    /// The host's, and why, where nobody said so.
    Host(Option<String>),
    /// Those of the user namespace with this inode.
    Joined(u64),
}

/// The configuration forbids to share the host's user namespace in passing.
#[derive(Debug, thiserror::Error)]
#[error("{flag} would share the host's user namespace, and the configuration says userns.strict")]
pub(crate) struct Strict {
    flag: String,
}

/// What is shared belongs to different users.
#[derive(Debug, thiserror::Error)]
#[error("{one} and {other} do not go together: the one needs {}, the other {}", of(*.one_owner), of(*.other_owner))]
pub(crate) struct Disagreement {
    one: String,
    one_owner: Owner,
    other: String,
    other_owner: Owner,
}

fn of(owner: Owner) -> String {
    match owner {
        Owner::Host => "the host's users".to_owned(),
        Owner::Other(inode) => format!("those of the user namespace user:[{inode}]"),
    }
}

/// Decides. `of_host`: the flag that shares with the host itself.
///
/// # Errors
/// [`Disagreement`], [`Strict`], or what an explicit user namespace of its own cannot have.
pub(crate) fn whose(
    spaces: &Spaces,
    of_host: Option<&'static str>,
    joined: &[Joined],
    strict: bool,
) -> Result<Whose> {
    let explicit = match &spaces.users {
        Users::Host => Some((Owner::Host, "--userns=host".to_owned())),
        Users::Container(_) => {
            let users = joined.iter().find(|one| one.flag == Flag::Users);
            users.map(|users| (users.owner, users.words()))
        }
        Users::Private | Users::Auto | Users::KeepId => {
            own(joined)?;
            return Ok(Whose::Own);
        }
        Users::Unsaid if !spaces.uid_map.is_empty() => {
            own(joined)?;
            return Ok(Whose::Own);
        }
        Users::Unsaid => None,
    };
    let said = explicit.is_some();
    // With users that were asked for, what is the host's own is shared as far as it goes.
    let mut wanted = explicit;
    for one in joined.iter().filter(|one| !(said && one.hosts)) {
        match &wanted {
            Some((owner, words)) if *owner != one.owner => {
                return Err(Disagreement {
                    one: words.clone(),
                    one_owner: *owner,
                    other: one.words(),
                    other_owner: one.owner,
                }
                .into());
            }
            Some(_) => {}
            None => wanted = Some((one.owner, one.words())),
        }
    }
    match (wanted, of_host) {
        (Some((Owner::Host, _)), _) if said => Ok(Whose::Host(None)),
        (Some((Owner::Other(inode), words)), Some(flag)) if !said => Err(Disagreement {
            one: flag.to_owned(),
            one_owner: Owner::Host,
            other: words,
            other_owner: Owner::Other(inode),
        }
        .into()),
        (Some((Owner::Other(inode), _)), _) => Ok(Whose::Joined(inode)),
        (Some((Owner::Host, words)), _) => implied(words, strict),
        (None, Some(flag)) => implied(flag.to_owned(), strict),
        (None, None) => Ok(Whose::Own),
    }
}

fn implied(flag: String, strict: bool) -> Result<Whose> {
    if strict { Err(Strict { flag }.into()) } else { Ok(Whose::Host(Some(flag))) }
}

/// Users of its own have no power over what belongs to others; of what belongs to the host, a network or a name can be used
/// without.
fn own(joined: &[Joined]) -> Result<()> {
    for one in joined.iter().filter(|one| !one.hosts) {
        let usable = one.owner == Owner::Host && matches!(one.flag, Flag::Network | Flag::Uts);
        ensure!(
            usable,
            "{} and a user namespace of its own do not go together: that {} namespace belongs to {} (leave --userns out, \
             and its users are shared too)",
            one.words(),
            one.flag.what(),
            of(one.owner)
        );
    }
    Ok(())
}

/// Whether the container's users have power over the namespace of this kind that it lives in.
pub(crate) fn has_power(
    spaces: &Spaces,
    network: NetworkMode,
    neighbours: &Neighbours,
    user_namespace: bool,
    flag: Flag,
) -> bool {
    let shares_hosts = match flag {
        Flag::Pid => spaces.pid == Space::Host,
        Flag::Network => network == NetworkMode::Host,
        Flag::Ipc => spaces.ipc == Ipc::Host,
        Flag::Uts => spaces.uts == Some(Space::Host),
        Flag::Cgroup => spaces.cgroup == Space::Host,
        Flag::Users => false,
    };
    !user_namespace || !shares_hosts && neighbours.of(flag).is_none_or(|one| one.owner != Owner::Host)
}

/// What will fail in a container that shares something of the host's with a user namespace of its own: a sentence each.
pub(crate) fn limits(
    spaces: &Spaces,
    network: NetworkMode,
    neighbours: &Neighbours,
    user_namespace: bool,
) -> Vec<&'static str> {
    let powerless = |flag| !has_power(spaces, network, neighbours, user_namespace, flag);
    let mut all = Vec::new();
    if powerless(Flag::Pid) {
        all.push(
            "the host's processes are seen, but signals to them, ptrace and writing to /proc fail: /proc is the host's, read-only",
        );
    }
    if powerless(Flag::Network) {
        all.push(
            "that network is used, but changing it and raw sockets fail, ports below 1024 too: /sys is the host's, read-only",
        );
    }
    if powerless(Flag::Ipc) {
        all.push(
            "the host's shared memory and queues are used, but those of its root cannot be opened or removed",
        );
    }
    all
}

/// Refuses to run without users of one's own that nobody can read or that are the host's root.
///
/// # Errors
/// A map with id 0 of the host.
pub(crate) fn check_foreign(users: &ForeignUsers, words: &str) -> Result<()> {
    let roots = |map: &[IdMap]| map.iter().any(|line| line.host == 0);
    if roots(&users.uid_map) || roots(&users.gid_map) {
        bail!("{words}: the user namespace that it belongs to has id 0 of the host in its map");
    }
    ensure!(
        users.uid_map.iter().any(|line| line.container == 0)
            && users.gid_map.iter().any(|line| line.container == 0),
        "{words}: the user namespace that it belongs to has no id 0"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(flag: Flag, asked: &str, owner: Owner, hosts: bool) -> Joined {
        Joined { flag, asked: asked.into(), path: "/x".into(), owner, hosts }
    }

    #[test]
    fn what_is_shared_decides_whose_users_they_are() {
        use Owner::{Host, Other};
        let asked = |users| Spaces { users, ..Spaces::default() };
        let net = |owner, hosts| joined(Flag::Network, "container:n", owner, hosts);
        let ipc = |owner| joined(Flag::Ipc, "container:i", owner, false);
        let users = |owner| joined(Flag::Users, "container:u", owner, false);
        let unsaid = || asked(Users::Unsaid);
        let container = || asked(Users::Container("u".into()));
        let host_by = |flag: &str| Ok(Whose::Host(Some(flag.to_owned())));
        for (what, spaces, of_host, joined, expected) in [
            ("nothing", unsaid(), None, vec![], Ok(Whose::Own)),
            ("the host's", unsaid(), Some("--pid host"), vec![], host_by("--pid host")),
            ("said", asked(Users::Host), Some("--pid host"), vec![], Ok(Whose::Host(None))),
            ("apart", asked(Users::Private), Some("--pid host"), vec![], Ok(Whose::Own)),
            ("one", unsaid(), None, vec![net(Other(7), false)], Ok(Whose::Joined(7))),
            ("two", unsaid(), None, vec![net(Other(7), false), ipc(Other(7))], Ok(Whose::Joined(7))),
            (
                "two that disagree",
                unsaid(),
                None,
                vec![net(Other(7), false), ipc(Other(8))],
                Err("container:n and --ipc"),
            ),
            (
                "one and the host",
                unsaid(),
                None,
                vec![net(Other(7), false), ipc(Host)],
                Err("do not go together"),
            ),
            (
                "one of the host's users",
                unsaid(),
                None,
                vec![net(Host, false)],
                host_by("--network container:n"),
            ),
            (
                "one with the host's",
                unsaid(),
                Some("--ipc host"),
                vec![net(Other(7), false)],
                Err("--ipc host and"),
            ),
            (
                "said with the host's",
                container(),
                Some("--ipc host"),
                vec![users(Other(7)), net(Other(7), false)],
                Ok(Whose::Joined(7)),
            ),
            (
                "whose host network",
                container(),
                None,
                vec![users(Other(7)), net(Host, true)],
                Ok(Whose::Joined(7)),
            ),
            (
                "others",
                container(),
                None,
                vec![users(Other(7)), net(Host, false)],
                Err("--userns container:u and --network"),
            ),
            ("a host's", container(), None, vec![users(Host)], Ok(Whose::Host(None))),
            (
                "host and one",
                asked(Users::Host),
                None,
                vec![net(Other(7), false)],
                Err("--userns=host and --network"),
            ),
            ("own and one", asked(Users::Private), None, vec![net(Other(7), false)], Err("of its own")),
            ("own and a path", asked(Users::Private), None, vec![net(Host, false)], Ok(Whose::Own)),
            ("own and the host's IPC", asked(Users::KeepId), None, vec![ipc(Host)], Err("of its own")),
        ] {
            let decided = whose(&spaces, of_host, &joined, false).map_err(|error| error.to_string());
            match (decided, expected) {
                (Ok(decided), Ok(expected)) => assert_eq!(decided, expected, "{what}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{what}: {error}"),
                (decided, expected) => panic!("{what}: {decided:?}, not {expected:?}"),
            }
        }
        let strict =
            |joined: &[Joined]| whose(&unsaid(), None, joined, true).map_err(|error| error.to_string());
        assert!(strict(&[net(Host, false)]).unwrap_err().contains("userns.strict"));
        assert_eq!(strict(&[net(Other(7), false)]), Ok(Whose::Joined(7)));
    }

    #[test]
    fn power_is_where_the_owner_is() {
        let spaces = Spaces { pid: Space::Host, ..Spaces::default() };
        let none = Neighbours::default();
        let power =
            |user_namespace, flag| has_power(&spaces, NetworkMode::Bridge, &none, user_namespace, flag);
        assert!(power(false, Flag::Pid) && !power(true, Flag::Pid) && power(true, Flag::Network));
        assert_eq!(limits(&spaces, NetworkMode::Bridge, &none, true).len(), 1);
        assert_eq!(limits(&spaces, NetworkMode::Host, &none, true).len(), 2);
        assert!(limits(&spaces, NetworkMode::Host, &none, false).is_empty());
        let line = |container, host| IdMap { container, host, size: 1 };
        let users = |map: Vec<IdMap>| ForeignUsers { path: "/x".into(), gid_map: map.clone(), uid_map: map };
        assert!(check_foreign(&users(vec![line(0, 5)]), "x").is_ok());
        assert!(check_foreign(&users(vec![line(1, 5)]), "x").is_err());
        assert!(check_foreign(&users(vec![line(0, 5), line(1, 0)]), "x").is_err());
    }
}
