//! What a kernel gives is found out by taking it: in children that end at once, in namespaces that end with them.
//!
//! ```text
//! mini class check ─► tester: a session of its own, deaf to ctrl-C; ends by itself, whatever becomes of who asked
//!                       ├─► a child for each trial: born into the namespaces, told its ids, tries, answers, ends
//!                       └─► a lab, as lessons have one, with a container in it
//! ```
//!
//! What namespaces do not take with them, control groups, the tester takes away itself.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use runtime::caps::CapSet;
use runtime::cgroup::{Cgroup, CgroupPlan, Layout, Limits, device_policy};
use runtime::op::enter_process;
use runtime::plan::IdMap;
use runtime::seccomp::{self, Machine, assemble, profile};
use runtime::sys::mount::{self, Attr, Layer, Writable};
use runtime::sys::ns::{self, Kinds};
use runtime::sys::{self, idmapped, pidfd, process, signal};

use super::look;
use super::need::Found;
use crate::context::Context;
use crate::learn::Signals;
use crate::learn::lab::{self, Lab, answer};
use crate::plan::ids::RANGE;
use crate::random;

/// A trial: its need, and what takes it.
type Trial<'a> = (&'a str, &'a dyn Fn() -> Result<String>);

/// Tries everything, and waits for the tester's end.
///
/// # Errors
/// Where no process can be made.
pub(crate) fn all(context: &Context) -> Result<Vec<Found>> {
    process::assert_single_threaded()?;
    let (read, write) = sys::socket::pipe()?;
    let Some(tester) = ns::fork()? else {
        drop(read);
        let code = match test(context, &write) {
            Ok(()) => 0,
            Err(error) => {
                crate::output::error(&error);
                1
            }
        };
        process::exit(code)
    };
    drop(write);
    let text = hear(read)?;
    lab::wait(tester)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The life of the tester: a line of JSON a trial.
fn test(context: &Context, answers: &OwnedFd) -> Result<()> {
    enter_process("tester");
    process::new_session()?;
    for deaf in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
        signal::ignore(deaf)?;
    }
    let base = context.config.ids.base;
    let map = [IdMap { container: 0, host: base, size: RANGE }];
    let tell = |found: &Found| {
        let line = serde_json::to_string(found).expect("strings become JSON") + "\n";
        // Who asked may be gone; what was begun is ended all the same.
        let _unheard = sys::fs::write_all(answers.as_fd(), line.as_bytes());
    };
    for (name, kind) in ns::KINDS {
        let most = || look::most(name).map_or_else(|| "?".to_owned(), |most| most.to_string());
        tell(&judged(&format!("namespace.{name}"), inside(kind, None, &|| Ok(format!("max {}", most())))));
    }
    tell(&unprivileged(base));
    let trials: [Trial<'_>; 7] = [
        ("idmap", &|| inside(Kinds::USER, Some(&map), &|| Ok(shown_map()))),
        ("overlay", &|| inside(Kinds::USER | Kinds::MOUNT, Some(&map), &overlay)),
        ("idmapped", &|| idmapped_mount(&context.dirs.root, &map)),
        ("seccomp", &|| inside(Kinds::empty(), None, &filter)),
        ("bridge", &|| inside(Kinds::NETWORK, None, &|| Ok(network::try_bridge().map(yes)?))),
        ("veth", &|| inside(Kinds::NETWORK, None, &veth)),
        ("nf_tables", &|| inside(Kinds::NETWORK, None, &|| Ok(network::try_table().map(yes)?))),
    ];
    for (key, trial) in trials {
        tell(&judged(key, trial()));
    }
    groups(context, &tell);
    world(context, &tell);
    Ok(())
}

fn yes<T>(_: T) -> String {
    "yes".to_owned()
}

fn judged(key: &str, tried: Result<String>) -> Found {
    match tried {
        Ok(found) => Found::ok(key, found),
        Err(error) => {
            let said = format!("{error:#}");
            let hint = hint(key, &said);
            Found::missing(key, said.replace('\n', " "), hint)
        }
    }
}

/// What helps against an answer of the kernel. PURE.
fn hint(key: &str, said: &str) -> Option<String> {
    let kind = key.strip_prefix("namespace.");
    let text = match (key, kind) {
        (_, Some(kind)) if said.contains("os error 28") => {
            return Some(format!("sysctl user.max_{kind}_namespaces=15000"));
        }
        ("namespace.user" | "idmap", _) if said.contains("os error 1)") => {
            "something above forbids it: a container, a chroot, or a security module"
        }
        (_, Some(_)) if said.contains("os error 22") => "a kernel that was built with this kind of namespace",
        ("overlay", _) => "modprobe overlay; a kernel from Linux 5.11 on",
        ("idmapped", _) => "put --root on ext4, xfs, btrfs or tmpfs; until then mini run takes --userns=host",
        ("bridge", _) => "modprobe bridge",
        ("veth", _) => "modprobe veth",
        ("nf_tables", _) => "modprobe nf_tables nft_chain_nat nft_masq nft_fib_ipv4",
        ("cgroup.cpu" | "cgroup.memory" | "cgroup.pids", _) => {
            let controller = key.trim_start_matches("cgroup.");
            return Some(format!("cgroup_enable={controller} on the kernel's command line"));
        }
        ("lab" | "container", _) => "what is missing above, first; then mini system check --repair",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Has a child, born into new namespaces, do something as their root, and answer.
fn inside(kinds: Kinds, map: Option<&[IdMap]>, act: &dyn Fn() -> Result<String>) -> Result<String> {
    let (read, write) = sys::socket::pipe()?;
    let (ours, gate) = sys::socket::pair()?;
    let (pid, held) = match ns::clone3(kinds, None)? {
        ns::Cloned::Child => {
            drop((read, ours));
            let tried = process::die_with_parent().map_err(Into::into).and_then(|()| {
                let mut word = [0u8; 8];
                anyhow::ensure!(sys::socket::receive(gate.as_fd(), &mut word)?.0 > 0, "nobody waits for it");
                if map.is_some() {
                    process::become_user(0, 0, &[])?;
                }
                act()
            });
            answer::give(&write, tried);
            process::exit(0)
        }
        ns::Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((write, gate));
    let mapped = map.map_or(Ok(()), |map| runtime::idmap::write_maps(pid, map, map).map(drop));
    let told = mapped.and_then(|()| sys::socket::send(ours.as_fd(), b"go", &[]));
    drop(ours);
    let heard = hear(read);
    pidfd::wait(held.as_fd())?;
    told?;
    answer::understood(&heard?, "the child that tried it has died")
}

fn hear(read: OwnedFd) -> Result<String> {
    let mut answer = String::new();
    std::fs::File::from(read).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether somebody without privileges may make a user namespace. mini's own steps do not need that; what students type does.
fn unprivileged(user: u32) -> Found {
    const KEY: &str = "namespace.unprivileged";
    let tried = inside(Kinds::empty(), None, &|| {
        process::become_user(user, user, &[])?;
        match ns::clone3(Kinds::USER, None)? {
            ns::Cloned::Child => process::exit(0),
            ns::Cloned::Parent { pidfd, .. } => pidfd::wait(pidfd.as_fd()).map(yes).map_err(Into::into),
        }
    });
    let sysctl = |name: &str, value: &str| {
        let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).unwrap_or_default();
        text.trim() == value
    };
    let restricted = "sysctl kernel.apparmor_restrict_unprivileged_userns=0";
    match tried {
        Ok(_) if sysctl("apparmor_restrict_unprivileged_userns", "1") => {
            Found::warning(KEY, "yes, but AppArmor takes their capabilities", restricted)
        }
        Ok(found) => Found::ok(KEY, found),
        Err(error) => {
            let hint = match sysctl("unprivileged_userns_clone", "0") {
                true => "sysctl kernel.unprivileged_userns_clone=1",
                false => restricted,
            };
            Found::warning(KEY, format!("{error:#}"), hint)
        }
    }
}

/// As the kernel shows it inside.
fn shown_map() -> String {
    let text = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Stacks two directories of a file system in memory, and writes.
fn overlay() -> Result<String> {
    let top = Path::new("/tmp");
    mount::make_private()?;
    lab::mount_at("tmpfs", &[("mode", "0755")], Attr::MOUNT_ATTR_NODEV, top)?;
    let path = |name: &str| top.join(name);
    for name in ["lower", "upper", "work", "merged"] {
        sys::fs::make_dir(&path(name), 0o755)?;
    }
    let paths = ["lower", "upper", "work"].map(path);
    let [lower, upper, work] = &paths;
    let opened = [sys::fs::open_dir(lower)?, sys::fs::open_dir(upper)?, sys::fs::open_dir(work)?];
    let layer = |index: usize| Layer { fd: opened[index].as_fd(), path: &paths[index] };
    let writable = Writable { upper: layer(1), work: layer(2), volatile: false };
    let merged = path("merged");
    let stacked = lab::stack(layer(0), writable, &merged)?;
    mount::place(stacked.as_fd(), sys::fs::open_path_following(&merged)?.as_fd(), &merged)?;
    sys::fs::write_for(&merged.join("file"), b"x", 0o644, 0, 0)?;
    anyhow::ensure!(upper.join("file").exists(), "what was written did not come to the upper directory");
    Ok("yes".to_owned())
}

/// Shifts the ids of the file system that the root lies on, in a clone that is mounted nowhere.
fn idmapped_mount(root: &Path, map: &[IdMap]) -> Result<String> {
    let place = root.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
    let tree = mount::clone_tree(rustix::fs::CWD, place, false)?;
    let (ours, gate) = sys::socket::pair()?;
    let (pid, held) = match ns::clone3(Kinds::USER, None)? {
        ns::Cloned::Child => {
            drop(ours);
            // Until we have seen enough, or have ended.
            let _end = sys::socket::receive(gate.as_fd(), &mut [0u8; 1]);
            process::exit(0)
        }
        ns::Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(gate);
    let shifted = runtime::idmap::write_maps(pid, map, map)
        .and_then(|userns| idmapped::idmap(tree.as_fd(), userns.as_fd(), false, place));
    drop(ours);
    pidfd::wait(held.as_fd())?;
    shifted?;
    Ok(format!("yes, on {}", place.display()))
}

/// Loads the filter that containers get.
fn filter() -> Result<String> {
    let rules = profile::default_profile(CapSet::DOCKER, Machine::NATIVE);
    let filter = assemble::assemble(&rules, Machine::NATIVE)?;
    process::set_no_new_privileges()?;
    seccomp::load(&filter)?;
    Ok("yes".to_owned())
}

/// A pair between two network namespaces, both to be thrown away.
fn veth() -> Result<String> {
    let other = sys::control::open_namespace(rustix::process::getpid(), "net")?;
    ns::unshare_network()?;
    network::try_veth(other.as_fd())?;
    Ok("yes".to_owned())
}

/// Makes a group with a limit of each controller, and takes it away again; the group above it too, where it is new.
fn groups(context: &Context, tell: &dyn Fn(&Found)) {
    let Ok(layout) = Layout::detect() else { return };
    let parent = Path::new(&context.config.cgroup.parent);
    let mut new = layout.directories(parent);
    new.retain(|directory| !directory.exists());
    let limits: [(&str, Limits); 3] = [
        ("cgroup.cpu", Limits { cpu_quota: Some(50_000), cpu_period: Some(100_000), ..Limits::default() }),
        ("cgroup.memory", Limits { memory: Some(64 << 20), ..Limits::default() }),
        ("cgroup.pids", Limits { pids: Some(16), ..Limits::default() }),
    ];
    for (key, limits) in limits {
        tell(&judged(key, in_group(&layout, parent, limits, &|_| Ok(()))));
    }
    let freeze = |group: &Path| {
        layout.freeze(group)?;
        layout.thaw(group)
    };
    tell(&judged("cgroup.freezer", in_group(&layout, parent, Limits::default(), &freeze)));
    for directory in new {
        // Somebody may have a container in it by now.
        let _kept = sys::fs::remove_dir(&directory);
    }
}

fn in_group(
    layout: &Layout,
    parent: &Path,
    limits: Limits,
    act: &dyn Fn(&Path) -> Result<(), runtime::op::OpError>,
) -> Result<String> {
    let path: PathBuf = parent.join(random::new_id()?);
    let plan = CgroupPlan { path: path.clone(), limits, devices: device_policy(None)? };
    let made = Cgroup::create(layout, &plan).map_err(anyhow::Error::from).and_then(|_| Ok(act(&path)?));
    let gone = layout.remove(&path);
    made?;
    gone?;
    Ok("yes".to_owned())
}

/// The world that lessons happen in, and a container that one of them would start.
fn world(context: &Context, tell: &dyn Fn(&Found)) {
    let mut lab = match Signals::hold().and_then(|signals| Lab::open(context, Rc::new(signals))) {
        Ok(lab) => lab,
        Err(error) => return tell(&judged("lab", Err(error))),
    };
    let ran = lab.run(&["--network", "none"], &|| Ok(())).map(yes).context("cannot run a container");
    let closed = lab.close();
    tell(&judged("lab", closed.map(yes)));
    tell(&judged("container", ran));
}
