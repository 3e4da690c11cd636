//! How an error is told: what was tried, why not, and a hint where we know a remedy.

use std::fmt::Write as _;

use image::ResolveError;
use runtime::cgroup::CgroupError;
use runtime::create::CreateError;
use runtime::state::StateError;

use crate::output::format::UnknownColumn;

/// mini works with the host's own powers.
#[derive(Debug, thiserror::Error)]
#[error("mini needs root: it makes namespaces, mounts and networks of the host")]
pub(crate) struct NotRoot;

/// What runs is not removed by accident.
#[derive(Debug, thiserror::Error)]
#[error("it is running: stop it first, or remove it with -f")]
pub(crate) struct StillRuns;

/// A check has found that its files are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("image {image} is damaged: {layer}")]
pub(crate) struct Damaged {
    pub(crate) image: String,
    pub(crate) layer: String,
}

/// An error that another process of ours has told already.
#[derive(Debug, thiserror::Error)]
#[error("already told")]
pub(crate) struct Told;

/// The whole text for a person, without a newline at its end.
pub(crate) fn text(error: &anyhow::Error) -> String {
    let mut text = String::from("mini: ");
    let mut last = String::new();
    for cause in error.chain() {
        let cause = plain(&cause.to_string());
        // Some errors repeat their source in their own text.
        if last.ends_with(&cause) {
            continue;
        }
        if !last.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
        last = cause;
    }
    if let Some(hint) = hint(error) {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "\nhint: {hint}");
    }
    text
}

/// `No such file or directory (os error 2)` → `no such file or directory`.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.find(" (os error ") {
        let Some(end) = text[at..].find(')') else { break };
        text.replace_range(at..=at + end, "");
    }
    for word in [
        "Permission denied",
        "No such file or directory",
        "Operation not permitted",
        "Invalid argument",
        "Device or resource busy",
    ] {
        text = text.replace(word, &word.to_lowercase());
    }
    text
}

/// A remedy, where we know one.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(hint_of)
}

/// A remedy for one error, whatever led to it.
pub(crate) fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<runtime::Failure>() {
        return failure.hint.clone();
    }
    if let Some(CreateError::Cgroup(error)) = error.downcast_ref::<CreateError>() {
        return of_cgroups(error);
    }
    if let Some(error) = error.downcast_ref::<CgroupError>() {
        return of_cgroups(error);
    }
    if let Some(unknown) = error.downcast_ref::<UnknownColumn>() {
        return Some(format!("there are {}", unknown.known));
    }
    let text = if error.is::<NotRoot>() {
        "run it with sudo"
    } else if let Some(ResolveError::NotFound(_)) = error.downcast_ref() {
        "mini images lists what is here; mini pull fetches an image"
    } else if let Some(StateError::NameTaken { .. }) = error.downcast_ref() {
        "mini rm takes that container away; another --name is free"
    } else if error.is::<Damaged>() {
        "mini system check --repair makes it whole, or mini pull"
    } else if error.is::<crate::plan::ids::Exhausted>() {
        "end a container, or widen ids.count in /etc/mini/config.toml"
    } else if error.is::<crate::plan::ids::Unmapped>() {
        "run it with --userns=host, or set ids.base and ids.count in /etc/mini/config.toml to ids of /proc/self/uid_map"
    } else if error.is::<crate::plan::whose::Strict>() {
        "say --userns=private to keep the container's root apart, or --userns=host to share the host's"
    } else if error.is::<crate::plan::whose::Disagreement>() {
        "--userns=container:NAME or --userns=host says whose users it is to have"
    } else if error.is::<crate::donors::NotRunning>() {
        "mini start starts it"
    } else if error.is::<crate::donors::NotShareable>() {
        "make that container with --ipc shareable"
    } else if error.is::<StillRuns>() {
        "mini stop ends it; mini rm -f ends and removes it"
    } else if error.is::<crate::volume::InUse>() {
        "mini rm takes that container away"
    } else if error.is::<crate::volume::NotFound>() {
        "mini volume ls lists what is there; mini volume create makes one"
    } else if error.is::<crate::secret::NotFound>() {
        "mini secret ls lists what is there; mini secret create makes one"
    } else if let Some(CreateError::NotIdmappable { .. }) = error.downcast_ref() {
        "the file system below --root cannot shift ids (idmapped mounts): put --root on ext4, xfs, btrfs or tmpfs, or run \
         with --userns=host"
    } else if is_denied(error) {
        "mini login says who you are; it is kept in ~/.docker/config.json (DOCKER_CONFIG names another directory)"
    } else if is_damaged(error) {
        "mini system check --repair makes it anew"
    } else if let Some(image::StoreError::Overlay { .. }) = error.downcast_ref() {
        "move it away: mini makes a new one there, from which each container gets a copy; or give another --root"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// Whether a file of the image store cannot be read.
fn is_damaged(error: &(dyn std::error::Error + 'static)) -> bool {
    let store = match error.downcast_ref() {
        Some(ResolveError::Store(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    matches!(store, Some(image::StoreError::Damaged { .. } | image::StoreError::Missing { .. }))
}

/// Whether a registry does not let this user do it.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let pull = error.downcast_ref().and_then(|error| match error {
        image::PullError::Registry(source) => Some(source),
        _ => None,
    });
    let push = error.downcast_ref().and_then(|error| match error {
        image::PushError::Registry(source) => Some(source),
        _ => None,
    });
    pull.or(push).is_some_and(|source| matches!(**source, image::RegistryError::Denied { .. }))
}

fn of_cgroups(error: &CgroupError) -> Option<String> {
    match error {
        CgroupError::NotMounted => Some("mount -t cgroup2 none /sys/fs/cgroup".to_owned()),
        CgroupError::NoController { limit, controller } => Some(format!(
            "switch the {controller} controller on (cgroup_enable={controller} on the kernel's command line), or leave \
             {limit} out"
        )),
        CgroupError::Version2 { limit } => {
            Some(format!("a host with control groups of version 1, or no {limit}"))
        }
        CgroupError::Refused { limit, source, .. } => of_refusal(limit, source.errno()),
        CgroupError::NoFile { limit, .. } => Some(format!("a kernel with that control, or no {limit}")),
        CgroupError::Op(_) => None,
    }
}

/// What a limit may need that the kernel takes in principle.
fn of_refusal(limit: &str, errno: i32) -> Option<String> {
    let text = match (limit, errno) {
        ("--memory" | "--memory-swap", libc::EBUSY) => {
            "what the container uses now cannot be given up: leave it more, or stop it first"
        }
        ("--blkio-weight-device", libc::EOPNOTSUPP) => {
            "weights are the BFQ scheduler's: echo bfq >/sys/block/DISK/queue/scheduler"
        }
        (limit, libc::ENODEV) if limit.contains("device") => {
            "a whole disk is wanted, not one of its partitions"
        }
        ("--cpu-rt-runtime", libc::EINVAL) => {
            "all groups together have at most what /proc/sys/kernel/sched_rt_runtime_us leaves them"
        }
        ("--cpuset-cpus" | "--cpuset-mems", libc::EACCES | libc::EINVAL | libc::ENOSPC) => {
            "only what the control groups above have can be given"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_causes_and_one_of_advice() {
        let source = std::io::Error::from_raw_os_error(libc::EACCES);
        let error = anyhow::Error::new(runtime::op::OpError { call: "mkdir(\"/x\")".into(), source })
            .context("cannot start");
        assert_eq!(text(&error), "mini: cannot start: mkdir(\"/x\"): permission denied");
        assert_eq!(text(&NotRoot.into()).lines().nth(1), Some("hint: run it with sudo"));
    }
}
