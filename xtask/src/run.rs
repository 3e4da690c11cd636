//! `cargo xtask run`: from a clone to a prompt inside a container.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::busybox;
use crate::command::{read, run};
use crate::workspace::Workspace;

/// Build `mini`, see to it that it has the image `busybox`, and run COMMAND (or a shell) in a container of it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to run instead of the image's own command, a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

const IMAGE: &str = "busybox:latest";

/// Docker Hub's registry, and how long it may take to accept a connection, its name's look-up included.
const HUB: (&str, u16) = ("registry-1.docker.io", 443);
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mini = build::build(&workspace, Profile::Release)?;
    provide_image(&mini, &workspace)?;

    let terminal = std::io::stdin().is_terminal();
    let mut container = Command::new(&mini);
    container.args(["run", if terminal { "-it" } else { "-i" }, "--rm", "busybox"]).args(&args.command);
    // In our place: the terminal, the signals and the exit status are its own.
    let error = container.exec();
    bail!("starting {}: {error}", mini.display())
}

/// Makes sure that the store has `busybox`: its own already, else Docker Hub's, else one made here.
fn provide_image(mini: &Path, workspace: &Workspace) -> Result<()> {
    if !read(Command::new(mini).args(["images", "-q", IMAGE]))?.trim().is_empty() {
        return Ok(());
    }
    let why_not = match docker_hub_answers() {
        Ok(()) => match run(Command::new(mini).args(["pull", "busybox"])) {
            Ok(()) => return Ok(()),
            Err(error) => format!("{error:#}"),
        },
        Err(reason) => reason,
    };
    eprintln!("no busybox from Docker Hub: {why_not}. Making one from Debian's busybox-static.");
    let archive = busybox::archive(&workspace.target.join("busybox"))?;
    run(Command::new(mini).args(["load", "-i"]).arg(&archive)).context("loading the image made here")
}

/// Whether Docker Hub accepts a connection in time; if not, why.
fn docker_hub_answers() -> Result<(), String> {
    if std::env::var_os("MINI_OFFLINE").is_some_and(|value| !value.is_empty()) {
        return Err("MINI_OFFLINE is set".to_owned());
    }
    accepts(HUB, PATIENCE).map_err(|error| format!("{} does not answer ({error})", HUB.0))
}

/// Connects to `host` and hangs up. Looking up a name takes as long as the resolver likes, so it happens in a thread that is
/// left behind when the time is over.
fn accepts(host: (&'static str, u16), patience: Duration) -> std::io::Result<()> {
    let deadline = Instant::now() + patience;
    let (answer, answered) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more once the time is over.
        let _ = answer.send(host.to_socket_addrs());
    });
    let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let addresses = answered.recv_timeout(patience).map_err(|_| late())??;
    let mut last = late();
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_answers_and_a_closed_port_does_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        accepts(("127.0.0.1", port), PATIENCE).unwrap();
        drop(listener);
        assert!(accepts(("127.0.0.1", port), PATIENCE).is_err());
    }
}
