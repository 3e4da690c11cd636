//! What the host is like: the only look at the world before a plan is made.

use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use runtime::cgroup::Layout;

use super::devices::Shown;
use super::request::Request;

/// Facts that a plan depends on.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    /// How control groups are mounted.
    pub(crate) cgroups: Layout,
    /// Processors that the scheduler may use, where that was asked for.
    pub(crate) processors: u64,
    /// The same as a list, `0-3,8`, where that was asked for.
    pub(crate) online_processors: String,
    /// Memory nodes as such a list, where that was asked for.
    pub(crate) memory_nodes: String,
    /// The host's own name.
    pub(crate) hostname: String,
    /// The host's resolv.conf.
    pub(crate) resolv_conf: String,
    /// This boot.
    pub(crate) boot: String,
    /// What each processor tells about its temperature: a side channel, hidden from containers.
    pub(crate) throttles: Vec<String>,
    /// Device nodes below /dev, for `--privileged` containers only.
    pub(crate) devices: Vec<HostDevice>,
    /// Devices that were asked for, by the path that they have in the container, each with what may be done with it.
    pub(crate) shown: Vec<(HostDevice, String)>,
    /// Disks whose traffic is limited, by the path that was asked for.
    pub(crate) disks: Vec<HostDevice>,
    /// How many groups there are from 0 on where the container has mini's own: another user namespace than the first may have few.
    pub(crate) groups: u32,
    /// The host has its message queues at /dev/mqueue.
    pub(crate) mqueue: bool,
    /// Containers get a copy of their image, and files have their ids: no view can be shifted.
    pub(crate) copied: bool,
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostDevice {
    /// Its path.
    pub(crate) path: PathBuf,
    /// `c` or `b`.
    pub(crate) kind: char,
    /// Major number.
    pub(crate) major: u32,
    /// Minor number.
    pub(crate) minor: u32,
    /// Permission bits.
    pub(crate) mode: u32,
}

impl HostFacts {
    /// Looks; at what costs time only where the request asks for it.
    ///
    /// # Errors
    /// Where the host has no control groups at the usual place, or not the devices that are asked for.
    pub(crate) fn detect(request: &Request) -> Result<HostFacts> {
        let all_devices = request.privileged && !request.user_namespace;
        Ok(HostFacts {
            throttles: throttles(),
            devices: if all_devices { host_devices() } else { Vec::new() },
            shown: shown(&request.options.devices.shown)?,
            ..HostFacts::of_limits(request)?
        })
    }

    /// Looks at what the limits of a request depend on, and at what costs no time.
    ///
    /// # Errors
    /// Where the host has no control groups at the usual place.
    pub(crate) fn of_limits(request: &Request) -> Result<HostFacts> {
        let uname = rustix::system::uname();
        let resources = &request.options.resources;
        let list = |asked: bool, path: &str| {
            let read = || std::fs::read_to_string(path).unwrap_or_else(|_| "0".to_owned()).trim().to_owned();
            if asked { read() } else { String::new() }
        };
        Ok(HostFacts {
            cgroups: Layout::detect().context("cannot limit a container")?,
            processors: if request.nano_cpus.is_some() { processors() } else { 0 },
            online_processors: list(resources.cpuset_cpus.is_some(), ONLINE_PROCESSORS),
            memory_nodes: list(resources.cpuset_mems.is_some(), "/sys/devices/system/node/online"),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            resolv_conf: resolv_conf(),
            boot: runtime::state::boot_id(),
            throttles: Vec::new(),
            devices: Vec::new(),
            shown: Vec::new(),
            disks: resources.disks().filter_map(device).filter(|disk| disk.kind == 'b').collect(),
            groups: if request.user_namespace { u32::MAX } else { own_groups() },
            mqueue: rustix::fs::statfs("/dev/mqueue").is_ok_and(|stat| stat.f_type == MQUEUE_MAGIC),
            copied: false,
        })
    }
}

const ONLINE_PROCESSORS: &str = "/sys/devices/system/cpu/online";
/// linux/magic.h
const MQUEUE_MAGIC: i64 = 0x1980_0202;

fn processors() -> u64 {
    let online = std::fs::read_to_string(ONLINE_PROCESSORS).unwrap_or_default();
    count_list(online.trim()).max(1)
}

/// Whether this process's root is the host's: the first user namespace maps every id to itself (user_namespaces(7)).
pub(crate) fn lives_in_first_users() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    // Where that cannot be read, the worse is true.
    map.is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// How many groups this user namespace has from 0 on (user_namespaces(7)).
fn own_groups() -> u32 {
    let map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["0", _, count] => count.parse().ok(),
        _ => None,
    });
    counts.max().unwrap_or(u32::MAX)
}

/// Whether some disk shares its time out by weight: by its scheduler, or by the cost model of version 2.
pub(crate) fn disks_heed_weights() -> bool {
    let costed =
        std::fs::read_to_string("/sys/fs/cgroup/io.cost.qos").is_ok_and(|text| text.contains("enable=1"));
    let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut schedulers =
        disks.filter_map(|disk| std::fs::read_to_string(disk.path().join("queue/scheduler")).ok());
    costed || schedulers.any(|scheduler| scheduler.contains("[bfq]"))
}

/// Most virtual machines have none: one look is enough there.
fn throttles() -> Vec<String> {
    let path = |cpu: u64| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
    if !Path::new(&path(0)).exists() {
        return Vec::new();
    }
    (0..processors()).map(path).collect()
}

/// `0-3,8` → 5 (cpuset(7), "List format"). PURE.
fn count_list(list: &str) -> u64 {
    let count = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.split(',').filter_map(count).sum()
}

/// The file that says where names are really resolved: systemd-resolved's own where the usual one names only its stub.
fn resolv_conf() -> String {
    let usual = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if network::is_systemd_stub(&usual) {
        std::fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(usual)
    } else {
        usual
    }
}

/// A device node, through links to it; `None` where there is none.
fn device(path: &Path) -> Option<HostDevice> {
    let metadata = std::fs::metadata(path).ok()?;
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => 'b',
        kind if kind.is_char_device() => 'c',
        _ => return None,
    };
    let device = metadata.rdev();
    Some(HostDevice {
        path: path.to_owned(),
        kind,
        major: rustix::fs::major(device),
        minor: rustix::fs::minor(device),
        mode: metadata.mode() & 0o7777,
    })
}

/// Everything below a directory that is a device itself, and not what `skip` names; sorted.
fn devices_below(directory: &Path, skip: &dyn Fn(&OsStr) -> bool) -> Vec<HostDevice> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if skip(&entry.file_name()) {
                continue;
            }
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_char_device() || kind.is_block_device() {
                found.extend(device(&entry.path()));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// All device nodes below /dev but terminals and what a container has of its own, as docker takes them.
fn host_devices() -> Vec<HostDevice> {
    const SKIPPED: [&str; 15] = [
        "pts",
        "shm",
        "fd",
        "mqueue",
        ".lxc",
        ".lxd-mounts",
        ".udev",
        "console",
        "ptmx",
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
    ];
    devices_below(Path::new("/dev"), &|name| SKIPPED.iter().any(|skipped| name == *skipped))
}

/// Devices that were asked for, each by itself or all below a directory.
fn shown(asked: &[Shown]) -> Result<Vec<(HostDevice, String)>> {
    let mut all = Vec::new();
    for Shown { host, container, access } in asked {
        let found = match device(host) {
            Some(device) => vec![HostDevice { path: container.clone(), ..device }],
            None => {
                // As docker: a link to a directory is followed, those below it are not.
                let directory = std::fs::canonicalize(host)
                    .with_context(|| format!("cannot find the device {}", host.display()))?;
                let below = |device: HostDevice| {
                    let name = device.path.strip_prefix(&directory).ok()?;
                    Some(HostDevice { path: container.join(name), ..device })
                };
                devices_below(&directory, &|_| false).into_iter().filter_map(below).collect()
            }
        };
        ensure!(!found.is_empty(), "{} is neither a device nor a directory with devices", host.display());
        all.extend(found.into_iter().map(|device| (device, access.clone())));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::count_list;

    #[test]
    fn processors_are_counted() {
        assert_eq!([count_list("0-3,8"), count_list("0"), count_list("")], [5, 1, 0]);
    }
}
