//! Who pulls, with which command, and how what was pulled goes again.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::bench::inside::{Place, World, wait_for};
use crate::bench::memory::REGISTRY;
use crate::bench::{docker, mini, podman};

/// Who pulls.
pub(super) struct Engine {
    pub(super) who: &'static str,
    pub(super) place: Place,
    /// Pulls the image that is named behind it.
    pull: Vec<String>,
    /// Removes that image.
    remove: Vec<String>,
    /// The process that does the work, where that is not the command.
    pub(super) daemon: Option<u32>,
    /// Whether the command's own memory is counted beside its daemon's.
    pub(super) client_counts: bool,
}

impl Engine {
    fn new<const P: usize, const R: usize>(
        who: &'static str,
        place: Place,
        pull: [&str; P],
        remove: [&str; R],
    ) -> Engine {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Engine { who, place, pull: words(&pull), remove: words(&remove), daemon: None, client_counts: true }
    }

    pub(super) fn pull(&self, image: &str) -> Vec<String> {
        with(&self.pull, image)
    }

    pub(super) fn remove(&self, image: &str) -> Vec<String> {
        with(&self.remove, image)
    }
}

fn with(words: &[String], image: &str) -> Vec<String> {
    words.iter().cloned().chain([format!("{REGISTRY}/{image}:latest")]).collect()
}

/// Those that can be started here, and their daemons.
pub(super) fn begin(world: &mut World) -> (Vec<Engine>, Vec<Child>) {
    type Begin = fn(&mut World) -> Result<(Engine, Vec<Child>)>;
    let begins: [(&str, Begin); 5] = [
        ("mini", begin_mini),
        ("docker", begin_docker),
        ("podman", begin_podman),
        ("containerd", begin_containerd),
        ("the floor", begin_floor),
    ];
    let (mut engines, mut daemons) = (Vec::new(), Vec::new());
    for (who, begin) in begins {
        eprintln!("preparing {who}");
        match begin(world) {
            Ok((engine, started)) => {
                engines.push(engine);
                daemons.extend(started);
            }
            Err(error) => eprintln!("{who} is not measured: {error:#}"),
        }
    }
    (engines, daemons)
}

fn begin_mini(world: &mut World) -> Result<(Engine, Vec<Child>)> {
    let nobody = mini::begin(world)?;
    let program = world.plan.mini.to_string_lossy().into_owned();
    let (pull, remove) = ([&*program, "pull", "--quiet"], [&*program, "rmi", "--force"]);
    Ok((Engine::new("mini", Place::Machine, pull, remove), nobody))
}

fn begin_docker(world: &mut World) -> Result<(Engine, Vec<Child>)> {
    let daemon = docker::begin(world)?;
    let (pull, remove) = (["docker", "pull", "--quiet"], ["docker", "rmi", "--force"]);
    let engine = Engine::new("docker", Place::Machine, pull, remove);
    let pid = daemon.first().map(Child::id);
    Ok((Engine { daemon: pid, client_counts: false, ..engine }, daemon))
}

fn begin_podman(world: &mut World) -> Result<(Engine, Vec<Child>)> {
    let nobody = podman::begin(world)?;
    let pull = ["podman", "pull", "--quiet", "--tls-verify=false"];
    Ok((Engine::new("podman", Place::V1Only, pull, ["podman", "rmi", "--force"]), nobody))
}

/// containerd as it is, without docker around it.
fn begin_containerd(world: &mut World) -> Result<(Engine, Vec<Child>)> {
    const SOCKET: &str = "/run/bench-containerd/containerd.sock";
    let data = world.plan.directory.join("containerd");
    fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
    let config = data.join("config.toml");
    let text = format!(
        "version = 2\nroot = {:?}\nstate = \"/run/bench-containerd/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {SOCKET:?}\n",
        data.join("root")
    );
    fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    let log = File::create(data.join("log")).context("making containerd's log")?;
    let mut daemon = Command::new("containerd");
    daemon.arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut daemon = daemon.spawn().context("starting containerd")?;
    wait_for(Path::new(SOCKET), &mut daemon)?;
    let pull = ["ctr", "--address", SOCKET, "images", "pull", "--plain-http"];
    // It waits until what the image alone needed is gone.
    let remove = ["ctr", "--address", SOCKET, "images", "remove", "--sync"];
    let engine = Engine::new("containerd", Place::Machine, pull, remove);
    Ok((Engine { daemon: Some(daemon.id()), ..engine }, vec![daemon]))
}

const FLOOR: &str = include_str!("floor.sh");

/// The work itself, done by the fastest programs there are for each part of it, with no engine around them.
fn begin_floor(world: &mut World) -> Result<(Engine, Vec<Child>)> {
    let script = world.plan.directory.join("floor.sh");
    fs::write(&script, FLOOR).with_context(|| format!("writing {}", script.display()))?;
    let (script, directory) = (script.to_string_lossy(), world.plan.directory.join("floor"));
    let directory = directory.to_string_lossy();
    let (pull, remove) = (["bash", &script, "pull", &directory], ["bash", &script, "remove", &directory]);
    Ok((Engine::new("floor", Place::Machine, pull, remove), Vec::new()))
}
