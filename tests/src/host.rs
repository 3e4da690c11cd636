//! A host of one test's own: its namespaces, directories, configuration, ids and cgroups; searched when the test ends.
//!
//! What is not namespaced (cgroups, process numbers, user ids) is divided instead: a host holds one *slot*, and with it a
//! cgroup parent and a block of ids that no other test uses at the same time.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::command::{Mini, Running};
use crate::namespaces::{self, Namespaces};
use crate::outside::Outside;
use crate::{Container, Image, leftovers, processes};

/// Where the host keeps what it makes for the test; a tmpfs.
const STATE: &str = "/run/mini-test";
/// Ids a host may hand out: room for 64 containers.
const IDS: u32 = 64 * 65536;
/// The first id of slot 0: above what `mini` uses by itself would use all of it, so the slots share its block.
const FIRST_ID: u32 = 1 << 31;
const SLOTS: u32 = 500;

/// A host of its own, for the calling thread and what it starts.
///
/// At the end of its scope everything in it is removed with `mini rm -f`, then searched for what is left; see
/// [`leftovers`].
#[derive(Debug)]
pub struct Host {
    slot: u32,
    /// Held while the slot is ours: an abstract address in the machine's network namespace.
    _claim: UnixListener,
    binary: PathBuf,
    machine: Namespaces,
    namespaces: Namespaces,
    mounts: Vec<String>,
    disk: Option<PathBuf>,
    outside: OnceCell<Outside>,
    /// The namespaces are the thread's: the value stays on it.
    _thread: PhantomData<*const ()>,
}

impl Host {
    /// A host whose store lies on a tmpfs.
    pub fn new() -> Self {
        Self::make(binary(), None)
    }

    /// A host whose store lies in a directory of the disk that the build lies on.
    pub fn on_disk() -> Self {
        let exe = std::env::current_exe().expect("the test binary has a path");
        Self::make(binary(), exe.parent().map(|deps| deps.join("mini-test-hosts")))
    }

    /// A host for another binary: the harness tests itself with `/bin/true`, which has no containers and no complaints.
    pub fn with_binary(path: impl Into<PathBuf>) -> Self {
        Self::make(path.into(), None)
    }

    fn make(binary: PathBuf, disk: Option<PathBuf>) -> Self {
        let machine = Namespaces::current();
        let (slot, claim) = namespaces::on_the_machine(claim_a_slot);
        // What a killed test left under this slot's name.
        crate::cgroups::remove(&cgroup_parent(slot));
        namespaces::leave_the_machine();
        // Where a tmpfs will not do: an old kernel's cannot show other ids.
        let disk = disk.or_else(|| std::env::var_os("MINI_TEST_DISK").map(PathBuf::from));
        let disk = disk.map(|directory| directory.join(slot.to_string()));
        lay_out(disk.as_deref());
        let mut host = Self {
            slot,
            _claim: claim,
            binary,
            machine,
            namespaces: Namespaces::current(),
            mounts: leftovers::mounts(),
            disk,
            outside: OnceCell::new(),
            _thread: PhantomData,
        };
        host.configure("");
        host.tool("ip", ["link", "set", "lo", "up"]);
        host.mounts = leftovers::mounts();
        host
    }

    /// `mini ARGS…`, not started yet.
    pub fn mini<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Mini {
        let mut command = Command::new(&self.binary);
        command.args(args).env_clear().envs(self.environment()).current_dir("/");
        Mini::new(command)
    }

    /// `mini ARGS…`, started.
    #[track_caller]
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        self.mini(args).start()
    }

    /// `mini run -d ARGS…`, which prints an id.
    #[track_caller]
    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Container<'_> {
        let output = self.mini(["run", "-d"]).args(args).run().ok();
        Container::new(self, output.line())
    }

    /// Hands an image to `mini load` and gives back its name.
    #[track_caller]
    pub fn load<'a>(&self, image: &Image, name: &'a str) -> &'a str {
        self.mini(["load"]).stdin(image.docker_archive(&[name])).run().ok();
        name
    }

    /// A host that has `busybox:latest`.
    #[track_caller]
    pub fn with_busybox() -> Self {
        let host = Self::new();
        host.load(&Image::busybox(), "busybox:latest");
        host
    }

    /// Another program of the machine, in this host; its standard output.
    #[track_caller]
    pub fn tool<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> String {
        let mut command = Command::new(program);
        command.args(args);
        Mini::new(command).run().ok().text()
    }

    /// What stands outside: a second network namespace at the other end of a cable. Made when first asked for.
    pub fn outside(&self) -> &Outside {
        self.outside.get_or_init(Outside::connect)
    }

    /// Replaces the configuration: cgroup parent, ids, and `more`.
    pub fn configure(&self, more: &str) {
        let ids = self.ids();
        let text = format!(
            "[cgroup]\nparent = \"{}\"\n\n[ids]\nbase = {}\ncount = {}\n\n{more}",
            self.cgroup_parent(),
            ids.start,
            ids.end - ids.start
        );
        fs::create_dir_all("/etc/mini").expect("make /etc/mini");
        fs::write("/etc/mini/config.toml", text).expect("write the configuration");
    }

    /// `--root`.
    pub fn root(&self) -> PathBuf {
        Path::new(STATE).join("root")
    }

    /// `--run-root`.
    pub fn run_root(&self) -> PathBuf {
        PathBuf::from("/run/mini")
    }

    /// The user's home directory.
    pub fn home(&self) -> PathBuf {
        Path::new(STATE).join("home")
    }

    /// A directory for what the test makes on the host.
    pub fn work(&self) -> PathBuf {
        Path::new(STATE).join("work")
    }

    /// The name of the cgroup below which all containers lie.
    pub fn cgroup_parent(&self) -> String {
        cgroup_parent(self.slot)
    }

    /// The ids that containers are given.
    pub fn ids(&self) -> Range<u32> {
        let base = FIRST_ID + self.slot * IDS;
        base..base + IDS
    }

    /// The binary under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The variables that every command gets.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("HOME", path(self.home())),
            ("TMPDIR", format!("{STATE}/tmp")),
            ("TERM", "xterm".into()),
            ("MINI_ROOT", path(self.root())),
            ("MINI_RUN_ROOT", path(self.run_root())),
            ("MINI_OFFLINE", "1".into()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// The host's own network namespace, as `/proc` numbers it.
    pub fn net_inode(&self) -> u64 {
        self.namespaces.net_inode()
    }

    /// Every process that belongs to this host: in its namespaces, in its cgroups, or with one of its ids.
    pub fn processes(&self) -> Vec<i32> {
        let own = std::process::id().cast_signed();
        let members: Vec<i32> = crate::cgroups::directories_of(&self.cgroup_parent())
            .iter()
            .flat_map(|top| [vec![top.clone()], crate::cgroups::below(top)].concat())
            .flat_map(|cgroup| crate::cgroups::members(&cgroup))
            .collect();
        let outside = self.outside.get().map(Outside::net_inode);
        let ours = |pid: &i32| {
            let net = processes::namespace(*pid, "net");
            members.contains(pid)
                || (net.is_some() && (net == Some(self.net_inode()) || net == outside))
                || processes::namespace(*pid, "mnt") == Some(self.namespaces.mnt_inode())
                || processes::uids(*pid).is_some_and(|uids| uids.iter().any(|uid| self.ids().contains(uid)))
        };
        let alive =
            |pid: &i32| !processes::status(*pid, "State").is_none_or(|state| state.starts_with(['Z', 'X']));
        processes::all().into_iter().filter(|pid| *pid != own && ours(pid) && alive(pid)).collect()
    }

    /// What differs from the mounts that the host began with.
    pub fn new_mounts(&self) -> Vec<String> {
        leftovers::mounts().into_iter().filter(|line| !self.mounts.contains(line)).collect()
    }

    /// Removes every container with `mini rm -f`; then fails unless nothing is left. Also done at the end of the scope.
    #[track_caller]
    pub fn finish(self) {
        drop(self);
    }

    /// Ends all processes, removes cgroups and directories, and takes the thread back to the machine.
    fn tear_down(&mut self) {
        let processes = self.processes();
        crate::cgroups::remove(&self.cgroup_parent());
        for pid in processes {
            processes::kill(pid);
        }
        self.outside.take();
        if let Some(disk) = &self.disk {
            // The store must not be held by a mount when its directory goes.
            let _ = unmount(self.root(), UnmountFlags::DETACH);
            fs::remove_dir_all(disk).expect("remove the host's directory on disk");
        }
        self.machine.enter();
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let failed_already = std::thread::panicking();
        let mut left = Vec::new();
        if !failed_already {
            left.extend(leftovers::remove_containers(self));
            left.extend(leftovers::find(self));
        }
        self.tear_down();
        assert!(left.is_empty(), "left behind:\n  {}", left.join("\n  "));
    }
}

/// `MINI_BIN`, made absolute.
fn binary() -> PathBuf {
    let named = std::env::var_os("MINI_BIN")
        .expect("MINI_BIN names the binary under test; `cargo xtask test` sets it");
    fs::canonicalize(&named).unwrap_or_else(|error| panic!("MINI_BIN={}: {error}", named.display()))
}

fn cgroup_parent(slot: u32) -> String {
    format!("mini-test-{slot}")
}

/// The first slot that nobody holds. An abstract address goes with its holder, however that ends.
fn claim_a_slot() -> (u32, UnixListener) {
    for slot in 1..SLOTS {
        let address = SocketAddr::from_abstract_name(format!("mini-test-{slot}")).expect("a short name");
        if let Ok(claim) = UnixListener::bind_addr(&address) {
            return (slot, claim);
        }
    }
    panic!("{SLOTS} test hosts at the same time");
}

/// The host's own `/run`, `/etc` and `/var/lib`: nothing that is written there reaches the machine.
fn lay_out(disk: Option<&Path>) {
    let tmpfs = |path: &str| {
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), c"mode=755")
            .unwrap_or_else(|e| panic!("tmpfs on {path}: {e}"));
    };
    let make = |path: &str| fs::create_dir_all(path).unwrap_or_else(|e| panic!("make {path}: {e}"));
    tmpfs("/run");
    make("/run/mini");
    tmpfs("/run/mini");
    make(STATE);
    tmpfs(STATE);
    for inner in ["root", "home", "work", "tmp"] {
        make(&format!("{STATE}/{inner}"));
    }
    for shared in ["/etc", "/var/lib"] {
        let layer = format!("{STATE}/own{shared}");
        make(&format!("{layer}/upper"));
        make(&format!("{layer}/work"));
        let options = format!("lowerdir={shared},upperdir={layer}/upper,workdir={layer}/work");
        let options = std::ffi::CString::new(options).expect("no NUL in our own paths");
        mount("overlay", shared, "overlay", MountFlags::empty(), options.as_c_str())
            .unwrap_or_else(|e| panic!("a copy-on-write {shared}: {e}"));
    }
    // What the machine's owner has there is no part of this host.
    make("/var/lib/mini");
    tmpfs("/var/lib/mini");
    let root = format!("{STATE}/root");
    match disk {
        None => tmpfs(&root),
        Some(directory) => {
            // What a killed test left under this slot's name.
            let _ = fs::remove_dir_all(directory);
            fs::create_dir_all(directory).expect("make the host's directory on disk");
            rustix::mount::mount_bind(directory, &root).expect("bind the host's directory on disk");
        }
    }
    // As systemd and Debian have them.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("chmod");
}
