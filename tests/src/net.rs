//! TCP from the calling thread's network namespace: a server that says one thing, a client that listens.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::{Container, Host, processes, wait};

/// How long a connection may take: packets that are dropped are answered by nothing else.
const CONNECT: Duration = Duration::from_secs(2);

/// A server that lives as long as the value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    peers: Arc<Mutex<Vec<IpAddr>>>,
    stop: Option<std::os::fd::OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// Says `text` to everyone who connects to `address:port` (port 0: any free one), in the caller's network namespace.
#[track_caller]
pub fn serve(address: impl Into<IpAddr>, port: u16, text: &str) -> Server {
    let text = text.to_owned();
    accept(address, port, move |mut stream| {
        // A client that has heard enough is its own affair.
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        // Leave only when the client has: a reset must not overtake what we said.
        let _ = stream.read(&mut [0; 64]);
    })
}

/// Hands every connection to `serve`, each on a thread of its own.
#[track_caller]
pub fn accept(
    address: impl Into<IpAddr>,
    port: u16,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> Server {
    let address = SocketAddr::new(address.into(), port);
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("listen on {address}: {error}"));
    let address = listener.local_addr().expect("a bound socket has an address");
    let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let peers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&peers);
    let serve = Arc::new(serve);
    let thread = std::thread::spawn(move || {
        loop {
            let ready =
                wait::ready(&[listener.as_fd(), stopped.as_fd()], Instant::now() + Duration::from_secs(3600));
            if ready[1] {
                return;
            }
            let Ok((stream, peer)) = listener.accept() else { continue };
            seen.lock().expect("nobody panics with it").push(peer.ip());
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    Server { address, peers, stop: Some(stop), thread: Some(thread) }
}

impl Server {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Who has connected so far.
    pub fn peers(&self) -> Vec<IpAddr> {
        self.peers.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The acceptor only loops; its panic has been printed.
            let _ = thread.join();
        }
    }
}

/// What the server at `address:port` says, up to the end of the stream; none where nobody answers.
pub fn ask(address: impl Into<IpAddr>, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address.into(), port), CONNECT).ok()?;
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a time-out above zero");
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

/// What is heard at last, asked again while a [`speaker`] turns around between two callers.
///
/// # Panics
/// Where nothing is heard in time.
#[track_caller]
pub fn heard(ask: impl Fn() -> Option<String>) -> String {
    wait::until("an answer at the port", || ask().filter(|text| !text.is_empty()))
}

/// A container that says `text` to everybody who connects to its port 80, one after the other.
#[track_caller]
pub fn speaker<'host>(host: &'host Host, options: &[&str], text: &str) -> Container<'host> {
    let script = format!("while :; do echo {text} | nc -l -p 80; done");
    let output = host.mini(["run", "-d"]).args(options).args(["busybox", "sh", "-c", &script]).run().ok();
    let container = Container::new(host, output.line());
    wait::until("a listener in the container", || {
        let table = processes::proc_file(container.pid(), "net/tcp")?
            + &processes::proc_file(container.pid(), "net/tcp6")?;
        table.contains(":0050 ").then_some(())
    });
    container
}
