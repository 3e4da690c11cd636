//! `--without`: which flags leave one isolation out and keep the container's users its own. PURE.
//!
//! It is said in terms of the flags that there are, so that a record, `inspect --as-run` and the next start know nothing new:
//! what is missing is shared with the host, by processes that are nobody there. A container whose root is the host's root gets
//! none of this, but in a user namespace that is thrown away.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use runtime::devices::NODES;

use super::security::Seccomp;
use super::spaces::{Ipc, Space, Spaces, Users};
use super::storage::{Below, Bind, By};
use crate::commands::flags::{ContainerArgs, Isolation};

/// Where a container may lack the users of its own.
const THROWAWAY: &str = "mini learn user shows in a throwaway user namespace what leaks then, and in one of your own (unshare -Urmnipuf --mount-proc) it may be left out";

/// What is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Without<'a>(&'a [Isolation]);

impl<'a> Without<'a> {
    /// Understands the flag; `first_users` is whether mini itself lives in the first user namespace.
    ///
    /// # Errors
    /// What cannot be left out, or not here; another flag that says something about the same.
    pub(crate) fn new(args: &'a ContainerArgs, first_users: &dyn Fn() -> bool) -> Result<Without<'a>> {
        let without = Without(&args.without.without);
        if without.0.is_empty() {
            return Ok(without);
        }
        ensure!(
            !without.lacks(Isolation::Mnt),
            "--without mnt: the container's root would be mounted over the host's own, for every process there is; mini learn mnt \
             shows what a mount namespace is good for"
        );
        if first_users() {
            ensure!(
                !without.lacks(Isolation::User),
                "--without user: the container's root would be the host's root; {THROWAWAY}"
            );
            let host = [
                (args.privileged, "--privileged"),
                (args.userns.as_deref() == Some("host"), "--userns=host"),
            ];
            if let Some((_, flag)) = host.iter().find(|(said, _)| *said) {
                bail!(
                    "--without does not go with {flag}: the container's root is the host's root; {THROWAWAY}"
                );
            }
        }
        let spaces = &args.spaces;
        let said = [
            (Isolation::Pid, spaces.pid.is_some(), "--pid"),
            (Isolation::Net, args.network != "bridge", "--network"),
            (Isolation::Uts, spaces.uts.is_some(), "--uts"),
            (Isolation::Ipc, spaces.ipc.is_some(), "--ipc"),
            (Isolation::User, args.userns.is_some(), "--userns"),
            (Isolation::Cgroup, spaces.cgroupns.is_some(), "--cgroupns"),
        ];
        match said.iter().find(|(isolation, said, _)| *said && without.lacks(*isolation)) {
            Some((.., flag)) => {
                bail!("conflicting options: --without and {flag} say something about the same")
            }
            None => Ok(without),
        }
    }

    fn lacks(self, isolation: Isolation) -> bool {
        self.0.contains(&isolation)
    }

    /// The network, as `--network` says it.
    pub(crate) fn network(self, asked: &'a str) -> &'a str {
        if self.lacks(Isolation::Net) { "host" } else { asked }
    }

    /// The capabilities that are added.
    pub(crate) fn capabilities(self, asked: &[String]) -> Vec<String> {
        let all = self.lacks(Isolation::Caps).then(|| "ALL".to_owned());
        asked.iter().cloned().chain(all).collect()
    }

    /// The filter of system calls, where one is said; its words are as `--security-opt` has them.
    pub(crate) fn filter(self) -> Option<(Seccomp, &'static str)> {
        self.lacks(Isolation::Seccomp).then_some((Seccomp::Unconfined, "seccomp=unconfined"))
    }

    /// Where there are no users of its own, mini has no power over devices either: in a user namespace that is not the first, no
    /// node can be made and no rule loosened. It gets the caller's, and every rule that the caller is under.
    pub(crate) fn devices(self) -> (Vec<Bind>, Option<&'static str>) {
        if !self.lacks(Isolation::User) {
            return (Vec::new(), None);
        }
        let bind = |(name, ..): (&str, u32, u32)| Bind {
            source: Path::new("/dev").join(name),
            target: Path::new("/dev").join(name),
            read_only: false,
            propagation: "rprivate".to_owned(),
            must_exist: true,
            below: Below::Disabled,
            mode: String::new(),
            by: By::default(),
        };
        (NODES.into_iter().map(bind).collect(), Some("a *:* rwm"))
    }

    /// Shares what is left out with the host, and nothing else: the users stay the container's own.
    pub(crate) fn share(self, spaces: &mut Spaces) {
        for isolation in self.0 {
            match isolation {
                Isolation::Pid => spaces.pid = Space::Host,
                Isolation::Uts => spaces.uts = Some(Space::Host),
                Isolation::Ipc => spaces.ipc = Ipc::Host,
                Isolation::Cgroup => spaces.cgroup = Space::Host,
                Isolation::User => spaces.users = Users::Host,
                Isolation::Mnt | Isolation::Net | Isolation::Seccomp | Isolation::Caps => {}
            }
        }
        // The host's network has the host's name, where nobody says whose.
        if self.lacks(Isolation::Net) && spaces.uts.is_none() {
            spaces.uts = Some(Space::Private);
        }
        if !self.0.is_empty() && spaces.users == Users::Unsaid {
            spaces.users = Users::Private;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        container: ContainerArgs,
    }

    fn spaces(words: &[&str], first_users: bool) -> Result<Spaces, String> {
        let line = Line::parse_from(["mini"].iter().chain(words).chain(&["busybox"]));
        let without = Without::new(&line.container, &|| first_users).map_err(|error| error.to_string())?;
        let mut spaces = Spaces::default();
        without.share(&mut spaces);
        Ok(spaces)
    }

    #[test]
    fn what_is_left_out_is_the_hosts_and_the_users_are_not() {
        let own = |spaces: Spaces| Spaces { users: Users::Private, ..spaces };
        for (words, expected) in [
            (&[][..], Spaces::default()),
            (&["--without", "pid"], own(Spaces { pid: Space::Host, ..Spaces::default() })),
            (&["--without", "net"], own(Spaces { uts: Some(Space::Private), ..Spaces::default() })),
            (
                &["--without=uts,cgroup", "--without", "ipc,net"],
                own(Spaces {
                    uts: Some(Space::Host),
                    ipc: Ipc::Host,
                    cgroup: Space::Host,
                    ..Spaces::default()
                }),
            ),
            (&["--without", "seccomp,caps"], own(Spaces::default())),
        ] {
            assert_eq!(spaces(words, true).unwrap(), expected, "{words:?}");
        }
        assert_eq!(spaces(&["--without", "user"], false).unwrap().users, Users::Host);
    }

    #[test]
    fn what_would_give_the_host_away_is_refused() {
        for (words, complaint) in [
            (&["--without", "user"][..], "the host's root"),
            (&["--without", "mnt,pid"], "mounted over the host's own"),
            (&["--without", "pid", "--privileged"], "does not go with --privileged"),
            (&["--without", "pid", "--userns=host"], "does not go with --userns=host"),
            (&["--without", "pid", "--pid", "host"], "--without and --pid"),
            (&["--without", "net", "--network", "none"], "--without and --network"),
        ] {
            let error = spaces(words, true).unwrap_err();
            assert!(error.contains(complaint), "{words:?}: {error}");
        }
        assert!(spaces(&["--without", "mnt"], false).is_err());
    }
}
