//! What a machine says of itself: read, nothing made.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Capability;
use runtime::caps::{self, CapSet};
use runtime::cgroup::Layout;
use runtime::sys::{ns, process};

use super::need::Found;
use crate::commands::version;
use crate::context::Context;
use crate::output::size;
use crate::plan::spec::PATH;

/// The first version that mini is made for.
const KERNEL: (u32, u32) = (6, 1);

/// What root must be able to do to make a container.
const NEEDED: CapSet = CapSet::of(&[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetAdmin,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysAdmin,
    Capability::SysChroot,
    Capability::SysPtrace,
]);

/// Programs by need, and the package of Debian that has them.
const PROGRAMS: [(&str, &[&str], &str); 13] = [
    ("program.sh", &["sh"], "dash"),
    ("program.coreutils", &["cat", "chmod", "cp", "mkdir", "rm", "sleep", "tee"], "coreutils"),
    ("program.unshare", &["unshare"], "util-linux"),
    ("program.nsenter", &["nsenter"], "util-linux"),
    ("program.setpriv", &["setpriv"], "util-linux"),
    ("program.mount", &["mount", "umount"], "mount"),
    ("program.hostname", &["hostname"], "hostname"),
    ("program.ipcmk", &["ipcmk"], "util-linux-extra"),
    ("program.chroot", &["chroot", "pivot_root"], "coreutils and util-linux"),
    ("program.busybox", &["busybox"], "busybox-static"),
    ("program.ip", &["ip"], "iproute2"),
    ("program.nft", &["nft"], "nftables"),
    (
        "program.script",
        &["unshare", "mount", "pivot_root", "setpriv", "nsenter", "ip", "nft", "flock"],
        "util-linux, iproute2 and nftables",
    ),
];

/// Fewer namespaces of a kind than this do not last for a lesson with a few containers.
const FEW: u64 = 64;

/// Bytes and files below which a lesson's container has no room, and below which an image may have none.
const LEAST: Room = Room { bytes: 32 << 20, files: 1000 };
const LITTLE: Room = Room { bytes: 1 << 30, files: 50_000 };

/// Looks at everything that can be read.
pub(crate) fn look(context: &Context) -> Vec<Found> {
    let mut found = vec![kernel(runtime::running_kernel()), capabilities(), resource(), limits(), groups()];
    found.push(disk("disk.root", &context.dirs.root, LITTLE));
    // Records and sockets are small, and a run directory lies in memory.
    found.push(disk("disk.run", &context.dirs.run_root, LEAST));
    found.extend(PROGRAMS.iter().map(|(key, names, package)| programs(key, names, package)));
    found.push(image(context));
    found
}

fn kernel(version: (u32, u32)) -> Found {
    let release = version::kernel();
    match version >= KERNEL {
        true => Found::ok("kernel", release),
        false => {
            Found::warning("kernel", release, format!("mini is made for Linux {}.{} on", KERNEL.0, KERNEL.1))
        }
    }
}

fn capabilities() -> Found {
    let names: Vec<&str> = NEEDED.minus(process::own_capabilities()).iter().map(caps::name).collect();
    match names.is_empty() {
        true => Found::ok("capabilities", "all that are needed"),
        false => Found::missing(
            "capabilities",
            format!("without {}", names.join(", ")),
            Some("start mini as the machine's root, not in a container that takes them away".to_owned()),
        ),
    }
}

fn resource() -> Found {
    const KEY: &str = "capability.sys_resource";
    match process::own_capabilities().contains(Capability::SysResource) {
        true => Found::ok(KEY, "yes"),
        false => Found::warning(
            KEY,
            "no",
            "without it --ulimit and --oom-score-adj cannot give more than mini itself has",
        ),
    }
}

/// How many namespaces of a kind there may be below this user namespace.
pub(super) fn most(kind: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sys/user/max_{kind}_namespaces")).ok()?;
    text.trim().parse().ok()
}

/// What user namespaces may have below them (namespaces(7), "The /proc/sys/user directory").
fn limits() -> Found {
    const KEY: &str = "namespace.limits";
    let read = |(kind, _): &(&str, _)| Some((most(kind)?, format!("max_{kind}_namespaces")));
    let least = ns::KINDS.iter().filter_map(read).min();
    let Some((most, file)) = least else { return Found::ok(KEY, "none") };
    let hint = format!("sysctl user.{file}=15000");
    match most {
        0 => Found::missing(KEY, format!("{file} is 0"), Some(hint)),
        few if few < FEW => Found::warning(KEY, format!("{file} is {few}"), hint),
        many => Found::ok(KEY, format!("{many} or more")),
    }
}

fn groups() -> Found {
    const KEY: &str = "cgroup";
    match Layout::detect() {
        Ok(Layout::V2(_)) => Found::ok(KEY, "version 2"),
        Ok(Layout::V1(_)) if Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists() => {
            Found::ok(KEY, "version 1, hybrid")
        }
        Ok(Layout::V1(_)) => Found::ok(KEY, "version 1"),
        Err(error) => Found::missing(KEY, error.to_string(), crate::error::hint_of(&error)),
    }
}

/// Free space.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    /// Inodes.
    files: u64,
}

fn disk(key: &str, path: &Path, little: Room) -> Found {
    // What is not there yet will lie where the directory above it does.
    let place = path.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = rustix::fs::statvfs(place) else {
        return Found::missing(key, format!("{} cannot be looked at", place.display()), None);
    };
    // A file system without a table of inodes has none to run out of (btrfs).
    let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
    room(key, path, Room { bytes: stat.f_bavail * stat.f_frsize, files }, little)
}

fn room(key: &str, path: &Path, free: Room, little: Room) -> Found {
    let files = if free.files == u64::MAX { String::new() } else { format!(", {} files", free.files) };
    let found = format!("{}{files} free", size::decimal_to_four(free.bytes));
    let hint = format!("make room where {} lies", path.display());
    let below = |least: Room| free.bytes < least.bytes || free.files < least.files;
    if below(LEAST) {
        Found::missing(key, found, Some(hint))
    } else if below(little) {
        Found::warning(key, found, hint)
    } else {
        Found::ok(key, found)
    }
}

fn programs(key: &str, names: &[&str], package: &str) -> Found {
    let missing: Vec<&str> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    match (missing.is_empty(), names) {
        (true, [one]) => Found::ok(key, find(one).map(|path| path.display().to_string()).unwrap_or_default()),
        (true, _) => Found::ok(key, "all of them"),
        (false, _) => Found::missing(
            key,
            format!("no {}", missing.join(", ")),
            Some(format!("Debian's package {package}; Enter has mini do the step without it")),
        ),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(PATH).map(|directory| directory.join(name)).find(is_program)
}

/// No lesson needs one: what they contain is mini itself.
fn image(context: &Context) -> Found {
    const KEY: &str = "image";
    let hint =
        "mini pull busybox, or mini load -i FILE where there is no network; mini class bundle carries images";
    let names = || image::Store::open_existing(&context.dirs.image()).ok()??.names().ok();
    let names: Vec<String> =
        names().iter().flat_map(|names| names.all().collect::<Vec<_>>()).map(|(name, _)| name).collect();
    let busybox = names.iter().find(|name| name.starts_with("busybox:")).or(names.first());
    match busybox {
        Some(name) => Found::ok(KEY, name.clone()),
        None => Found::warning(KEY, "none", hint),
    }
}

#[cfg(test)]
mod tests {
    use super::super::need::{NEEDS, Verdict};
    use super::*;

    #[test]
    fn room_is_enough_little_or_too_little() {
        for (bytes, files, verdict) in [
            (2 << 30, u64::MAX, Verdict::Ok),
            (2 << 30, 60_000, Verdict::Ok),
            (2 << 30, 2000, Verdict::Warning),
            (64 << 20, u64::MAX, Verdict::Warning),
            (64 << 20, 10, Verdict::Missing),
            (1 << 20, u64::MAX, Verdict::Missing),
        ] {
            let found = room("disk.root", Path::new("/x"), Room { bytes, files }, LITTLE);
            assert_eq!(found.verdict, verdict, "{bytes} {files}: {found:?}");
        }
    }

    #[test]
    fn every_program_belongs_to_a_need() {
        for (key, ..) in PROGRAMS {
            assert!(NEEDS.iter().any(|need| need.0 == key), "{key}");
        }
        assert_eq!(kernel((5, 15)).verdict, Verdict::Warning);
        assert_eq!(programs("program.ip", &["no-such-program"], "none").verdict, Verdict::Missing);
    }
}
