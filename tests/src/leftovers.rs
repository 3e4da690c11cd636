//! What must not be left when a test ends: looked for inside the host, before it goes away.
//!
//! | where | what may stay, by design |
//! |---|---|
//! | links | `lo`, the bridge `mini0` (removing one costs 50 ms), our cable to the outside |
//! | nf_tables | the bridge's table, `mini0`, its maps and sets empty |
//! | mounts | those the host began with |
//! | cgroups | the test's parent, and `monitor` in it, which all monitors share: both empty |
//! | processes | none |
//! | files | locks that are empty, empty directories, what the network was before and its last address; volumes with names and secrets; the image store as `mini system check` approves of it |

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::outside::CABLE;
use crate::{Host, cgroups, processes, wait};

/// How long a monitor may tidy up after its client has gone.
const TIDYING: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(20) };

/// Removes every container as a user would; what goes wrong in that.
pub fn remove_containers(host: &Host) -> Vec<String> {
    let list = host.mini(["ps", "-aq"]).run();
    if !list.status.success() {
        return vec![format!("`mini ps -aq` failed: {list}")];
    }
    let ids = list.lines();
    if ids.is_empty() {
        return Vec::new();
    }
    let removal = host.mini(["rm", "-f", "-v"]).args(ids).run();
    if removal.status.success() { Vec::new() } else { vec![format!("`mini rm -f -v` failed: {removal}")] }
}

/// Everything that is left, a line each. Waits until the monitors have tidied up.
pub fn find(host: &Host) -> Vec<String> {
    let mut left = living(host);
    left.extend(links());
    left.extend(tables(host));
    left.extend(host.new_mounts().into_iter().map(|line| format!("mount: {line}")));
    left.extend(groups(host));
    left.extend(files(host));
    left
}

/// Processes that are still there when the monitors had time to tidy up.
fn living(host: &Host) -> Vec<String> {
    let deadline = Instant::now() + TIDYING;
    for pid in host.processes() {
        if let Some(pidfd) = processes::open(pid) {
            wait::is_ready(&pidfd, deadline);
        }
    }
    host.processes().into_iter().map(|pid| format!("process:\n{}", processes::describe(pid))).collect()
}

/// Network links that are not there by design. A veth dies with its container's namespace, which the kernel takes away in
/// the background, some time after the last process has ended.
pub fn links() -> Vec<String> {
    let deadline = Instant::now() + TIDYING;
    loop {
        let table = fs::read_to_string("/proc/thread-self/net/dev").expect("read /proc/thread-self/net/dev");
        let names = table.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
        let left: Vec<_> = names.filter(|name| !["lo", "mini0", CABLE].contains(name)).collect();
        if left.is_empty() || !wait::pause(deadline) {
            return left.into_iter().map(|name| format!("link: {name}")).collect();
        }
    }
}

/// Tables that are not `mini`'s, and what is published still.
fn tables(host: &Host) -> Vec<String> {
    let ruleset: Value =
        serde_json::from_str(&host.tool("nft", ["-j", "list", "ruleset"])).expect("nft prints JSON");
    let mut left = Vec::new();
    for object in ruleset["nftables"].as_array().into_iter().flatten() {
        for kind in ["table", "map", "set"] {
            let object = &object[kind];
            let table = object["table"].as_str().or(object["name"].as_str()).unwrap_or_default();
            if !object.is_null() && table != "mini0" {
                left.push(format!("nf_tables {kind} of another name: {object}"));
            }
            if kind != "table" && object["elem"].as_array().is_some_and(|elements| !elements.is_empty()) {
                left.push(format!("nf_tables {kind} with elements: {object}"));
            }
        }
    }
    left
}

/// The lines of the calling thread's mountinfo, without the optional fields that change by themselves.
pub fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").expect("read mountinfo");
    text.lines()
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            format!("{} on {} ({})", fields[2], fields[4], line.split(" - ").nth(1).unwrap_or_default())
        })
        .collect()
}

fn groups(host: &Host) -> Vec<String> {
    let parents = cgroups::directories_of(&host.cgroup_parent());
    let inner = parents.iter().flat_map(|parent| cgroups::below(parent));
    let shared = |cgroup: &Path| cgroup.ends_with(Path::new(&host.cgroup_parent()).join("monitor"));
    inner.filter(|cgroup| !shared(cgroup)).map(|cgroup| format!("cgroup: {}", cgroup.display())).collect()
}

/// Files of containers, temporary files, and whatever lies where nothing should.
fn files(host: &Host) -> Vec<String> {
    let mut left = Vec::new();
    // What runs, and the leases that all roots share.
    for place in [host.run_root(), "/run/mini-host".into()] {
        collect(&place, &mut |path| {
            let empty = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
            let named = |wanted: Option<&OsStr>, known: &str| wanted.is_some_and(|name| name == known);
            let lock = named(path.extension(), "lock") || named(path.file_name(), "lock");
            let kept = ["sysctls", "cursor"].iter().any(|known| named(path.file_name(), known));
            if !(empty && lock || kept && path.starts_with("/run/mini-host/network")) {
                left.push(format!("file in the run root: {}", path.display()));
            }
        });
    }
    for place in [host.root(), host.run_root()] {
        for entry in fs::read_dir(place.join("containers")).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(format!("container's directory: {}", entry.path().display()));
            }
        }
    }
    for untouched in ["/run/mini-test/tmp", "/var/lib/mini"] {
        collect(Path::new(untouched), &mut |path| left.push(format!("file: {}", path.display())));
    }
    left.extend(volumes(host));
    let check = host.mini(["system", "check"]).run();
    if !check.status.success() {
        left.push(format!("`mini system check` is not content: {check}"));
    }
    left
}

/// Volumes that nobody named, and that outlived their container.
fn volumes(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.root().join("volume")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let unnamed = names.filter(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    unnamed.map(|name| format!("volume without a name: {name}")).collect()
}

/// Visits every file below `directory` that is no directory.
fn collect(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), visit);
        } else {
            visit(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::namespaces::{self, Namespaces};

    /// What the search says about a host in which `leak` happened; the leak is removed again with the host.
    fn found_after(leak: impl FnOnce(&Host)) -> String {
        let host = Host::with_binary("/bin/true");
        leak(&host);
        let left = find(&host).join("\n");
        let host = std::panic::AssertUnwindSafe(host);
        let dropped = std::panic::catch_unwind(move || host.0.finish());
        assert_eq!(dropped.is_err(), !left.is_empty(), "a host that finds something fails, and only then");
        left
    }

    #[test]
    fn a_clean_host_passes_and_the_thread_is_back_on_the_machine() {
        let before = Namespaces::current();
        assert_eq!(found_after(|host| assert_ne!(host.outside().net_inode(), host.net_inode())), "");
        let after = Namespaces::current();
        assert_eq!((after.net_inode(), after.mnt_inode()), (before.net_inode(), before.mnt_inode()));
    }

    #[test]
    fn a_link_is_found() {
        let left = found_after(|host| drop(host.tool("ip", ["link", "add", "veth7", "type", "veth"])));
        assert_eq!(left, "link: veth0\nlink: veth7");
    }

    #[test]
    fn a_published_port_and_a_strange_table_are_found() {
        let left = found_after(|host| {
            host.tool(
                "nft",
                ["add table ip mini0; add set ip mini0 s { type inet_service; elements = { 80 }; }"],
            );
            host.tool("nft", ["add table ip other"]);
        });
        assert!(left.contains("set with elements") && left.contains("table of another name"), "{left}");
    }

    #[test]
    fn a_mount_is_found() {
        let left = found_after(|host| drop(host.tool("mount", ["-t", "tmpfs", "leak", "/mnt"])));
        assert!(left.starts_with("mount: ") && left.contains("on /mnt"), "{left}");
    }

    #[test]
    fn a_cgroup_is_found_and_removed_with_the_process_in_it() {
        let top = cgroups::hierarchies()[0].mount.join("mini-test-leak");
        let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let mut parent = None;
        let left = found_after(|host| {
            let cgroup = top.with_file_name(host.cgroup_parent()).join("inner");
            fs::create_dir_all(&cgroup).expect("make a cgroup");
            for file in ["cpuset.cpus", "cpuset.mems"] {
                // Only a cpuset has them, and it takes no process before they are filled.
                let inherited =
                    fs::read(cgroup.ancestors().nth(2).expect("two up").join(file)).unwrap_or_default();
                for level in [cgroup.parent().expect("one up"), &cgroup] {
                    let _ = fs::write(level.join(file), &inherited);
                }
            }
            fs::write(cgroup.join("cgroup.procs"), child.id().to_string()).expect("move a process");
            parent = Some(host.cgroup_parent());
        });
        assert!(left.contains("cgroup: ") && left.contains("process:"), "{left}");
        assert_eq!(cgroups::directories_of(&parent.expect("set above")), Vec::<std::path::PathBuf>::new());
        assert!(!child.wait().expect("waitpid").success(), "killed");
    }

    #[test]
    fn a_file_in_the_run_root_is_found_and_an_empty_lock_is_not() {
        let left = found_after(|host| {
            fs::write(host.run_root().join("network.lock"), "").expect("write");
            fs::write(host.run_root().join("pid"), "1").expect("write");
        });
        assert_eq!(left, "file in the run root: /run/mini/pid");
    }

    #[test]
    fn what_is_written_to_the_hosts_etc_never_reaches_the_machine() {
        let left = found_after(|_| fs::write("/etc/only-in-the-host", "x").expect("write"));
        assert_eq!(left, "");
        assert!(!Path::new("/etc/only-in-the-host").exists() && !Path::new("/etc/mini/config.toml").exists());
    }

    #[test]
    fn two_hosts_at_a_time_share_nothing() {
        let first = Host::with_binary("/bin/true");
        let (parent, ids, net) = (first.cgroup_parent(), first.ids(), first.net_inode());
        let second = Host::with_binary("/bin/true");
        assert_ne!(second.cgroup_parent(), parent);
        assert!(second.ids().start >= ids.end || second.ids().end <= ids.start);
        assert_ne!(second.net_inode(), net);
        drop(second);
        assert_eq!(namespaces::inode("/proc/thread-self/ns/net"), Some(net), "back in the first");
    }
}
