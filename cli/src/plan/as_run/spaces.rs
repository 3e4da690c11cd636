//! Whose namespaces it lives in, what its processes may do, and where its files come from.

use runtime::plan::IdMap;

use super::Line;
use crate::plan::NetworkMode;
use crate::plan::origin::Origin;
use crate::plan::security::Security;
use crate::plan::spaces::{Ipc, NetworkOf, Space, Spaces, Users};

/// `bridge` is not said; another container is named by its id, which stays when its name changes.
pub(super) fn network(mode: NetworkMode, spaces: &Spaces) -> Option<String> {
    match &spaces.network {
        Some(NetworkOf::Container(id)) => Some(format!("container:{id}")),
        Some(NetworkOf::Path(path)) => Some(format!("ns:{}", path.display())),
        None => Some(mode.name().to_owned()).filter(|_| mode != NetworkMode::Bridge),
    }
}

/// What was said, or what must be said because something else implies the opposite.
pub(super) fn users(spaces: &Spaces, user_namespace: bool, implied: bool, shares: bool) -> Option<String> {
    let word = match (&spaces.users, user_namespace) {
        (Users::Container(id), _) => return Some(format!("container:{id}")),
        (Users::Private, _) => "private",
        (Users::Auto, _) => "auto",
        (Users::KeepId, _) => "keep-id",
        (Users::Host, _) => "host",
        // An older record.
        (Users::Unsaid, true) if shares => "private",
        (Users::Unsaid, false) if !implied => "host",
        (Users::Unsaid, _) => return None,
    };
    Some(word.to_owned())
}

pub(super) fn of_spaces(line: &mut Line, spaces: &Spaces) {
    let Spaces { pid, ipc, uts, cgroup, network: _, users: _, uid_map, gid_map } = spaces;
    line.values("--pid", Some(space(pid)).filter(|_| *pid != Space::Private));
    line.values(
        "--ipc",
        match ipc {
            Ipc::Private => None,
            Ipc::Shareable => Some("shareable".to_owned()),
            Ipc::None => Some("none".to_owned()),
            Ipc::Host => Some("host".to_owned()),
            Ipc::Container(id) => Some(format!("container:{id}")),
        },
    );
    line.values("--uts", uts.as_ref().map(space));
    line.values("--cgroupns", Some(space(cgroup)).filter(|_| *cgroup != Space::Private));
    line.values("--uidmap", uid_map.iter().map(map));
    line.values("--gidmap", gid_map.iter().map(map));
}

fn space(space: &Space) -> String {
    match space {
        Space::Private => "private".to_owned(),
        Space::Host => "host".to_owned(),
        Space::Container(id) => format!("container:{id}"),
    }
}

fn map(line: &IdMap) -> String {
    let IdMap { container, host, size } = line;
    format!("{container}:{host}:{size}")
}

pub(super) fn of_security(line: &mut Line, security: &Security) {
    let Security {
        init,
        groups,
        umask,
        // Said by the words.
        no_new_privileges: _,
        seccomp: _,
        all_paths: _,
        masked: _,
        unmasked: _,
        words,
    } = security;
    line.switch("--init", *init);
    line.values("--security-opt", words);
    line.values("--group-add", groups);
    line.values("--umask", umask.map(|mask| format!("{mask:04o}")));
}

pub(super) fn of_origin(line: &mut Line, origin: &Origin) {
    let Origin { rootfs, platform, zone, no_hosts, pidfile, host_env, unset } = origin;
    line.switch("--rootfs", rootfs.is_some());
    line.values("--platform", platform);
    line.values("--tz", zone.as_deref().map(crate::plan::origin::zone_name));
    line.switch("--no-hosts", *no_hosts);
    line.values("--pidfile", pidfile.as_ref().map(|path| path.display()));
    // Its values are whoever's who runs the line: what lies below the image's variables has no other flag.
    line.switch("--env-host", !host_env.is_empty());
    line.values("--unsetenv", unset);
}
