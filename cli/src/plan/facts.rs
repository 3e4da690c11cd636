//! What the host is like: the only look at the world before a plan is made.

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;

/// Facts that a plan depends on.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    /// How control groups are mounted.
    pub(crate) cgroups: Layout,
    /// Processors that the scheduler may use, where that was asked for.
    pub(crate) processors: u64,
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
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostDevice {
    /// Its path.
    pub(crate) path: std::path::PathBuf,
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
    /// Looks; at what costs time only where it is asked for.
    ///
    /// # Errors
    /// Where the host has no control groups at the usual place.
    pub(crate) fn detect(processors: bool, devices: bool) -> Result<HostFacts> {
        let uname = rustix::system::uname();
        Ok(HostFacts {
            cgroups: Layout::detect().context("cannot limit a container")?,
            processors: if processors { self::processors() } else { 0 },
            hostname: uname.nodename().to_string_lossy().into_owned(),
            resolv_conf: resolv_conf(),
            boot: runtime::state::boot_id(),
            throttles: throttles(),
            devices: if devices { host_devices() } else { Vec::new() },
        })
    }
}

fn processors() -> u64 {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    count_list(online.trim()).max(1)
}

/// Most virtual machines have none: one look is enough there.
fn throttles() -> Vec<String> {
    let path = |cpu: u64| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
    if !std::path::Path::new(&path(0)).exists() {
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

/// All device nodes below /dev but terminals and what a container has of its own, as docker takes them.
fn host_devices() -> Vec<HostDevice> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let mut found = Vec::new();
    let mut directories = vec![std::path::PathBuf::from("/dev")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let (Ok(kind), path) = (entry.file_type(), entry.path()) else { continue };
            let name = entry.file_name();
            if kind.is_dir() {
                if !["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]
                    .iter()
                    .any(|skip| name == *skip)
                {
                    directories.push(path);
                }
            } else if (kind.is_char_device() || kind.is_block_device())
                && !["console", "ptmx", "null", "zero", "full", "random", "urandom", "tty"]
                    .iter()
                    .any(|own| name == *own)
            {
                let Ok(metadata) = entry.metadata() else { continue };
                let device = metadata.rdev();
                found.push(HostDevice {
                    path,
                    kind: if kind.is_block_device() { 'b' } else { 'c' },
                    major: rustix::fs::major(device),
                    minor: rustix::fs::minor(device),
                    mode: metadata.mode() & 0o7777,
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

#[cfg(test)]
mod tests {
    use super::count_list;

    #[test]
    fn processors_are_counted() {
        assert_eq!([count_list("0-3,8"), count_list("0"), count_list("")], [5, 1, 0]);
    }
}
