//! A host of the test's own, with an outside and containers: network namespaces, made for one test and gone with it.
//!
//! The thread that runs the test moves into the host's namespace. Sockets are opened by threads that visit a namespace; they
//! stay there while the test uses them from anywhere.
#![expect(
    clippy::disallowed_methods,
    reason = "namespaces are made and looked at with the system's tools, not with the code under test"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use network::{AttachPlan, Lease, NetworkConfig, PortRequest, Reserved, lease, parse_publish, reserve};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with, sockopt};

/// The host's address on the way to the outside.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A machine outside. It has a route to 192.0.2.0/24 and to nothing else.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// A connection takes no time here; this is only for not waiting for ever.
const DEADLINE: Duration = Duration::from_secs(10);

/// A network namespace that can be visited.
pub(crate) struct Netns(OwnedFd);

impl Netns {
    /// The one that this thread is in.
    pub(crate) fn here() -> Self {
        Self(File::open("/proc/thread-self/ns/net").unwrap().into())
    }

    /// Runs something on a thread in this namespace.
    pub(crate) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            act()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Listens in this namespace.
    pub(crate) fn listen(&self, ip: impl Into<Ipv4Addr>, port: u16) -> TcpListener {
        let address = SocketAddrV4::new(ip.into(), port);
        self.run(|| TcpListener::bind(address)).unwrap_or_else(|error| panic!("bind {address}: {error}"))
    }

    /// Connects from this namespace.
    pub(crate) fn connect(&self, ip: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
        let address = SocketAddr::from((ip, port));
        self.run(|| TcpStream::connect_timeout(&address, DEADLINE))
    }

    /// Connects from a port of the client's choice.
    pub(crate) fn connect_from(&self, own_port: u16, ip: Ipv4Addr, port: u16) -> OwnedFd {
        self.run(|| {
            let client = socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                Some(ipproto::TCP),
            )
            .unwrap();
            sockopt::set_socket_timeout(&client, sockopt::Timeout::Send, Some(DEADLINE)).unwrap();
            bind(&client, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, own_port)).unwrap();
            connect(&client, &SocketAddrV4::new(ip, port))
                .unwrap_or_else(|error| panic!("connect {ip}:{port}: {error}"));
            client
        })
    }

    /// Connects, sends a byte there and back, and says whom the server saw.
    pub(crate) fn talk(&self, ip: Ipv4Addr, port: u16, server: &TcpListener) -> Ipv4Addr {
        let mut client =
            self.connect(ip, port).unwrap_or_else(|error| panic!("connect {ip}:{port}: {error}"));
        let (mut accepted, peer) = server.accept().unwrap();
        let mut byte = [0];
        client.write_all(b"?").unwrap();
        accepted.read_exact(&mut byte).unwrap();
        accepted.write_all(b"!").unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"!");
        let SocketAddr::V4(peer) = peer else { panic!("{peer} is not IPv4") };
        *peer.ip()
    }

    /// Runs a command there and returns what it prints.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.run(|| sh(script))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs a command in this thread's namespaces and returns what it prints.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A process that keeps namespaces alive for as long as the test holds it: it reads from a pipe of ours.
pub(crate) struct Keeper(Child);

impl Keeper {
    fn new(unshare: &[&str]) -> (Self, Netns) {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", "echo ready; exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let netns = Netns(File::open(format!("/proc/{}/ns/net", child.id())).unwrap().into());
        (Self(child), netns)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// The host: this thread's network namespace from now on.
pub(crate) struct Host {
    pub(crate) config: NetworkConfig,
    pub(crate) netns: Netns,
    state: tempfile::TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// Hosts of one process live one after the other: a test that starts a command copies the whole process's descriptors into
/// the child, until it has executed the command, and thus holds the locks and ports of all others for a moment.
static ALONE: Mutex<()> = Mutex::new(());

impl Host {
    /// An empty one: no link but `lo`, which is up.
    pub(crate) fn new() -> Self {
        Self { _alone: Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner)), ..Self::elsewhere(None) }
    }

    /// Another one for the same test, with the same state directory; the thread moves there.
    pub(crate) fn second(&self) -> Self {
        Self::elsewhere(Some(self.config.clone()))
    }

    fn elsewhere(config: Option<NetworkConfig>) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        sh("ip link set lo up");
        let state = tempfile::tempdir().unwrap();
        let config = config.unwrap_or_else(|| NetworkConfig::new(state.path().join("network"), "/test/root"));
        Self { config, netns: Netns::here(), state, _alone: None }
    }

    /// Adds a machine outside, joined to the host by a cable.
    pub(crate) fn outside(&self) -> Outside {
        let (keeper, netns) = Keeper::new(&["--net"]);
        let pid = keeper.0.id();
        sh(&format!(
            "ip link add out0 type veth peer name eth0 netns {pid}; echo 1 > /proc/sys/net/ipv6/conf/out0/disable_ipv6; ip addr add {HOST}/24 dev out0; ip link set out0 up"
        ));
        netns.sh(&format!("ip link set lo up; ip addr add {OUTSIDE}/24 dev eth0; ip link set eth0 up"));
        until(|| sh("ip link show out0").contains("state UP"), "the cable's carrier");
        Outside { netns, _keeper: keeper }
    }

    /// Starts a container: everything that a monitor does for its network.
    pub(crate) fn start(&self, id: &str, publish: &[&str]) -> Container {
        self.start_with(id, publish, || {})
    }

    /// The same, with something happening between lease and attach.
    pub(crate) fn start_with(&self, id: &str, publish: &[&str], between: impl FnOnce()) -> Container {
        let requests: Vec<PortRequest> =
            publish.iter().flat_map(|text| parse_publish(text).unwrap()).collect();
        let ports = reserve(&self.config, &requests).unwrap();
        let lease = lease(&self.config, id, &ports.mappings).unwrap();
        let plan = AttachPlan::new(id, &lease.endpoint, &ports.mappings);
        let mut container = Container::namespaces();
        between();
        lease.attach(&plan, container.netns.as_fd()).unwrap();
        container.attached = Some(Attached { plan, lease, ports });
        container
    }

    /// All that the host's network consists of, as text.
    pub(crate) fn everything(&self) -> String {
        let state = self.state.path().display();
        sh(&format!(
            "ip -details link | grep -v altname; ip addr; ip -4 route show table all; ip -6 route show table all; nft list ruleset; \
             cd /proc/sys/net/ipv4; grep -r . ip_forward conf | sort; find {state}"
        ))
    }
}

impl Host {
    /// Asserts that the host is as it was before the first container.
    pub(crate) fn is_as_before(&self, before: &str, what: impl std::fmt::Display) {
        // A namespace dies a little after its last process, and its links with it.
        until(|| !sh("ip link").contains("mini-"), "the links of dying namespaces to go");
        same(&self.everything(), before, what);
    }
}

/// A machine outside.
pub(crate) struct Outside {
    pub(crate) netns: Netns,
    _keeper: Keeper,
}

/// A container's network, in a user namespace of its own, with a process that keeps it.
pub(crate) struct Container {
    pub(crate) netns: Netns,
    pub(crate) attached: Option<Attached>,
    keeper: Keeper,
}

/// What its monitor holds.
pub(crate) struct Attached {
    pub(crate) plan: AttachPlan,
    pub(crate) lease: Lease,
    pub(crate) ports: Reserved,
}

impl Container {
    /// Without a network yet.
    pub(crate) fn namespaces() -> Self {
        let (keeper, netns) = Keeper::new(&["--user", "--map-root-user", "--net"]);
        Self { netns, attached: None, keeper }
    }

    /// Where its network namespace is found.
    pub(crate) fn netns_path(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.0.id())
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.plan().endpoint.address
    }

    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.plan().endpoint.gateway
    }

    pub(crate) fn plan(&self) -> &AttachPlan {
        &self.attached.as_ref().unwrap().plan
    }

    /// Ends as a container does: its processes first, then what the monitor takes back.
    pub(crate) fn stop(mut self) {
        let Attached { plan, mut lease, ports } = self.attached.take().unwrap();
        drop(self);
        let errors = lease.detach(&plan);
        assert!(errors.is_empty(), "{errors:?}");
        network::forget_connections(&plan).unwrap();
        drop(ports);
    }
}

/// A file of the state, for tests that look behind the curtain.
pub(crate) fn state_files(host: &Host) -> Vec<String> {
    let list = sh(&format!("cd {} && find . -type f | sort", host.config.state.display()));
    list.lines().map(str::to_owned).collect()
}

/// Writes a sysctl of the namespace that this thread is in.
pub(crate) fn set_sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/{name}"), value).unwrap();
}

/// Waits for what the kernel does in its own time.
fn until(done: impl Fn() -> bool, what: &str) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::yield_now();
    }
}

/// Asserts that two texts are the same; if not, only the lines that differ are shown.
pub(crate) fn same(now: &str, before: &str, what: impl std::fmt::Display) {
    let only = |a: &str, b: &str| {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(now == before, "{what}: too much {:#?}, missing {:#?}", only(now, before), only(before, now));
}

/// Runs a test on two hosts: one whose bridges pass frames through netfilter (docker switches that on), and one whose do not.
#[expect(clippy::print_stderr, reason = "a test that cannot run in full says so")]
pub(crate) fn both_ways_of_bridging(test: impl Fn(&Host)) {
    const SWITCH: &str = "net/bridge/bridge-nf-call-iptables";
    for value in ["0", "1"] {
        let host = Host::new();
        if fs::exists(format!("/proc/sys/{SWITCH}")).unwrap() {
            set_sysctl(SWITCH, value);
        } else {
            // A kernel without br_netfilter has one way only.
            eprintln!("{SWITCH} {value}: this kernel cannot");
        }
        test(&host);
    }
}
